// Package sample fills a cluster with workloads as a real one has them: owner
// chains from deployments over replica sets to pods, with their status, and a
// custom resource. No controller runs in the test bed, so it makes what
// controllers would.
package sample

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options say how much to make.
type Options struct {
	// Namespaces are named default, kube-system (which exist), team-1, team-2, …
	Namespaces int
	// Deployments in each namespace, of Replicas pods each.
	Deployments, Replicas int
	// Nodes, over which the pods are spread.
	Nodes int
	// Widgets in each namespace, of the custom resource widgets.example.io.
	Widgets int
	// Concurrency of the requests.
	Concurrency int
}

// Defaults are enough to look at.
func Defaults() Options {
	return Options{Namespaces: 4, Deployments: 3, Replicas: 2, Nodes: 3, Widgets: 2, Concurrency: 16}
}

type loader struct {
	Options
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

// Load makes the sample objects. Those that exist already stay as they are.
func Load(ctx context.Context, config *rest.Config, o Options) error {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = -1, 0 // not limited
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	l := &loader{Options: o, kube: kube, dynamic: custom}
	if err := l.defineWidgets(ctx, config); err != nil {
		return err
	}
	for i := range o.Nodes {
		if err := l.node(ctx, i); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(o.Concurrency, 1))
	for n := range o.Namespaces {
		namespace := namespaceName(n)
		if err := l.namespace(ctx, namespace); err != nil {
			_ = g.Wait()
			return err
		}
		g.Go(func() error { return l.config(ctx, namespace) })
		for i := range o.Widgets {
			g.Go(func() error { return l.widget(ctx, namespace, i) })
		}
		for i := range o.Deployments {
			g.Go(func() error { return l.workload(ctx, namespace, i) })
		}
	}
	return g.Wait()
}

func namespaceName(i int) string {
	switch i {
	case 0:
		return "default"
	case 1:
		return "kube-system"
	}
	return fmt.Sprintf("team-%d", i-1)
}

// AppName returns the name of the i-th deployment of a namespace.
func AppName(i int) string {
	names := []string{"web", "api", "worker", "cache", "mail", "search"}
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("app-%d", i)
}

// once makes err nil if the object exists already.
func once(what string, err error) error {
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("create %s: %w", what, err)
}

func (l *loader) namespace(ctx context.Context, name string) error {
	_, err := l.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return once("namespace "+name, err)
}

func (l *loader) node(ctx context.Context, i int) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i), Labels: map[string]string{"topology.kubernetes.io/zone": fmt.Sprintf("zone-%d", i%2)}}}
	created, err := l.kube.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return once("node", err)
	}
	created.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
	created.Status.NodeInfo.KubeletVersion = "v1.37.2"
	created.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi")}
	_, err = l.kube.CoreV1().Nodes().UpdateStatus(ctx, created, metav1.UpdateOptions{})
	return err
}

func (l *loader) config(ctx context.Context, namespace string) error {
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"level": "info"}}
	_, err := l.kube.CoreV1().ConfigMaps(namespace).Create(ctx, settings, metav1.CreateOptions{})
	if err := once("configmap", err); err != nil {
		return err
	}
	token := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "token"}, StringData: map[string]string{"token": "not-a-real-one"}}
	_, err = l.kube.CoreV1().Secrets(namespace).Create(ctx, token, metav1.CreateOptions{})
	return once("secret", err)
}

// workload makes a deployment, its service, its replica set and its pods.
func (l *loader) workload(ctx context.Context, namespace string, i int) error {
	app := AppName(i)
	labels := map[string]string{"app": app, "tier": []string{"front", "back"}[i%2]}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: app, Image: "registry.example/" + app + ":1." + fmt.Sprint(i),
			Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			Env:   []corev1.EnvVar{{Name: "LEVEL", Value: "info"}},
		}}},
	}
	replicas := int32(l.Replicas)
	deployment, err := l.kube.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: app, Labels: labels, Annotations: map[string]string{"example.io/owner": "team-" + app}},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return once("deployment", err)
	}
	deployment.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas}
	if deployment, err = l.kube.AppsV1().Deployments(namespace).UpdateStatus(ctx, deployment, metav1.UpdateOptions{}); err != nil {
		return err
	}
	set, err := l.kube.AppsV1().ReplicaSets(namespace).Create(ctx, &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: app + "-5d8f", Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(deployment, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: deployment.Spec.Selector, Template: template},
	}, metav1.CreateOptions{})
	if err != nil {
		return once("replica set", err)
	}
	set.Status = appsv1.ReplicaSetStatus{Replicas: replicas, ReadyReplicas: replicas, AvailableReplicas: replicas, ObservedGeneration: 1}
	if set, err = l.kube.AppsV1().ReplicaSets(namespace).UpdateStatus(ctx, set, metav1.UpdateOptions{}); err != nil {
		return err
	}
	for k := range l.Replicas {
		if err := l.pod(ctx, set, template, k); err != nil {
			return err
		}
	}
	_, err = l.kube.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: app, Labels: labels},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	return once("service", err)
}

func (l *loader) pod(ctx context.Context, set *appsv1.ReplicaSet, template corev1.PodTemplateSpec, k int) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", set.Name, k), Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
		},
		Spec: *template.Spec.DeepCopy(),
	}
	pod.Spec.NodeName = fmt.Sprintf("node-%d", k%max(l.Nodes, 1))
	created, err := l.kube.CoreV1().Pods(set.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return once("pod", err)
	}
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	created.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now, PodIP: fmt.Sprintf("10.0.%d.%d", k/250, k%250+1),
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image, Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}},
	}
	_, err = l.kube.CoreV1().Pods(set.Namespace).UpdateStatus(ctx, created, metav1.UpdateOptions{})
	return err
}
