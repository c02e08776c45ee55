package controller

import (
	"context"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/jonboulle/clockwork"

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
		"already removed by somebody else": {
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
				`The Delos API did not accept the removal, and Get user shows user "user_abc123def" without a whole list of clients, which proves nothing. Tried again within a minute`, time.Minute, time.Minute),
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
			arrange: func(w *world) { w.platform.RemoveUser(john) },
			gone:    true,
			calls:   operations{opUnrelate, opUser},
			events:  []string{`Normal Revoked The Delos API knows user "user_abc123def" no longer`},
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
			conditions: hinderedBy("UserNotFound", failingSince("RevocationBlocked", notRemoved+
				`The Delos API knows no user "user_abc123def": create the user there, or create a ClientBinding with the right userUUID and delete this one. Tried again within a minute`, time.Minute, time.Minute)),
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

	expectEqual(t, "wait", 19*time.Second, wait)
	expectEqual(t, "reason", "Revoking", w.reason())
	w.platform.SetRelation(john, acme, false) // The grant arrives.
	w.clock.Advance(wait)
	w.calls()
	w.reconcile()
	expectEqual(t, "calls", operations{opUnrelate, opUser}, w.calls())
	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

func TestObjectWithoutClaimRevokesNothing(t *testing.T) {
	cases := map[string]func(*v1alpha1.ClientBinding){
		"never left suspension":    func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) },
		"was deleted before a run": func(*v1alpha1.ClientBinding) {},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.platform.SetRelation(john, acme, false)
			w.bind(func(b *v1alpha1.ClientBinding) {
				change(b)
				controllerutil.AddFinalizer(b, v1alpha1.RevokeFinalizer)
			})
			if w.binding().Spec.Suspend != nil {
				w.reconcile()
			}
			w.events()
			w.delete()

			w.reconcile()

			expectEqual(t, "gone", true, w.gone())
			expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
			expectEqual(t, "events", []string{"Normal NothingToRevoke Nothing was granted or adopted under this object, so nothing was revoked"}, w.events())
		})
	}
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
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
			stale.DeepCopyInto(object.(*v1alpha1.ClientBinding))
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
