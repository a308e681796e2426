// Package v1beta1 is the API that Clusterpedia's apiserver serves: the kinds of
// group clusterpedia.io, the options of a search and the labels and annotations
// that go with it.
//
// It stands at the end of the data's path: clients write ListOptions into the
// URL of a list, or search labels into its label selector, and read the copied
// objects, or a CollectionResource, as the answer. Nothing of this package is
// stored. There is no internal version: the servers use these types as they are.
//
// +groupName=clusterpedia.io
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=io.clusterpedia.v1beta1
package v1beta1
