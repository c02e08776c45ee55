package controller

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// expired reports whether a binding's access has come to its end. What has expired stays so.
func expired(binding *v1alpha1.ClientBinding, now time.Time) bool {
	expires := binding.Spec.ExpiresAt
	return binding.Status.ExpiredTime != nil || expires != nil && !now.Before(expires.Time)
}

func (r *run) expired() bool { return expired(r.binding, r.now.Time) }

// latchExpiry records the expiry before anything is done about it: from then on the API server refuses to have
// the time moved.
func (r *run) latchExpiry(ctx context.Context) error {
	if r.binding.Status.ExpiredTime != nil {
		return nil
	}
	r.binding.Status.ExpiredTime = &r.now
	return r.patchStatus(ctx)
}

// restExpired ends the run of an expired binding that holds nothing: it was revoked, or it was made after its
// time and never granted anything.
func (r *run) restExpired(context.Context) error {
	if r.binding.Status.Claim != nil {
		return nil
	}
	if r.confirmed() {
		return r.conclude(outcome{silent: true})
	}
	r.binding.Status.Relation = nil
	r.binding.Status.LastConfirmedTime = &r.now
	return r.conclude(r.ended())
}

// expire ends the run of a binding whose access has been taken away.
func (r *run) expire(ctx context.Context, proof string) error {
	if err := r.patchFinalizer(ctx, controllerutil.RemoveFinalizer); err != nil {
		return err
	}
	r.binding.Status.Claim = nil
	r.binding.Status.LastConfirmedTime = &r.now
	end := r.ended()
	end.message += ". " + proof
	return r.conclude(end)
}

func (r *run) ended() outcome {
	at := r.binding.Status.ExpiredTime
	if expires := r.binding.Spec.ExpiresAt; expires != nil {
		at = expires
	}
	return outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonExpired, settled: true, final: true,
		message: fmt.Sprintf("Expired at %s: this object gives no access", at.UTC().Format(time.RFC3339))}
}
