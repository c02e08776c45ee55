package controller

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// fight has John's access taken away again and again, and the operator correct it, once an interval.
func (w *world) fight(times int) {
	w.t.Helper()
	for range times {
		w.platform.RemoveRelation(john, acme)
		w.clock.Advance(w.lookAgain())
		w.reconcile()
	}
}

// lookAgain is after how long a confirmed binding is due to be looked at, at the latest.
func (w *world) lookAgain() time.Duration { return 66 * time.Minute }

func TestContestedRelationIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.fight(mostCorrections)
	expectEqual(t, "reason while it is corrected", "Bound", w.reason())
	before := w.binding().Status
	w.platform.RemoveRelation(john, acme)
	w.clock.Advance(w.lookAgain())
	w.calls()
	w.events()
	now := w.clock.Now().Sub(start)

	w.reconcile()

	const message = `Get user shows that user "user_abc123def" has no access to client "cust_789xyz", and it was changed to that again and again: it was corrected 5 times, and is not given again. Find out who changes it, then have this ClientBinding looked at with the annotation access.delos.financial/requestedAt, or edit it`
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions:         stuck("Contested", message+". Tried again within 10 minutes", now.Truncate(time.Second), now.Truncate(time.Second)),
		Access:             v1alpha1.AccessNone,
		Claim:              before.Claim,
		Contest:            before.Contest,
		User:               before.User,
		LastConfirmedTime:  before.LastConfirmedTime,
	})
	expectEqual(t, "calls", operations{delossim.OpRefresh, opUser}, w.calls())
	expectEqual(t, "events", []string{"Warning Contested " + message}, w.events())
}

func TestContestEndsWhenAPersonActs(t *testing.T) {
	cases := map[string]func(*v1alpha1.ClientBinding){
		"by asking": func(b *v1alpha1.ClientBinding) {
			b.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
		},
		"by editing": func(b *v1alpha1.ClientBinding) { b.Spec.Justification = "It is meant so" },
	}
	for name, act := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			w.fight(mostCorrections + 1)
			expectEqual(t, "reason", "Contested", w.reason())
			binding := w.binding()
			w.edit(binding, func() { act(binding) })

			w.reconcile()

			expectEqual(t, "reason", "Bound", w.reason())
			expectEqual(t, "contest", (*v1alpha1.Contest)(nil), w.binding().Status.Contest)
			expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
		})
	}
}

// TestContestSurvivesARestart: the count is in the status, not in memory.
func TestContestSurvivesARestart(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.fight(mostCorrections)
	w.restart()
	w.reconcileConnection()

	w.fight(1)

	expectEqual(t, "reason", "Contested", w.reason())
}

// TestContestThatEndsByItself: what is found as declared is Bound, and yet is not fought over anew.
func TestContestThatEndsByItself(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.fight(mostCorrections + 1)
	w.platform.SetRelation(john, acme, false)
	w.clock.Advance(stalledRetry)
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())

	w.fight(1)

	expectEqual(t, "reason", "Contested", w.reason())
}

// TestDriftsNowAndThenAreNoContest: corrections count for ten intervals.
func TestDriftsNowAndThenAreNoContest(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.fight(mostCorrections - 1)
	for range 12 {
		w.clock.Advance(w.lookAgain())
		w.reconcile()
	}
	expectEqual(t, "contest", (*v1alpha1.Contest)(nil), w.binding().Status.Contest)

	w.fight(2)

	expectEqual(t, "reason", "Bound", w.reason())
	expectEqual(t, "corrections", int32(2), w.binding().Status.Contest.Corrections)
}

// TestFailingCorrectionsAreNoContest: only what the API accepted was undone from outside.
func TestFailingCorrectionsAreNoContest(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.RemoveRelation(john, acme)
	failing := w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: 500}})
	w.clock.Advance(w.lookAgain())
	for range mostCorrections + 1 {
		w.reconcile()
		w.clock.Advance(time.Minute)
		w.reconcileConnection()
	}
	failing.Remove()

	w.reconcile()

	expectEqual(t, "reason", "Bound", w.reason())
}
