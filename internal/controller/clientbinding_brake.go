package controller

import (
	"context"
	"fmt"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// brake has the deletion wait while as many others were revoked as the connection allows. What it let through once it
// does not ask again.
func (r *run) brake(ctx context.Context) error {
	limit, claim := r.connection.Spec.Revocations, r.binding.Status.Claim
	if limit == nil || claim.RevocationPermittedTime != nil {
		return nil
	}
	let, until, err := r.Brake.Let(ctx, r.connection, r.now)
	if err != nil {
		return err
	}
	if !let {
		end := outcome{reason: v1alpha1.ReasonRevocationHeld, message: fmt.Sprintf(
			"The access stays for now: as many ClientBindings were deleted as spec.revocations of APIConnection %s lets through (%d per %s). If the deletions are meant, approve them there with the annotation %s",
			r.connectionName(), *limit.Max, limit.Per.Duration, v1alpha1.ApprovedRevocationsAnnotation)}
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
