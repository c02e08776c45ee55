package controller

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	opUser, opRelate, opUnrelate = delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate

	boundMessage = `Get user shows that user "user_abc123def" has standard access to client "cust_789xyz"`
	ownerMessage = `Get user shows that user "user_abc123def" has owner access to client "cust_789xyz"`
)

type operations = []delossim.Operation

func TestGrant(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)

	wait := w.reconcile()

	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
		Relation:           &v1alpha1.Relation{IsOwner: false, Origin: v1alpha1.OriginCreated},
		Claim:              w.claim(v1alpha1.OriginCreated, ref(at(0))),
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		LastConfirmedTime:  ref(at(0)),
	})
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
	expectEqual(t, "calls", operations{opUser, opRelate, opUser}, w.calls())
	expectEqual(t, "events", []string{`Normal Granted Granted user "user_abc123def" standard access to client "cust_789xyz"`}, w.events())
	expectEqual(t, "finalizers", []string{v1alpha1.RevokeFinalizer}, w.binding().Finalizers)
	if wait < 54*time.Minute || wait > 66*time.Minute {
		t.Errorf("looks again in %s, want an hour give or take a tenth", wait)
	}
}

func TestOperatorOwnsNoFieldOfTheSpec(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()

	owned := map[string]string{}
	for _, entry := range w.binding().ManagedFields {
		if entry.Manager == FieldManager {
			owned[entry.Subresource] = entry.FieldsV1.String()
		}
	}

	expectEqual(t, "owned without a subresource", `{"f:metadata":{"f:finalizers":{".":{},"v:\"access.delos.financial/revoke\"":{}}}}`, owned[""])
	expectEqual(t, "subresources written", 2, len(owned))
}

