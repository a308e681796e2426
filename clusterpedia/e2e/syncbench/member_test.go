package syncbench

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
)

// member serves as many pods as it is told to, and keeps none of them.
type member struct {
	*httptest.Server
	pods int
	// sick has health checks fail.
	sick    atomic.Bool
	watches atomic.Int64
	lists   atomic.Int64
}

func startMember(pods int) *member {
	m := &member{pods: pods}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	return m
}

func (m *member) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch path := r.URL.Path; {
	case path == "/readyz":
		if m.sick.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "ok")
	case path == "/version":
		fmt.Fprint(w, `{"gitVersion":"v1.37.2"}`)
	case path == "/api":
		fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
	case path == "/apis":
		fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"none.example.io","versions":[]}]}`)
	case path == "/api/v1":
		fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[
			{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"]}]}`)
	case path != "/api/v1/pods":
		http.NotFound(w, r)
	case r.URL.Query().Get("watch") != "":
		m.watches.Add(1)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		m.list(w, r)
	}
}

// list serves a page. A continue token is the number of the pod that it begins with.
func (m *member) list(w http.ResponseWriter, r *http.Request) {
	from, to := 0, m.pods
	if token := r.URL.Query().Get("continue"); token != "" {
		from, _ = strconv.Atoi(token)
	} else {
		m.lists.Add(1)
	}
	token := ""
	if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && from+limit < to {
		to = from + limit
		token = strconv.Itoa(to)
	}
	out := bufio.NewWriterSize(w, 1<<20)
	fmt.Fprintf(out, `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"%d","continue":%q},"items":[`, m.pods+1, token)
	for i := from; i < to; i++ {
		if i > from {
			_ = out.WriteByte(',') // the flush tells
		}
		writePod(out, i)
	}
	fmt.Fprint(out, "]}")
	_ = out.Flush() // the client notices
}

// writePod writes a pod as a deployment's is, of 8 KiB, a third of which are managed fields.
func writePod(w *bufio.Writer, i int) {
	fmt.Fprintf(w, `{"metadata":{"name":"web-%04d-7d4b9c6f5d-%05x","namespace":"team-%d","uid":"1b4f0c9e-7f3a-4a51-9d0e-%012x","resourceVersion":"%d",`+
		`"creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web-%04d","pod-template-hash":"7d4b9c6f5d"},`+
		`"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Pod\"}","example.io/checksum":"c0ffee"},`+
		`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-%04d-7d4b9c6f5d","uid":"2c4f0c9e-7f3a-4a51-9d0e-%012x","controller":true,"blockOwnerDeletion":true}],`,
		i/10, i, i%100, i, i+1, i/10, i/10, i/10)
	_, _ = w.WriteString(managedFields)
	_, _ = w.WriteString(podRest)
}

// The parts of a pod that are the same for all.
var (
	managedFields = `"managedFields":[` + strings.TrimSuffix(strings.Repeat(`{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z",`+
		`"fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"LEVEL\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:name":{}}}}}},`, 7), ",") + `]},`
	podRest = `"spec":{"nodeName":"node-7","containers":[` + strings.TrimSuffix(strings.Repeat(container, 9), ",") + `],"restartPolicy":"Always","serviceAccountName":"default"},` +
		`"status":{"phase":"Running","podIP":"10.0.1.2","startTime":"2026-01-02T03:04:05Z","conditions":[{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-01-02T03:04:05Z"}]}}`
)

const container = `{"name":"web","image":"registry.example/web:1.2.3","ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[{"name":"LEVEL","value":"info"},` +
	`{"name":"HOST","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.hostIP"}}}],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m","memory":"128Mi"}},` +
	`"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"imagePullPolicy":"IfNotPresent"},`
