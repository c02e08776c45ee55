package controller

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// TestLedger counts revocations over time: never are more let through within any span than its limit says.
func TestLedger(t *testing.T) {
	const span = time.Hour
	connection := &v1alpha1.APIConnection{Spec: v1alpha1.APIConnectionSpec{
		Revocations: &v1alpha1.RevocationLimit{Max: ref(int32(3)), Per: duration(span)},
	}}
	var let []time.Time
	for now := start; now.Before(start.Add(10 * span)); now = now.Add(time.Minute) {
		ledger := newLedger(connection, metav1.NewTime(now))
		through, until := ledger.let()
		connection.Status.Revocations = ledger.status
		if through {
			let = append(let, now)
			continue
		}
		if wait := until.Sub(now); wait <= 0 || wait > span+span/ledgerSteps {
			t.Fatalf("at %s it is to wait %s", now, wait)
		}
	}
	for i := range let[3:] {
		if within := let[i+3].Sub(let[i]); within < span {
			t.Errorf("4 within %s", within)
		}
	}
	if len(let) < 27 || len(let) > 30 {
		t.Errorf("%d were let through in 10 spans, want hardly less than 30", len(let))
	}
}

// TestLedgerStaysShort: its entries fit into the status, also when the span is made longer.
func TestLedgerStaysShort(t *testing.T) {
	connection := &v1alpha1.APIConnection{Spec: v1alpha1.APIConnectionSpec{
		Revocations: &v1alpha1.RevocationLimit{Max: ref(int32(100000)), Per: duration(time.Hour)},
	}}
	sum := int32(0)
	for i := range 200 {
		if i == 20 {
			connection.Spec.Revocations.Per = duration(24 * time.Hour)
		}
		ledger := newLedger(connection, metav1.NewTime(start.Add(time.Duration(i)*5*time.Minute)))
		ledger.let()
		connection.Status.Revocations = ledger.status
		if got := len(ledger.status.Recent); got > mostEntries {
			t.Fatalf("%d entries", got)
		}
	}
	for _, entry := range connection.Status.Revocations.Recent {
		sum += entry.Count
	}
	if sum < 187 {
		t.Errorf("%d are counted, and at least the 187 since the span was made longer have to be", sum)
	}
}

// braked is a world whose connection lets so many revocations through in an hour, and has bindings named john-0 on,
// each of a client of its own, all deleted.
func braked(t *testing.T, most int32, deleted int) *world {
	t.Helper()
	w := newWorld(t)
	w.connect()
	connection := w.connection()
	w.edit(connection, func() {
		connection.Spec.Revocations = &v1alpha1.RevocationLimit{Max: &most, Per: duration(time.Hour)}
	})
	for i := range deleted {
		name := fmt.Sprintf("john-%d", i)
		w.platform.AddClient(name)
		w.create(&v1alpha1.ClientBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			Spec:       v1alpha1.ClientBindingSpec{UserUUID: john, CUID: name},
		})
		w.reconcileUsage()
		w.reconcileNamed(name)
	}
	for i := range deleted {
		w.deleteNamed(fmt.Sprintf("john-%d", i))
	}
	w.calls()
	w.events()
	return w
}

func (w *world) named(name string) *v1alpha1.ClientBinding {
	object := &v1alpha1.ClientBinding{}
	if err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, object); err != nil {
		return nil
	}
	return object
}

