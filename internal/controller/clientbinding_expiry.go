package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// expired reports whether a binding's access has come to its end. What has expired stays so.
func expired(binding *v1alpha1.ClientBinding, now time.Time) bool {
	expires := binding.Spec.ExpiresAt
	return binding.Status.ExpiredTime != nil || expires != nil && !now.Before(expires.Time)
}

func (r *run) expired() bool { return expired(r.binding, r.now.Time) }

// noteExpiry notes which end of the access is declared, and since when. An earlier end than before is news; a later one is
// not, since it takes nothing away.
func (r *run) noteExpiry() {
	expires, status := r.binding.Spec.ExpiresAt, &r.binding.Status
	switch seen := status.ObservedExpiry; {
	case expires == nil:
		status.ObservedExpiry = nil
	case seen == nil, expires.Before(&seen.ExpiresAt):
		status.ObservedExpiry = &v1alpha1.ObservedExpiry{ExpiresAt: *expires}
		if status.Claim != nil {
			status.ObservedExpiry.DeclaredTime = &r.now
		}
	default:
		seen.ExpiresAt = *expires
	}
}

// hastened reports whether the end of the access was brought forward, to less than a notice after the operator saw that.
func (r *run) hastened(notice time.Duration) bool {
	seen := r.binding.Status.ObservedExpiry
	return seen == nil || seen.DeclaredTime != nil && seen.ExpiresAt.Sub(seen.DeclaredTime.Time) < notice
}

// latchDeclaredExpiry latches an expiry with which the access was given, which no brake holds.
func (r *run) latchDeclaredExpiry(ctx context.Context) error {
	if seen := r.binding.Status.ObservedExpiry; seen == nil || seen.DeclaredTime != nil {
		return nil
	}
	return r.latchExpiry(ctx)
}

// latchExpiry records the expiry before anything is done about it: from then on the API server refuses to have
// the time moved.
func (r *run) latchExpiry(ctx context.Context) error {
	if r.binding.Status.ExpiredTime != nil {
		return nil
	}
	r.binding.Status.ExpiredTime = &r.now
	return r.patchStatus(ctx)
}

// restExpired ends the run when it was read back that the expired binding's access is gone, unless a person asks.
// Access that was left because another binding declares it is looked at again, since that one may go.
func (r *run) restExpired(context.Context) error {
	ready := meta.FindStatusCondition(r.was.Conditions, v1alpha1.ConditionReady)
	gone := r.confirmed() && ready.Reason == v1alpha1.ReasonExpired && r.was.Access == v1alpha1.AccessNone
	if gone && !r.was.RunRequested(r.binding.Annotations) {
		return r.conclude(outcome{silent: true})
	}
	return nil
}

// observeEnd reads whether there is access that an expired binding without a claim is thought to have ended. It
// revokes nothing, since it has granted nothing that it knows of: it was made after its time, or its status was lost.
func (r *run) observeEnd(ctx context.Context) error {
	user, err := r.session.User(ctx, r.binding.Spec.UserUUID)
	var failure *delos.Error
	switch {
	case errors.As(err, &failure) && failure.ProvesUserGone():
		r.seeNobody(err)
		return r.over(fmt.Sprintf("The Delos API knows no user %q", r.binding.Spec.UserUUID))
	case err != nil:
		return r.fail(ctx, err)
	}
	if err := r.see(user); err != nil {
		return r.fail(ctx, err)
	}
	if !r.related() && user.Foreign {
		return r.conclude(outcome{reason: v1alpha1.ReasonUnexpectedAnswer, message: r.ended() + ". " + r.foreign()})
	}
	if !r.related() {
		return r.over(r.shown())
	}
	rivals, err := r.rivals(ctx)
	if err != nil {
		return err
	}
	if len(rivals) > 0 {
		return r.over(fmt.Sprintf("%s, which %s declares", r.shown(), r.named(&rivals[0])))
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonExpired, stalled: true, message: r.ended() +
		". " + r.shown() + ", which this object did not give and does not revoke: remove it in the Delos platform, or declare it with another ClientBinding"})
}

// expire ends the run of a binding whose access has been taken away.
func (r *run) expire(ctx context.Context, proof string) error {
	if err := r.patchFinalizer(ctx, controllerutil.RemoveFinalizer); err != nil {
		return err
	}
	r.binding.Status.Claim = nil
	return r.over(proof)
}

// over ends the run for good: it was read back that the object gives no access.
func (r *run) over(proof string) error {
	r.binding.Status.LastConfirmedTime = &r.now
	return r.conclude(outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonExpired, settled: true, final: true,
		message: r.ended() + ". " + proof})
}

// ended says when the access ended.
func (r *run) ended() string {
	at := r.binding.Status.ExpiredTime
	if expires := r.binding.Spec.ExpiresAt; expires != nil {
		at = expires
	}
	return fmt.Sprintf("Expired at %s", at.UTC().Format(time.RFC3339))
}
