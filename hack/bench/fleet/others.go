package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (m *maker) deployment() Object {
	replicas := int32(m.fleet.App.Pods) //nolint:gosec // a handful
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"}, ObjectMeta: m.meta(m.name, m.labels)}
	d.Annotations = map[string]string{"deployment.kubernetes.io/revision": "2", "meta.helm.sh/release-name": m.name, "meta.helm.sh/release-namespace": m.namespace}
	d.Generation = 2
	d.Spec = appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": m.labels["app"]}}, Template: m.template()}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, LastUpdateTime: d.CreationTimestamp, LastTransitionTime: d.CreationTimestamp, Reason: "MinimumReplicasAvailable", Message: "Deployment has minimum availability."},
		{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, LastUpdateTime: d.CreationTimestamp, LastTransitionTime: d.CreationTimestamp, Reason: "NewReplicaSetAvailable", Message: "ReplicaSet has successfully progressed."},
	}}
	return m.object("apps", "deployments", "Deployment", &d.ObjectMeta, d)
}

func (m *maker) replicaSet(owner Object, n int, current bool) Object {
	replicas := int32(0)
	if current {
		replicas = int32(m.fleet.App.Pods) //nolint:gosec // a handful
	}
	hash := m.random(10)
	labels := maps.Clone(m.labels)
	labels["pod-template-hash"] = hash
	r := &appsv1.ReplicaSet{TypeMeta: metav1.TypeMeta{Kind: "ReplicaSet", APIVersion: "apps/v1"}, ObjectMeta: m.meta(m.name+"-"+hash, labels)}
	r.OwnerReferences = controlledBy("Deployment", "apps/v1", owner)
	r.Annotations = map[string]string{"deployment.kubernetes.io/desired-replicas": fmt.Sprint(replicas), "deployment.kubernetes.io/max-replicas": "10", "deployment.kubernetes.io/revision": fmt.Sprint(n + 1)}
	r.Spec = appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": m.labels["app"], "pod-template-hash": hash}}, Template: m.template()}
	r.Status = appsv1.ReplicaSetStatus{Replicas: replicas, FullyLabeledReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas, ObservedGeneration: 1}
	return m.object("apps", "replicasets", "ReplicaSet", &r.ObjectMeta, r)
}

func (m *maker) named(n int) string { return fmt.Sprintf("%s-%d", m.name, n) }

func (m *maker) service(n int) Object {
	s := &corev1.Service{TypeMeta: metav1.TypeMeta{Kind: "Service", APIVersion: "v1"}, ObjectMeta: m.meta(m.named(n), m.labels)}
	ip := fmt.Sprintf("10.96.%d.%d", m.IntN(256), m.IntN(256))
	s.Spec = corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, Selector: map[string]string{"app": m.labels["app"]}, SessionAffinity: corev1.ServiceAffinityNone,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http"), Protocol: corev1.ProtocolTCP}},
	}
	return m.object("", "services", "Service", &s.ObjectMeta, s)
}

func (m *maker) configMap(n int) Object {
	c := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: m.meta(m.named(n), m.labels), Data: map[string]string{}}
	var text strings.Builder
	for i := range 10 + m.IntN(60) {
		fmt.Fprintf(&text, "setting-%02d: %s\n", i, m.random(30))
	}
	c.Data["config.yaml"] = text.String()
	return m.object("", "configmaps", "ConfigMap", &c.ObjectMeta, c)
}

func (m *maker) secret(n int) Object {
	s := &corev1.Secret{TypeMeta: metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}, ObjectMeta: m.meta(m.named(n), m.labels), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{}}
	for i := range 4 {
		s.Data[fmt.Sprintf("key-%d", i)] = []byte(m.hex(200))
	}
	return m.object("", "secrets", "Secret", &s.ObjectMeta, s)
}

func (m *maker) slice(n int) Object {
	yes, port, name, tcp := true, int32(8080), "http", corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{TypeMeta: metav1.TypeMeta{Kind: "EndpointSlice", APIVersion: "discovery.k8s.io/v1"}, ObjectMeta: m.meta(m.named(n), m.labels), AddressType: discoveryv1.AddressTypeIPv4}
	s.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}}
	for range m.fleet.App.Pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("172.16.%d.%d", m.IntN(256), m.IntN(256))}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
		})
	}
	return m.object("discovery.k8s.io", "endpointslices", "EndpointSlice", &s.ObjectMeta, s)
}

// managed returns managed fields such as a controller and a kubelet leave: the names of
// all fields.
func managed(content any, meta *metav1.ObjectMeta) []metav1.ManagedFieldsEntry {
	text, err := json.Marshal(content)
	if err != nil {
		return nil // Member fails on it, too
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil
	}
	delete(fields, "kind")
	delete(fields, "apiVersion")
	status := map[string]any{"status": fields["status"]}
	delete(fields, "status")
	entry := func(manager, sub string, v any) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &meta.CreationTimestamp,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(names(v)), Subresource: sub,
		}
	}
	entries := []metav1.ManagedFieldsEntry{entry("kube-controller-manager", "", fields)}
	if status["status"] != nil {
		entries = append(entries, entry("kubelet", "status", status))
	}
	return entries
}

// names returns the names of fields in the form of managed fields.
func names(v any) string {
	var parts []string
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("%q:%s", "f:"+k, names(v[k])))
		}
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok && m["name"] != nil {
				key, _ := json.Marshal(map[string]any{"name": m["name"]}) // strings
				parts = append(parts, fmt.Sprintf("%q:%s", "k:"+string(key), names(e)))
			}
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}
