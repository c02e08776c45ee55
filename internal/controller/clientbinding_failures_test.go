package controller

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

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
	message := "Last confirmed at 2026-03-01T12:00:00Z. The Delos API fails (HTTP 500). Tried again within a minute"
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions: []condition{
			ready("Unknown", "Unverified", message, 3*time.Hour),
			{Type: "Reconciling", Status: "True", Reason: "Unverified", Message: message, LastTransitionTime: at(3 * time.Hour)},
		},
		Access:            v1alpha1.AccessStandard,
		Claim:             w.claim(v1alpha1.OriginCreated),
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
			`The Delos API knows no user "user_abc123def": create the user there, or create a ClientBinding with the right userUUID and delete this one. Tried again within 10 minutes`,
			0, 12*time.Minute+4*time.Second),
		Access: v1alpha1.AccessNone,
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
		Conditions:         failingSince("APIUnavailable", "The Delos API fails (HTTP 500). Tried again within a minute", 0, time.Hour),
		Access:             v1alpha1.AccessNone,
		Claim: w.claim(v1alpha1.OriginCreated, v1alpha1.Call{
			Access: v1alpha1.AccessStandard, SentTime: at(0), Timeout: *duration(10 * time.Second), Settle: *duration(30 * time.Second),
		}, v1alpha1.Call{
			Access: v1alpha1.AccessOwner, SentTime: at(time.Hour), Timeout: *duration(10 * time.Second), Settle: *duration(30 * time.Second),
		}),
		User: &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
	})
}
