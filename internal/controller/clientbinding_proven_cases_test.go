package controller

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// Each of these was once proven against an operator that reconciled each binding alone: access that nobody declared, a Ready that was
// not true, or a deletion that hung.

// TestLateGrantAfterTheTimeoutWasShortened: how long a call without an answer is waited for is on record, and no edit of the
// connection shortens it.
func TestLateGrantAfterTheTimeoutWasShortened(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	w.bind(nil)
	w.reconcile()
	connection := w.connection()
	w.edit(connection, func() { connection.Spec.Timeout = duration(time.Second) })
	w.reconcileConnection()
	w.delete()
	w.reconcile()
	w.clock.Advance(39 * time.Second)
	w.reconcile()
	expectEqual(t, "gone while the grant may still arrive", false, w.gone())
	w.platform.SetRelation(john, acme, false) // It arrives.
	w.clock.Advance(time.Second)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestLateGrant: how long a call without an answer is waited for counts from the call, however slow what came before it was; and a
// short timeout does not make that short.
func TestLateGrant(t *testing.T) {
	for timeout, length := range map[time.Duration]time.Duration{10 * time.Second: 40 * time.Second, time.Second: 31 * time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			connection := w.connection()
			w.edit(connection, func() { connection.Spec.Timeout = duration(timeout) })
			w.reconcileConnection()
			w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
			w.bind(nil)
			w.reconcileUsage()
			w.bindings().Leads = func() bool {
				if w.platform.Summary().Relate == 0 {
					w.clock.Advance(9500 * time.Millisecond)
				}
				return true
			}
			w.look(w.request("john").NamespacedName)
			w.bindings().Leads = nil
			w.delete()
			w.reconcile()
			w.clock.Advance(length - time.Second)
			w.reconcile()
			expectEqual(t, "gone while the grant may still arrive", false, w.gone())
			w.platform.SetRelation(john, acme, false) // It arrives.
			w.clock.Advance(time.Second)

			w.reconcile()

			expectEqual(t, "gone", true, w.gone())
			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
		})
	}
}

// TestFrozenLeader: a process that was stopped between its record and its call does not send the call when it goes on. The next process
// does not know that, and waits for the length of the call.
func TestFrozenLeader(t *testing.T) {
	for name, operation := range map[string]delossim.Operation{"grant": opRelate, "removal": opUnrelate} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			if operation == opUnrelate {
				w.reconcile()
				w.delete()
			}
			w.reconcileUsage()
			w.calls()
			// It leads until its record is written.
			w.bindings().Leads = func() bool { return w.inFlight() == 0 }
			w.look(w.request("john").NamespacedName)

			for _, call := range w.calls() {
				if call == operation {
					t.Error("the call was sent")
				}
			}
			expectEqual(t, "calls on record", 1, w.inFlight())

			w.restart()
			w.reconcileConnection()
			if operation == opRelate {
				w.delete()
			}
			w.reconcile()
			w.clock.Advance(39 * time.Second)
			w.reconcile()
			expectEqual(t, "gone while the call may still arrive", false, w.gone())
			w.clock.Advance(time.Second)
			w.reconcile()
			expectEqual(t, "gone", true, w.gone())
			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
		})
	}
}

// TestLateRemoval: a removal without an answer may still arrive, and until it has or cannot any more no other binding is called bound.
func TestLateRemoval(t *testing.T) {
	for name, arrive := range map[string]func(*world){
		"it arrives":  func(w *world) { w.platform.RemoveRelation(john, acme) },
		"it does not": func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			w.platform.Inject(delossim.Fault{Op: opUnrelate, Times: 1, Failure: delossim.Reset{}})
			w.delete()
			w.reconcile()
			second := w.bindIn(w.namespace, "second", nil)
			for range 3 {
				w.clock.Advance(13 * time.Second)
				second.reconcile()
				expectEqual(t, "reason while the removal may still arrive", "Confirming", second.ready().Reason)
				expectEqual(t, "gone", false, w.gone())
			}
			arrive(w)
			w.clock.Advance(time.Second)

			second.reconcile()

			expectEqual(t, "reason", "Bound", second.ready().Reason)
			expectEqual(t, "gone", true, w.gone())
			expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
		})
	}
}

