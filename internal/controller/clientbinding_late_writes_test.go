package controller

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// callLength is the length of a call with the timeout that a connection has when it says none.
const callLength = 10*time.Second + showsWithin

func TestWriteThatShowsLate(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
	w.bind(nil)

	wait := w.reconcile()

	confirming := `The Delos API accepted the change, which does not show yet. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"`
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: -1,
		Conditions:         failing("Confirming", confirming, 0),
		Access:             v1alpha1.AccessNone,
		Claim: w.claim(v1alpha1.OriginCreated, v1alpha1.Call{
			Access: v1alpha1.AccessStandard, SentTime: at(0), AcceptedTime: ref(at(0)),
			Timeout: metav1.Duration{Duration: 10 * time.Second}, Settle: metav1.Duration{Duration: showsWithin},
		}),
		User: &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
	})
	for range 2 {
		w.clock.Advance(wait)
		wait = w.reconcile()
	}
	expectEqual(t, "calls before it shows", operations{opUser, opRelate, opUser, opUser, opUser}, w.calls())
	w.clock.Advance(wait)
	w.reconcile()
	expectEqual(t, "calls when it shows", operations{opUser}, w.calls())
	expectEqual(t, "reason", "Bound", w.reason())
}

func TestWriteThatNeverShowsIsSentAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = time.Hour })
	w.bind(nil)
	w.reconcile()
	w.calls()
	w.clock.Advance(showsWithin)

	w.reconcile()

	expectEqual(t, "calls", operations{opUser, opRelate, opUser}, w.calls())
}

// TestGrantUnderWayInTheSecondOfAConfirmation: times in a status are whole seconds.
func TestGrantUnderWayInTheSecondOfAConfirmation(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Answer{Status: 504}})
	w.reconcile()
	w.delete()
	w.clock.Advance(2 * time.Second)

	w.reconcile()

	expectEqual(t, "gone", false, w.gone())
	expectEqual(t, "reason", "Revoking", w.reason())
}

// TestRemovalWaitsForAnEarlierGrantUnderWay: of two grants the first had no answer, and only the second was confirmed.
func TestRemovalWaitsForAnEarlierGrantUnderWay(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(2 * time.Second)
	w.reconcile()
	expectEqual(t, "reason before the deletion", "Bound", w.reason())
	w.delete()
	w.clock.Advance(time.Second)

	w.reconcile()
	expectEqual(t, "gone while the first grant may still arrive", false, w.gone())
	w.platform.SetRelation(john, acme, false) // It arrives.
	w.clock.Advance(callLength)
	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestEditThatIsTakenBackBeforeItShows: what Get user shows is as declared again, because the change does not show yet.
func TestEditThatIsTakenBackBeforeItShows(t *testing.T) {
	for name, after := range map[string]func(*world){
		"and the operator saw that it was accepted": func(*world) {},
		"and the operator was restarted":            func(w *world) { w.restart(); w.reconcileConnection() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
			binding := w.binding()
			w.edit(binding, func() { binding.Spec.IsOwner = true })
			w.reconcile()
			expectEqual(t, "reason before", "Confirming", w.reason())
			after(w)
			w.edit(binding, func() { binding.Spec.IsOwner = false })
			w.clock.Advance(time.Second)

			w.reconcile()

			expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
		})
	}
}

// TestEditThatArrivesAfterItWasTakenBack: the change had no answer, and arrives later.
func TestEditThatArrivesAfterItWasTakenBack(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })
	w.reconcile()
	w.edit(binding, func() { binding.Spec.IsOwner = false })
	w.clock.Advance(2 * time.Second)
	wait := w.reconcile()
	expectEqual(t, "reason", "Confirming", w.reason())
	expectEqual(t, "wait", callLength-2*time.Second, wait)
	w.platform.SetRelation(john, acme, true) // It arrives.
	w.clock.Advance(wait)
	w.restart()
	w.reconcileConnection()

	w.reconcile()

	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestSuspensionDuringAChange: a suspended binding does not vouch for what a change that does not show yet will change.
