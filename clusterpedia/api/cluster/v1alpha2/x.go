package v1alpha2
import (
 _ "k8s.io/apimachinery/pkg/apis/meta/v1"
 _ "k8s.io/client-go/kubernetes"
 _ "k8s.io/client-go/tools/leaderelection"
 _ "k8s.io/client-go/testing"
 _ "k8s.io/client-go/gentype"
 _ "k8s.io/client-go/discovery/fake"
)
