package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// kubelet answers for the containers of one pod, as far as the kube-apiserver asks it:
// logs, commands and ports.
type kubelet struct {
	*httptest.Server
	// gone gets a value when one who followed the logs has left.
	gone chan struct{}
}

const (
	stubNode = "node-with-kubelet"
	stubPod  = "with-kubelet"
)

// startKubelet adds a node with a pod to a member, and removes both at the end of the
// test.
func startKubelet(t *testing.T, m *member, namespace string) *kubelet {
	t.Helper()
	k := &kubelet{gone: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/containerLogs/"+namespace+"/"+stubPod+"/main", k.logs)
	mux.HandleFunc("/exec/"+namespace+"/"+stubPod+"/main", k.exec)
	mux.HandleFunc("/portForward/"+namespace+"/"+stubPod, k.portForward)
	k.Server = httptest.NewTLSServer(mux)
	t.Cleanup(func() {
		k.CloseClientConnections()
		k.Close()
	})
	address, err := url.Parse(k.URL)
	require.NoError(t, err)
	port, err := strconv.ParseInt(address.Port(), 10, 32)
	require.NoError(t, err)

	config, err := clientcmd.BuildConfigFromFlags("", m.Kubeconfig())
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	nodes, pods := client.CoreV1().Nodes(), client.CoreV1().Pods(namespace)
	t.Cleanup(func() {
		now := int64(0)
		ctx := context.Background() //nolint:usetesting // the test's context has ended
		require.NoError(t, pods.Delete(ctx, stubPod, metav1.DeleteOptions{GracePeriodSeconds: &now}))
		require.NoError(t, nodes.Delete(ctx, stubNode, metav1.DeleteOptions{}))
	})
	node, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: stubNode}}, metav1.CreateOptions{})
	require.NoError(t, err)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Hostname()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	_, err = nodes.UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	require.NoError(t, err)
	pod, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: stubPod},
		Spec:       corev1.PodSpec{NodeName: stubNode, Containers: []corev1.Container{{Name: "main", Image: "registry.example/main:1"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIP = "127.0.0.1"
	pod.Status.PodIPs = []corev1.PodIP{{IP: "127.0.0.1"}}
	_, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
	return k
}

// logs writes two lines, and one more every tenth of a second for those who follow.
func (k *kubelet) logs(w http.ResponseWriter, req *http.Request) {
	fmt.Fprintf(w, "hello from the kubelet, %s\n", req.URL.RawQuery)
	fmt.Fprintln(w, "line 1")
	if req.URL.Query().Get("follow") != "true" {
		return
	}
	for i := 2; ; i++ {
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-req.Context().Done():
			k.gone <- struct{}{}
			return
		case <-time.After(100 * time.Millisecond):
		}
		fmt.Fprintln(w, "line", i)
	}
}

func (k *kubelet) exec(w http.ResponseWriter, req *http.Request) {
	options, err := remotecommand.NewOptions(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, req, k, stubPod, "", "main", req.URL.Query()["command"], options, time.Minute, 10*time.Second, remotecommand.SupportedStreamingProtocols)
}

// ExecInContainer implements remotecommand.Executor: any command says what it is, and
// then what it reads, until there is no more to read.
func (*kubelet) ExecInContainer(_ context.Context, _, _, _ string, command []string, in io.Reader, out, stderr io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	fmt.Fprintln(out, "running", strings.Join(command, " "))
	if command[0] == "false" {
		fmt.Fprintln(stderr, "it failed")
		return exitError(3)
	}
	if in == nil {
		return nil
	}
	for scanner := bufio.NewScanner(in); scanner.Scan(); {
		fmt.Fprintln(out, "read", scanner.Text())
	}
	return nil
}

// exitError is the code that a command ended with.
type exitError int

func (e exitError) Error() string   { return e.String() }
func (e exitError) String() string  { return "exit code " + strconv.Itoa(int(e)) }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }

func (k *kubelet) portForward(w http.ResponseWriter, req *http.Request) {
	options, err := portforward.NewV4Options(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, req, k, stubPod, "", options, time.Minute, 10*time.Second, portforward.SupportedProtocols)
}

// PortForward implements portforward.PortForwarder: every port echoes one line.
func (*kubelet) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	line, err := bufio.NewReader(stream).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stream, "port %d: %s", port, line)
	return err
}
