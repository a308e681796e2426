package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/testbed/process"
)

// nobody is the user of the images.
const nobody = 65532

// rootfs makes the root file system of a server's image, as the Dockerfile does.
func rootfs(t *testing.T, server string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to change the root directory")
	}
	root := filepath.Join(t.TempDir(), "rootfs")
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.root, "hack", "images", "rootfs.sh"), server, root)
	cmd.Env = append(os.Environ(), "BIN="+shared.bin)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	// What every container has.
	require.NoError(t, syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(filepath.Join(root, "proc"), syscall.MNT_DETACH)) })
	return root
}

// in is a program in a root file system, with the images' user, and the capabilities that
// the chart leaves to it: one to those that may have port 443, to the others none. The rest
// is chroot's, which sheds them with its user.
func in(ctx context.Context, root string, args ...string) *exec.Cmd {
	user, capabilities := fmt.Sprintf("%d:%d", nobody, nobody), "-all,+sys_chroot,+setuid,+setgid"
	if program := filepath.Base(args[0]); program == "apiserver" || program == "binding-apiserver" {
		capabilities += ",+net_bind_service"
	}
	cmd := exec.CommandContext(ctx, "setpriv", slices.Concat([]string{
		"--bounding-set=" + capabilities,
		"chroot", "--userspec=" + user, "--groups=" + strconv.Itoa(nobody), root,
	}, args)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/bin", "GODEBUG=netdns=go"}
	return cmd
}

// TestImages runs each server with nothing but the files of its image.
func TestImages(t *testing.T) {
	t.Parallel()
	for _, server := range hosts() {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			root := rootfs(t, server)
			// Opens the plugins of the image, and says which there are.
			config := filepath.Join(root, "kubeconfig")
			text, err := os.ReadFile(kubeconfigOfNobody(t))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(config, text, 0o644))
			output, err := in(t.Context(), root, "/usr/local/bin/"+server, "--kubeconfig=/kubeconfig", "--storage-name=missing").CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(output), "registered are: internal (/usr/local/lib/clusterpedia/plugins/internalstorage.so), memory (/usr/local/lib/clusterpedia/plugins/memorystorage.so)")

			for name, mode := range map[string]os.FileMode{"apiserver.local.config/certificates": 0o755, "var/log/clusterpedia": 0o755, "tmp": 0o777 | os.ModeSticky} {
				info, err := os.Stat(filepath.Join(root, name))
				require.NoError(t, err)
				require.Equal(t, mode|os.ModeDir, info.Mode(), name)
				if name != "tmp" {
					require.EqualValues(t, nobody, info.Sys().(*syscall.Stat_t).Uid, name)
				}
			}
		})
	}
}

// TestImageRefuses checks that no image is made without what its server needs.
func TestImageRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ ldd, plugins, want string }{
		"no ldd":          {"echo no such thing >&2; exit 1", filepath.Join(shared.bin, "plugins"), "ldd cannot say which libraries apiserver and its plugins need: no such thing"},
		"no plugins":      {"exit 0", t.TempDir(), "there is no plugin (*.so) in "},
		"missing library": {"echo '	liba.so.1 => not found'", filepath.Join(shared.bin, "plugins"), "apiserver and its plugins need what is not here: 	liba.so.1 => not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(fake, "ldd"), []byte("#!/bin/sh\n"+tc.ldd+"\n"), 0o755))
			root := filepath.Join(t.TempDir(), "rootfs")
			cmd := exec.CommandContext(t.Context(), filepath.Join(shared.root, "hack", "images", "rootfs.sh"), "apiserver", root)
			cmd.Env = append(os.Environ(), "BIN="+shared.bin, "PLUGINS="+tc.plugins, "PATH="+fake+":"+os.Getenv("PATH"))
			text, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(text), "rootfs.sh: "+tc.want)
			require.Equal(t, 1, strings.Count(string(text), "\n"), string(text))
		})
	}
}

// TestImageServes runs the binding-apiserver of the image on port 443, as manifests of
// earlier releases ask, with a certificate that it makes itself, in memory and in SQL.
func TestImageServes(t *testing.T) {
	root := rootfs(t, "binding-apiserver")
	for storage, config := range map[string]string{"memory": "", "internal": "type: sqlite\ndsn: /tmp/clusterpedia.db\n"} {
		t.Run(storage, func(t *testing.T) {
			d := deploy(t, storage, "")
			for name, file := range map[string]string{"kubeconfig": d.Host.Kubeconfig()} {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(root, name), text, 0o644))
			}
			require.NoError(t, os.WriteFile(filepath.Join(root, "storage.yaml"), []byte(config), 0o644))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := in(ctx, root, "/usr/local/bin/binding-apiserver", "--kubeconfig=/kubeconfig", "--authentication-kubeconfig=/kubeconfig", "--authorization-kubeconfig=/kubeconfig",
				"--bind-address=127.0.0.1", "--secure-port=443", "--storage-name="+storage, "--storage-config=/storage.yaml")
			log := filepath.Join(t.TempDir(), "log")
			file, err := os.Create(log)
			require.NoError(t, err)
			defer func() { require.NoError(t, file.Close()) }()
			cmd.Stdout, cmd.Stderr = file, file
			require.NoError(t, cmd.Start())
			eventually(t, 30*time.Second, func() error {
				text, err := os.ReadFile(log)
				if err == nil && !strings.Contains(string(text), "Serving securely on 127.0.0.1:443") {
					err = fmt.Errorf("it does not serve:\n%s", text)
				}
				return err
			})
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			require.NoError(t, cmd.Wait())
			require.FileExists(t, filepath.Join(root, "apiserver.local.config", "certificates", "apiserver.crt"))
		})
	}
}