func TestSuspensionDuringAChange(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })
	w.reconcile()
	w.edit(binding, func() { binding.Spec.IsOwner, binding.Spec.Suspend = false, ref(true) })
	w.calls()

	w.reconcile()
	expectEqual(t, "reason", "Confirming", w.reason())
	w.clock.Advance(time.Minute)
	w.reconcile()

	expectEqual(t, "reason when it shows", "Suspended", w.reason())
	expectEqual(t, "calls", operations{opUser, opUser}, w.calls())
}

// TestReadThatIsOlderThanAnothersChange: what Get user shows may be what was before another binding of the relation
// removed or changed it, and is then neither adopted nor called confirmed.
func TestReadThatIsOlderThanAnothersChange(t *testing.T) {
	for name, change := range map[string]func(*world){
		"removal": (*world).delete,
		"promotion": func(w *world) {
			binding := w.binding()
			w.edit(binding, func() { binding.Spec.IsOwner = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			// Older, but it enforces nothing.
			other := w.bindIn(w.namespace, "another", func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
			w.bind(nil)
			w.reconcile()
			w.clock.Advance(time.Minute)
			w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
			change(w)
			w.reconcile()

			other.reconcile()

			expectEqual(t, "at once", "Confirming", other.ready().Reason)
			w.clock.Advance(6 * time.Second)
			other.reconcile()
			expectEqual(t, "when it shows", "Suspended", other.ready().Reason)
		})
	}
}

// TestConflictAfterAnAnswer: what the platform has answered is known, also if the object was changed before the status could say so,
// as a garbage collector does with an object that is deleted in the foreground.
func TestConflictAfterAnAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		act       func(*world)
		operation delossim.Operation
		calls     operations
		reason    string
	}{
		"accepted removal": {act: (*world).delete, operation: opUnrelate, calls: operations{opUser}},
		"accepted grant": {act: func(w *world) {
			binding := w.binding()
			w.edit(binding, func() { binding.Spec.IsOwner = true })
		}, operation: opRelate, calls: operations{opUser}, reason: "Bound"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			tc.act(w)
			w.calls()
			changed := false
			w.bindings().Leads = func() bool {
				if !changed && w.platform.Count(tc.operation) > 0 {
					changed = true
					binding := w.binding()
					w.edit(binding, func() { binding.Annotations = map[string]string{"example.com/changed": "meanwhile"} })
				}
				return true
			}
			w.look(w.request("john").NamespacedName)
			expectEqual(t, "changed in between", true, changed)
			w.calls()
			w.clock.Advance(time.Second)

			w.reconcile()

			expectEqual(t, "calls", tc.calls, w.calls())
			expectEqual(t, "gone", tc.reason == "", w.gone())
			if tc.reason != "" {
				expectEqual(t, "reason", tc.reason, w.reason())
				expectEqual(t, "calls on record", 0, w.inFlight())
			}
		})
	}
}

// TestMemoryOutlivesAnOlderCache: a run that sees an object without what this process has recorded there forgets nothing. A removal soon
// after a grant that showed late would wait for half a minute.
func TestMemoryOutlivesAnOlderCache(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 2 * time.Second })
	w.bind(nil)
	older := w.binding()
	w.reconcile()
	expectEqual(t, "reason", "Confirming", w.reason())
	reconciler := w.bindings()
	upToDate := reconciler.Kube
	reconciler.Kube = interceptor.NewClient(clusterKube, interceptor.Funcs{
		List: func(ctx context.Context, kube client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if bindings, is := list.(*v1alpha1.ClientBindingList); is {
				bindings.Items = []v1alpha1.ClientBinding{*older}
				return nil
			}
			return kube.List(ctx, list, options...)
		},
	})
	_, err := reconciler.Reconcile(t.Context(), connection.Relation{Host: w.host(), UserUUID: john, CUID: acme})
	if err != nil {
		t.Fatal(err)
	}
	reconciler.Kube = upToDate
	w.clock.Advance(3 * time.Second)
	w.reconcile()
	expectEqual(t, "reason when it shows", "Bound", w.reason())
	expectEqual(t, "calls on record", 0, w.inFlight())
}

