// Package builtin knows the kinds that are compiled into Kubernetes: in which
// version Clusterpedia stores each, and how to convert between versions. The
// synchro asks it which version to store, the apiserver serves every version of a
// kind from the one that is stored. Kinds it doesn't know, custom resources above
// all, are stored and served as the member serves them.
//
// With package cells it is the only importer of k8s.io/kubernetes.
package builtin

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/install"
	admission "k8s.io/kubernetes/pkg/apis/admission/install"
	admissionregistration "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	apiserverinternal "k8s.io/kubernetes/pkg/apis/apiserverinternal/install"
	apps "k8s.io/kubernetes/pkg/apis/apps/install"
	authentication "k8s.io/kubernetes/pkg/apis/authentication/install"
	authorization "k8s.io/kubernetes/pkg/apis/authorization/install"
	autoscaling "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	batch "k8s.io/kubernetes/pkg/apis/batch/install"
	certificates "k8s.io/kubernetes/pkg/apis/certificates/install"
	coordination "k8s.io/kubernetes/pkg/apis/coordination/install"
	core "k8s.io/kubernetes/pkg/apis/core/install"
	discovery "k8s.io/kubernetes/pkg/apis/discovery/install"
	events "k8s.io/kubernetes/pkg/apis/events/install"
	extensions "k8s.io/kubernetes/pkg/apis/extensions/install"
	flowcontrol "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	imagepolicy "k8s.io/kubernetes/pkg/apis/imagepolicy/install"
	networking "k8s.io/kubernetes/pkg/apis/networking/install"
	node "k8s.io/kubernetes/pkg/apis/node/install"
	policy "k8s.io/kubernetes/pkg/apis/policy/install"
	rbac "k8s.io/kubernetes/pkg/apis/rbac/install"
	resource "k8s.io/kubernetes/pkg/apis/resource/install"
	scheduling "k8s.io/kubernetes/pkg/apis/scheduling/install"
	storage "k8s.io/kubernetes/pkg/apis/storage/install"
	storagemigration "k8s.io/kubernetes/pkg/apis/storagemigration/install"
)

// Scheme holds the compiled-in kinds. It is made once and not changed; all
// methods may be called concurrently.
type Scheme struct {
	scheme *runtime.Scheme
	codecs serializer.CodecFactory
	json   *json.Serializer
}

// NewScheme returns the kinds of the Kubernetes version that Clusterpedia is
// built with.
func NewScheme() *Scheme {
	scheme := runtime.NewScheme()
	for _, install := range []func(*runtime.Scheme){
		core.Install, admission.Install, admissionregistration.Install, apiextensions.Install, apiregistration.Install,
		apiserverinternal.Install, apps.Install, authentication.Install, authorization.Install, autoscaling.Install,
		batch.Install, certificates.Install, coordination.Install, discovery.Install, events.Install, extensions.Install,
		flowcontrol.Install, imagepolicy.Install, networking.Install, node.Install, policy.Install, rbac.Install,
		resource.Install, scheduling.Install, storage.Install, storagemigration.Install,
	} {
		install(scheme)
	}
	return &Scheme{
		scheme: scheme,
		codecs: serializer.NewCodecFactory(scheme),
		json:   json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{}),
	}
}

// Runtime returns the underlying scheme, which must not be changed.
func (s *Scheme) Runtime() *runtime.Scheme { return s.scheme }

// Codecs returns serializers for the compiled-in kinds.
func (s *Scheme) Codecs() serializer.CodecFactory { return s.codecs }

// pinned are the groups and kinds whose stored version is not the one that the
// scheme prefers today: databases hold them in these versions, and a change
// would make their rows invisible.
var pinned = map[schema.GroupKind]string{
	{Group: "resource.k8s.io"}:                            "v1beta1",
	{Group: "storagemigration.k8s.io"}:                    "v1alpha1",
	{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}: "v1beta1",
}

// StorageVersion returns the version in which objects of a compiled-in kind are
// stored; false for all other kinds.
func (s *Scheme) StorageVersion(kind schema.GroupKind) (schema.GroupVersion, bool) {
	for _, key := range []schema.GroupKind{kind, {Group: kind.Group}} {
		if version, ok := pinned[key]; ok && s.scheme.Recognizes(kind.WithVersion(version)) {
			return schema.GroupVersion{Group: kind.Group, Version: version}, true
		}
	}
	versions := s.Versions(kind)
	if len(versions) == 0 {
		return schema.GroupVersion{}, false
	}
	return schema.GroupVersion{Group: kind.Group, Version: versions[0]}, true
}

// Versions returns the versions of a compiled-in kind, the preferred first; none
// for all other kinds.
func (s *Scheme) Versions(kind schema.GroupKind) []string {
	var versions []string
	for _, gv := range s.scheme.PrioritizedVersionsForGroup(kind.Group) {
		if s.scheme.Recognizes(gv.WithKind(kind.Kind)) {
			versions = append(versions, gv.Version)
		}
	}
	return versions
}

// GroupVersions returns all versions of a compiled-in group, the preferred
// first; none for all other groups.
func (s *Scheme) GroupVersions(group string) []schema.GroupVersion {
	return s.scheme.PrioritizedVersionsForGroup(group)
}

// Convert returns the JSON document of a compiled-in kind in another version of
// its group, with the defaults of Kubernetes. Fields that the compiled-in types
// lack are lost.
func (s *Scheme) Convert(doc []byte, to schema.GroupVersion) ([]byte, error) {
	object, err := s.Decode(doc)
	if err != nil {
		return nil, err
	}
	versioned, err := s.scheme.ConvertToVersion(object, to)
	if err != nil {
		return nil, fmt.Errorf("convert to %s: %w", to, err)
	}
	var out bytes.Buffer
	if err := s.json.Encode(versioned, &out); err != nil {
		return nil, fmt.Errorf("encode as %s: %w", to, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Decode reads the JSON document of a compiled-in kind, in any of its versions,
// into the internal type, with the defaults of Kubernetes.
func (s *Scheme) Decode(doc []byte) (runtime.Object, error) {
	versioned, gvk, err := s.json.Decode(doc, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	s.scheme.Default(versioned)
	internal, err := s.scheme.ConvertToVersion(versioned, schema.GroupVersion{Group: gvk.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return nil, fmt.Errorf("convert %s: %w", gvk, err)
	}
	return internal, nil
}
