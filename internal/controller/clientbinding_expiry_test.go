package controller

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// until makes the world's binding end after a time of the test.
func until(after time.Duration) func(*v1alpha1.ClientBinding) {
	return func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(metav1.NewTime(start.Add(after))) }
}

func TestExpiry(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(2 * time.Minute))

	expectEqual(t, "wait", 2*time.Minute, w.reconcile())

	w.clock.Advance(2 * time.Minute)
	w.calls()
	w.events()
	expectEqual(t, "wait once expired", time.Duration(0), w.reconcile())
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions: []condition{ready("True", "Expired",
			`Expired at 2026-03-01T12:02:00Z. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"`, 0)},
		Access:            v1alpha1.AccessNone,
		User:              &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		ObservedExpiry:    &v1alpha1.ObservedExpiry{ExpiresAt: at(2 * time.Minute)},
		ExpiredTime:       ref(at(2 * time.Minute)),
		LastConfirmedTime: ref(at(2 * time.Minute)),
	})
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
	expectEqual(t, "calls", operations{opUnrelate, opUser}, w.calls())
	expectEqual(t, "events", []string{revokedByAbsence}, w.events())
	expectEqual(t, "finalizers", []string(nil), w.binding().Finalizers)
}

func TestExpiredBindingIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Minute))
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.reconcile()
	w.platform.SetRelation(john, acme, true) // Another system grants.
	w.restart()
	w.reconcileConnection()
	w.calls()
	before := w.binding()

	expectEqual(t, "wait", time.Duration(0), w.reconcile())

	expectEqual(t, "calls", operations(nil), w.calls())
	expectEqual(t, "resource version", before.ResourceVersion, w.binding().ResourceVersion)
	w.delete()
	w.reconcile()
	expectEqual(t, "relations after the deletion", map[string]bool{acme: true}, w.platform.Relations(john))
}

// TestBindingMadeAfterItsTime shows that an expired object which Git brings back grants nothing.
func TestBindingMadeAfterItsTime(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(-time.Hour))

	w.reconcile()

	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions: []condition{ready("True", "Expired",
			`Expired at 2026-03-01T11:00:00Z. Get user shows that user "user_abc123def" has no access to client "cust_789xyz"`, 0)},
		Access:            v1alpha1.AccessNone,
		User:              &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		ObservedExpiry:    &v1alpha1.ObservedExpiry{ExpiresAt: at(-time.Hour)},
		ExpiredTime:       ref(at(0)),
		LastConfirmedTime: ref(at(0)),
	})
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
	expectEqual(t, "calls", operations{opUser}, w.calls())
}

// TestAccessThatOutlivesItsRecord shows that an expired object which knows of no grant, since its status was lost
// or Git brought it back, neither revokes what is there nor says that all is well.
func TestAccessThatOutlivesItsRecord(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.SetRelation(john, acme, false)
	w.bind(until(-time.Hour))

	w.reconcile()

	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions: stuck("Expired", `Expired at 2026-03-01T11:00:00Z. Get user shows that user "user_abc123def" has standard access to client "cust_789xyz", `+
			`which this object did not give and does not revoke: remove it in the Delos platform, or declare it with another ClientBinding. Tried again within 10 minutes`, 0, 0),
		Access:         v1alpha1.AccessStandard,
		User:           &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		ObservedExpiry: &v1alpha1.ObservedExpiry{ExpiresAt: at(-time.Hour)},
		ExpiredTime:    ref(at(0)),
	})
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))

	renewal := w.bindIn(w.namespace, "renewal", nil)
	w.clock.Advance(10 * time.Minute)
	w.reconcile()
	expectEqual(t, "reason once it is declared", "Expired", w.reason())
	expectEqual(t, "ready once it is declared", true, w.ready())

	if err := w.kube.Delete(t.Context(), renewal.get()); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	expectEqual(t, "relations once nobody declares it any more", map[string]bool{}, w.platform.Relations(john))
}

func TestExpiryOfASuspendedBindingRevokes(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Minute))
	w.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.Suspend = ref(true) })
	w.clock.Advance(time.Minute)

	w.reconcile()

	expectEqual(t, "reason", "Expired", w.reason())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestHinderedExpiry shows that an expiry says what hinders it, and that moving the time does not undo it.
func TestHinderedExpiry(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Minute))
	w.reconcile()
	outage := w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 500}})
	w.clock.Advance(time.Minute)

	expectEqual(t, "wait", 2*time.Second, w.reconcile())

	expectEqual(t, "reason", "RevocationBlocked", w.reason())
	binding := w.binding()
	binding.Spec.ExpiresAt = ref(at(time.Hour))
	if err := w.kube.Update(t.Context(), binding); err == nil {
		t.Error("the time could be moved after it had passed")
	}
	outage.Remove()
	w.clock.Advance(2 * time.Second)
	w.reconcile()
	expectEqual(t, "reason while a removal may still arrive", "Revoking", w.reason())
	w.clock.Advance(38 * time.Second)
	w.reconcile()
	expectEqual(t, "reason after the outage", "Expired", w.reason())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

func TestTimeMayBeMovedBeforeItHasCome(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Minute))
	w.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.ExpiresAt = ref(at(2 * time.Minute)) })
	w.clock.Advance(time.Minute)

	expectEqual(t, "wait", time.Minute, w.reconcile())

	expectEqual(t, "reason", "Bound", w.reason())
}

// TestNewObjectRenewsAnExpiredOne shows that an expired binding neither holds a relation nor takes it from another.
func TestNewObjectRenewsAnExpiredOne(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Minute))
	w.reconcile()
	w.clock.Advance(time.Minute)
	renewal := w.bindIn(w.namespace, "renewal", nil)
	renewal.reconcile()
	expectEqual(t, "reason of the new one", "Bound", renewal.ready().Reason)
	w.calls()

	w.reconcile()

	expectEqual(t, "reason of the expired one", "Expired", w.reason())
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
	expectEqual(t, "calls", operations(nil), w.calls())
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
	expectEqual(t, "reason before", "Unclaimed", w.reason())
	w.clock.Advance(2 * time.Minute)

	w.reconcile()

	expectEqual(t, "reason", "Expired", w.reason())
	expectEqual(t, "ready", false, w.ready())
}