// TestLook shows what becomes of a new binding for each state that the first look may find.
func TestLook(t *testing.T) {
	known := &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"}
	cases := map[string]struct {
		arrange func(*world)
		binding func(*v1alpha1.ClientBinding)
		want    func(*world) v1alpha1.ClientBindingStatus
		related map[string]bool
		calls   operations
		events  []string
	}{
		"a relation as declared is adopted": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, false) },
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
					Relation:           &v1alpha1.Relation{Origin: v1alpha1.OriginAdopted},
					Claim:              w.claim(v1alpha1.OriginAdopted, nil),
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser},
			events:  []string{`Normal Adopted Adopted what was there: user "user_abc123def" has standard access to client "cust_789xyz"`},
		},
		"a relation of the other kind is adopted and changed": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, true) },
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
					Relation:           &v1alpha1.Relation{Origin: v1alpha1.OriginAdopted},
					Claim:              w.claim(v1alpha1.OriginAdopted, ref(at(0))),
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser, opRelate, opUser},
			events: []string{
				`Normal Adopted Adopted what was there: user "user_abc123def" has owner access to client "cust_789xyz"`,
				`Normal Changed Changed user "user_abc123def" from owner access to standard access to client "cust_789xyz"`,
			},
		},
		"an API that does not overwrite has the relation removed and made again": {
			arrange: func(w *world) {
				w.platform.Adjust(func(s *delossim.Settings) { s.Existing = delossim.RefuseChange })
				w.platform.SetRelation(john, acme, true)
			},
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
					Relation:           &v1alpha1.Relation{Origin: v1alpha1.OriginAdopted},
					Claim:              w.claim(v1alpha1.OriginAdopted, ref(at(0))),
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser, opRelate, opUser, opUnrelate, opRelate, opUser},
			events: []string{
				`Normal Adopted Adopted what was there: user "user_abc123def" has owner access to client "cust_789xyz"`,
				`Normal Rebound The Delos API does not overwrite a relation, so it was removed and made again: user "user_abc123def" was without access to client "cust_789xyz" for a moment`,
				`Normal Changed Changed user "user_abc123def" from owner access to standard access to client "cust_789xyz"`,
			},
		},
		"an unknown user is waited for, and nothing is claimed": {
			arrange: func(w *world) { w.platform.RemoveUser(john) },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{ObservedGeneration: -1, Conditions: failing("UserNotFound",
					`The Delos API knows no user "user_abc123def": create the user there, or create a ClientBinding with the right userUUID and delete this one. Next try at 2026-03-01T12:00:02Z`, 0)}
			},
			calls:  operations{opUser},
			events: []string{`Warning UserNotFound The Delos API knows no user "user_abc123def": create the user there, or create a ClientBinding with the right userUUID and delete this one`},
		},
		"an unknown client is waited for": {
			arrange: func(w *world) { w.platform.RemoveClient(acme) },
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: -1,
					Conditions: failing("ClientNotFound",
						`The Delos API knows no client "cust_789xyz": create the client there, or create a ClientBinding with the right cuid and delete this one. Next try at 2026-03-01T12:00:02Z`, 0),
					Claim: w.claim(v1alpha1.OriginCreated, ref(at(0))),
					User:  known,
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser, opRelate},
			events:  []string{`Warning ClientNotFound The Delos API knows no client "cust_789xyz": create the client there, or create a ClientBinding with the right cuid and delete this one`},
		},
		"a deleted user is not granted anything": {
			arrange: func(w *world) {
				w.platform.SetRelation(john, acme, false)
				w.platform.SoftDeleteUser(john)
			},
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions: stuck("UserDeleted",
						`User "user_abc123def" is deleted in the Delos API and has no access: restore the user there, or delete this ClientBinding. Next try at 2026-03-01T12:10:00Z`, 0, 0),
					User: known,
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser},
			events:  []string{`Warning UserDeleted User "user_abc123def" is deleted in the Delos API and has no access: restore the user there, or delete this ClientBinding`},
		},
		"a suspended binding says that it would grant": {
			binding: func(b *v1alpha1.ClientBinding) { b.Spec.Suspend, b.Spec.IsOwner = ref(true), true },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions: []condition{ready("False", "Suspended",
						`Suspended. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"; without spec.suspend the operator would grant owner access`, 0)},
					User: known,
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser},
			events:  []string{`Normal Suspended Suspended. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"; without spec.suspend the operator would grant owner access`},
		},
		"a suspended binding says that it would demote": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, true) },
			binding: func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions: []condition{ready("False", "Suspended",
						`Suspended. Get user shows that user "user_abc123def" has owner access to client "cust_789xyz"; without spec.suspend the operator would demote the user to standard access`, 0)},
					Relation: &v1alpha1.Relation{IsOwner: true},
					User:     known,
				}
			},
			related: map[string]bool{acme: true},
			calls:   operations{opUser},
			events:  []string{`Normal Suspended Suspended. Get user shows that user "user_abc123def" has owner access to client "cust_789xyz"; without spec.suspend the operator would demote the user to standard access`},
		},
		"a suspended binding whose relation is as declared is ready, and adopts nothing": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, false) },
			binding: func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
					Relation:           &v1alpha1.Relation{},
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser},
			events:  []string{"Normal Bound " + boundMessage},
		},
		"a request that the API calls invalid needs an edit": {
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: 422, Body: `{"error": "cuid has the wrong form"}`}})
			},
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         stuck("Rejected", `The Delos API calls the request invalid (HTTP 422): cuid has the wrong form. Next try at 2026-03-01T12:10:00Z`, 0, 0),
					Claim:              w.claim(v1alpha1.OriginCreated, ref(at(0))),
					User:               known,
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser, opRelate},
			events:  []string{`Warning Rejected The Delos API calls the request invalid (HTTP 422): cuid has the wrong form`},
		},
		"an API that asks for patience gets it": {
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 429, Header: http.Header{"Retry-After": {"90"}}}})
			},
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: -1,
					Conditions:         failing("RateLimited", `The Delos API asks for patience (HTTP 429). Next try at 2026-03-01T12:01:30Z`, 0),
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser},
			events:  []string{`Warning RateLimited The Delos API asks for patience (HTTP 429)`},
		},
		"an answer about somebody else proves nothing": {
			arrange: func(w *world) {
				w.platform.SetRelation(maria, acme, false)
				w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.WrongUser{UUID: maria}})
			},
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: -1,
					Conditions: failing("UnexpectedAnswer", `The Delos API gave an answer that it should not give: check the url of APIConnection `+
						w.namespace+`/default and what stands between (HTTP 200): the answer is about another user than was asked for. Next try at 2026-03-01T12:00:02Z`, 0),
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.bind(tc.binding)

			w.reconcile()

			w.expect(tc.want(w))
			expectEqual(t, "relations", tc.related, w.platform.Relations(john))
			expectEqual(t, "calls", tc.calls, w.calls())
			if tc.events != nil {
				expectEqual(t, "events", tc.events, w.events())
			}
		})
	}
}

