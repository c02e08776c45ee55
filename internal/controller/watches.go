package controller

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
)

// The indexes of the manager's cache find the bindings that depend on a change.
const (
	// connectionIndex finds ClientBindings by the namespace/name of the APIConnections that they may need.
	connectionIndex = "connection"
	// relationIndex finds ClientBindings by their user and client, of any API. See relationOf.
	relationIndex = "relation"
	// accountIndex finds ClientBindings by the account of the platform that last confirmed them.
	accountIndex = "account"
)

// relationOf is a value of relationIndex. Neither id has a slash.
func relationOf(userUUID, cuid string) string { return userUUID + "/" + cuid }

// indexes are the values of a binding in each index.
func (c Connections) indexes() map[string]func(*v1alpha1.ClientBinding) []string {
	return map[string]func(*v1alpha1.ClientBinding) []string{
		connectionIndex: func(b *v1alpha1.ClientBinding) []string { return namesOf(c.Of(b)) },
		relationIndex:   func(b *v1alpha1.ClientBinding) []string { return []string{relationOf(b.Spec.UserUUID, b.Spec.CUID)} },
		accountIndex: func(b *v1alpha1.ClientBinding) []string {
			if b.Status.Claim == nil || b.Status.Claim.Account == "" {
				return nil
			}
			return []string{b.Status.Claim.Account}
		},
	}
}

// SetupWithManager registers the reconciler and the events that wake a relation: edits of its bindings, requests for a run,
// changes of their connections, a new session or a free turn of a connection, and the labels of their namespaces.
func (r *ClientBindingReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, options controller.TypedOptions[connection.Relation]) error {
	for field, values := range r.Connections.indexes() {
		err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ClientBinding{}, field, func(object client.Object) []string {
			return values(object.(*v1alpha1.ClientBinding))
		})
		if err != nil {
			return err
		}
	}
	options.LogConstructor = func(key *connection.Relation) logr.Logger {
		logger := mgr.GetLogger().WithValues("controller", "clientbinding")
		if key == nil {
			return logger
		}
		return logger.WithValues("user", key.UserUUID, "cuid", key.CUID, "host", key.Host)
	}
	bindings := builder.TypedControllerManagedBy[connection.Relation](mgr).Named("clientbinding").
		Watches(&v1alpha1.ClientBinding{}, r.byPriority(itself), builder.WithPredicates(edited())).
		Watches(&v1alpha1.APIConnection{}, r.byPriority(r.bindingsOf), builder.WithPredicates(predicate.Or(usabilityChanged(), shardChanged()))).
		WatchesRawSource(source.TypedChannel(r.Pool.Opened(), handler.TypedFuncs[types.NamespacedName, connection.Relation]{
			GenericFunc: func(ctx context.Context, opened event.TypedGenericEvent[types.NamespacedName], into relationQueue) {
				r.enqueue(ctx, r.waitingFor(ctx, opened.Object), nil, into)
			},
		})).
		WatchesRawSource(source.TypedFunc[connection.Relation](func(_ context.Context, into relationQueue) error {
			r.Pool.OnTurn(func(key connection.Relation, priority int) {
				// The turn is held for a moment only, so the relation comes before others of its priority.
				add(key, priority+1, into)
			})
			return nil
		})).
		WithOptions(options)
	r.Shard.onForget(r.memory.forget)
	bindings.WatchesRawSource(r.wokenByShard())
	// A connection may select namespaces by their labels. A watch of these needs rights in the whole cluster; with --namespaces
	// they are read when they are needed.
	if len(r.Connections.Namespaces) == 0 {
		bindings.WatchesMetadata(&corev1.Namespace{}, r.byPriority(r.bindingsIn), builder.WithPredicates(predicate.LabelChangedPredicate{}))
	}
	return bindings.Complete(r)
}

// SetupWithManager registers the reconciler and the events that wake it: edits of a connection or its Secret,
// requests for a run, and sessions that closed themselves during a call.
func (r *APIConnectionReconciler) SetupWithManager(mgr ctrl.Manager, secretChanges SecretChanges, options controller.Options) error {
	troubled := source.TypedChannel(r.Pool.Troubled(), handler.TypedEnqueueRequestsFromMapFunc(
		func(_ context.Context, name types.NamespacedName) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: name}}
		}))
	changedPolicies := source.TypedChannel(r.Policies.changed, handler.TypedEnqueueRequestsFromMapFunc(r.everyConnection))
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.APIConnection{}, builder.WithPredicates(predicate.Or(edited(), shardChanged()))).
		WatchesRawSource(wokenBySecrets(secretChanges, anyChange)).
		WatchesRawSource(troubled).
		WatchesRawSource(changedPolicies).
		WatchesRawSource(r.Shard.wokenByShard()).
		WithOptions(options).
		Complete(r)
}

