package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// releaseOrphan lets an object go that is to leave its relation behind.
func (r *run) releaseOrphan(ctx context.Context) error {
	if r.binding.Spec.DeletionPolicy != v1alpha1.DeletionPolicyOrphan {
		return nil
	}
	note := fmt.Sprintf("deletionPolicy is Orphan: the access of user %q to client %q was left as it is", r.binding.Spec.UserUUID, r.binding.Spec.CUID)
	r.note(corev1.EventTypeWarning, "Orphaned", "Orphan", "%s", note)
	left := r.binding.Status.Access
	r.writeAudit(ctx, auditRecord{action: auditOrphan, outcome: auditLeft, before: left, after: left})
	return r.clearFinalizer(ctx, note)
}

// releaseUnclaimed lets an object go under which nothing was ever granted or adopted. The finalizer alone
// proves nothing, since anybody can set it.
func (r *run) releaseUnclaimed(ctx context.Context) error {
	if r.binding.Status.Claim != nil {
		return nil
	}
	const note = "Nothing was granted or adopted under this object, so nothing was revoked"
	r.note(corev1.EventTypeNormal, "NothingToRevoke", "Revoke", note)
	return r.clearFinalizer(ctx, note)
}

// remove asks the API to remove the relation, unless it has accepted that a moment ago.
func (r *run) remove(ctx context.Context) error {
	claim := r.binding.Status.Claim
	if accepted := claim.RevocationAcceptedTime; accepted != nil &&
		r.recent(accepted) && !accepted.Time.Before(r.settledBy()) {
		return nil
	}
	err := r.sendUnrelate(ctx, r.binding.Status.Access)
	var failure *delos.Error
	switch {
	case err == nil:
		claim.RevocationAcceptedTime, r.accepted = &r.now, true
		return nil
	case errors.As(err, &failure) && failure.Refused():
		r.refusal = err
		return nil
	case errors.As(err, &failure) && failure.MayMeanGone():
		return nil
	default:
		return r.fail(ctx, err)
	}
}

// settledBy is when every grant that was sent has either arrived or never will: a grant that nobody saw
// confirmed may reach the API after the removal, and would then outlive its object.
func (r *run) settledBy() time.Time {
	claim := r.binding.Status.Claim
	if claim == nil || r.connection == nil {
		return time.Time{}
	}
	unseen := claim.UnseenWriteTime
	if written := unconfirmedWrite(r.binding); written != nil {
		unseen = written
	}
	if unseen == nil {
		return time.Time{}
	}
	return unseen.Add(2 * connection.Timeout(r.connection.Spec))
}

// unconfirmedWrite is when the last write of a binding that has a claim was begun, if it was not confirmed.
func unconfirmedWrite(binding *v1alpha1.ClientBinding) *metav1.Time {
	written, confirmed := binding.Status.Claim.LastWriteTime, binding.Status.LastConfirmedTime
	if written != nil && (confirmed == nil || confirmed.Before(written)) {
		return written
	}
	return nil
}

// confirmGone reads back whether the relation is gone, and only then lets the object go.
func (r *run) confirmGone(ctx context.Context) error {
	spec := r.binding.Spec
	user, err := r.session.User(ctx, spec.UserUUID)
	r.seeNobody(err)
	var failure *delos.Error
	if errors.As(err, &failure) && failure.ProvesUserGone() {
		return r.revoked(ctx, fmt.Sprintf("The Delos API knows user %q no longer", spec.UserUUID))
	}
	related := false
	if err == nil {
		related, err = r.stillRelated(user)
	}
	switch {
	case err != nil:
		return r.fail(ctx, err)
	case related && r.refusal != nil:
		return r.fail(ctx, r.refusal)
	case !related && user.Foreign:
		return r.conclude(outcome{reason: v1alpha1.ReasonRevocationBlocked, message: r.foreign()})
	case user.Deleted:
		return r.confirmDeleted(ctx, related)
	default:
		return r.confirmPresent(ctx, related)
	}
}

// stillRelated notes what was read, and reports whether the relation is there, which gives a deleted user no access.
func (r *run) stillRelated(user *delos.User) (bool, error) {
	_, related, err := user.Relation(r.binding.Spec.CUID)
	if err != nil {
		return false, err
	}
	return related, r.see(user)
}

