package controller

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// The API server may have stored fields that do not decode (see v1alpha1.UnreadableFields). What they say is not known, and
// is not guessed: the object stalls and says so. Its deletion still revokes.

// replaceUnreadableTimes puts the present time in the place of times of the operator's memory that do not decode: a call
// may have been sent until now, and what has expired stays so. The next write to the status stores that.
func (r *run) replaceUnreadableTimes() {
	status := &r.binding.Status
	for _, field := range r.binding.UnreadableFields.Under("status") {
		switch field.Path {
		case "status.expiredTime":
			status.ExpiredTime = &r.now
		case "status.claim.lastWriteTime":
			status.Claim.LastWriteTime, status.LastConfirmedTime = &r.now, nil
		case "status.claim.unseenWriteTime":
			status.Claim.UnseenWriteTime = &r.now
		}
	}
}

// readClaim ends the run when it is not known for what the object answers.
func (r *run) readClaim(ctx context.Context) error {
	if !r.binding.DeletionTimestamp.IsZero() && r.binding.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan {
		return nil
	}
	paths := []string{"status.claim.origin", "status.claim.connection"}
	if r.binding.Status.Claim == nil {
		paths = []string{"status.claim"}
	}
	if r.removing() {
		paths = append(paths, "spec.userUUID", "spec.cuid")
	}
	return r.stallUnreadable(ctx, "It cannot be read for which access this ClientBinding answers: %s. "+
		"Correct the fields, or delete it with deletionPolicy: Orphan, which leaves the access as it is", paths...)
}

// readSpec ends the run when it is not known what the object declares.
func (r *run) readSpec(ctx context.Context) error {
	message := "Fields of this ClientBinding cannot be read: %s. Correct them, or delete the ClientBinding"
	if r.binding.Status.Claim != nil {
		message += ". The access that it gave is neither checked nor corrected, and is revoked when it is deleted"
	}
	return r.stallUnreadable(ctx, message, "spec")
}

// stallUnreadable ends the run if there are unreadable fields under any of the paths. The format is of the message, and
// takes the fields.
func (r *run) stallUnreadable(ctx context.Context, format string, paths ...string) error {
	var unreadable v1alpha1.UnreadableFields
	for _, path := range paths {
		unreadable = append(unreadable, r.binding.UnreadableFields.Under(path)...)
	}
	if len(unreadable) == 0 {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("the ClientBinding has fields that cannot be read", "fields", unreadable.String())
	return r.conclude(outcome{reason: v1alpha1.ReasonInvalidSpec, stalled: true, woken: true, message: fmt.Sprintf(format, unreadable)})
}
