package controller

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	revokedByAbsence = `Normal Revoked Get user shows that user "user_abc123def" has no access to client "cust_789xyz"`
	notRemoved       = "The access could not be removed yet. "
)

// TestDeletion shows what becomes of the relation and of the object in the first run after the deletion.
func TestDeletion(t *testing.T) {
	cases := map[string]struct {
		arrange func(*world)
		gone    bool
		related map[string]bool
		calls   operations
		events  []string
		// conditions of an object that stays.
		conditions []condition
	}{
		"removed and seen gone": {
			gone: true, related: map[string]bool{},
			calls:  operations{opUnrelate, opUser},
			events: []string{revokedByAbsence},
		},
		"already removed from outside": {
			arrange: func(w *world) { w.platform.RemoveRelation(john, acme) },
			gone:    true, related: map[string]bool{},
			calls:  operations{opUnrelate, opUser},
			events: []string{revokedByAbsence},
		},
		"already removed, and the API says so": {
			arrange: func(w *world) {
				w.platform.Adjust(func(s *delossim.Settings) { s.RefuseAbsent = true })
				w.platform.RemoveRelation(john, acme)
			},
			gone: true, related: map[string]bool{},
			calls:  operations{opUnrelate, opUser},
			events: []string{revokedByAbsence},
		},
		"already removed, and Get user has no list to prove it": {
			arrange: func(w *world) {
				w.platform.Adjust(func(s *delossim.Settings) { s.RefuseAbsent, s.EmptyClients = true, delossim.EmptyOmitted })
				w.platform.RemoveRelation(john, acme)
			},
			related: map[string]bool{},
			calls:   operations{opUnrelate, opUser},
			conditions: failingSince("RevocationBlocked",
				`Get user shows user "user_abc123def" without a whole list of clients, which does not prove that the access is gone. If the access is gone or is to stay, set deletionPolicy: Orphan and delete this ClientBinding. Tried again within a minute`, time.Minute, time.Minute),
		},
		"removed, and Get user leaves an empty list out": {
			arrange: func(w *world) {
				w.platform.Adjust(func(s *delossim.Settings) { s.EmptyClients = delossim.EmptyOmitted })
			},
			gone: true, related: map[string]bool{},
			calls:  operations{opUnrelate, opUser},
			events: []string{revokedByAbsence},
		},
		"the user is gone": {
			arrange: func(w *world) {
				w.witness()
				w.platform.RemoveUser(john)
			},
			gone:   true,
			calls:  operations{opUnrelate, opUser, opUser},
			events: []string{`Normal Revoked The Delos API knows user "user_abc123def" no longer`},
		},
		"the user is deleted: removed all the same, so that a restored user regains nothing": {
			arrange: func(w *world) { w.platform.SoftDeleteUser(john) },
			gone:    true, related: map[string]bool{},
			calls:  operations{opUnrelate, opUser},
			events: []string{`Normal Revoked User "user_abc123def" is deleted, and the relation with client "cust_789xyz" was removed`},
		},
		"words of an API that fails prove nothing": {
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Answer{Status: 500, Body: `{"error": "User not found: user_abc123def"}`}})
			},
			related: map[string]bool{},
			calls:   operations{opUnrelate, opUser},
			conditions: failingSince("RevocationBlocked", `The Delos API says that it knows no such user without naming user "user_abc123def", which proves nothing. `+
				"If the access is gone or is to stay, set deletionPolicy: Orphan and delete this ClientBinding. Tried again within a minute", time.Minute, time.Minute),
		},
		"a router's not-found proves nothing": {
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 404, Body: `<html>Not Found</html>`}})
			},
			related: map[string]bool{acme: false},
			calls:   operations{opUnrelate},
		},
		"a refused session proves nothing": {
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 401, Body: `{"error": "Unauthorized"}`}})
			},
			related: map[string]bool{acme: false},
		},
		"a removal that is lost is no removal": {
			arrange: func(w *world) { w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Reset{}}) },
			related: map[string]bool{acme: false},
			calls:   operations{opUnrelate},
		},
		"no connection": {
			arrange: func(w *world) { w.loseConnection() },
			related: map[string]bool{acme: false},
		},
		"left in place": {
			arrange: func(w *world) {
				binding := w.binding()
				w.edit(binding, func() { binding.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan })
			},
			gone: true, related: map[string]bool{acme: false},
			events: []string{`Warning Orphaned deletionPolicy is Orphan: the access of user "user_abc123def" to client "cust_789xyz" was left as it is`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			w.clock.Advance(time.Minute)
			w.calls()
			w.events()
			w.delete()
			if tc.arrange != nil {
				tc.arrange(w)
			}

			w.reconcile()

			expectEqual(t, "gone", tc.gone, w.gone())
			expectEqual(t, "relations", tc.related, w.platform.Relations(john))
			if tc.calls != nil {
				expectEqual(t, "calls", tc.calls, w.calls())
			}
			if tc.events != nil {
				expectEqual(t, "events", tc.events, w.events())
			}
			if tc.gone {
				return
			}
			expectEqual(t, "finalizers", []string{v1alpha1.RevokeFinalizer}, w.binding().Finalizers)
			expectEqual(t, "reason", "RevocationBlocked", w.reason())
			if tc.conditions != nil {
				for i := range tc.conditions {
					tc.conditions[i].ObservedGeneration = w.binding().Generation
				}
				expectEqual(t, "conditions", tc.conditions, w.binding().Status.Conditions)
			}
		})
	}
}

