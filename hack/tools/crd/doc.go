// Package crd checks the custom resource definitions of charts/clusterpedia, by
// which users tell Clusterpedia what to copy: that a Kubernetes API server takes
// them, that their schemas are what users rely on, and which objects they admit.
//
// It is here and not beside the types because it needs the code of Kubernetes'
// API server, which the module clusterpedia.io/api spares its importers.
package crd
