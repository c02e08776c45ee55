package controller

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// The RoleBinding that gives the operator its rights to the Secrets of a namespace gets a finalizer, as the Secrets do. When a
// namespace is deleted, its RoleBindings go at once. Without one the operator could neither read a Secret, to revoke with it,
// nor release it: the namespace would hang. The role gives the rights to keep its own RoleBinding.

// keepRights sets the finalizer on the RoleBinding of a namespace, if there is one: the rights may come from elsewhere.
func (r *UsageReconciler) keepRights(ctx context.Context, namespace string) error {
	binding, verb := credentialsBinding(namespace), "get"
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(binding), binding)
	if err == nil && binding.DeletionTimestamp.IsZero() {
		verb, err = "patch", r.patchFinalizer(ctx, binding, controllerutil.AddFinalizer)
	}
	if apierrors.IsForbidden(err) {
		ctrl.LoggerFrom(ctx).Info("the RoleBinding that gives the right to Secrets would not stay when its namespace is deleted: the operator lacks a right to it",
			"namespace", namespace, "roleBinding", CredentialsRole, "verb", verb)
		return nil
	}
	return client.IgnoreNotFound(err)
}

// releaseRights releases the RoleBinding when no connection of the namespace has a Secret on record any more.
func (r *UsageReconciler) releaseRights(ctx context.Context, namespace string) error {
	connections := &v1alpha1.APIConnectionList{}
	if err := r.Live.List(ctx, connections, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing the APIConnections of namespace %s: %w", namespace, err)
	}
	if slices.ContainsFunc(connections.Items, func(c v1alpha1.APIConnection) bool { return len(c.Status.ProtectedSecrets) > 0 }) {
		return nil
	}
	delete(r.kept, namespace)
	binding := credentialsBinding(namespace)
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(binding), binding)
	if err == nil {
		err = r.patchFinalizer(ctx, binding, controllerutil.RemoveFinalizer)
	}
	if apierrors.IsForbidden(err) {
		// The rights came from elsewhere, or went with the RoleBinding a moment ago.
		return nil
	}
	return client.IgnoreNotFound(err)
}

// credentialsBinding is the metadata of the RoleBinding to the role of the same name.
func credentialsBinding(namespace string) *metav1.PartialObjectMetadata {
	binding := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: CredentialsRole}}
	binding.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("RoleBinding"))
	return binding
}