// TestReadOnlyHolder: to have read the relation does not make a binding one that could revoke it.
func TestReadOnlyHolder(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.AddAccount(delossim.Account{Login: "auditor", Password: password, ReadOnly: true})
	second := w.throughAccount("auditor")
	w.delete()
	w.clock.Advance(time.Second)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
	expectEqual(t, "reason of the holder", "Forbidden", second.ready().Reason)
}

// TestHolderOfAnotherAccount: one that may revoke proves it by a call.
func TestHolderOfAnotherAccount(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.AddAccount(delossim.Account{Login: "other", Password: password})
	second := w.throughAccount("other")
	w.delete()
	w.clock.Advance(time.Second)
	w.calls()

	w.reconcile()

	expectEqual(t, "calls", operations{opUser, opRelate, opUser}, w.calls())
	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the holder", "Bound", second.ready().Reason)
}

// throughAccount makes a second binding of the relation, in another namespace, through a connection with another account.
func (w *world) throughAccount(login string) *otherBinding {
	w.t.Helper()
	first := w.namespace
	w.namespace = w.anotherNamespace()
	w.createSecret(map[string]string{"login": login, "password": password})
	w.reconcileConnection()
	second := w.bindIn(w.namespace, "second", nil)
	w.reconcileUsage()
	w.reconcileUsage()
	w.namespace = first
	return second
}

// TestHandoverUnderLag: a holder that was in conflict is not kept waiting for what an object that stalled waits.
func TestHandoverUnderLag(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true })
	w.reconcile()
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile()
	expectEqual(t, "reason before", "Conflict", second.ready().Reason)
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 700 * time.Millisecond })
	w.delete()
	expectEqual(t, "wait", 2*time.Second, w.reconcile())
	w.clock.Advance(2 * time.Second)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "conditions of the holder", 1, len(second.get().Status.Conditions))
	expectEqual(t, "reason of the holder", "Bound", second.ready().Reason)
}

