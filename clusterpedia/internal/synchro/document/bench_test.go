package document

import (
	"fmt"
	"strings"
	"testing"
)

// pod is a pod of 8 KiB, a third of which are managed fields.
func pod() []byte {
	const manager = `{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1",` +
		`"fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"LEVEL\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:name":{}}}}}},`
	const container = `{"name":"web","image":"registry.example/web:1.2.3","ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[{"name":"LEVEL","value":"info"},` +
		`{"name":"HOST","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"status.hostIP"}}}],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m","memory":"128Mi"}},` +
		`"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},"imagePullPolicy":"IfNotPresent"},`
	list := func(element string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element, n), ",") + "]"
	}
	return fmt.Appendf(nil, `{"metadata":{"name":"web-7d4b9c6f5d-x7k2q","namespace":"team-1","uid":"1b4f0c9e-7f3a-4a51-9d0e-000000000001","resourceVersion":"1234",`+
		`"creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web"},"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Pod\"}"},`+
		`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b9c6f5d","uid":"2c4f","controller":true}],"managedFields":%s},`+
		`"spec":{"nodeName":"node-7","containers":%s},"status":{"phase":"Running","podIP":"10.0.1.2"}}`, list(manager, 7), list(container, 9))
}

// BenchmarkListed does to a pod what is done to each object that is listed.
func BenchmarkListed(b *testing.B) {
	doc := pod()
	r := Rewriter{Cluster: "one", APIVersion: "v1", Kind: "Pod", DropManagedFields: true, DropLastApplied: true}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadHead(doc); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Rewrite(doc); err != nil {
			b.Fatal(err)
		}
	}
}
