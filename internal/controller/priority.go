package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
)

// The priorities of the work queue: revocations go before grants, and stalled objects go last.
const (
	priorityRevoke  = connection.Urgent
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

type relationQueue = workqueue.TypedRateLimitingInterface[connection.Relation]

// byPriority queues the relations of the bindings that a change concerns, each with its priority. A connection that led to another
// API before the change concerns the relations there, too.
func (r *ClientBindingReconciler) byPriority(concerned func(context.Context, client.Object) []*v1alpha1.ClientBinding) handler.TypedEventHandler[client.Object, connection.Relation] {
	add := func(ctx context.Context, into relationQueue, objects ...client.Object) {
		for _, object := range objects {
			former, _ := object.(*v1alpha1.APIConnection)
			r.enqueue(ctx, concerned(ctx, object), former, into)
		}
	}
	return handler.TypedFuncs[client.Object, connection.Relation]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[client.Object], into relationQueue) {
			add(ctx, into, e.Object)
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[client.Object], into relationQueue) {
			add(ctx, into, e.ObjectOld, e.ObjectNew)
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[client.Object], into relationQueue) {
			add(ctx, into, e.Object)
		},
	}
}

// enqueue queues the relations of bindings, each with the priority of the binding: those at the API to which a binding leads now, and
// those at the API to which the former connection led.
func (r *ClientBindingReconciler) enqueue(ctx context.Context, bindings []*v1alpha1.ClientBinding, former *v1alpha1.APIConnection, into relationQueue) {
	now := r.Schedule.Now()
	for _, binding := range bindings {
		key := connection.Relation{UserUUID: binding.Spec.UserUUID, CUID: binding.Spec.CUID}
		host, err := r.hostOf(ctx, binding)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "finding the API of a ClientBinding", "binding", client.ObjectKeyFromObject(binding).String())
			continue
		}
		key.Host = host
		add(key, priorityOf(binding, now), into)
		if former != nil {
			if was := connection.Host(former.Spec); was != host {
				key.Host = was
				add(key, priorityOf(binding, now), into)
			}
		}
	}
}

func add(key connection.Relation, priority int, into relationQueue) {
	if prioritized, ok := into.(priorityqueue.PriorityQueue[connection.Relation]); ok {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(priority)}, key)
	} else {
		into.Add(key)
	}
}

// itself is the binding that changed.
func itself(_ context.Context, object client.Object) []*v1alpha1.ClientBinding {
	return []*v1alpha1.ClientBinding{object.(*v1alpha1.ClientBinding)}
}