// TestFutureTimes: what a clock that was ahead has left in the status holds nothing up.
func TestFutureTimes(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	binding := w.binding()
	future := at(24 * time.Hour)
	binding.Status.LastConfirmedTime = &future
	binding.Status.Claim.InFlight = []v1alpha1.Call{{
		Access: v1alpha1.AccessStandard, SentTime: future, Timeout: *duration(10 * time.Second), Settle: *duration(30 * time.Second),
	}}
	binding.Status.Conditions = failing("APIUnavailable", "The Delos API fails", 24*time.Hour)
	if err := w.kube.Status().Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	w.delete()
	wait := w.reconcile()
	expectEqual(t, "wait", 40*time.Second, wait)
	w.clock.Advance(wait)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestBlindAccount: that there is no such user is a proof only by an account that sees users, and that saw this one; and of a deleted
// user only an accepted removal is one.
func TestBlindAccount(t *testing.T) {
	bare := delossim.Answer{Status: 404, Body: `{"error":"User not found"}`}
	named := delossim.Answer{Status: 404, Body: `{"error":"User not found: ` + john + `"}`}
	for name, blind := range map[string]struct {
		turn, back func(*world)
		says       string
	}{
		"an answer that names nobody": {
			turn: func(w *world) { w.platform.Inject(delossim.Fault{User: john, Failure: bare}) },
			back: func(w *world) { w.platform.ClearFaults() },
			says: `The Delos API says that it knows no such user without naming user "user_abc123def", which proves nothing`,
		},
		"an account that lost its rights": {
			turn: func(w *world) {
				w.platform.AddAccount(delossim.Account{Login: login, Password: password, SeesNobody: true})
			},
			back: func(w *world) { w.platform.AddAccount(delossim.Account{Login: login, Password: password}) },
			says: `The account of APIConnection NS/default sees neither user "user_abc123def" nor another one that it has seen before: give it the right to see users again`,
		},
		"another team's account": {
			turn: func(w *world) {
				w.platform.AddAccount(delossim.Account{Login: "team", Password: password, SeesNobody: true})
				w.rotate("team")
			},
			back: func(w *world) { w.rotate(login) },
			says: `The account of APIConnection NS/default does not see user "user_abc123def", but it is another one than the account that saw the relation: ` +
				"bring that account back, or give this one the right to see the user",
		},
		"a deleted user whose relation is not removed": {
			turn: func(w *world) {
				w.platform.SoftDeleteUser(john)
				w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: named})
			},
			back: func(w *world) { w.platform.ClearFaults() },
			says: `User "user_abc123def" is deleted, but would have the relation again if restored: the Delos API did not accept its removal`,
		},
	} {
		for end, ends := range map[string]func(*world){
			"deletion": (*world).delete,
			"expiry":   func(w *world) { w.clock.Advance(time.Hour) },
		} {
			t.Run(name+", "+end, func(t *testing.T) {
				w := newWorld(t)
				w.connect()
				w.bind(until(time.Hour))
				w.reconcile()
				w.witness()
				blind.turn(w)
				ends(w)
				for range 3 {
					w.clock.Advance(10 * time.Minute)
					w.reconcile()
				}

				expectEqual(t, "reason", "RevocationBlocked", w.reason())
				expectEqual(t, "message", strings.ReplaceAll(blind.says, "NS", w.namespace)+wayOut+". Tried again within 10 minutes", w.message())
				expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))

				blind.back(w)
				w.clock.Advance(10 * time.Minute)
				w.reconcile()
				expectEqual(t, "revoked when it sees again", true, w.gone() || w.reason() == "Expired")
				expectEqual(t, "relations when it sees again", map[string]bool{}, w.platform.Relations(john))
			})
		}
	}
}

// TestUserWhoIsGoneWithoutAWitness: where no other user can show that the account sees users, the absence has to last.
func TestUserWhoIsGoneWithoutAWitness(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.RemoveUser(john)
	w.delete()
	w.reconcile()
	expectEqual(t, "reason", "RevocationBlocked", w.reason())
	w.clock.Advance(10*time.Minute - time.Second)
	w.reconcile()
	expectEqual(t, "gone too soon", false, w.gone())
	w.clock.Advance(time.Second)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
}

// rotate puts the credentials of another account into the world's Secret.
func (w *world) rotate(login string) {
	w.t.Helper()
	secret := &corev1.Secret{}
	if err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "delos-credentials"}, secret); err != nil {
		w.t.Fatal(err)
	}
	w.edit(secret, func() { secret.Data["login"] = []byte(login) })
	w.reconcileConnection()
}

// inFlight is how many calls are on the binding's record.
func (w *world) inFlight() int {
	if claim := w.binding().Status.Claim; claim != nil {
		return len(claim.InFlight)
	}
	return 0
}

// TestPauseBeforeTheCall: a call may arrive for as long as its record says from when it was made, and not from when it was recorded,
// also if the report after it could not be written.
func TestPauseBeforeTheCall(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	w.bind(nil)
	w.reconcileUsage()
	paused := false
	w.bindings().Leads = func() bool {
		if w.inFlight() > 0 && !paused {
			paused = true
			w.clock.Advance(30 * time.Second)
			binding := w.binding()
			w.edit(binding, func() { binding.Annotations = map[string]string{"example.com/edited": "meanwhile"} })
		}
		return true
	}
	w.look(w.request("john").NamespacedName)
	expectEqual(t, "calls on record", 1, w.inFlight())
	w.delete()
	w.clock.Advance(39 * time.Second)
	w.reconcile()
	expectEqual(t, "gone while the call may still arrive", false, w.gone())
	w.platform.SetRelation(john, acme, false) // It arrives.
	w.clock.Advance(time.Second)
	w.reconcile()
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
	expectEqual(t, "gone while what is read may be older than that", false, w.gone())
	w.clock.Advance(30 * time.Second)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
}

