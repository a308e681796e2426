package resources

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
)

// metaScheme holds the kinds that belong to no group: Status, the options of
// requests, and the discovery documents.
func metaScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	metav1.AddToGroupVersion(s, schema.GroupVersion{Version: "v1"})
	s.AddUnversionedTypes(schema.GroupVersion{Version: "v1"},
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	return s
}

// metaKinds is never changed after this.
var metaKinds = metaScheme()

func unstructuredParameterCodec() runtime.ParameterCodec { return runtime.NewParameterCodec(metaKinds) }

// customScheme treats kinds that are not compiled in as what they are, without
// conversion or defaults.
type customScheme struct{}

// ObjectKinds implements runtime.ObjectTyper.
func (customScheme) ObjectKinds(obj runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	if _, ok := obj.(runtime.Unstructured); !ok {
		return metaKinds.ObjectKinds(obj)
	}
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.Kind == "" {
		return nil, false, runtime.NewMissingKindErr("unstructured object has no kind")
	}
	return []schema.GroupVersionKind{gvk}, false, nil
}

// Recognizes implements runtime.ObjectTyper.
func (customScheme) Recognizes(schema.GroupVersionKind) bool { return true }

// New implements runtime.ObjectCreater.
func (customScheme) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	if obj, err := metaKinds.New(kind); err == nil {
		return obj, nil
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(kind)
	return obj, nil
}

// Default implements runtime.ObjectDefaulter.
func (customScheme) Default(runtime.Object) {}

// Convert implements runtime.ObjectConvertor.
func (customScheme) Convert(in, out, context any) error {
	return metaKinds.Convert(in, out, context)
}

// ConvertToVersion implements runtime.ObjectConvertor.
func (customScheme) ConvertToVersion(in runtime.Object, gv runtime.GroupVersioner) (runtime.Object, error) {
	switch in.(type) {
	case runtime.Unstructured, *metav1.WatchEvent: // the same in all versions
		return in, nil
	}
	return metaKinds.UnsafeConvertToVersion(in, gv)
}

// ConvertFieldLabel implements runtime.ObjectConvertor.
func (customScheme) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// customSerializer writes custom resources as JSON or YAML, and what is known of all
// objects, as their metadata, as protobuf too.
type customSerializer struct{}

// forObjects are the media types of custom resources themselves.
func (s customSerializer) forObjects() []runtime.SerializerInfo { return s.SupportedMediaTypes()[:2] }

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (customSerializer) SupportedMediaTypes() []runtime.SerializerInfo {
	with := func(options json.SerializerOptions) *json.Serializer {
		return json.NewSerializerWithOptions(json.DefaultMetaFactory, customScheme{}, customScheme{}, options)
	}
	return []runtime.SerializerInfo{
		{
			MediaType: runtime.ContentTypeJSON, MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
			Serializer:       with(json.SerializerOptions{}),
			PrettySerializer: with(json.SerializerOptions{Pretty: true}),
			StreamSerializer: &runtime.StreamSerializerInfo{EncodesAsText: true, Serializer: with(json.SerializerOptions{}), Framer: json.Framer},
		},
		{
			MediaType: runtime.ContentTypeYAML, MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
			Serializer: with(json.SerializerOptions{Yaml: true}),
		},
		{
			MediaType: runtime.ContentTypeProtobuf, MediaTypeType: "application", MediaTypeSubType: "vnd.kubernetes.protobuf",
			Serializer: protobuf.NewSerializer(customScheme{}, customScheme{}),
			StreamSerializer: &runtime.StreamSerializerInfo{
				Serializer: protobuf.NewRawSerializer(customScheme{}, customScheme{}), Framer: protobuf.LengthDelimitedFramer,
			},
		},
	}
}

// EncoderForVersion implements runtime.NegotiatedSerializer.
func (customSerializer) EncoderForVersion(encoder runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return versioning.NewCodec(encoder, nil, customScheme{}, customScheme{}, customScheme{}, customScheme{}, gv, nil, "customResources")
}

// DecoderToVersion implements runtime.NegotiatedSerializer. Clients send no
// custom resources.
func (customSerializer) DecoderToVersion(runtime.Decoder, runtime.GroupVersioner) runtime.Decoder {
	return noDecoder{}
}

type noDecoder struct{}

// Decode implements runtime.Decoder.
func (noDecoder) Decode([]byte, *schema.GroupVersionKind, runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	return nil, nil, fmt.Errorf("this server reads no custom resources")
}

var (
	_ runtime.NegotiatedSerializer = customSerializer{}
	_ runtime.NegotiatedSerializer = serializer.CodecFactory{}
	_ runtime.ObjectConvertor      = customScheme{}
)