// TestImageControls runs the controller-manager of its image, which has no plugins and no C
// library.
func TestImageControls(t *testing.T) {
	root := rootfs(t, "controller-manager")
	require.NoDirExists(t, filepath.Join(root, "usr", "local", "lib"))
	d := deploy(t, "memory", "")
	text, err := os.ReadFile(d.Host.Kubeconfig())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "kubeconfig"), text, 0o644))
	free, err := process.FreePorts(1)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := in(ctx, root, "/usr/local/bin/controller-manager", "--kubeconfig=/kubeconfig", "--metrics-host=127.0.0.1", fmt.Sprintf("--metrics-port=%d", free[0]))
	require.NoError(t, cmd.Start())
	eventually(t, 30*time.Second, func() error {
		metrics, err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/metrics", free[0]))
		if err == nil && !strings.Contains(metrics, `leader_election_master_status{name="clusterpedia-controller-manager"} 1`) {
			err = errors.New("it does not lead")
		}
		return err
	})
	ready, err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", free[0]))
	require.NoError(t, err)
	require.Equal(t, "ok", ready)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait(), "it ends well when it is told to")
}

// get returns the body of an answer 200.
func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return string(body), err
}

// TestCopyPlugins runs the program of init containers where nothing else is.
func TestCopyPlugins(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to change the root directory")
	}
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o777))
	shelf := filepath.Join(root, "shared")
	output, err := exec.CommandContext(t.Context(), filepath.Join(shared.bin, "copy-plugins"), "self", shelf).CombinedOutput()
	require.NoError(t, err, string(output))
	require.NoError(t, os.Mkdir(filepath.Join(root, "plugins"), 0o755))
	output, err = in(t.Context(), root, "/shared/copy-plugins", "/plugins", "/target").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(output), "there is no plugin (*.so) in /plugins")
	require.NoError(t, os.WriteFile(filepath.Join(root, "plugins", "a.so"), []byte("content"), 0o644))
	output, err = in(t.Context(), root, "/shared/copy-plugins", "/plugins", "/target").CombinedOutput()
	require.NoError(t, err, string(output))
	hasContent := func() {
		text, err := os.ReadFile(filepath.Join(root, "target", "a.so"))
		require.NoError(t, err)
		require.Equal(t, "content", string(text))
	}
	hasContent()

	// An init container runs again.
	output, err = in(t.Context(), root, "/shared/copy-plugins", "/plugins", "/target").CombinedOutput()
	require.NoError(t, err, string(output))
	hasContent()

	// Another image has another plugin of that name.
	require.NoError(t, os.WriteFile(filepath.Join(root, "plugins", "a.so"), []byte("of another"), 0o644))
	output, err = in(t.Context(), root, "/shared/copy-plugins", "/plugins", "/target").CombinedOutput()
	require.Error(t, err)
	require.Equal(t, "copy-plugins: /target/a.so is there with other content, from another image: rename one of both plugins\n", string(output))
	hasContent()
	output, err = exec.CommandContext(t.Context(), filepath.Join(shared.bin, "copy-plugins"), "self", shelf).CombinedOutput()
	require.NoError(t, err, string(output))
}

// TestBuilder builds a plugin with the command line of hack/builder.sh.
func TestBuilder(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	builder := filepath.Join(shared.root, "hack", "builder.sh")
	require.Contains(t, w.must(t, "", builder), "builder.sh plugins NAME.so")
	require.Contains(t, w.must(t, "", filepath.Join(shared.root, "hack", "init-plugin.sh"), "example.com/you/tiny-storage"), "a storage layer named")
	w.env = append(w.env, "PLUGIN_REPO="+w.path("tiny-storage"), "OUTPUT_DIR=out", "HOST_BINARY="+w.path("bin", "apiserver"), "PLUGIN_VERSION=v0.3.0")
	w.must(t, "", builder, "plugins", "tiny.so")
	require.Contains(t, w.must(t, "", "clusterpedia", "plugin", "list", "out/plugins"), "v0.3.0")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, "unknown component nonsense"},
		{[]string{"plugins"}, "give the name of the plugin"},
		{[]string{"plugins", "tiny"}, "must be NAME.so"},
	} {
		_, err := w.run(t, "", append([]string{builder}, tc.args...)...)
		require.ErrorContains(t, err, tc.want)
	}
}
