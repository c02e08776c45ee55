package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestConfirmedBindingIsLeftAloneUntilItIsDue(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	wait := w.reconcile()
	w.calls()
	before := w.binding()
	w.restart()
	w.clock.Advance(wait - time.Second)

	expectEqual(t, "rest of the wait", time.Second, w.reconcile())

	expectEqual(t, "calls", operations(nil), w.calls())
	expectEqual(t, "resource version", before.ResourceVersion, w.binding().ResourceVersion)
}

func TestDriftIsCorrectedWhenItIsDue(t *testing.T) {
	cases := map[string]struct {
		drift func(*world)
		event string
	}{
		"removed": {
			drift: func(w *world) { w.platform.RemoveRelation(john, acme) },
			event: `Warning DriftCorrected User "user_abc123def" had no access to client "cust_789xyz", which was not changed here; corrected to standard access`,
		},
		"promoted": {
			drift: func(w *world) { w.platform.SetRelation(john, acme, true) },
			event: `Warning DriftCorrected User "user_abc123def" had owner access to client "cust_789xyz", which was not changed here; corrected to standard access`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			wait := w.reconcile()
			w.events()
			tc.drift(w)
			w.clock.Advance(wait)

			w.reconcile()

			w.expect(v1alpha1.ClientBindingStatus{
				ObservedGeneration: 1,
				Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
				Access:             v1alpha1.AccessStandard,
				Claim:              w.claim(v1alpha1.OriginCreated),
				Contest:            &v1alpha1.Contest{Since: truncated(wait), Corrections: 1},
				User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
				LastConfirmedTime:  ref(truncated(wait)),
			})
			expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
			expectEqual(t, "events", []string{tc.event}, w.events())
			counted := fmt.Sprintf(`
# HELP clientbinding_drifts_corrected_total How often confirmed access was found changed on the platform, and was corrected.
# TYPE clientbinding_drifts_corrected_total counter
clientbinding_drifts_corrected_total{connection="%s/default"} 1
`, w.namespace)
			if err := testutil.GatherAndCompare(w.registry, strings.NewReader(counted), "clientbinding_drifts_corrected_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFailedCorrectionIsNotReady(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	wait := w.reconcile()
	w.platform.RemoveRelation(john, acme)
	w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: 500}})
	w.clock.Advance(wait)

	w.reconcile()

	expectEqual(t, "reason", "APIUnavailable", w.reason())
}

func TestRequestedRun(t *testing.T) {
	for annotation, handled := range map[string]v1alpha1.ReconcileRequestStatus{
		v1alpha1.RequestedAtAnnotation:     {LastHandledRequestedAt: "now"},
		v1alpha1.FluxRequestedAtAnnotation: {LastHandledReconcileAt: "now"},
	} {
		t.Run(annotation, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			w.calls()
			binding := w.binding()
			w.edit(binding, func() { binding.Annotations = map[string]string{annotation: "now"} })

			w.reconcile()

			expectEqual(t, "calls", operations{opUser}, w.calls())
			expectEqual(t, "acknowledged", handled, w.binding().Status.ReconcileRequestStatus)
			w.reconcile()
			expectEqual(t, "calls of a run that nobody asked for", operations(nil), w.calls())
		})
	}
}

func TestFinalizerThatWasTakenAwayIsPutBack(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Finalizers = nil })

	w.reconcile()

	expectEqual(t, "finalizers", []string{v1alpha1.RevokeFinalizer}, w.binding().Finalizers)
}

func TestClockThatIsSetBack(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.clock.Advance(24 * time.Hour)
	w.bind(nil)
	w.reconcile()
	w.platform.SetRelation(john, acme, true)
	w.clock = clockwork.NewFakeClockAt(start)

	w.reconcile()

	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestStarvedBindingDoesNotStayReady: others use up the rate, so that a binding is not looked at for long.
func TestStarvedBindingDoesNotStayReady(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": password})
	w.createConnection(func(c *v1alpha1.APIConnection) {
		c.Spec.Interval = duration(time.Second)
		c.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 1, Burst: 1}
	})
	w.reconcileConnection()
	w.clock.Advance(time.Second)
	w.bind(nil)
	w.reconcile()
	for range 10 {
		w.clock.Advance(time.Second)
		if _, err := w.pool.Session(w.connection()).User(t.Context(), maria); err != nil {
			t.Fatal(err)
		}
		w.reconcile()
	}

	expectEqual(t, "reason", "Unverified", w.reason())
}

// TestConfirmationsAreWrittenNowAndThen: a drift check that finds nothing writes its time only when the written one is older than an interval and a
// tenth. The process remembers the check, and another process that begins goes by the written time.
func TestConfirmationsAreWrittenNowAndThen(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	written := func() time.Duration { return w.binding().Status.LastConfirmedTime.Sub(at(0).Time) }
	look := func(after time.Duration) (reads int) {
		w.clock.Advance(after - w.clock.Now().Sub(start))
		before := w.platform.Count(opUser)
		w.reconcile()
		return w.platform.Count(opUser) - before
	}

	version := w.binding().ResourceVersion
	expectEqual(t, "reads when it is due", 1, look(66*time.Minute))
	expectEqual(t, "version", version, w.binding().ResourceVersion)
	expectEqual(t, "reads once it was confirmed", 0, look(73*time.Minute))
	expectEqual(t, "reads when it is due again", 1, look(100*time.Minute))
	expectEqual(t, "confirmed by its status", 100*time.Minute, written())

	expectEqual(t, "reads when it is due once more", 1, look(140*time.Minute))
	outage := w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 500}})
	look(310 * time.Minute)
	expectEqual(t, "reason within three intervals of that", "Bound", w.reason())
	look(321 * time.Minute)
	expectEqual(t, "reason after them", "Unverified", w.reason())
	outage.Remove()
}
