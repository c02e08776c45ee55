package controller

import (
	"net/http"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	opUser, opRelate, opUnrelate = delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate

	boundMessage = `Get user shows that user "user_abc123def" has standard access to client "cust_789xyz"`
	// unclaimedMessage is that of a binding that only looks.
	unclaimedMessage = boundMessage + ". This ClientBinding does not answer for that, and its deletion revokes nothing"
	ownerMessage     = `Get user shows that user "user_abc123def" has owner access to client "cust_789xyz"`
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
		Access:             v1alpha1.AccessStandard,
		Claim:              w.claim(v1alpha1.OriginCreated),
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		LastConfirmedTime:  ref(at(0)),
	})
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
	expectEqual(t, "calls", operations{opUser, opRelate, opUser}, w.calls())
	expectEqual(t, "events", []string(nil), w.events())
	expectEqual(t, "finalizers", []string{v1alpha1.RevokeFinalizer}, w.binding().Finalizers)
	expectEqual(t, "looks again", due(john, at(0), time.Hour).Sub(start), wait)
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
					Access:             v1alpha1.AccessStandard,
					Claim:              w.claim(v1alpha1.OriginAdopted),
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser},
			events:  []string(nil),
		},
		"a relation of the other kind is adopted and changed": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, true) },
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         []condition{ready("True", "Bound", boundMessage, 0)},
					Access:             v1alpha1.AccessStandard,
					Claim:              w.claim(v1alpha1.OriginAdopted),
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser, opRelate, opUser},
			events: []string{
				`Normal Changed Changed user "user_abc123def" from owner access to standard access to client "cust_789xyz"`,
			},
		},
		"an API that does not overwrite has the relation removed, and made again by the next look": {
			arrange: func(w *world) {
				w.platform.Adjust(func(s *delossim.Settings) { s.Existing = delossim.RefuseChange })
				w.platform.SetRelation(john, acme, true)
			},
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: -1,
					Conditions: failing("Confirming",
						`The Delos API does not overwrite a relation, so it was removed, and is made again. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"`, 0),
					Access: v1alpha1.AccessNone,
					Claim: w.claim(v1alpha1.OriginAdopted, v1alpha1.Call{
						Access: v1alpha1.AccessNone, SentTime: at(0), AcceptedTime: ref(at(0)), Timeout: *duration(10 * time.Second), Settle: *duration(30 * time.Second),
					}),
					User: known,
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser, opRelate, opUser, opUnrelate, opUser},
			events: []string{
				`Normal Rebound The Delos API does not overwrite a relation, so it was removed and is made again: user "user_abc123def" is without access to client "cust_789xyz" for a moment`,
			},
		},
		"an unknown user is waited for, and nothing is claimed": {
			arrange: func(w *world) { w.platform.RemoveUser(john) },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{ObservedGeneration: -1, Access: v1alpha1.AccessNone, Conditions: failing("UserNotFound",
					`The Delos API knows no user "user_abc123def": create the user there, or create a ClientBinding with the right userUUID and delete this one. Tried again within a minute`, 0)}
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
						`The Delos API knows no client "cust_789xyz": create the client there, or create a ClientBinding with the right cuid and delete this one. Tried again within a minute`, 0),
					Access: v1alpha1.AccessNone,
					Claim:  w.claim(v1alpha1.OriginCreated),
					User:   known,
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
						`User "user_abc123def" is deleted in the Delos API and has no access: restore the user there, or delete this ClientBinding. Tried again within 10 minutes`, 0, 0),
					Access: v1alpha1.AccessNone,
					User:   known,
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
					Access: v1alpha1.AccessNone,
					User:   known,
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser},
			events:  []string(nil),
		},
		"a suspended binding says that it would demote": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, true) },
			binding: func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions: []condition{ready("False", "Suspended",
						`Suspended. Get user shows that user "user_abc123def" has owner access to client "cust_789xyz"; without spec.suspend the operator would demote the user to standard access`, 0)},
					Access: v1alpha1.AccessOwner,
					User:   known,
				}
			},
			related: map[string]bool{acme: true},
			calls:   operations{opUser},
			events:  []string(nil),
		},
		"a suspended binding whose relation is as declared is ready, and adopts nothing": {
			arrange: func(w *world) { w.platform.SetRelation(john, acme, false) },
			binding: func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) },
			want: func(*world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         []condition{ready("True", "Unclaimed", unclaimedMessage, 0)},
					Access:             v1alpha1.AccessStandard,
					User:               known,
					LastConfirmedTime:  ref(at(0)),
				}
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUser},
			events:  []string(nil),
		},
		"a request that the API calls invalid needs an edit": {
			arrange: func(w *world) {
				// The API has accepted a relation before, so that the form of the request is not suspected.
				if _, err := w.pool.Session(w.connection()).Relate(w.t.Context(), maria, globex, false); err != nil {
					w.t.Fatal(err)
				}
				w.calls()
				w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: 422, Body: `{"error": "cuid has the wrong form"}`}})
			},
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: 1,
					Conditions:         stuck("Rejected", `The Delos API calls the request invalid (HTTP 422): cuid has the wrong form. Tried again within 10 minutes`, 0, 0),
					Access:             v1alpha1.AccessNone,
					Claim:              w.claim(v1alpha1.OriginCreated),
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
					Conditions:         failing("RateLimited", `The Delos API asks for patience (HTTP 429)`, 0),
				}
			},
			related: map[string]bool{},
			calls:   operations{opUser},
			events:  []string{`Warning RateLimited The Delos API asks for patience (HTTP 429)`},
		},
		"an answer about another user proves nothing": {
			arrange: func(w *world) {
				w.platform.SetRelation(maria, acme, false)
				w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.WrongUser{UUID: maria}})
			},
			want: func(w *world) v1alpha1.ClientBindingStatus {
				return v1alpha1.ClientBindingStatus{
					ObservedGeneration: -1,
					Conditions: failing("UnexpectedAnswer", `The Delos API gave an answer that it should not give: check the url of APIConnection `+
						w.namespace+`/default and the proxies before the API (HTTP 200): the answer is about another user than was asked for. Tried again within a minute`, 0),
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
		Access:             v1alpha1.AccessOwner,
		Claim:              w.claim(v1alpha1.OriginCreated),
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		LastConfirmedTime:  ref(at(time.Minute)),
	})
	expectEqual(t, "relations", map[string]bool{acme: true}, w.platform.Relations(john))
	expectEqual(t, "events", []string{`Normal Changed Changed user "user_abc123def" from standard access to owner access to client "cust_789xyz"`}, w.events())
}
