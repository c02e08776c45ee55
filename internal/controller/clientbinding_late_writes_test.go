package controller

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestWriteThatShowsLate(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
	w.bind(nil)

	wait := w.reconcile()

	confirming := `The Delos API accepted the change, which does not show yet. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"`
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: -1,
		Conditions:         failing("Confirming", confirming+". Next try at 2026-03-01T12:00:02Z", 0),
		Access:             v1alpha1.AccessNone,
		Claim:              w.claim(v1alpha1.OriginCreated, ref(at(0))),
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
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
	w.clock.Advance(visibleWithin)

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
	w.clock.Advance(20 * time.Second)
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

// TestEditThatArrivesAfterItWasTakenBack: the change had no answer, and arrives when another one was confirmed.
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
	expectEqual(t, "reason", "Bound", w.reason())
	expectEqual(t, "wait", 18*time.Second, wait)
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
			other := w.rivalIn(w.namespace, "another", func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
			w.bind(nil)
			w.reconcile()
			w.clock.Advance(time.Minute)
			w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
			change(w)
			w.reconcile()

			other.reconcile()

			want := ready("False", "Confirming", "Another ClientBinding has just changed this relation, which may not show yet. "+
				boundMessage+". Next try at 2026-03-01T12:01:02Z", time.Minute)
			want.ObservedGeneration = 1
			expectEqual(t, "at once", want, other.ready())
			w.clock.Advance(6 * time.Second)
			other.reconcile()
			expectEqual(t, "when it shows", "Suspended", other.ready().Reason)
		})
	}
}
