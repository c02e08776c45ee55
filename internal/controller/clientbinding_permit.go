package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
)

// spec.allowed of an APIConnection is checked at every look, so that it holds also when it is narrowed, or when a namespace gets
// other labels, long after a grant. It bounds grants, corrections and reads, never revocations.

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch

// denialOf says why a connection does not allow what a binding declares; empty if it does.
func (r *ClientBindingReconciler) denialOf(ctx context.Context, binding *v1alpha1.ClientBinding, through *v1alpha1.APIConnection) (string, error) {
	denial, err := judge(ctx, r.Kube, binding, through)
	name := client.ObjectKeyFromObject(through)
	switch denial {
	case "":
		return "", err
	case connection.NamespaceDenied:
		return r.unserved(binding, name), err
	case connection.ClientDenied:
		return fmt.Sprintf("APIConnection %s does not allow access to client %q (spec.allowed.cuids): "+
			"ask those who may edit it, or delete this ClientBinding", name, binding.Spec.CUID), err
	default:
		return fmt.Sprintf("APIConnection %s does not allow to make users owners (spec.allowed.owner): "+
			"set isOwner to false, ask those who may edit the APIConnection, or delete this ClientBinding", name), err
	}
}

// unserved says that a connection does not serve a binding's namespace. It does not reveal whether a connection in another
// namespace exists, and which namespaces it serves.
func (r *ClientBindingReconciler) unserved(binding *v1alpha1.ClientBinding, name types.NamespacedName) string {
	if name.Namespace == binding.Namespace {
		return fmt.Sprintf("APIConnection %s does not allow its own namespace (spec.allowed.namespaces): "+
			"ask those who may edit it, or delete this ClientBinding", name)
	}
	return fmt.Sprintf("There is no APIConnection %s that allows ClientBindings of namespace %s: "+
		"ask those who manage namespace %s, or delete this ClientBinding", name, binding.Namespace, name.Namespace)
}

// judge returns what a connection does not allow of a binding; "" if it allows all.
func judge(ctx context.Context, kube client.Reader, binding *v1alpha1.ClientBinding, through *v1alpha1.APIConnection) (connection.Denial, error) {
	use := connection.Use{Namespace: binding.Namespace, CUID: binding.Spec.CUID, Owner: binding.Spec.IsOwner}
	if connection.NeedsLabels(through) {
		labels, err := labelsOf(ctx, kube, binding.Namespace)
		if apierrors.IsForbidden(err) {
			// With --namespaces the operator may have no right to the Namespace itself.
			ctrl.LoggerFrom(ctx).Info("spec.allowed.namespaces.selector matches nothing, since labels cannot be read",
				"connection", client.ObjectKeyFromObject(through).String(), "error", err.Error())
			return connection.NamespaceDenied, nil
		}
		if err != nil {
			return "", fmt.Errorf("reading the labels of namespace %s: %w", binding.Namespace, err)
		}
		use.Labels = labels
	}
	return connection.Judge(through, use), nil
}

// labelsOf reads the labels of a namespace, and no more of it.
func labelsOf(ctx context.Context, kube client.Reader, namespace string) (map[string]string, error) {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := kube.Get(ctx, types.NamespacedName{Name: namespace}, found)
	return found.Labels, client.IgnoreNotFound(err)
}

// find reads a connection; nil when there is none in the namespaces that the operator serves.
func (r *ClientBindingReconciler) find(ctx context.Context, name types.NamespacedName) (*v1alpha1.APIConnection, error) {
	if !r.Connections.Serve(name.Namespace) {
		return nil, nil
	}
	found := &v1alpha1.APIConnection{}
	err := r.Kube.Get(ctx, name, found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading APIConnection %s: %w", name, err)
	}
	return found, nil
}
