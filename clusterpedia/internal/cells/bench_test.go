package cells

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// benchmarked are stored documents: a pod of 6 KiB, a Deployment of 3 KiB, a ConfigMap.
func benchmarked(b *testing.B) map[schema.GroupKind][]byte {
	b.Helper()
	container := object{
		"name": "web", "image": "registry.example/web:1.2.3", "ports": []any{object{"containerPort": 8080, "protocol": "TCP"}},
		"env":           []any{object{"name": "LEVEL", "value": "info"}, object{"name": "HOST", "valueFrom": object{"fieldRef": object{"fieldPath": "status.hostIP"}}}},
		"resources":     object{"limits": object{"cpu": "1", "memory": "1Gi"}, "requests": object{"cpu": "100m", "memory": "128Mi"}},
		"livenessProbe": object{"httpGet": object{"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
	}
	containers := []any{container, container, container, container}
	status := object{"name": "web", "ready": true, "restartCount": 1, "state": object{"running": object{"startedAt": "2026-01-02T03:04:05Z"}}, "lastState": object{"terminated": object{"exitCode": 1, "finishedAt": "2026-01-02T03:04:04Z"}}}
	metadata := object{"name": "web", "namespace": "team", "creationTimestamp": "2026-01-02T03:04:05Z", "labels": object{"app": "web"}}
	docs := map[schema.GroupKind][]byte{}
	for kind, doc := range map[schema.GroupKind]object{
		pods: {
			"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": object{"nodeName": "node-7", "containers": append(containers, containers...)},
			"status": object{"phase": "Running", "podIP": "10.0.1.2", "podIPs": []any{object{"ip": "10.0.1.2"}}, "containerStatuses": []any{status, status, status, status}},
		},
		{Group: "apps", Kind: "Deployment"}: {
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
			"spec":   object{"replicas": 3, "selector": object{"matchLabels": object{"app": "web"}}, "template": object{"spec": object{"containers": containers}}},
			"status": object{"replicas": 3},
		},
		{Kind: "ConfigMap"}: {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": object{"config.yaml": strings.Repeat("key: value\n", 200)}},
	} {
		text, err := json.Marshal(doc)
		if err != nil {
			b.Fatal(err)
		}
		docs[kind] = text
	}
	return docs
}

func BenchmarkPrint(b *testing.B) {
	printer := NewPrinter(builtin.NewScheme())
	for kind, doc := range benchmarked(b) {
		k := printer.Kind(kind)
		b.Run(kind.Kind, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Print(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendCells(b *testing.B) {
	printer := NewPrinter(builtin.NewScheme())
	for kind, doc := range benchmarked(b) {
		k := printer.Kind(kind)
		values, err := k.Print(doc)
		if err != nil {
			b.Fatal(err)
		}
		now, memory := time.Now(), []byte(nil)
		b.Run(kind.Kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if memory, _, err = k.AppendCells(memory[:0], values, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