func (w *world) reconcileNamed(name string) ctrl.Result {
	w.t.Helper()
	result, err := w.lookWith(w.t.Context(), w.request(name).NamespacedName)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

func (w *world) deleteNamed(name string) {
	w.t.Helper()
	if err := w.kube.Delete(w.t.Context(), w.named(name)); err != nil {
		w.t.Fatal(err)
	}
}

// reconcileDeleted looks at all bindings that are left and returns how many there then are.
func (w *world) reconcileDeleted(of int) (left int) {
	w.t.Helper()
	for i := range of {
		name := fmt.Sprintf("john-%d", i)
		if w.named(name) == nil {
			continue
		}
		w.reconcileNamed(name)
		if w.named(name) != nil {
			left++
		}
	}
	w.reconcileUsage()
	return left
}

func TestBrakeHoldsDeletionsAboveTheLimit(t *testing.T) {
	w := braked(t, 2, 3)

	expectEqual(t, "left", 1, w.reconcileDeleted(3))

	held := w.named("john-2")
	message := "The access stays for now: as many ClientBindings were deleted as spec.revocations of APIConnection " + w.namespace +
		"/default lets through (2 per 1h0m0s). If that is meant, approve it there with the annotation access.delos.financial/approvedRevocations"
	expectEqual(t, "conditions", failing("RevocationHeld", message, 0)[1], func() condition {
		got := held.Status.Conditions[1]
		got.ObservedGeneration = 0
		return got
	}())
	expectEqual(t, "calls", operations{opUnrelate, opUser, opUnrelate, opUser}, w.calls())
	expectEqual(t, "events", []string{
		`Normal Revoked Get user shows that user "user_abc123def" has no access to client "john-0"`,
		`Normal Revoked Get user shows that user "user_abc123def" has no access to client "john-1"`,
		"Warning RevocationHeld " + message,
	}, w.events())
	connection := w.connection()
	expectEqual(t, "held", ref(int32(1)), connection.Status.RevocationsHeld)
	expectEqual(t, "recent", []v1alpha1.RevocationCount{{Since: at(0), Count: 2}}, connection.Status.Revocations.Recent)
}

// TestBrakeCountsExpiriesThatWereBroughtForward: an end of which the operator learns less than a span before it, or after it,
// is counted like a deletion; one with which the access was given, or which was declared in time, is not.
func TestBrakeCountsExpiriesThatWereBroughtForward(t *testing.T) {
	const span = time.Hour
	expire := func(after time.Duration) func(*world) {
		return func(w *world) {
			binding := w.binding()
			w.edit(binding, func() { binding.Spec.ExpiresAt = ref(at(after)) })
			w.reconcile()
		}
	}
	unseen := func(after time.Duration) func(*world) {
		return func(w *world) {
			binding := w.binding()
			w.edit(binding, func() { binding.Spec.ExpiresAt = ref(at(after)) })
		}
	}
	wait := func(until time.Duration) func(*world) {
		return func(w *world) {
			w.clock.Advance(until - w.clock.Now().Sub(start))
			w.reconcileConnection()
		}
	}
	unrecorded := func(w *world) {
		binding := w.binding()
		binding.Status.ObservedExpiry = nil
		if err := w.kube.Status().Update(w.t.Context(), binding); err != nil {
			w.t.Fatal(err)
		}
	}
	forever := func(*v1alpha1.ClientBinding) {}
	cases := map[string]struct {
		made  func(*v1alpha1.ClientBinding)
		there bool
		steps []func(*world)
		want  string
	}{
		"given with a short end":                 {made: until(time.Minute), steps: []func(*world){wait(time.Minute)}, want: "Expired"},
		"adopted with a short end":               {made: until(time.Minute), there: true, steps: []func(*world){wait(time.Minute)}, want: "RevocationHeld"},
		"adopted with an end far enough":         {made: until(span), there: true, steps: []func(*world){wait(span)}, want: "Expired"},
		"moved into the past":                    {made: until(24 * time.Hour), steps: []func(*world){expire(-time.Hour)}, want: "RevocationHeld"},
		"moved to within a span":                 {made: until(24 * time.Hour), steps: []func(*world){expire(span - time.Second), wait(span)}, want: "RevocationHeld"},
		"moved to a span ahead":                  {made: until(24 * time.Hour), steps: []func(*world){expire(span), wait(span)}, want: "Expired"},
		"none before, and then in the past":      {made: forever, steps: []func(*world){expire(-time.Hour)}, want: "RevocationHeld"},
		"none before, and then a span ahead":     {made: forever, steps: []func(*world){expire(span), wait(span)}, want: "Expired"},
		"in small steps":                         {made: until(24 * time.Hour), steps: []func(*world){expire(2 * span), wait(span + time.Minute), expire(2*span - time.Minute), wait(2 * span)}, want: "RevocationHeld"},
		"later only":                             {made: until(time.Minute), steps: []func(*world){expire(2 * time.Minute), wait(2 * time.Minute)}, want: "Expired"},
		"later, and back at the last moment":     {made: until(2 * span), steps: []func(*world){expire(24 * time.Hour), wait(2*span - time.Minute), expire(2 * span), wait(2 * span)}, want: "RevocationHeld"},
		"later and back, which nobody saw":       {made: until(span), steps: []func(*world){unseen(2 * span), unseen(span), wait(span)}, want: "Expired"},
		"moved while the operator was down":      {made: until(24 * time.Hour), steps: []func(*world){unseen(time.Minute), wait(time.Hour)}, want: "RevocationHeld"},
		"passed while the operator was down":     {made: until(time.Minute), steps: []func(*world){wait(24 * time.Hour)}, want: "Expired"},
		"from before the end was recorded":       {made: until(2 * span), steps: []func(*world){unrecorded, wait(2 * span)}, want: "RevocationHeld"},
		"brought forward, and put back in time":  {made: until(24 * time.Hour), steps: []func(*world){expire(-time.Hour), expire(24 * time.Hour)}, want: "Bound"},
		"deleted, and its end comes as declared": {made: until(time.Minute), steps: []func(*world){(*world).delete, wait(time.Minute)}, want: ""},
		"deleted before its end":                 {made: until(time.Minute), steps: []func(*world){(*world).delete}, want: "RevocationHeld"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := braked(t, 0, 0)
			if tc.there {
				w.platform.SetRelation(john, acme, false)
			}
			w.bind(tc.made)
			w.reconcile()
			for _, step := range tc.steps {
				step(w)
			}

			w.reconcile()

			got := ""
			if w.named("john") != nil {
				got = w.reason()
			}
			expectEqual(t, "reason", tc.want, got)
			has := tc.want == "RevocationHeld" || tc.want == "Bound"
			expectEqual(t, "access", has, len(w.platform.Relations(john)) > 0)
		})
	}
}

