package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"clusterpedia.io/testbed/build"
	"clusterpedia.io/testbed/cluster"
	"clusterpedia.io/testbed/stack"
)

// chart is the chart, and a helm to render it with.
type chart struct{ helm, dir string }

func newChart(t *testing.T) *chart {
	t.Helper()
	if testing.Short() {
		t.Skip("builds helm")
	}
	binaries, err := build.Programs(t.Context(), shared.testbed(), os.Stderr, build.Helm)
	require.NoError(t, err)
	return &chart{filepath.Join(binaries, build.Helm), filepath.Join(shared.root, "charts", "clusterpedia")}
}

func (c *chart) run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, c.helm, args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME=/nonexistent", "KUBECONFIG=/nonexistent")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// render renders the chart with more arguments for helm template.
func (c *chart) render(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, err := c.run(t.Context(), append([]string{"template", "clusterpedia", c.dir, "--namespace", stack.Namespace}, args...)...)
	require.NoError(t, err, errOut)
	return out
}

// values are the files of values that the chart is tested with.
func (c *chart) values(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/chart/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func TestChartLint(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	for _, file := range c.values(t) {
		out, errOut, err := c.run(t.Context(), "lint", "--strict", c.dir, "-f", file)
		require.NoError(t, err, "%s: %s%s", file, out, errOut)
	}
}

func TestChartGolden(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	for _, file := range c.values(t) {
		requireGolden(t, strings.TrimSuffix(file, ".yaml")+".golden", c.render(t, "-f", file))
	}
}

// TestChartRefuses checks that values which cannot work end in one clear line.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	for set, want := range map[string]string{
		"":                                               "storage.password: set it, or storage.existingSecret, for the database",
		"storage.password=x,storage.name=memory":         "storage.name: memory is not shared between pods, set bindingApiserver.enabled to true",
		"storage.config.type=sqlite":                     "storage.config.type: SQLite is for one pod alone, set bindingApiserver.enabled to true",
		"storage.install=none":                           "storage.config.type: without storage.install it must say which database it leads to",
		"bindingApiserver.enabled=true":                  "bindingApiserver.enabled: it takes the place of apiserver and clustersynchroManager",
		"storage.password=x,tls.existingSecret=y":        "tls.caBundle: set it to the certificate of the authority",
		"storage.password=x,apiserver.replica=2":         "additional properties 'replica' not allowed",
		"storage.install=oracle":                         "value must be one of",
		"storage.password=x,storage.database.user=a;b c": "does not match pattern",
	} {
		c.refuses(t, set, want)
	}
}

// refuses checks that the chart cannot be rendered with what is set.
func (c *chart) refuses(t *testing.T, set, want string) {
	t.Helper()
	args := []string{"template", "clusterpedia", c.dir}
	if set != "" {
		args = append(args, "--set", set)
	}
	_, errOut, err := c.run(t.Context(), args...)
	require.Error(t, err, set)
	require.Contains(t, errOut, want, set)
}

// TestChartRights checks each rule that the chart grants: none is for everything.
func TestChartRights(t *testing.T) {
	t.Parallel()
	c := newChart(t)
	for _, file := range c.values(t) {
		decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(c.render(t, "-f", file)), 4096)
		for {
			var role rbacv1.ClusterRole // a Role has the same fields
			if decoder.Decode(&role) != nil {
				break
			}
			for _, rule := range role.Rules {
				for _, list := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs} {
					require.NotContains(t, list, "*", "%s %s", role.Kind, role.Name)
				}
				require.Empty(t, rule.NonResourceURLs)
			}
		}
	}
}

// TestChart has a real API server take everything that the chart renders, and runs the
// servers with the rights that it grants, and no more.
func TestChart(t *testing.T) {
	c := newChart(t)
	s := sqlStorages()["SQLite"](t)
	d := deploy(t, "internal", s.config)
	apply := func(manifests string, args ...string) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(shared.binaries, "kubectl"), append([]string{"--kubeconfig", d.Host.Kubeconfig(), "apply", "--server-side", "--force-conflicts", "-f", "-"}, args...)...)
		cmd.Stdin = strings.NewReader(manifests)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, string(text))
	}
	for _, file := range c.values(t) {
		apply(c.render(t, "-f", file, "--include-crds"), "--dry-run=server")
	}
	made := c.render(t, "--set", "storage.password=x") // with a certificate that the chart makes
	apply(made, "--dry-run=server")
	// The servers run beside the cluster, and not in pods of it: of the chart they need
	// who they are and what they may do.
	for document := range strings.SplitSeq(made, "\n---") {
		if rightsOf(document, "") {
			apply(document)
		}
	}

	d.ServerKubeconfigs = map[string]string{}
	for _, name := range []string{"apiserver", "clustersynchro-manager"} {
		d.ServerKubeconfigs[name] = serviceAccountKubeconfig(t, d.Host, "clusterpedia-"+name)
	}
	d.startManager(t)
	d.startAPIServer(t)
	d.register(t)
	servedAsIs(t, d, s)
	changes(t, d, s)
	removeCluster(t, d, s)
	for _, p := range []interface{ LogTail(int64) string }{d.manager, d.apiserver} {
		require.NotContains(t, p.LogTail(1<<20), "is forbidden", "the chart grants too little")
	}
}

// rightsOf reports whether a manifest says who a component is, or what it may do.
func rightsOf(manifest, component string) bool {
	return regexp.MustCompile(`(?m)^kind: (ServiceAccount|Role|RoleBinding|ClusterRole|ClusterRoleBinding)$`).MatchString(manifest) && strings.Contains(manifest, component)
}

// serviceAccountKubeconfig writes a kubeconfig of a service account.
func serviceAccountKubeconfig(t *testing.T, host *cluster.Cluster, account string) string {
	t.Helper()
	admin, err := clientcmd.BuildConfigFromFlags("", host.Kubeconfig())
	require.NoError(t, err)
	kube, err := kubernetes.NewForConfig(admin)
	require.NoError(t, err)
	token, err := kube.CoreV1().ServiceAccounts(stack.Namespace).CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config, err := clientcmd.LoadFromFile(host.Kubeconfig())
	require.NoError(t, err)
	config.AuthInfos = map[string]*api.AuthInfo{"admin": {Token: token.Status.Token}}
	path := filepath.Join(t.TempDir(), account+".kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}