func TestRemovalThatShowsLate(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 5 * time.Second })
	w.calls()
	w.delete()

	wait := w.reconcile()

	expectEqual(t, "reason", "Revoking", w.reason())
	expectEqual(t, "calls of the first run", operations{opUnrelate, opUser}, w.calls())
	w.clock.Advance(wait)
	wait = w.reconcile()
	expectEqual(t, "calls of the second run", operations{opUser}, w.calls())
	w.clock.Advance(wait + 5*time.Second)
	w.reconcile()
	expectEqual(t, "gone", true, w.gone())
}

// TestRemovalWaitsForAGrantUnderWay shows that an object whose grant nobody saw answered outlives the
// time in which that grant may still arrive, and that the removal is then sent once more.
func TestRemovalWaitsForAGrantUnderWay(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	w.reconcile()
	w.calls()
	w.delete()
	w.clock.Advance(time.Second)

	wait := w.reconcile()

	expectEqual(t, "wait", 39*time.Second, wait)
	expectEqual(t, "reason", "Revoking", w.reason())
	w.platform.SetRelation(john, acme, false) // The grant arrives.
	w.clock.Advance(wait)
	w.calls()
	w.reconcile()
	expectEqual(t, "calls", operations{opUnrelate, opUser}, w.calls())
	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestFinalizerWithoutClaim shows what becomes of a deleted object that has the finalizer and no claim: one that was never
// enforced, or that was restored from a backup, which has no status.
func TestFinalizerWithoutClaim(t *testing.T) {
	const undeclared = `Warning RevocationBlocked Get user shows that user "user_abc123def" has standard access to client "cust_789xyz", ` +
		"but no status says whether the operator gave that, as after a restore from a backup, and no other ClientBinding declares it. " +
		"Declare it with another ClientBinding, remove it in the Delos platform, or set deletionPolicy: Orphan"
	suspend := func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) }
	for name, tc := range map[string]struct {
		change  func(*v1alpha1.ClientBinding)
		arrange func(*world)
		gone    bool
		calls   operations
		events  []string
	}{
		"the status says that it is not ours": {
			change: suspend, arrange: func(w *world) { w.reconcile() }, gone: true,
			events: []string{"Normal NothingToRevoke Nothing was granted or adopted under this object, which was suspended, so nothing was revoked"},
		},
		"suspended, and never looked at": {change: suspend, calls: operations{opUser}, events: []string{undeclared}},
		"there is access":                {calls: operations{opUser}, events: []string{undeclared}},
		"there is none": {
			arrange: func(w *world) { w.platform.RemoveRelation(john, acme) }, gone: true, calls: operations{opUser},
			events: []string{"Normal NothingToRevoke Nothing was granted or adopted under this object, so nothing was revoked"},
		},
		"there is access, and it is to be left": {
			change: func(b *v1alpha1.ClientBinding) { b.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan }, gone: true,
			events: []string{`Warning Orphaned deletionPolicy is Orphan: the access of user "user_abc123def" to client "cust_789xyz" was left as it is`},
		},
		"the connection does not allow it": {
			arrange: func(w *world) { w.share(&v1alpha1.Allowed{CUIDs: []string{"other"}}) }, gone: true,
			events: []string{"Normal NothingToRevoke Nothing was granted or adopted under this object, so nothing was revoked"},
		},
		"another one holds the relation": {
			change: suspend, arrange: func(w *world) { w.bindIn(w.namespace, "second", nil).reconcile() }, gone: true,
			events: []string{`Normal HandedOver Nothing was revoked under this object: ClientBinding "second" declares the relation of user "user_abc123def" and client "cust_789xyz"`},
		},
		"a user who was deleted, and would be restored with it": {
			arrange: func(w *world) {
				w.platform.RemoveRelation(john, acme)
				w.platform.SoftDeleteUser(john)
			},
			calls:  operations{opUser},
			events: []string{`Warning RevocationBlocked User "user_abc123def" is deleted, but would have the relation again if restored: no status says whether the operator gave it. If the access is gone or is to stay, set deletionPolicy: Orphan and delete this ClientBinding. It has no status.claim, so it is let go after 10m0s, or at once with deletionPolicy: Orphan`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.platform.SetRelation(john, acme, false)
			w.bind(func(b *v1alpha1.ClientBinding) {
				if tc.change != nil {
					tc.change(b)
				}
				controllerutil.AddFinalizer(b, v1alpha1.RevokeFinalizer)
			})
			if tc.arrange != nil {
				tc.arrange(w)
			}
			w.delete()
			w.calls()
			w.events()

			w.reconcile()

			expectEqual(t, "gone", tc.gone, w.gone())
			expectEqual(t, "calls", tc.calls, w.calls())
			expectEqual(t, "events", tc.events, w.events())
		})
	}
}