func TestEditPromotes(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.events()
	w.clock.Advance(time.Minute)
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })

	w.reconcile()

	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 2,
		Conditions:         []condition{ready("True", "Bound", ownerMessage, 0)},
		Relation:           &v1alpha1.Relation{IsOwner: true, Origin: v1alpha1.OriginCreated},
		Claim:              w.claim(v1alpha1.OriginCreated, ref(at(time.Minute))),
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		LastConfirmedTime:  ref(at(time.Minute)),
	})
	expectEqual(t, "relations", map[string]bool{acme: true}, w.platform.Relations(john))
	expectEqual(t, "events", []string{`Normal Changed Changed user "user_abc123def" from standard access to owner access to client "cust_789xyz"`}, w.events())
}

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
				Relation:           &v1alpha1.Relation{Origin: v1alpha1.OriginCreated},
				Claim:              w.claim(v1alpha1.OriginCreated, ref(truncated(wait))),
				Contest:            &v1alpha1.Contest{Since: truncated(wait), Corrections: 1},
				User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
				LastConfirmedTime:  ref(truncated(wait)),
			})
			expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
			expectEqual(t, "events", []string{tc.event}, w.events())
			counted := fmt.Sprintf(`
# HELP clientbinding_drifts_corrected_total How often a confirmed relation was found changed by somebody else, and corrected.
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

// TestOutage shows that a confirmed binding stays ready through an outage, and for how long.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	outage := w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 500}})

	w.clock.Advance(2 * time.Hour)
	expectEqual(t, "wait in the outage", time.Minute, w.reconcile())
	expectEqual(t, "reason after two intervals", "Bound", w.reason())

	w.clock.Advance(time.Hour)
	w.reconcile()
	message := "Last confirmed at 2026-03-01T12:00:00Z. The Delos API fails (HTTP 500). Next try at 2026-03-01T15:00:02Z"
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions: []condition{
			ready("Unknown", "Unverified", message, 3*time.Hour),
			{Type: "Reconciling", Status: "True", Reason: "Unverified", Message: message, LastTransitionTime: at(3 * time.Hour)},
		},
		Relation:          &v1alpha1.Relation{Origin: v1alpha1.OriginCreated},
		Claim:             w.claim(v1alpha1.OriginCreated, ref(at(0))),
		User:              &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		LastConfirmedTime: ref(at(0)),
	})

	w.clock.Advance(2 * time.Second)
	w.reconcile()
	expectEqual(t, "reason of the next try", "Unverified", w.reason())

	outage.Remove()
	w.clock.Advance(2 * time.Second)
	w.reconcile()
	expectEqual(t, "reason after the outage", "Bound", w.reason())
}

// TestLastingFailure follows a binding whose user does not exist until it stalls.
func TestLastingFailure(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.RemoveUser(john)
	w.bind(nil)

	var waits []time.Duration
	for range 7 {
		wait := w.reconcile()
		waits = append(waits, wait)
		w.clock.Advance(wait)
	}
	expectEqual(t, "waits", []time.Duration{
		2 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute,
	}, waits)

	w.clock.Advance(10 * time.Minute)
	expectEqual(t, "wait once stalled", 10*time.Minute, w.reconcile())
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions: stuck("UserNotFound",
			`The Delos API knows no user "user_abc123def": create the user there, or create a ClientBinding with the right userUUID and delete this one. Next try at 2026-03-01T12:22:04Z`,
			0, 12*time.Minute+4*time.Second),
	})

	w.platform.AddUser(delossim.User{UUID: john})
	w.clock.Advance(10 * time.Minute)
	w.reconcile()
	expectEqual(t, "reason once the user exists", "Bound", w.reason())
}

func TestEditOfAStalledBindingStartsAnew(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Answer{Status: 400}})
	w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: 500}})
	w.bind(nil)
	w.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.IsOwner = true })
	w.clock.Advance(time.Hour)

	w.reconcile()

	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions:         failingSince("APIUnavailable", "The Delos API fails (HTTP 500). Next try at 2026-03-01T13:00:02Z", 0, time.Hour),
		Claim:              w.claim(v1alpha1.OriginCreated, ref(at(time.Hour))),
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
	})
}

// TestConnectionThatCannotBeUsed shows what a binding says of its connection. None of these calls the API.
func TestConnectionThatCannotBeUsed(t *testing.T) {
	cases := map[string]struct {
		arrange func(*world)
		binding func(*v1alpha1.ClientBinding)
		want    func(*world) []condition
	}{
		"there is none": {
			want: func(w *world) []condition {
				return failing("ConnectionNotFound", "Waits for APIConnection "+w.namespace+"/default, which does not exist: create it", 0)
			},
		},
		"another one is named": {
			binding: func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "other"}
			},
			want: func(w *world) []condition {
				return failing("ConnectionNotFound", "Waits for APIConnection "+w.namespace+"/other, which does not exist: create it", 0)
			},
		},
		"it was not looked at": {
			arrange: func(w *world) { w.createConnection(nil) },
			want: func(w *world) []condition {
				return failing("ConnectionNotReady", "Waits for APIConnection "+w.namespace+"/default to become ready (it was not checked yet)", 0)
			},
		},
		"it has no Secret": {
			arrange: func(w *world) { w.createConnection(nil); w.reconcileConnection() },
			want: func(w *world) []condition {
				return failing("ConnectionNotReady", "Waits for APIConnection "+w.namespace+"/default to become ready (SecretNotFound)", 0)
			},
		},
		"it belongs to another namespace": {
			binding: func(b *v1alpha1.ClientBinding) {
				b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "default", Namespace: "bank"}
			},
			want: func(w *world) []condition {
				return stuck("NotAllowed", "There is no APIConnection bank/default that allows ClientBindings of namespace "+w.namespace+": ask those who manage namespace bank, or delete this ClientBinding", 0, 0)
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.bind(tc.binding)

			w.reconcile()

			want := v1alpha1.ClientBindingStatus{ObservedGeneration: -1, Conditions: tc.want(w)}
			if want.Conditions[1].Type == "Stalled" {
				want.ObservedGeneration = 1
			}
			w.expect(want)
			expectEqual(t, "calls", operations(nil), w.calls())
		})
	}
}

func TestConnectionToAnotherHost(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.loseConnection()
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Spec.URL = "https://elsewhere.example" })
	w.calls()
	w.clock.Advance(2 * time.Hour)

	w.reconcile()

	expectEqual(t, "reason", "ConnectionChanged", w.reason())
	expectEqual(t, "calls", operations(nil), w.calls())
}

// TestOperatorThatJustStarted shows that a binding with work to do waits in silence for the login.
func TestOperatorThatJustStarted(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.restart()
	w.bind(nil)

	expectEqual(t, "wait", startingRetry, w.reconcile())

	w.expect(v1alpha1.ClientBindingStatus{ObservedGeneration: -1})
	w.reconcileConnection()
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())
}
