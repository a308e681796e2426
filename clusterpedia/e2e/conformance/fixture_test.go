package conformance

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The fixture is that of the contract: two clusters, cluster-1 and cluster-2, with 18
// objects each.

var (
	namespaces  = core("namespaces", "Namespace", false)
	nodes       = core("nodes", "Node", false)
	configMaps  = core("configmaps", "ConfigMap", true)
	secrets     = core("secrets", "Secret", true)
	pods        = core("pods", "Pod", true)
	events      = core("events", "Event", true)
	deployments = resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "Deployment", true}
	replicaSets = resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, "ReplicaSet", true}
	widgets     = resource{schema.GroupVersionResource{Group: "example.io", Version: "v1", Resource: "widgets"}, "Widget", true}
)

func core(name, kind string, namespaced bool) resource {
	return resource{schema.GroupVersionResource{Version: "v1", Resource: name}, kind, namespaced}
}

// served is what stubs serve, which is more than is synced.
func served() []resource {
	return []resource{namespaces, nodes, configMaps, secrets, pods, events, core("services", "Service", true), deployments, replicaSets, widgets}
}

// loader fills a stub with the fixture.
type loader struct {
	*stub
	number, version int
}

// newMember returns a stub with the fixture's objects of the cluster of that number.
func newMember(number int) *stub {
	l := &loader{newStub(fmt.Sprintf("cluster-%d", number), number*1000+100, served()...), number, number * 1000}
	l.load(namespaces, "", "default", document{"spec": document{"finalizers": []string{"kubernetes"}}, "status": document{"phase": "Active"}})
	l.load(namespaces, "", "kube-system", document{"spec": document{"finalizers": []string{"kubernetes"}}, "status": document{"phase": "Active"}})
	l.load(nodes, "", "node-0", document{"spec": document{}, "status": document{"daemonEndpoints": document{"kubeletEndpoint": document{"Port": 0}}, "nodeInfo": nodeInfo()}})
	l.load(configMaps, "default", "cm1", document{"data": document{"key": "value"}})
	l.load(secrets, "kube-system", "topsecret", document{"data": document{"password": "aHVudGVyMg=="}, "type": "Opaque"})
	l.load(widgets, "default", "w1", document{"spec": document{"size": 3, "on": true}})
	for _, w := range []workload{
		{"api", "default", "2022-03-05", "back", "v1", 1, true},
		{"web", "default", "2022-03-01", "front", "v0", 3, false},
		{"coredns", "kube-system", "2022-02-01", "back", "v2", 2, false},
	} {
		l.loadWorkload(w)
	}
	if number == 1 {
		l.loadEvent()
	}
	return l.stub
}

func nodeInfo() document {
	info := document{}
	for _, key := range []string{"machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"} {
		info[key] = "x"
	}
	return info
}

// workload is a deployment with what it owns.
type workload struct {
	name, namespace, created, tier, annotation string
	replicas                                   int
	paused                                     bool
}

func (l *loader) loadWorkload(w workload) {
	labels := document{"app": w.name, "tier": w.tier, "idx": strconv.Itoa(w.replicas)}
	selector := document{"matchLabels": document{"app": w.name}}
	template := document{"metadata": document{"labels": document{"app": w.name}}, "spec": podSpec(w.name)}
	metadata := document{
		"creationTimestamp": w.created + "T00:00:00Z", "labels": labels, "generation": 1,
		"annotations": document{
			"test.io": w.annotation, "a": "one",
			"kubectl.kubernetes.io/last-applied-configuration": "{}",
		},
		"managedFields": []document{{"manager": "kubectl", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": document{}}},
	}
	spec := document{
		"replicas": w.replicas, "selector": selector, "template": template, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
		"strategy": document{"type": "RollingUpdate", "rollingUpdate": document{"maxSurge": "25%", "maxUnavailable": "25%"}},
	}
	if w.paused {
		spec["paused"] = true
	}
	l.load(deployments, w.namespace, w.name, document{"metadata": metadata, "spec": spec, "status": document{}})
	rs := w.name + "-rs"
	l.load(replicaSets, w.namespace, rs, document{
		"metadata": document{"creationTimestamp": w.created + "T00:00:00Z", "labels": document{"app": w.name}, "ownerReferences": l.ownedBy(deployments, w.name)},
		"spec":     document{"replicas": w.replicas, "selector": selector, "template": template}, "status": document{"replicas": w.replicas},
	})
	for k := range w.replicas {
		pod, phase := podSpec(w.name), "Running"
		pod["nodeName"] = fmt.Sprintf("node-%d", k)
		if k == 0 {
			phase = "Pending"
		}
		l.load(pods, w.namespace, fmt.Sprintf("%s-%d", rs, k), document{
			"metadata": document{"creationTimestamp": w.created + "T00:00:00Z", "labels": document{"app": w.name}, "ownerReferences": l.ownedBy(replicaSets, rs)},
			"spec":     pod, "status": document{"phase": phase, "qosClass": "BestEffort"},
		})
	}
}

// podSpec is as a real API server serves it, defaults included.
func podSpec(name string) document {
	container := func(name, image string) document {
		return document{"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "resources": document{}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
	}
	return document{
		"containers": []document{container(name, name+":v1"), container("sidecar", "proxy:v2")}, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
		"schedulerName": "default-scheduler", "securityContext": document{}, "terminationGracePeriodSeconds": 30,
	}
}

// loadEvent loads an Event of the deployment web, which is no row of its own.
func (l *loader) loadEvent() {
	l.load(events, "default", "web.1", document{
		"involvedObject": document{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "web", "uid": l.uid(deployments, "web")},
		"reason":         "ScalingReplicaSet", "message": "Scaled up", "type": "Normal", "count": 1, "source": document{},
		"firstTimestamp": "2022-03-01T00:00:00Z", "lastTimestamp": "2022-03-01T00:00:00Z", "eventTime": nil, "reportingComponent": "", "reportingInstance": "",
	})
}

// load completes an object, with the next resource version, and puts it into the stub.
func (l *loader) load(r resource, namespace, name string, o document) {
	l.version++
	metadata, _ := o["metadata"].(document)
	if metadata == nil {
		metadata = document{"creationTimestamp": "2022-01-01T00:00:00Z"}
	}
	o["kind"], o["apiVersion"], o["metadata"] = r.kind, r.GroupVersion().String(), metadata
	metadata["name"], metadata["uid"], metadata["resourceVersion"] = name, l.uid(r, name), strconv.Itoa(l.version)
	if metadata["creationTimestamp"] == nil {
		metadata["creationTimestamp"] = "2022-01-01T00:00:00Z"
	}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	l.put(r, o)
}

// uid returns an object's UID, which tests can write down: cluster-1-deployments-web.
func (l *loader) uid(r resource, name string) string {
	return strings.Join([]string{l.name, r.Resource, name}, "-")
}

func (l *loader) ownedBy(r resource, name string) []document {
	return []document{{"apiVersion": r.GroupVersion().String(), "kind": r.kind, "name": name, "uid": l.uid(r, name), "controller": true, "blockOwnerDeletion": true}}
}