// TestFinalizerWithoutClaimThatCannotBeRead: a mistyped connection does not hold an object for ever, and that it was let go unread is
// told.
func TestFinalizerWithoutClaimThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.bind(func(b *v1alpha1.ClientBinding) {
		b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "mistyped"}
		controllerutil.AddFinalizer(b, v1alpha1.RevokeFinalizer)
	})
	w.delete()
	w.reconcile()
	expectEqual(t, "gone at once", false, w.gone())
	w.events()
	w.clock.Advance(10 * time.Minute)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "events", []string{`Warning ReleasedUnread The operator could not read for 10m0s whether user "user_abc123def" has access to client "cust_789xyz", ` +
		"and no status says that the operator gave any. This object is let go: look in the Delos platform"}, w.events())
	counted, err := testutil.GatherAndCount(w.registry, "clientbinding_released_unread_total")
	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "connections for which it was counted", 1, counted)
}

func TestBlockedRevocationStallsAndGoesOn(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	outage := w.platform.Inject(delossim.Fault{Failure: delossim.Answer{Status: 503}})
	w.delete()
	w.reconcile()
	w.clock.Advance(10 * time.Minute)

	expectEqual(t, "wait", 10*time.Minute, w.reconcile())

	expectEqual(t, "reason", "RevocationBlocked", w.reason())
	outage.Remove()
	w.clock.Advance(10 * time.Minute)
	w.reconcile()
	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// witness is another user whom the account has confirmed, and who shows that it sees users at all.
func (w *world) witness() {
	w.t.Helper()
	binding := &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "witness"},
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: maria, CUID: globex},
	}
	w.create(binding)
	w.look(client.ObjectKeyFromObject(binding))
	w.calls()
	w.events()
}

// TestWhatWasLetGoIsToldOnce: a run that comes before the cache has learned that the object is gone tells nothing again.
func TestWhatWasLetGoIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.delete()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan })
	stale := w.binding()
	w.reconcile()
	w.events()
	reconciler := w.bindings()
	reconciler.Kube = interceptor.NewClient(clusterKube, interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			list.(*v1alpha1.ClientBindingList).Items = []v1alpha1.ClientBinding{*stale}
			return nil
		},
	})

	_, err := reconciler.Reconcile(t.Context(), connection.Relation{Host: w.host(), UserUUID: john, CUID: acme})

	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, "events", []string(nil), w.events())
}

func TestRevokedBindingThatAnotherFinalizerKeeps(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Finalizers = []string{"example.com/kept"} })
	w.reconcile()
	w.delete()
	w.clock.Advance(time.Second)

	w.reconcile()

	expectEqual(t, "finalizers", []string{"example.com/kept"}, w.binding().Finalizers)
	expectEqual(t, "ready", false, w.ready())
	expectEqual(t, "access", v1alpha1.AccessNone, w.binding().Status.Access)
}

func TestRemovalIsRepeatedAlthoughTheClockWasSetBack(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.clock.Advance(24 * time.Hour)
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.delete()
	lost := w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 200}})
	w.reconcile()
	lost.Remove()
	w.clock = clockwork.NewFakeClockAt(start)
	w.restart()
	w.reconcileConnection()
	w.reconcile()
	w.clock.Advance(showsWithin)

	w.reconcile()

	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestRemovalThatIsRefusedBecauseNothingIsThere: under which status the API says that there is nothing to remove is not
// documented, and so not the words either. Get user tells whether there is.
func TestRemovalThatIsRefusedBecauseNothingIsThere(t *testing.T) {
	for _, status := range []int{200, 400, 404, 409, 422} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.platform.Adjust(func(s *delossim.Settings) { s.RefuseAbsent, s.NotFoundStatus = true, status })
			w.bind(nil)
			w.reconcile()
			w.platform.RemoveRelation(john, acme)
			w.clock.Advance(time.Minute)
			w.delete()

			w.reconcile()

			expectEqual(t, "gone", true, w.gone())
		})
	}
}

func TestRemovalThatIsRefusedAlthoughSomethingIsThere(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 400, Body: `{"error": "Not today"}`}})
	w.delete()

	w.reconcile()

	expectEqual(t, "gone", false, w.gone())
	expectEqual(t, "message", "The access could not be removed yet. The Delos API calls the request invalid (HTTP 400): Not today. Tried again within a minute",
		meta.FindStatusCondition(w.binding().Status.Conditions, v1alpha1.ConditionReady).Message)
}