// SetupWithManager registers the reconciler and the events that wake it: changes of a connection, of a binding's need for it,
// and of its Secret.
func (r *UsageReconciler) SetupWithManager(mgr ctrl.Manager, secretChanges SecretChanges) error {
	return ctrl.NewControllerManagedBy(mgr).Named("usage").
		Watches(&v1alpha1.APIConnection{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(predicate.Or(usageChanged(), shardChanged()))).
		Watches(&v1alpha1.ClientBinding{}, r.byNeed(), builder.WithPredicates(needChanged())).
		WatchesRawSource(wokenBySecrets(secretChanges, protectionChanged)).
		WatchesRawSource(r.Shard.wokenByShard()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
}

// countPeriod is the shortest time between two counts of the bindings that need a connection.
const countPeriod = time.Second

// byNeed queues the connections that a binding may need. A protected connection only needs a new count. Many bindings are counted together:
// each count goes through all of them, and is a write.
func (r *UsageReconciler) byNeed() handler.EventHandler {
	queue := func(ctx context.Context, into workqueue.TypedRateLimitingInterface[reconcile.Request], objects ...client.Object) {
		for _, object := range objects {
			for _, request := range r.connectionsOf(ctx, object) {
				if r.onlyCounts(ctx, request.NamespacedName) {
					into.AddAfter(request, countPeriod)
				} else {
					into.Add(request)
				}
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, into workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			queue(ctx, into, e.Object)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, into workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			queue(ctx, into, e.ObjectOld, e.ObjectNew)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, into workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			queue(ctx, into, e.Object)
		},
	}
}

// onlyCounts reports whether a connection only needs a new count: bindings are known to need it already, and it is not being deleted.
func (r *UsageReconciler) onlyCounts(ctx context.Context, name types.NamespacedName) bool {
	found := &v1alpha1.APIConnection{}
	err := r.Kube.Get(ctx, name, found)
	return err == nil && found.DeletionTimestamp.IsZero() && controllerutil.ContainsFinalizer(found, v1alpha1.InUseFinalizer) &&
		ptr.Deref(found.Status.Bindings, 0) > 0
}

// connectionsOf are the connections that a binding may need, in the namespaces that the operator serves.
func (r *UsageReconciler) connectionsOf(_ context.Context, object client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, name := range r.Connections.Of(object.(*v1alpha1.ClientBinding)) {
		if r.Connections.Serve(name.Namespace) {
			requests = append(requests, reconcile.Request{NamespacedName: name})
		}
	}
	return requests
}

func namesOf(connections []types.NamespacedName) []string {
	names := make([]string, len(connections))
	for i, connection := range connections {
		names[i] = connection.String()
	}
	return names
}

// bindingsOf finds the bindings that use a connection.
func (r *ClientBindingReconciler) bindingsOf(ctx context.Context, object client.Object) []*v1alpha1.ClientBinding {
	return r.bindingsThrough(ctx, client.ObjectKeyFromObject(object))
}

// wokenByShard wakes the relations at hosts that this process has come to serve.
func (r *ClientBindingReconciler) wokenByShard() source.TypedSource[connection.Relation] {
	return source.TypedFunc[connection.Relation](func(ctx context.Context, into relationQueue) error {
		r.Shard.listen(func(host string) {
			if !r.Shard.serves(host) {
				return
			}
			all := &v1alpha1.ClientBindingList{}
			if err := r.Kube.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "finding the ClientBindings of a host", "host", host)
			}
			election := r.Shard.electionOf(host)
			r.enqueue(ctx, slices.DeleteFunc(pointers(all), func(binding *v1alpha1.ClientBinding) bool {
				at, err := r.hostOf(ctx, binding)
				return err == nil && r.Shard.electionOf(at) != election
			}), nil, into)
		})
		return nil
	})
}

// waitingFor finds the bindings that a new session of a connection may help: those that are not Ready, and those that are to end.
func (r *ClientBindingReconciler) waitingFor(ctx context.Context, connection types.NamespacedName) []*v1alpha1.ClientBinding {
	now := r.Schedule.Now()
	return slices.DeleteFunc(r.bindingsThrough(ctx, connection), func(binding *v1alpha1.ClientBinding) bool {
		return meta.IsStatusConditionTrue(binding.Status.Conditions, v1alpha1.ConditionReady) && priorityOf(binding, now) != priorityRevoke
	})
}

func (r *ClientBindingReconciler) bindingsThrough(ctx context.Context, connection types.NamespacedName) []*v1alpha1.ClientBinding {
	bindings := &v1alpha1.ClientBindingList{}
	key := connection.String()
	if err := r.Kube.List(ctx, bindings, client.MatchingFields{connectionIndex: key}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "finding the ClientBindings of an APIConnection", "connection", key)
		return nil
	}
	return pointers(bindings)
}