// confirmPresent decides for a user who is not deleted.
func (r *run) confirmPresent(ctx context.Context, related bool) error {
	settled, accepted := r.settledBy(), r.binding.Status.Claim.RevocationAcceptedTime != nil
	switch {
	case related && !accepted:
		return r.conclude(outcome{reason: v1alpha1.ReasonRevocationBlocked, message: "The Delos API found nothing to remove, but " + r.shown()})
	case related:
		return r.conclude(outcome{reason: v1alpha1.ReasonRevoking, message: "The Delos API accepted the removal, which does not show yet. " + r.shown()})
	case !r.user.Complete && !accepted:
		return r.conclude(outcome{reason: v1alpha1.ReasonRevocationBlocked, message: fmt.Sprintf(
			"The Delos API did not accept the removal, and Get user shows user %q without a whole list of clients, which proves nothing", r.binding.Spec.UserUUID)})
	case r.now.Time.Before(settled):
		return r.conclude(outcome{reason: v1alpha1.ReasonRevoking, wait: settled.Sub(r.now.Time), message: fmt.Sprintf(
			"%s, but a grant whose answer was not seen may still arrive, and the removal is then sent once more", r.shown())})
	default:
		return r.revoked(ctx, r.shown())
	}
}

// foreign says that the relation may be what an entry means that cannot be read.
func (r *run) foreign() string {
	return fmt.Sprintf("Get user shows an entry among the clients of user %q that names no client in a known way, and may be about client %q: "+
		"have it corrected in the Delos platform", r.binding.Spec.UserUUID, r.binding.Spec.CUID)
}

// confirmDeleted decides for a deleted user: there is no access, but what was not removed would be there again if the
// user were restored.
func (r *run) confirmDeleted(ctx context.Context, related bool) error {
	user, complete := r.binding.Spec.UserUUID, r.user.Complete
	switch {
	case (related || !complete) && r.binding.Status.Claim.RevocationAcceptedTime == nil:
		return r.conclude(outcome{reason: v1alpha1.ReasonRevocationBlocked, message: fmt.Sprintf(
			"User %q is deleted, but would have the relation again if restored: the Delos API did not accept its removal", user)})
	case related && !r.accepted:
		return r.conclude(outcome{reason: v1alpha1.ReasonRevoking, message: fmt.Sprintf(
			"User %q is deleted, but would have the relation if restored, although the Delos API accepted its removal: that is sent again", user)})
	default:
		return r.revoked(ctx, fmt.Sprintf("User %q is deleted, and the relation with client %q was removed", user, r.binding.Spec.CUID))
	}
}

func (r *run) revoked(ctx context.Context, proof string) error {
	if r.noHeir {
		// Whoever came while the removal was under way may have read the relation just before.
		rivals, err := r.rivals(ctx)
		if err != nil {
			return err
		}
		if len(rivals) > 0 {
			return r.conclude(outcome{reason: v1alpha1.ReasonRevoking, message: fmt.Sprintf(
				"%s, and %s, which declares the relation, has to see that", proof, r.named(&rivals[0]))})
		}
	}
	r.binding.Status.Access = v1alpha1.AccessNone
	return r.letGo(ctx, "Revoked", proof)
}

// letGo ends the operator's answering for a relation, and tells why. A deleted object may go; an expired one
// stays as a record.
func (r *run) letGo(ctx context.Context, reason, note string) error {
	r.note(corev1.EventTypeNormal, reason, "Revoke", "%s", note)
	if r.binding.DeletionTimestamp.IsZero() {
		return r.expire(ctx, note)
	}
	return r.clearFinalizer(ctx, note)
}

// clearFinalizer lets a deleted object go. One that somebody else's finalizer keeps says first why it is no longer
// looked at.
func (r *run) clearFinalizer(ctx context.Context, note string) error {
	if len(r.before.Finalizers) > 1 {
		status := &r.binding.Status
		r.Schedule.conclude(conditioned{&status.Conditions, &status.ObservedGeneration, r.binding.Generation},
			outcome{reason: v1alpha1.ReasonRevoking, settled: true, message: note + ". Another finalizer keeps the object"}, r.interval())
		if err := r.patchStatus(ctx); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	err := r.patchFinalizer(ctx, controllerutil.RemoveFinalizer)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err != nil {
		r.news = nil // It was let go before, and that was told then.
	}
	r.released = true
	return r.conclude(outcome{})
}

// blocked says of whatever hinders a revocation that it does so.
func blocked(end outcome) outcome {
	switch end.reason {
	case v1alpha1.ReasonRevoking, v1alpha1.ReasonRevocationBlocked, v1alpha1.ReasonRevocationHeld:
		return end
	}
	end.hindrance = end.reason
	end.message = "The access could not be removed yet. " + end.message
	end.reason, end.stalled, end.settled = v1alpha1.ReasonRevocationBlocked, false, false
	return end
}
