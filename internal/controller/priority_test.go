package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
)

// TestOrderOfWork queues one binding of each sort, and looks in which order they come out.
func TestOrderOfWork(t *testing.T) {
	named := func(name string, change func(*v1alpha1.ClientBinding)) *v1alpha1.ClientBinding {
		binding := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1}}
		binding.Status.Conditions = []condition{{Type: "Ready", Status: "True", Reason: "Bound", ObservedGeneration: 1}}
		binding.Spec.UserUUID = name
		binding.Status.Claim = &v1alpha1.Claim{Connection: v1alpha1.ClaimConnection{Host: "api.example"}}
		change(binding)
		return binding
	}
	queue := priorityqueue.New[connection.Relation]("test")
	defer queue.ShutDown()
	reconciler := &ClientBindingReconciler{Schedule: Schedule{Now: func() time.Time { return start }}}
	handler := reconciler.byPriority(itself)
	for _, binding := range []*v1alpha1.ClientBinding{
		named("stalled", func(b *v1alpha1.ClientBinding) {
			b.Status.Conditions = append(b.Status.Conditions, condition{Type: "Stalled", Status: "True", ObservedGeneration: 1})
		}),
		named("check", func(*v1alpha1.ClientBinding) {}),
		named("asked", func(b *v1alpha1.ClientBinding) {
			b.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
		}),
		named("edited", func(b *v1alpha1.ClientBinding) { b.Generation = 2 }),
		named("deleted", func(b *v1alpha1.ClientBinding) { b.DeletionTimestamp = ref(at(0)) }),
	} {
		handler.Create(t.Context(), event.TypedCreateEvent[client.Object]{Object: binding, IsInInitialList: true}, queue)
	}
	var got []string
	for range 5 {
		relation, _, _ := queue.GetWithPriority()
		got = append(got, relation.UserUUID)
		queue.Done(relation)
	}
	if diff := cmp.Diff([]string{"deleted", "edited", "asked", "check", "stalled"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPriorityOf(t *testing.T) {
	bound := []condition{{Type: "Ready", Status: "True", ObservedGeneration: 1}}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ClientBinding)
		want   int
	}{
		"never looked at": {func(b *v1alpha1.ClientBinding) { b.Status.Conditions = nil }, priorityChanged},
		"expired":         {func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(0)) }, priorityRevoke},
		"expired, and revoked": {func(b *v1alpha1.ClientBinding) {
			b.Spec.ExpiresAt, b.Status.Claim = ref(at(0)), nil
		}, priorityCheck},
		"to expire": {func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Second)) }, priorityCheck},
	} {
		t.Run(name, func(t *testing.T) {
			binding := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{UID: types.UID(name), Generation: 1}}
			binding.Status.Conditions, binding.Status.Claim = bound, &v1alpha1.Claim{}
			tc.change(binding)
			if got := priorityOf(binding, start); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// TestExpiryComesWithItsPriority: the timer of an expiry goes before all that is due then.
func TestExpiryComesWithItsPriority(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
	w.reconcileUsage()

	result := w.reconcileNamed("john")

	expectEqual(t, "next look", reconcile.Result{RequeueAfter: time.Minute, Priority: ref(priorityRevoke)}, result)
}
