package controller

import (
	"context"
	"fmt"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// brake has the revocation wait while as many others were made as the connection allows. What it let through once it
// does not ask again. An expiry that was declared in time does not wait, also when the object is deleted.
func (r *run) brake(ctx context.Context) error {
	limit, claim := r.connection.Spec.Revocations, r.binding.Status.Claim
	if limit == nil || claim.RevocationPermittedTime != nil || r.expired() && !r.hastened(limit.Per.Duration) {
		return nil
	}
	let, until, err := r.Brake.Let(ctx, r.connection, r.now)
	if err != nil {
		return err
	}
	if !let {
		end := outcome{reason: v1alpha1.ReasonRevocationHeld, message: fmt.Sprintf(
			"The access stays for now: as many ClientBindings were %s as spec.revocations of APIConnection %s lets through (%d per %s). If that is meant, approve it there with the annotation %s%s",
			r.revokedBy(), r.connectionName(), *limit.Max, limit.Per.Duration, v1alpha1.ApprovedRevocationsAnnotation, r.wayBack())}
		if until.IsZero() {
			end.woken = true
		} else {
			end.wait = max(until.Sub(r.now.Time), soonest)
		}
		return r.conclude(end)
	}
	claim.RevocationPermittedTime = &r.now
	return r.patchStatus(ctx)
}

// revokedBy says in words what the brake counts.
func (r *run) revokedBy() string {
	if r.binding.DeletionTimestamp.IsZero() {
		return "deleted, or had expiresAt brought forward,"
	}
	return "deleted"
}

// wayBack says what helps beside an approval.
func (r *run) wayBack() string {
	if r.binding.DeletionTimestamp.IsZero() {
		return "; if not, put the former expiresAt back"
	}
	return ""
}
