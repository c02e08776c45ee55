package controller

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// The tests of this file are about what happens between the lines: two workers at once, a clock that is set back,
// an answer that never comes, others who hold on to an object. In each of them access would otherwise be left
// behind, or be reported as what it is not.

// interrupted is a Kubernetes client that lets something happen right after the next List.
type interrupted struct {
	client.Client
	then func()
}

func (i *interrupted) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := i.Client.List(ctx, list, options...)
	if then := i.then; then != nil {
		i.then = nil
		then()
	}
	return err
}

// withoutSecrets is a Kubernetes client that may not read Secrets.
type withoutSecrets struct{ client.Client }

func (c withoutSecrets) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, secret := object.(*corev1.Secret); secret {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, key.Name, nil)
	}
	return c.Client.Get(ctx, key, object, options...)
}

// ready reports whether the binding says that all is as declared.
func (w *world) ready() bool {
	w.t.Helper()
	return meta.IsStatusConditionTrue(w.binding().Status.Conditions, v1alpha1.ConditionReady)
}

func TestExpiryOfABindingThatOnlyLooked(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.SetRelation(john, acme, false)
	w.bind(func(b *v1alpha1.ClientBinding) {
		until(time.Minute)(b)
		b.Spec.Suspend = ref(true)
	})
	w.reconcile()
	expectEqual(t, "reason before", "Bound", w.reason())
	w.clock.Advance(2 * time.Minute)

	w.reconcile()

	expectEqual(t, "reason", "Expired", w.reason())
	expectEqual(t, "ready", false, w.ready())
}

// TestHeirThatCannotTakeOver shows that nobody can hold up the end of somebody's access: not at all with a
// connection that does not work, and not for long with one of which that is not known.
func TestHeirThatCannotTakeOver(t *testing.T) {
	for name, end := range map[string]func(*world){
		"deletion": func(w *world) { w.delete() },
		"expiry":   func(w *world) { w.clock.Advance(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(func(b *v1alpha1.ClientBinding) {
				until(time.Hour)(b)
				b.Spec.IsOwner = true
			})
			w.reconcile()
			heir := w.rivalIn(w.anotherNamespace(), "second", nil) // Nobody has looked at its connection.
			end(w)
			w.reconcile()
			heir.reconcile()
			expectEqual(t, "relations while the heir may still come", map[string]bool{acme: true}, w.platform.Relations(john))
			w.clock.Advance(10 * time.Minute)

			w.reconcile()

			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
		})
	}
}

func TestHeirWhoseConnectionDoesNotWork(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Hour))
	w.reconcile()
	namespace := w.anotherNamespace()
	w.rivalIn(namespace, "second", nil)
	connections := &APIConnectionReconciler{Kube: w.kube, Pool: w.pool, Events: w.recorder, Schedule: w.schedule()}
	if _, err := connections.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: "default"}}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)

	w.reconcile()

	expectEqual(t, "reason", "Expired", w.reason())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestHandoverToOneThatWasReadyBefore shows that an heir counts only once it has looked at what the other one left.