// bindingsIn finds the bindings of a namespace.
func (r *ClientBindingReconciler) bindingsIn(ctx context.Context, namespace client.Object) []*v1alpha1.ClientBinding {
	bindings := &v1alpha1.ClientBindingList{}
	if err := r.Kube.List(ctx, bindings, client.InNamespace(namespace.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "finding the ClientBindings of a namespace", "namespace", namespace.GetName())
		return nil
	}
	return pointers(bindings)
}

func pointers(bindings *v1alpha1.ClientBindingList) []*v1alpha1.ClientBinding {
	concerned := make([]*v1alpha1.ClientBinding, len(bindings.Items))
	for i := range bindings.Items {
		concerned[i] = &bindings.Items[i]
	}
	return concerned
}

// edited lets through the changes of people and tools, and not the writes of the operator: the spec and the deletion (both
// change the generation), requests for a run, and a finalizer that was taken away. The operator itself takes it from an expired
// binding. That must not wake it, since the cache may not show the other writes of that run yet.
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
			!slices.Contains(update.ObjectNew.GetFinalizers(), v1alpha1.RevokeFinalizer) &&
			!hasExpired(update.ObjectNew)
		return lost || !maps.Equal(requestsOf(update.ObjectOld), requestsOf(update.ObjectNew))
	}}
	return predicate.Or(predicate.GenerationChangedPredicate{}, changed)
}

func hasExpired(object client.Object) bool {
	binding, ok := object.(*v1alpha1.ClientBinding)
	return ok && binding.Status.ExpiredTime != nil
}

// usabilityChanged lets through the creation and deletion of a connection, its edits, and changes of its Ready and the reason for it,
// of its protection, and of the approved revocations.
func usabilityChanged() predicate.Predicate {
	type usability struct {
		generation    int64
		status        metav1.ConditionStatus
		reason        string
		protected     bool
		approvedValue string
	}
	of := func(object client.Object) usability {
		connection := object.(*v1alpha1.APIConnection)
		is := usability{
			generation:    connection.Generation,
			protected:     isProtected(connection),
			approvedValue: connection.Annotations[v1alpha1.ApprovedRevocationsAnnotation],
		}
		if ready := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			is.status, is.reason = ready.Status, ready.Reason
		}
		return is
	}
	return updated(func(was, is client.Object) bool { return of(was) != of(is) })
}

// usageChanged lets through the creation and deletion of a connection, its edits, an approval, and changes of its protection and of
// that of its Secrets.
func usageChanged() predicate.Predicate {
	return updated(func(was, is client.Object) bool {
		approved := v1alpha1.ApprovedRevocationsAnnotation
		return was.GetGeneration() != is.GetGeneration() ||
			controllerutil.ContainsFinalizer(was, v1alpha1.InUseFinalizer) != controllerutil.ContainsFinalizer(is, v1alpha1.InUseFinalizer) ||
			!slices.Equal(was.(*v1alpha1.APIConnection).Status.ProtectedSecrets, is.(*v1alpha1.APIConnection).Status.ProtectedSecrets) ||
			was.GetAnnotations()[approved] != is.GetAnnotations()[approved]
	})
}

// shardChanged lets through changes of the shard that serves a connection: of its labels, which only the cache of a shard has, and to the
// reason OtherShard, which another shard has written.
func shardChanged() predicate.Predicate {
	said := func(object client.Object) bool {
		ready := meta.FindStatusCondition(object.(*v1alpha1.APIConnection).Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == v1alpha1.ReasonOtherShard
	}
	return updated(func(was, is client.Object) bool {
		return !maps.Equal(was.GetLabels(), is.GetLabels()) || !said(was) && said(is)
	})
}

// needChanged lets through changes of a binding's need for its connection, and of whether the brake holds it.
func needChanged() predicate.Predicate {
	type need struct {
		claimed                types.NamespacedName
		leaving, expired, held bool
		disallowed             bool
	}
	of := func(object client.Object) need {
		binding := object.(*v1alpha1.ClientBinding)
		ready := meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady)
		claimed, _ := claimedConnection(binding)
		return need{
			disallowed: ready != nil && ready.Reason == v1alpha1.ReasonNotAllowed,
			claimed:    claimed,
			leaving:    !binding.DeletionTimestamp.IsZero(),
			expired:    binding.Status.ExpiredTime != nil,
			held:       ready != nil && ready.Reason == v1alpha1.ReasonRevocationHeld,
		}
	}
	return updated(func(was, is client.Object) bool { return of(was) != of(is) })
}

// updated lets through creations and deletions, and the updates that matter.
func updated(matters func(was, is client.Object) bool) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		return matters(update.ObjectOld, update.ObjectNew)
	}}
}