// TestHeldExpiryIsCountedAndApproved: it says what it waits for, is told in the metrics and on the connection, and is over
// once it is approved.
func TestHeldExpiryIsCountedAndApproved(t *testing.T) {
	w := braked(t, 0, 0)
	w.bind(until(24 * time.Hour))
	w.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.ExpiresAt = ref(at(-time.Hour)) })
	w.reconcile()
	w.reconcileUsage()

	message := w.binding().Status.Conditions[0].Message
	if want := "The access stays for now: as many ClientBindings were deleted, or had expiresAt brought forward, as spec.revocations of APIConnection " +
		w.namespace + "/default lets through (0 per 1h0m0s). If that is meant, approve it there with the annotation " +
		"access.delos.financial/approvedRevocations; if not, put the former expiresAt back"; message != want {
		t.Errorf("message %q, want %q", message, want)
	}
	expectEqual(t, "held", ref(int32(1)), w.connection().Status.RevocationsHeld)
	expectEqual(t, "expired", (*metav1.Time)(nil), w.binding().Status.ExpiredTime)
	expectEqual(t, "counted", []metrics.Binding{{
		State: "Reconciling", Reason: "RevocationHeld", Revoking: "RevocationHeld", Due: at(-time.Hour).Time, Unrevoked: true,
	}}, w.counted())

	w.approve("1@noon")
	w.reconcile()

	expectEqual(t, "reason", "Expired", w.reason())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

