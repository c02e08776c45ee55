package controller

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// The indexes of the manager's cache, by which a change finds who depends on it.
const (
	// connectionIndex finds ClientBindings by the namespace/name of their APIConnection.
	connectionIndex = "connection"
	// secretIndex finds APIConnections by the name of their Secret, within a namespace.
	secretIndex = "secret"
	// userField and cuidField find ClientBindings of the same relation. They are the CRD's selectable fields,
	// so the API server knows them, too.
	userField = "spec.userUUID"
	cuidField = "spec.cuid"
)

// SetupWithManager registers the reconciler and what wakes it: edits of a binding, requests for a run, the
// coming and going of its connection, and what bindings of the same relation come to.
func (r *ClientBindingReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, options controller.Options) error {
	for field, value := range map[string]func(*v1alpha1.ClientBinding) string{
		connectionIndex: func(b *v1alpha1.ClientBinding) string { return connectionName(b).String() },
		userField:       func(b *v1alpha1.ClientBinding) string { return b.Spec.UserUUID },
		cuidField:       func(b *v1alpha1.ClientBinding) string { return b.Spec.CUID },
	} {
		err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ClientBinding{}, field, func(object client.Object) []string {
			return []string{value(object.(*v1alpha1.ClientBinding))}
		})
		if err != nil {
			return err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.ClientBinding{}, builder.WithPredicates(edited())).
		Watches(&v1alpha1.ClientBinding{}, handler.EnqueueRequestsFromMapFunc(r.rivalsOf), builder.WithPredicates(standingChanged())).
		Watches(&v1alpha1.APIConnection{}, handler.EnqueueRequestsFromMapFunc(r.bindingsOf), builder.WithPredicates(usabilityChanged())).
		WithOptions(options).
		Complete(r)
}

// SetupWithManager registers the reconciler and what wakes it: edits of a connection or its Secret,
// requests for a run, and sessions that closed themselves during a call.
func (r *APIConnectionReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, options controller.Options) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.APIConnection{}, secretIndex, func(object client.Object) []string {
		return []string{object.(*v1alpha1.APIConnection).Spec.Credentials.SecretRef.Name}
	})
	if err != nil {
		return err
	}
	troubled := source.TypedChannel(r.Pool.Troubled(), handler.TypedEnqueueRequestsFromMapFunc(
		func(_ context.Context, name types.NamespacedName) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: name}}
		}))
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.APIConnection{}, builder.WithPredicates(edited())).
		// Only the metadata of Secrets is watched, so that the cache holds no foreign secret.
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.connectionsOf)).
		WatchesRawSource(troubled).
		WithOptions(options).
		Complete(r)
}

// bindingsOf finds the bindings that use a connection.
func (r *ClientBindingReconciler) bindingsOf(ctx context.Context, object client.Object) []reconcile.Request {
	bindings := &v1alpha1.ClientBindingList{}
	key := client.ObjectKeyFromObject(object).String()
	if err := r.Kube.List(ctx, bindings, client.MatchingFields{connectionIndex: key}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "finding the ClientBindings of an APIConnection", "connection", key)
		return nil
	}
	requests := make([]reconcile.Request, len(bindings.Items))
	for i := range bindings.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&bindings.Items[i])
	}
	return requests
}

// rivalsOf finds the other bindings of the same relation.
func (r *ClientBindingReconciler) rivalsOf(ctx context.Context, object client.Object) []reconcile.Request {
	spec := object.(*v1alpha1.ClientBinding).Spec
	bindings := &v1alpha1.ClientBindingList{}
	fields := client.MatchingFields{userField: spec.UserUUID, cuidField: spec.CUID}
	if err := r.Kube.List(ctx, bindings, fields, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "finding the ClientBindings of a relation")
		return nil
	}
	var requests []reconcile.Request
	for i := range bindings.Items {
		if other := &bindings.Items[i]; other.UID != object.GetUID() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(other)})
		}
	}
	return requests
}

// connectionsOf finds the connections that use a Secret.
func (r *APIConnectionReconciler) connectionsOf(ctx context.Context, object client.Object) []reconcile.Request {
	connections := &v1alpha1.APIConnectionList{}
	err := r.Kube.List(ctx, connections, client.InNamespace(object.GetNamespace()), client.MatchingFields{secretIndex: object.GetName()})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "finding the APIConnections of a Secret", "secret", client.ObjectKeyFromObject(object))
		return nil
	}
	requests := make([]reconcile.Request, len(connections.Items))
	for i := range connections.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&connections.Items[i])
	}
	return requests
}

// edited lets through what a person or a tool changed, and not what the operator writes: the spec and
// the deletion (both change the generation), requests for a run, and a finalizer that was taken away.
func edited() predicate.Predicate {
	requestsOf := func(object client.Object) map[string]string {
		annotations := maps.Clone(object.GetAnnotations())
		maps.DeleteFunc(annotations, func(key, _ string) bool {
			return key != v1alpha1.RequestedAtAnnotation && key != v1alpha1.FluxRequestedAtAnnotation
		})
		return annotations
	}
	changed := predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		lost := slices.Contains(update.ObjectOld.GetFinalizers(), v1alpha1.RevokeFinalizer) &&
			!slices.Contains(update.ObjectNew.GetFinalizers(), v1alpha1.RevokeFinalizer)
		return lost || !maps.Equal(requestsOf(update.ObjectOld), requestsOf(update.ObjectNew))
	}}
	return predicate.Or(predicate.GenerationChangedPredicate{}, changed)
}

// usabilityChanged lets a connection's appearance and disappearance through, its edits, and changes of
// whether and why it is ready.
func usabilityChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		was, is := update.ObjectOld.(*v1alpha1.APIConnection), update.ObjectNew.(*v1alpha1.APIConnection)
		former := meta.FindStatusCondition(was.Status.Conditions, v1alpha1.ConditionReady)
		ready := meta.FindStatusCondition(is.Status.Conditions, v1alpha1.ConditionReady)
		if former == nil || ready == nil {
			return was.Generation != is.Generation || former != ready
		}
		return was.Generation != is.Generation || former.Status != ready.Status || former.Reason != ready.Reason
	}}
}

// standingChanged lets through what matters to other bindings of the same relation: whether a binding is there,
// holds the relation, and shows it as declared.
func standingChanged() predicate.Predicate {
	type standing struct {
		generation  int64
		held, ready bool
	}
	of := func(object client.Object) standing {
		binding := object.(*v1alpha1.ClientBinding)
		return standing{binding.Generation, heldBy(binding), meta.IsStatusConditionTrue(binding.Status.Conditions, v1alpha1.ConditionReady)}
	}
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		return of(update.ObjectOld) != of(update.ObjectNew)
	}}
}
