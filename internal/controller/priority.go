package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// The order of work, as priorities of the work queue: what takes access away goes before all that gives it, and
// what fails for long goes after all else.
const (
	priorityRevoke  = 100
	priorityChanged = 50
	priorityAsked   = 20
	priorityCheck   = 0
	priorityStalled = -50
)

// priorityOf is the priority of the next look at a binding.
func priorityOf(binding *v1alpha1.ClientBinding, now time.Time) int {
	ready := meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case !binding.DeletionTimestamp.IsZero(), expired(binding, now) && binding.Status.Claim != nil:
		return priorityRevoke
	case ready == nil || ready.ObservedGeneration != binding.Generation:
		return priorityChanged
	case binding.Status.RunRequested(binding.Annotations):
		return priorityAsked
	case meta.IsStatusConditionTrue(binding.Status.Conditions, v1alpha1.ConditionStalled):
		return priorityStalled
	default:
		return priorityCheck
	}
}

// byPriority queues the bindings that a change concerns, each with its priority.
func byPriority(now func() time.Time, concerned func(context.Context, client.Object) []*v1alpha1.ClientBinding) handler.EventHandler {
	add := func(ctx context.Context, object client.Object, into requestQueue) {
		enqueue(concerned(ctx, object), now(), into)
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, into requestQueue) { add(ctx, e.Object, into) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, into requestQueue) { add(ctx, e.ObjectNew, into) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, into requestQueue) { add(ctx, e.Object, into) },
	}
}

type requestQueue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// enqueue queues bindings, each with its priority.
func enqueue(bindings []*v1alpha1.ClientBinding, now time.Time, into requestQueue) {
	for _, binding := range bindings {
		request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(binding)}
		if prioritized, ok := into.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
			prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(priorityOf(binding, now))}, request)
		} else {
			into.Add(request)
		}
	}
}

// itself is the binding that changed.
func itself(_ context.Context, object client.Object) []*v1alpha1.ClientBinding {
	return []*v1alpha1.ClientBinding{object.(*v1alpha1.ClientBinding)}
}
