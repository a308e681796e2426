// Package fleet makes the objects that the benchmarks are run on: workloads as member
// clusters have them, with chains of owners from deployments over replica sets to pods.
// The same fleet gives the same bytes on every machine.
package fleet

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpedia.io/storage-api/object"
)

// Fleet says what is made.
type Fleet struct {
	Seed uint64
	// Clusters, and how many namespaces and apps each of them has.
	Clusters, Namespaces, Apps int
	// App says what an app is made of beside its deployment.
	App App
}

// App says how many objects of each kind an app has.
type App struct {
	// ReplicaSets, the last of which owns the pods.
	ReplicaSets int
	Pods        int
	// The rest belongs to no one.
	Services, ConfigMaps, Secrets, Slices int
}

// SharedLabel is how many apps, each in a cluster or namespace of its own, have the same
// value of label app.
const SharedLabel = 3

// PodsPerNode is how many pods a node runs.
const PodsPerNode = 50

// Size returns the number of objects.
func (f Fleet) Size() int { return f.Clusters * f.Apps * f.App.size() }

// Pods returns the number of pods.
func (f Fleet) Pods() int { return f.Clusters * f.Apps * f.App.Pods }

func (a App) size() int {
	return 1 + a.ReplicaSets + a.Pods + a.Services + a.ConfigMaps + a.Secrets + a.Slices
}

// Cluster returns the name of the n-th cluster, from 0.
func (f Fleet) Cluster(n int) string { return fmt.Sprintf("cluster-%02d", n) }

// All gives all objects, one cluster after the other.
func (f Fleet) All() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for c := range f.Clusters {
			for o := range f.Of(c) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// Of gives the objects of the n-th cluster.
func (f Fleet) Of(n int) iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for a := range f.Apps {
			for _, o := range f.Workload(n, a) {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// Object is one object of a member.
type Object struct {
	object.Key
	Kind    string
	cluster string
	meta    *metav1.ObjectMeta
	content any
}

// epoch is when the youngest object was made.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// age is the greatest age of an object.
const age = 180 * 24 * time.Hour

// ShadowAnnotation is the annotation that stored objects have beyond the member's.
const ShadowAnnotation = "shadow.clusterpedia.io/cluster-name"

// maker makes the objects of one app.
type maker struct {
	*rand.Rand
	fleet              Fleet
	cluster, app       int
	name, namespace    string
	labels             map[string]string
	made               time.Time
	version            int
	firstPod, allNodes int
}

// Workload returns the objects of one app of a cluster.
func (f Fleet) Workload(cluster, app int) []Object {
	number := cluster*f.Apps + app
	m := &maker{
		Rand: rand.New(rand.NewPCG(f.Seed, uint64(number))), fleet: f, cluster: cluster, app: app, //nolint:gosec // not negative
		namespace: fmt.Sprintf("team-%02d", app%max(f.Namespaces, 1)), version: 1000 + number*f.App.size(),
		firstPod: app * f.App.Pods, allNodes: max(f.Apps*f.App.Pods/PodsPerNode, 1),
	}
	m.name = fmt.Sprintf("%s-%05d", word(m.app), number)
	m.labels = map[string]string{
		"app": f.AppLabel(cluster, app), "app.kubernetes.io/name": m.name, "app.kubernetes.io/managed-by": "Helm",
		"tier": []string{"front", "back", "batch"}[app%3],
	}
	m.made = epoch().Add(-time.Duration(m.Int64N(int64(age)))).Truncate(time.Second)
	return m.all()
}

// AppLabel is the value of label app of an app.
func (f Fleet) AppLabel(cluster, app int) string {
	return fmt.Sprintf("app-%05d", (cluster*f.Apps+app)/SharedLabel)
}

func word(n int) string {
	words := []string{"web", "api", "worker", "cache", "mail", "search", "billing", "checkout", "gateway", "ledger", "metrics", "orders", "payments", "reports"}
	return words[n%len(words)]
}

// NodeName returns the name of a node of a cluster.
func (f Fleet) NodeName(cluster, node int) string {
	return fmt.Sprintf("ip-10-%d-%d-%d.%s.example.internal", cluster%256, node/256, node%256, f.Cluster(cluster))
}

func (m *maker) all() []Object {
	a := m.fleet.App
	deployment := m.deployment()
	all := make([]Object, 0, a.size())
	all = append(all, deployment)
	owner := deployment
	for i := range a.ReplicaSets {
		owner = m.replicaSet(deployment, i, i == a.ReplicaSets-1)
		all = append(all, owner)
	}
	for i := range a.Pods {
		all = append(all, m.pod(owner, i))
	}
	for i := range a.Services {
		all = append(all, m.service(i))
	}
	for i := range a.ConfigMaps {
		all = append(all, m.configMap(i))
	}
	for i := range a.Secrets {
		all = append(all, m.secret(i))
	}
	for i := range a.Slices {
		all = append(all, m.slice(i))
	}
	return all
}

// meta returns the metadata of an object of the app, of some age.
func (m *maker) meta(name string, labels map[string]string) metav1.ObjectMeta {
	m.version++
	made := m.made.Add(time.Duration(m.IntN(3600*24*20)) * time.Second)
	if made.After(epoch()) {
		made = epoch()
	}
	return metav1.ObjectMeta{
		Name: name, Namespace: m.namespace, UID: types.UID(m.uid()), ResourceVersion: strconv.Itoa(m.version),
		CreationTimestamp: metav1.NewTime(made), Labels: labels,
	}
}

// uid returns the next UID, in the form of a version 4 UUID.
func (m *maker) uid() string {
	a, b := m.Uint64(), m.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}

// random returns n characters as generated names have them.
func (m *maker) random(n int) string {
	const characters = "bcdfghjklmnpqrstvwxz2456789"
	text := make([]byte, n)
	for i := range text {
		text[i] = characters[m.IntN(len(characters))]
	}
	return string(text)
}

// hex returns n hexadecimal digits.
func (m *maker) hex(n int) string {
	text := ""
	for len(text) < n {
		text += fmt.Sprintf("%016x", m.Uint64())
	}
	return text[:n]
}

func controlledBy(kind, version string, o Object) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: o.Name, UID: o.meta.UID, Controller: &yes, BlockOwnerDeletion: &yes}}
}

