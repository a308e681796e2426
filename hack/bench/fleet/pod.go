package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"clusterpedia.io/storage-api/object"
)

// The pods' greatest numbers of environment variables: what makes them 5 to 10 KiB.
const (
	minVariables = 6
	maxVariables = 34
)

func (m *maker) pod(owner Object, n int) Object {
	labels := map[string]string{"pod-template-hash": owner.Name[len(owner.Name)-10:]}
	for k, v := range m.labels {
		labels[k] = v
	}
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"}, ObjectMeta: m.meta(owner.Name+"-"+m.random(5), labels)}
	p.GenerateName = owner.Name + "-"
	p.Annotations = map[string]string{
		"checksum/config": m.hex(64), "prometheus.io/scrape": "true", "prometheus.io/port": "9102",
		"kubectl.kubernetes.io/restartedAt": p.CreationTimestamp.Format(time.RFC3339),
	}
	if owner.Kind == "ReplicaSet" {
		p.OwnerReferences = controlledBy("ReplicaSet", "apps/v1", owner)
	}
	p.Spec = m.template().Spec
	p.Spec.NodeName = m.fleet.NodeName(m.cluster, (m.firstPod+n)/PodsPerNode%m.allNodes)
	m.running(p)
	return m.object("", "pods", "Pod", &p.ObjectMeta, p)
}

// template is what the pods of an app have in common, but for the length of their
// environment.
func (m *maker) template() corev1.PodTemplateSpec {
	grace, priority, seconds, mode := int64(30), int32(0), int64(300), int32(420)
	policy, preempt, links := corev1.PullIfNotPresent, corev1.PreemptLowerPriority, true
	api := "kube-api-access-" + m.random(5)
	mounts := []corev1.VolumeMount{
		{Name: "config", MountPath: "/etc/" + m.name, ReadOnly: true},
		{Name: api, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
	}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}},
			InitialDelaySeconds: 5, TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
		}
	}
	main := corev1.Container{
		Name: word(m.app), Image: "registry.example.io/shop/" + m.name + ":1." + strconv.Itoa(m.app%40) + ".0", ImagePullPolicy: policy,
		Args: []string{"--config=/etc/" + m.name + "/config.yaml", "--log-level=info"}, Env: m.environment(),
		Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}, {Name: "metrics", ContainerPort: 9102, Protocol: corev1.ProtocolTCP}},
		Resources:     resources("100m", "128Mi", "500m", "512Mi"),
		LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"), VolumeMounts: mounts,
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	side := corev1.Container{
		Name: "proxy", Image: "registry.example.io/mesh/proxy:2.14.1", ImagePullPolicy: policy, Args: []string{"proxy", "sidecar", "--domain", m.namespace + ".svc.cluster.local"},
		Resources: resources("10m", "40Mi", "2", "1Gi"), VolumeMounts: mounts[1:], ReadinessProbe: probe("/healthz/ready"),
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: m.labels},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{main, side}, RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
			TerminationGracePeriodSeconds: &grace, ServiceAccountName: m.name, DeprecatedServiceAccount: m.name, SchedulerName: "default-scheduler",
			SecurityContext: &corev1.PodSecurityContext{}, Priority: &priority, EnableServiceLinks: &links, PreemptionPolicy: &preempt,
			Tolerations: []corev1.Toleration{
				{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
				{Key: "node.kubernetes.io/unreachable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
			},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.name + "-0"}, DefaultMode: &mode}}},
				{Name: api, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: projected()}}},
			},
		},
	}
}

func resources(cpu, memory, maxCPU, maxMemory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(maxCPU), corev1.ResourceMemory: resource.MustParse(maxMemory)},
	}
}

func projected() []corev1.VolumeProjection {
	seconds := int64(3607)
	return []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &seconds, Path: "token"}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}},
		}}},
	}
}

func (m *maker) environment() []corev1.EnvVar {
	env := []corev1.EnvVar{{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}}}
	for i := range minVariables + m.IntN(maxVariables-minVariables) {
		v := corev1.EnvVar{Name: fmt.Sprintf("%s_SETTING_%02d", []string{"DATABASE", "QUEUE", "FEATURE", "SERVICE"}[i%4], i)}
		switch i % 4 {
		case 0:
			v.Value = fmt.Sprintf("%s-%s.%s.svc.cluster.local:%d", word(i), m.random(4), m.namespace, 1024+m.IntN(9000))
		case 1:
			v.ValueFrom = &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: m.name + "-0"}, Key: "key-" + m.random(3)}}
		default:
			v.Value = m.random(8 + m.IntN(24))
		}
		env = append(env, v)
	}
	return env
}

// running gives a pod its status; one in ten waits for its image.
func (m *maker) running(p *corev1.Pod) {
	started := metav1.NewTime(p.CreationTimestamp.Add(time.Duration(1+m.IntN(90)) * time.Second))
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &p.CreationTimestamp, QOSClass: corev1.PodQOSBurstable,
		HostIP: fmt.Sprintf("10.%d.%d.%d", m.cluster%256, m.IntN(256), m.IntN(256)), PodIP: fmt.Sprintf("172.16.%d.%d", m.IntN(256), m.IntN(256)),
	}
	p.Status.HostIPs, p.Status.PodIPs = []corev1.HostIP{{IP: p.Status.HostIP}}, []corev1.PodIP{{IP: p.Status.PodIP}}
	ready := corev1.ConditionTrue
	if m.IntN(10) == 0 {
		p.Status.Phase, ready = corev1.PodPending, corev1.ConditionFalse
	}
	for _, c := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		condition := corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: started}
		if c == corev1.PodReady || c == corev1.ContainersReady {
			if condition.Status = ready; ready == corev1.ConditionFalse {
				condition.Reason, condition.Message = "ContainersNotReady", "containers with unready status: ["+p.Spec.Containers[0].Name+"]"
			}
		}
		p.Status.Conditions = append(p.Status.Conditions, condition)
	}
	yes, no := true, false
	for i, c := range p.Spec.Containers {
		s := corev1.ContainerStatus{Name: c.Name, Image: c.Image, RestartCount: int32(m.IntN(4)), Ready: true, Started: &yes, //nolint:gosec // below 4
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}}
		if i == 0 && ready == corev1.ConditionFalse {
			s.Ready, s.Started = false, &no
			s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: fmt.Sprintf("Back-off pulling image %q", c.Image)}}
		} else {
			s.ImageID = "registry.example.io/shop/" + m.name + "@sha256:" + m.hex(64)
			s.ContainerID = "containerd://" + m.hex(64)
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, s)
	}
}

// cells are what the synchro keeps of a table's row for a pod. Their columns have no name that
// a table asks for.
func cells(p *corev1.Pod) (*object.Cells, error) {
	ready, restarts, status := 0, int32(0), string(p.Status.Phase)
	for _, c := range p.Status.ContainerStatuses {
		restarts += c.RestartCount
		if c.State.Waiting != nil {
			status = c.State.Waiting.Reason
		} else {
			ready++
		}
	}
	row := []string{
		p.Name, fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers)), status, strconv.Itoa(int(restarts)), p.CreationTimestamp.UTC().Format(time.RFC3339),
		p.Status.PodIP, p.Spec.NodeName, "<none>", "<none>",
	}
	var values bytes.Buffer
	encoder := json.NewEncoder(&values)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(row)
	return &object.Cells{Columns: "fleet-v1", Values: bytes.TrimSpace(values.Bytes())}, err
}
