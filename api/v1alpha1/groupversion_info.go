// Package v1alpha1 holds the Kubernetes API of the ClientBinding operator: who may act for
// which client account of the Delos platform (ClientBinding), and where that platform is
// reached and with which account (APIConnection).
//
// +kubebuilder:object:generate=true
// +groupName=access.delos.financial
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion names the API group and the version of the kinds of this package.
var GroupVersion = schema.GroupVersion{Group: "access.delos.financial", Version: "v1alpha1"}

// AddToScheme makes the kinds of this package known to a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ClientBinding{}, &ClientBindingList{},
		&APIConnection{}, &APIConnectionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