func (m *maker) object(group, resource, kind string, meta *metav1.ObjectMeta, content any) Object {
	cluster := m.fleet.Cluster(m.cluster)
	key := object.Key{Cluster: cluster, Resource: object.Resource{Group: group, Version: "v1", Resource: resource}, Namespace: meta.Namespace, Name: meta.Name}
	return Object{Key: key, Kind: kind, cluster: cluster, meta: meta, content: content}
}

// UID returns the object's UID.
func (o Object) UID() string { return string(o.meta.UID) }

// Stored returns the object as the synchro stores it, but for cells: those of pods have
// columns of another name, and others have none.
func (o Object) Stored() (*object.Object, error) {
	annotations := o.meta.Annotations
	with := map[string]string{ShadowAnnotation: o.cluster}
	for k, v := range annotations {
		with[k] = v
	}
	o.meta.Annotations = with
	text, err := json.Marshal(o.content)
	o.meta.Annotations = annotations
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Key, err)
	}
	s := &object.Object{
		Key: o.Key, Kind: o.Kind, UID: string(o.meta.UID), ResourceVersion: o.meta.ResourceVersion, Labels: o.meta.Labels,
		CreatedAt: o.meta.CreationTimestamp.UTC(), JSON: text,
	}
	if pod, ok := o.content.(*corev1.Pod); ok {
		if s.Cells, err = cells(pod); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
	}
	for _, owner := range o.meta.OwnerReferences {
		s.Controller, s.Owners = string(owner.UID), []string{string(owner.UID)}
	}
	return s, nil
}

// Member returns the document that the member serves, with its managed fields.
func (o Object) Member() ([]byte, error) {
	o.meta.ManagedFields = managed(o.content, o.meta)
	text, err := json.Marshal(o.content)
	o.meta.ManagedFields = nil
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Key, err)
	}
	return text, nil
}
