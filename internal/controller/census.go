package controller

import (
	"context"
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// Census lists the objects for the metrics, by the statuses in the cache. Each replica has one.
type Census struct {
	// Kube reads from the manager's cache.
	Kube client.Reader
	// Connections tells which connection a binding uses.
	Connections Connections
	// Now is the time by which access has expired.
	Now func() time.Time
}

// The states of a ClientBinding in the metrics.
const (
	stateReady       = "Ready"
	stateReconciling = "Reconciling"
	stateStalled     = "Stalled"
	// stateWaiting is not Ready, and needs no retry: suspended, or a dry run.
	stateWaiting = "Waiting"
	// stateNew has no condition yet.
	stateNew = "New"
	// reasonNone stands for the reason of a condition that is not there.
	reasonNone = "None"
)

// readLimit bounds the wait of a scrape for a cache that has not filled: otherwise the scrape would lack the metric that reports this.
const readLimit = 100 * time.Millisecond

// Objects returns the objects in the cache; none while it cannot be read.
func (c Census) Objects(ctx context.Context) metrics.Objects {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	connections, bindings := &v1alpha1.APIConnectionList{}, &v1alpha1.ClientBindingList{}
	if c.Kube.List(ctx, connections, client.UnsafeDisableDeepCopy) != nil || c.Kube.List(ctx, bindings, client.UnsafeDisableDeepCopy) != nil {
		connections, bindings = &v1alpha1.APIConnectionList{}, &v1alpha1.ClientBindingList{}
	}
	names := make(map[types.NamespacedName]string, len(connections.Items))
	for i := range connections.Items {
		name := client.ObjectKeyFromObject(&connections.Items[i])
		names[name] = name.String()
	}
	now := c.Now()
	return metrics.Objects{
		Connections: each(connections.Items, countedConnection),
		Bindings: each(bindings.Items, func(binding *v1alpha1.ClientBinding) metrics.Binding {
			counted := countedBinding(binding, now)
			counted.Connection = c.label(binding, names)
			return counted
		}),
	}
}

func each[Item, Counted any](items []Item, count func(*Item) Counted) iter.Seq[Counted] {
	return func(yield func(Counted) bool) {
		for i := range items {
			if !yield(count(&items[i])) {
				return
			}
		}
	}
}

// label is the connection of a binding in the metrics. A name in connectionRef has to exist: otherwise bindings could make any number of series.
func (c Census) label(binding *v1alpha1.ClientBinding, names map[types.NamespacedName]string) string {
	if claimed, is := claimedConnection(binding); is {
		if name, exists := names[claimed]; exists {
			return name
		}
		return claimed.String()
	}
	if name, exists := names[c.Connections.Declared(binding)]; exists {
		return name
	}
	return metrics.Unknown
}

func countedConnection(of *v1alpha1.APIConnection) metrics.APIConnection {
	counted := metrics.APIConnection{
		Name:         client.ObjectKeyFromObject(of).String(),
		Interval:     connection.Interval(of.Spec),
		TokenExpires: timeOf(of.Status.SessionExpiresAt),
	}
	if ready := meta.FindStatusCondition(of.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		counted.Ready, counted.Reason = ready.Status == metav1.ConditionTrue, ready.Reason
	}
	return counted
}

func countedBinding(binding *v1alpha1.ClientBinding, now time.Time) metrics.Binding {
	status := &binding.Status
	hasExpired := expired(binding, now)
	counted := metrics.Binding{}
	ready := readyOf(binding)
	counted.State, counted.Reason = stateOf(status.Conditions, ready)
	if binding.DeletionTimestamp.IsZero() && !hasExpired {
		counted.Confirmed, counted.Expires = timeOf(status.LastConfirmedTime), timeOf(binding.Spec.ExpiresAt)
		counted.Drifted = status.Claim != nil && status.LastConfirmedTime != nil && status.ObservedGeneration == binding.Generation &&
			status.Access != "" && status.Access != declaredBy(binding)
		return counted
	}
	// An expired object without a claim has lost its status, or was created after its time. It is not Ready if there is access.
	undeclared := hasExpired && ready != nil && ready.Reason == v1alpha1.ReasonExpired && ready.Status == metav1.ConditionFalse
	if status.Claim == nil && !undeclared {
		return counted
	}
	counted.Due, counted.Unrevoked = endOf(binding), hasExpired
	switch {
	case undeclared:
	case counted.Reason == v1alpha1.ReasonRevocationBlocked, counted.Reason == v1alpha1.ReasonRevocationHeld:
		counted.Revoking = counted.Reason
	default:
		counted.Revoking = v1alpha1.ReasonRevoking
	}
	return counted
}

func stateOf(conditions []metav1.Condition, ready *metav1.Condition) (state, reason string) {
	switch {
	case ready == nil:
		return stateNew, reasonNone
	case ready.Status == metav1.ConditionTrue:
		return stateReady, ready.Reason
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled):
		return stateStalled, ready.Reason
	case meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling):
		return stateReconciling, ready.Reason
	default:
		return stateWaiting, ready.Reason
	}
}

// endOf is the time at which the access of a deleted or expired binding was to end: the earlier of the two.
func endOf(binding *v1alpha1.ClientBinding) time.Time {
	var end time.Time
	for _, at := range []time.Time{
		timeOf(binding.DeletionTimestamp), timeOf(binding.Spec.ExpiresAt), timeOf(binding.Status.ExpiredTime),
	} {
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}