// TestEditsDuringRuns: the access is the last that was declared within seconds, also if each edit comes before the status could say what the
// platform answered to the one before.
func TestEditsDuringRuns(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true })
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 2 * time.Second })
	w.reconcileConnection()
	declare := func(isOwner bool) {
		binding := w.binding()
		w.edit(binding, func() { binding.Spec.IsOwner = isOwner })
	}
	declare(false)
	for _, next := range []bool{true, false} {
		made, edited := w.platform.Count(opRelate), false
		w.bindings().Leads = func() bool {
			if !edited && w.platform.Count(opRelate) > made {
				edited = true
				declare(next)
			}
			return true
		}
		w.look(w.request("john").NamespacedName)
		expectEqual(t, "edited during the run", true, edited)
		w.clock.Advance(10 * time.Millisecond)
	}
	w.bindings().Leads = nil

	w.reconcile()

	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
	w.clock.Advance(3 * time.Second)
	w.reconcile()
	expectEqual(t, "reason when it shows", "Bound", w.reason())
	expectEqual(t, "calls on record, since what was read may be older than another one", 1, w.inFlight())

	w.delete()
	w.reconcile()
	w.clock.Advance(3 * time.Second)
	wait := w.reconcile()
	expectEqual(t, "message while the removal may be newer than what is read",
		`Get user shows that user "user_abc123def" has no access to client "cust_789xyz", but that may be older than the last change`, w.message())
	expectEqual(t, "wait", showsWithin-3*time.Second, wait)
	w.clock.Advance(wait)
	w.reconcile()
	expectEqual(t, "gone", true, w.gone())
}

// TestStalledBindingLooksSoonForWhatWasAccepted: how long it failed before does not count.
func TestStalledBindingLooksSoonForWhatWasAccepted(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
	down := w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: http.StatusServiceUnavailable}})
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(20 * time.Minute)
	w.reconcile()
	down.Remove()
	w.clock.Advance(5 * time.Minute)

	var waits []time.Duration
	for range 3 {
		waits = append(waits, w.reconcile())
		w.clock.Advance(waits[len(waits)-1])
	}
	w.reconcile()

	expectEqual(t, "waits", []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second}, waits)
	expectEqual(t, "reason", v1alpha1.ReasonBound, w.reason())
}

// TestAConfirmedRelationTakesNoMemory: there may be very many.
func TestAConfirmedRelationTakesNoMemory(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcileUsage()

	w.reconcile()

	expectEqual(t, "remembered relations", 0, len(w.bindings().memory.relations))
}

// TestProcessIsToldToEnd: a run that has begun to write goes on to its report, so that the next process has no call to wait for. Another
// writes nothing.
func TestProcessIsToldToEnd(t *testing.T) {
	grant, revocation := (*world).reconcileUsage, func(w *world) { w.reconcile(); w.delete(); w.calls() }
	for name, test := range map[string]struct {
		before func(*world)
		// early: it is told so before the run begins, and not once its call is on record.
		early  bool
		calls  operations
		ends   error
		reason string
	}{
		"during a grant":      {before: grant, calls: operations{opUser, opRelate, opUser}, reason: "Bound"},
		"during a revocation": {before: revocation, calls: operations{opUnrelate, opUser}, reason: "gone"},
		"before a grant":      {before: grant, early: true, ends: context.Canceled, reason: "none"},
		"before a revocation": {before: revocation, early: true, ends: context.Canceled, reason: "Bound"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			test.before(w)
			ctx, end := context.WithCancel(t.Context())
			defer end()
			if test.early {
				end()
			}
			w.kube = indexedClient{interceptor.NewClient(clusterKube, interceptor.Funcs{
				SubResourcePatch: func(ctx context.Context, kube client.Client, of string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
					defer end()
					return kube.SubResource(of).Patch(ctx, object, patch, options...)
				},
			}), &w.connections}

			_, err := w.bindings().Reconcile(ctx, connection.Relation{Host: w.host(), UserUUID: john, CUID: acme})

			if !errors.Is(err, test.ends) {
				t.Errorf("error %v, want %v", err, test.ends)
			}
			expectEqual(t, "calls", test.calls, w.calls())
			reason := "gone"
			if binding := w.find(); binding != nil {
				reason = "none"
				if ready := meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
					reason = ready.Reason
				}
			}
			expectEqual(t, "reason", test.reason, reason)
		})
	}
}