// TestBoundThatAnotherOneOverruled: an older binding took the relation over, and the process died before it said so of the younger
// one. What that still says is not vouched for when it cannot be read.
func TestBoundThatAnotherOneOverruled(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
	second := w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true })
	second.reconcile()
	bound := second.get().Status
	w.clock.Advance(time.Minute)
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.Suspend = nil })
	w.reconcile()
	expectEqual(t, "reason of the older one", "Bound", w.reason())
	younger := second.get()
	younger.Status = bound // As if its new status had never been written.
	if err := w.kube.Status().Update(t.Context(), younger); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.reconcileConnection()
	binding = w.binding()
	w.edit(binding, func() { binding.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan })
	w.delete()
	w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Answer{Status: 500}})
	w.clock.Advance(time.Minute)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the younger one", "APIUnavailable", second.ready().Reason)
}

// TestNothingIsHandedOverToAHolderThatWasConfirmedBefore: that a confirmation is new to the status by its time alone keeps it from no write
// on which a handover relies.
func TestNothingIsHandedOverToAHolderThatWasConfirmedBefore(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile()
	w.clock.Advance(time.Minute)
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.Suspend = nil })
	w.reconcile()
	expectEqual(t, "reason of the older one", "Bound", w.reason())
	w.clock.Advance(time.Minute)
	if err := w.kube.Delete(t.Context(), second.get()); err != nil {
		t.Fatal(err)
	}
	plain := w.kube
	w.kube = statusRefused{plain, "john"}

	w.look(w.request("john").NamespacedName)

	w.kube = plain
	expectEqual(t, "finalizers of the one that leaves", []string{v1alpha1.RevokeFinalizer}, second.get().Finalizers)
	second.reconcile()
	err := w.kube.Get(t.Context(), second.key, &v1alpha1.ClientBinding{})
	expectEqual(t, "gone with it", true, apierrors.IsNotFound(err))
}

// TestNothingIsHandedOverWithoutTheHoldersStatus: the holder may have been edited or deleted, which only its write shows.
func TestNothingIsHandedOverWithoutTheHoldersStatus(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile()
	w.delete()
	plain := w.kube
	w.kube = statusRefused{plain, "second"}
	w.reconcileUsage()
	w.look(w.request("john").NamespacedName)
	expectEqual(t, "gone without it", false, w.gone())
	w.kube = plain

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the holder", "Bound", second.ready().Reason)
}

// statusRefused is a Kubernetes client that meets a newer version whenever it writes the status of one object.
type statusRefused struct {
	client.Client
	name string
}

func (s statusRefused) Status() client.SubResourceWriter {
	return refusingWriter{s.Client.Status(), s.name}
}

type refusingWriter struct {
	client.SubResourceWriter
	name string
}

func (r refusingWriter) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if object.GetName() == r.name {
		return apierrors.NewConflict(schema.GroupResource{}, r.name, nil)
	}
	return r.SubResourceWriter.Patch(ctx, object, patch, options...)
}

// TestEditDuringARun: what was declared when the run began is not given any more.
func TestEditDuringARun(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true })
	w.reconcile()
	w.platform.RemoveRelation(john, acme)
	w.clock.Advance(w.lookAgain())
	plain := w.kube
	binding := w.binding()
	w.kube = &interrupted{Client: plain, then: func() { w.edit(binding, func() { binding.Spec.IsOwner = false }) }}
	w.look(w.request("john").NamespacedName)
	w.kube = plain
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))

	w.reconcile()

	expectEqual(t, "relations after the next look", map[string]bool{acme: false}, w.platform.Relations(john))
}