func TestHandoverToOneThatWasReadyBefore(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner, b.Spec.Suspend = true, ref(true) })
	second := w.rivalIn(w.namespace, "second", nil)
	second.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.Suspend = nil })
	w.clock.Advance(time.Minute)
	w.reconcile() // Promotes; the operator ends before it looks at the second.
	w.delete()
	w.restart()
	w.reconcileConnection()
	w.clock.Advance(time.Minute)

	w.reconcile()
	expectEqual(t, "gone before the heir has looked", false, w.gone())
	second.reconcile()
	w.clock.Advance(time.Minute)
	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the heir", "Bound", second.ready().Reason)
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestHolderLooksAgainAfterARivalWrote: the holder's connection is made anew, and meanwhile another binding was
// first in line.
func TestHolderLooksAgainAfterARivalWrote(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Name = "other" })
	other := &APIConnectionReconciler{Kube: w.kube, Pool: w.pool, Events: w.recorder, Schedule: w.schedule()}
	if _, err := other.Reconcile(t.Context(), w.request("other")); err != nil {
		t.Fatal(err)
	}
	w.bind(nil)
	w.reconcile()
	second := w.rivalIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) {
		b.Spec.IsOwner, b.Spec.ConnectionRef = true, &v1alpha1.ConnectionReference{Name: "other"}
	})
	w.loseConnection()
	w.clock.Advance(10 * time.Minute)
	second.reconcile()
	expectEqual(t, "relations meanwhile", map[string]bool{acme: true}, w.platform.Relations(john))
	w.createConnection(nil)
	w.reconcileConnection()
	w.clock.Advance(time.Second)

	w.reconcile()

	expectEqual(t, "ready", true, w.ready())
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestSuccessorThatComesDuringTheRemoval: a binding is renamed in Git, so that the new one looks while the old one's
// removal is under way.
func TestSuccessorThatComesDuringTheRemoval(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.delete()
	w.clock.Advance(time.Second)
	var renamed *rival
	plain := w.kube
	w.kube = &interrupted{Client: plain, then: func() {
		renamed = w.rivalIn(w.namespace, "renamed", nil)
		renamed.reconcile()
	}}
	w.reconcile()
	w.kube = plain

	for range 2 {
		w.clock.Advance(time.Minute)
		renamed.reconcile()
		w.reconcile()
	}

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the new one", "Bound", renamed.ready().Reason)
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestSecretThatCannotBeRead shows that an operator which lost a right says so, on the connection and on what waits.
func TestSecretThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.restart()
	w.kube = withoutSecrets{w.kube}
	w.clock.Advance(4 * time.Hour)
	w.reconcile()
	expectEqual(t, "reason before the connection was looked at", "Unverified", w.reason())

	w.reconcileConnection()
	w.delete()
	w.reconcile()

	expectEqual(t, "reason of the connection", "SecretUnreadable", w.connectionReason())
	expectEqual(t, "reason of the binding", "RevocationBlocked", w.reason())
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
	expectEqual(t, "relation", (*v1alpha1.Relation)(nil), w.binding().Status.Relation)
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

// TestDeletedUserWhoWouldRegainAccess: a restored user has what was not removed.
func TestDeletedUserWhoWouldRegainAccess(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.SoftDeleteUser(john)
	w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 404, Body: `{"error":"User not found: ` + john + `"}`}})
	w.delete()

	w.reconcile()

	expectEqual(t, "gone", false, w.gone())
	expectEqual(t, "reason", "RevocationBlocked", w.reason())
}

// TestStarvedBindingIsNotVouchedFor: others use up the rate, so that a binding is not looked at for long.
func TestStarvedBindingIsNotVouchedFor(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": password})
	w.createConnection(func(c *v1alpha1.APIConnection) {
		c.Spec.Interval = duration(time.Second)
		c.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 1, Burst: 1}
	})
	w.reconcileConnection()
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
	expectEqual(t, "message", "The access could not be removed yet. The Delos API calls the request invalid (HTTP 400): Not today. Next try at 2026-03-01T12:01:02Z",
		meta.FindStatusCondition(w.binding().Status.Conditions, v1alpha1.ConditionReady).Message)
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

// TestHandoverWaitsForAGrantUnderWay: whoever takes the relation over knows nothing of a grant that the other one sent
// without seeing an answer. It could be gone itself before that arrives.
func TestHandoverWaitsForAGrantUnderWay(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	w.bind(nil)
	w.reconcile()
	second := w.rivalIn(w.namespace, "second", nil)
	w.delete()
	w.clock.Advance(time.Second)
	second.reconcile()
	expectEqual(t, "reason of the heir", "Bound", second.ready().Reason)
	w.clock.Advance(time.Second)

	wait := w.reconcile()
	expectEqual(t, "gone while the grant may still arrive", false, w.gone())
	if err := w.kube.Delete(t.Context(), second.get()); err != nil {
		t.Fatal(err)
	}
	second.reconcile()
	w.platform.SetRelation(john, acme, false) // It arrives.
	w.clock.Advance(wait)
	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestDeletedUserWhoWasGivenAccessAgain: the removal was accepted, but what Get user lists would give access again if
// the user were restored.
func TestDeletedUserWhoWasGivenAccessAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.delete()
	w.platform.Inject(delossim.Fault{Op: opUser, Times: 1, Failure: delossim.Answer{Status: 500}})
	w.reconcile()
	w.platform.SetRelation(john, acme, true)
	w.platform.SoftDeleteUser(john)
	w.clock.Advance(2 * time.Second)

	w.reconcile()
	expectEqual(t, "gone", false, w.gone())
	w.clock.Advance(time.Minute)
	w.reconcile()

	expectEqual(t, "gone at last", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestDeletedUserWhoseRelationsAreNotListed: that a user is deleted is no proof that the relation was removed.
func TestDeletedUserWhoseRelationsAreNotListed(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.SoftDeleteUser(john)
	w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 404, Body: `{"error":"User not found: ` + john + `"}`}})
	w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Answer{Body: `{"item":{"uuid":"` + john + `","isDeleted":true}}`}})
	w.delete()

	w.reconcile()

	expectEqual(t, "gone", false, w.gone())
	expectEqual(t, "reason", "RevocationBlocked", w.reason())
}