func TestBrakeLetsMoreThroughWhenTheWindowMoves(t *testing.T) {
	w := braked(t, 2, 3)
	w.reconcileDeleted(3)
	w.restart()
	w.reconcileConnection()
	wait := w.reconcileNamed("john-2").RequeueAfter
	w.clock.Advance(wait - time.Second)
	expectEqual(t, "left before", 1, w.reconcileDeleted(3))
	w.clock.Advance(time.Second)

	expectEqual(t, "left", 0, w.reconcileDeleted(3))

	expectEqual(t, "wait", time.Hour+3*time.Minute, wait)
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

func (w *world) approve(value string) {
	w.t.Helper()
	connection := w.connection()
	w.edit(connection, func() {
		connection.Annotations = map[string]string{v1alpha1.ApprovedRevocationsAnnotation: value}
	})
}

func TestApprovedRevocationsGoThroughOnce(t *testing.T) {
	w := braked(t, 0, 4)
	expectEqual(t, "left without", 4, w.reconcileDeleted(4))
	w.events()
	w.approve("2@noon")

	expectEqual(t, "left", 2, w.reconcileDeleted(4))

	expectEqual(t, "approval", &v1alpha1.RevocationApproval{Value: "2@noon", Time: at(0), Remaining: ref(int32(0))}, w.connection().Status.Revocations.Approval)
	expectEqual(t, "first event", "Normal RevocationsApproved 2 revocations above what spec.revocations allows were approved, for 1h0m0s", w.events()[0])
	w.restart()
	w.reconcileConnection()
	expectEqual(t, "left after a restart", 2, w.reconcileDeleted(4))
	w.approve("1@one")
	expectEqual(t, "left after another", 1, w.reconcileDeleted(4))
}

func TestApprovalLapses(t *testing.T) {
	w := braked(t, 0, 1)
	w.approve("5@noon")
	w.reconcileUsage()
	w.clock.Advance(time.Hour)

	expectEqual(t, "left", 1, w.reconcileDeleted(1))

	expectEqual(t, "remaining", ref(int32(5)), w.connection().Status.Revocations.Approval.Remaining)
}

func TestApprovalThatCannotBeRead(t *testing.T) {
	for _, value := range []string{"all", "-1", "2 of them", "99999999", "@noon"} {
		t.Run(value, func(t *testing.T) {
			w := braked(t, 0, 1)
			w.approve(value)

			w.reconcileUsage()

			expectEqual(t, "left", 1, w.reconcileDeleted(1))
			expectEqual(t, "event", "Warning ApprovalInvalid The annotation access.delos.financial/approvedRevocations approves nothing: it must begin with the number of revocations to approve, as in 25@2026-03-01T12:00:00Z", w.events()[0])
		})
	}
}

// TestRevocationIsCountedOnce: one that the API fails is not counted again at its next try.
func TestRevocationIsCountedOnce(t *testing.T) {
	w := braked(t, 2, 2)
	w.platform.Inject(delossim.Fault{Op: opUnrelate, Times: 1, Failure: delossim.Answer{Status: 500}})
	expectEqual(t, "left after a failure", 1, w.reconcileDeleted(2))
	expectEqual(t, "left while a removal may still arrive", 1, w.reconcileDeleted(2))
	w.clock.Advance(40 * time.Second)

	expectEqual(t, "left", 0, w.reconcileDeleted(2))
}

// TestBrakeLeavesTheRestAlone: what does not revoke, and what expires, is neither counted nor held.
func TestBrakeLeavesTheRestAlone(t *testing.T) {
	cases := map[string]func(*world){
		"an expiry": func(w *world) {
			w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
			w.reconcile()
			w.clock.Advance(time.Minute)
		},
		"access that is left behind": func(w *world) {
			w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan })
			w.reconcile()
			w.delete()
		},
		"nothing to revoke": func(w *world) {
			w.bind(func(b *v1alpha1.ClientBinding) {
				b.Spec.Suspend = ref(true)
				b.Finalizers = []string{v1alpha1.RevokeFinalizer}
			})
			w.delete()
		},
	}
	for name, arrange := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			connection := w.connection()
			w.edit(connection, func() {
				connection.Spec.Revocations = &v1alpha1.RevocationLimit{Max: ref(int32(0)), Per: duration(time.Hour)}
			})
			arrange(w)

			w.reconcile()

			if binding := w.find(); binding != nil && binding.Status.Claim != nil {
				t.Errorf("it was held: %+v", binding.Status)
			}
			expectEqual(t, "ledger", (*v1alpha1.RevocationStatus)(nil), w.connection().Status.Revocations)
		})
	}
}
