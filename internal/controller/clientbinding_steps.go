package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

const (
	// visibleWithin is how long an accepted write may take to show in Get user before it is sent again.
	visibleWithin = 30 * time.Second
	// longPause is how long the API has to ask for patience until its bindings say that they wait.
	longPause = 10 * time.Second
	// startingRetry is when a binding looks again for the session of a connection that was ready when
	// the operator last ran.
	startingRetry = time.Second
)

// locate finds the binding's connection.
func (r *run) locate(ctx context.Context) error {
	candidates, claim := r.Connections.candidates(r.binding, r.removing()), r.binding.Status.Claim
	for _, name := range candidates {
		found, err := r.find(ctx, name)
		if err != nil {
			return err
		}
		if found == nil {
			continue
		}
		r.connection = found
		if claim == nil || claim.Connection.Host == connection.Host(found.Spec) {
			return nil
		}
	}
	switch name := candidates[0]; {
	case r.connection != nil:
		return nil
	case name.Namespace != r.binding.Namespace && !r.removing():
		return r.refuse(r.unserved(name))
	case !r.Connections.Serve(name.Namespace):
		return r.conclude(outcome{reason: v1alpha1.ReasonConnectionNotFound, unread: true, woken: true, message: fmt.Sprintf(
			"Waits for APIConnection %s, in whose namespace the operator has no business: add it to the flag --namespaces", name)})
	default:
		return r.conclude(outcome{reason: v1alpha1.ReasonConnectionNotFound, unread: true, woken: true, message: fmt.Sprintf(
			"Waits for APIConnection %s, which does not exist: create it", name)})
	}
}

// stay ends the run when the connection leads to another API than the one in which the relation was made: neither is
// the relation moved, nor is anything of the other API reported.
func (r *run) stay(context.Context) error {
	host, claim := connection.Host(r.connection.Spec), r.binding.Status.Claim
	if claim == nil || claim.Connection.Host == host {
		return nil
	}
	leads := "leads to " + host
	if r.connection.Namespace != r.binding.Namespace {
		leads = "does not lead there any more"
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonConnectionChanged, stalled: true, woken: true, message: fmt.Sprintf(
		"The relation was made at %s, but APIConnection %s %s: bring the former connection back, or give the relation up with deletionPolicy: Orphan",
		claim.Connection.Host, r.connectionName(), leads)})
}

// connectionName is the connection with which the run works.
func (r *run) connectionName() types.NamespacedName {
	if r.connection == nil {
		return r.Connections.Declared(r.binding)
	}
	return client.ObjectKeyFromObject(r.connection)
}

// rest ends the run when there is nothing to look at yet: what was confirmed stays so until its interval is
// over, also across restarts, unless a person asks.
func (r *run) rest(ctx context.Context) error {
	lost := r.binding.Status.Claim != nil && !r.held()
	wait := r.untilDue()
	if !r.confirmed() || r.was.LastConfirmedTime.After(r.now.Time) || lost || r.was.RunRequested(r.binding.Annotations) || wait <= 0 {
		return nil
	}
	if disturbed, err := r.disturbed(ctx); err != nil || disturbed {
		return err
	}
	return r.conclude(outcome{silent: true, wait: wait})
}

// connect finds the session to work with.
func (r *run) connect(context.Context) error {
	found, name := r.connection, r.connectionName()
	r.session = r.Pool.Session(found)
	if r.session != nil {
		return nil
	}
	ready := meta.FindStatusCondition(found.Status.Conditions, v1alpha1.ConditionReady)
	if ready != nil && ready.Status == metav1.ConditionTrue {
		if !r.revoking() && !r.overdue() {
			return r.conclude(outcome{silent: true, wait: startingRetry})
		}
		return r.conclude(outcome{reason: v1alpha1.ReasonConnectionNotReady, unread: true, woken: true, wait: startingRetry,
			message: fmt.Sprintf("Waits for the session of APIConnection %s", name)})
	}
	why := "it was not checked yet"
	if ready != nil {
		why = ready.Reason
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonConnectionNotReady, unread: true, woken: true, message: fmt.Sprintf(
		"Waits for APIConnection %s to become ready (%s)", name, why)})
}

// enter waits for the connection's turn without holding up others: the run ends, and comes back. Whoever
// revokes does not stand in the queue.
func (r *run) enter(context.Context) error {
	wait := r.session.Enter(client.ObjectKeyFromObject(r.binding).String(), r.revoking())
	if wait == 0 {
		return nil
	}
	if r.session.Paused() > longPause {
		return r.conclude(outcome{reason: v1alpha1.ReasonRateLimited, unread: true, wait: wait,
			message: "The Delos API asks for patience"})
	}
	if r.overdue() {
		return r.conclude(outcome{reason: v1alpha1.ReasonRateLimited, unread: true, wait: wait,
			message: "Waits for its turn within the rate of its APIConnection"})
	}
	return r.conclude(outcome{silent: true, wait: wait})
}

// overdue reports whether what was confirmed is no longer vouched for.
func (r *run) overdue() bool {
	confirmed := r.binding.Status.LastConfirmedTime
	return confirmed != nil && !r.now.Time.Before(confirmed.Add(unverifiedAfter*r.interval()))
}

// recent reports whether a write at a time may still be about to show. One at a time that is still to come, since the
// clock was set back, counts as old.
func (r *run) recent(at *metav1.Time) bool {
	ago := r.now.Sub(at.Time)
	return ago >= 0 && ago < visibleWithin
}

// observe reads what is.
func (r *run) observe(ctx context.Context) error {
	user, err := r.session.User(ctx, r.binding.Spec.UserUUID)
	if err != nil {
		r.seeNobody(err)
		return r.fail(ctx, err)
	}
	if err := r.see(user); err != nil {
		return r.fail(ctx, err)
	}
	if user.Deleted {
		return r.conclude(outcome{reason: v1alpha1.ReasonUserDeleted, stalled: true, message: fmt.Sprintf(
			"User %q is deleted in the Delos API and has no access: restore the user there, or delete this ClientBinding", user.UUID)})
	}
	return nil
}

// see notes in the status what was read. Its error says that the answer leaves open what the relation is.
func (r *run) see(user *delos.User) error {
	status := &r.binding.Status
	isOwner, related, err := user.Relation(r.binding.Spec.CUID)
	if err != nil {
		status.Access = ""
		return err
	}
	r.user = user
	status.User, status.Access = nil, v1alpha1.AccessNone
	if user.Username != "" || user.Status != "" {
		status.User = &v1alpha1.User{Username: cut(user.Username, 256), Status: cut(user.Status, 64)}
	}
	switch {
	case user.Deleted:
	case related:
		status.Access = accessOf(isOwner)
	case user.Foreign:
		status.Access = ""
	}
	return nil
}

// seeNobody notes in the status that the API does not know the user, if that is what its error says.
func (r *run) seeNobody(err error) {
	var failure *delos.Error
	if !errors.As(err, &failure) || failure.Kind != delos.KindUserNotFound {
		return
	}
	r.binding.Status.User, r.binding.Status.Access = nil, ""
	if failure.ProvesUserGone() {
		r.binding.Status.Access = v1alpha1.AccessNone
	}
}

// related reports whether Get user last showed a relation that gives access.
func (r *run) related() bool { return gives(r.binding.Status.Access) }

func gives(access v1alpha1.Access) bool {
	return access == v1alpha1.AccessOwner || access == v1alpha1.AccessStandard
}

func cut(text string, length int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), length)])
}

// follow records that the binding's connection is another one now, which leads to the same API and has just shown
// the user: it is the one to revoke through, and the former one may go, once the new one is sure to stay.
func (r *run) follow(context.Context) error {
	claimed, is := claimedConnection(r.binding)
	if is && claimed != r.connectionName() && controllerutil.ContainsFinalizer(r.connection, v1alpha1.InUseFinalizer) {
		claim, name := r.binding.Status.Claim, r.connectionName()
		claim.Connection.Namespace, claim.Connection.Name = name.Namespace, name.Name
	}
	return nil
}

// asDeclared reports whether the relation that was read is the declared one.
func (r *run) asDeclared() bool {
	return r.binding.Status.Access == r.declared()
}

// await ends the run when the relation seems to be as declared, but may have been read as it was before another binding
// changed it.
func (r *run) await(ctx context.Context) error {
	if !r.asDeclared() {
		return nil
	}
	changed, err := r.changedBeside(ctx)
	if err != nil || !changed {
		return err
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonConfirming,
		message: "Another ClientBinding has just changed this relation, which may not show yet. " + r.shown()})
}

// compare ends the run when there is nothing to do. A relation that was there before and is as declared
// is adopted by the next steps, unless the binding is suspended.
func (r *run) compare(context.Context) error {
	if r.asDeclared() && r.overtaken() {
		if r.suspended() {
			return r.conclude(r.confirming())
		}
		return nil
	}
	if r.asDeclared() && (r.held() || r.binding.Status.Claim == nil && r.suspended()) {
		return r.bound()
	}
	return nil
}

// overtaken reports whether what Get user shows may be about to change: the last write was made for another
// declaration, as far as is known, and was not seen. Only another write comes after it for sure.
func (r *run) overtaken() bool {
	claim := r.binding.Status.Claim
	if claim == nil || unconfirmedWrite(r.binding) == nil {
		return false
	}
	ready := meta.FindStatusCondition(r.was.Conditions, v1alpha1.ConditionReady)
	other := ready == nil || ready.ObservedGeneration != r.binding.Generation
	return other && (r.recent(claim.LastWriteTime) || r.now.Time.Before(r.settledBy()))
}

// held reports whether the deletion of the object is sure to revoke.
func (r *run) held() bool { return heldBy(r.binding) }

func (r *run) suspended() bool { return ptr.Deref(r.binding.Spec.Suspend, false) }

// bound ends the run: Get user showed the declared state.
func (r *run) bound() error {
	r.binding.Status.LastConfirmedTime = &r.now
	return r.conclude(outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonBound, message: r.shown()})
}

// shown says in words what Get user showed.
func (r *run) shown() string {
	return fmt.Sprintf("Get user shows that user %q has %s to client %q",
		r.binding.Spec.UserUUID, access(r.binding.Status.Access), r.binding.Spec.CUID)
}

// access says in words what a relation gives.
func access(level v1alpha1.Access) string {
	switch level {
	case v1alpha1.AccessOwner:
		return "owner access"
	case v1alpha1.AccessStandard:
		return "standard access"
	default:
		return "no access"
	}
}

// declared is the access that the spec asks for.
func (r *run) declared() v1alpha1.Access { return accessOf(r.binding.Spec.IsOwner) }

func accessOf(isOwner bool) v1alpha1.Access {
	if isOwner {
		return v1alpha1.AccessOwner
	}
	return v1alpha1.AccessStandard
}

// hold ends the run of a suspended binding that would have to write.
func (r *run) hold(context.Context) error {
	if r.asDeclared() || !r.suspended() {
		return nil
	}
	verb := "grant"
	switch r.binding.Status.Access {
	case v1alpha1.AccessOwner:
		verb = "demote the user to"
	case v1alpha1.AccessStandard:
		verb = "promote the user to"
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonSuspended, settled: true, message: fmt.Sprintf(
		"Suspended. %s; without spec.suspend the operator would %s %s", r.shown(), verb, access(r.declared()))})
}

// claim records that the operator answers for the relation, before the first write to the API: the
// finalizer, and what it is for. Whatever becomes of the operator, the deletion of the object will
// revoke. A relation that is as declared is thereby adopted, and the run ends.
func (r *run) claim(ctx context.Context) error {
	if err := r.patchFinalizer(ctx, controllerutil.AddFinalizer); err != nil {
		return err
	}
	adopting := r.asDeclared() && !r.overtaken()
	status := &r.binding.Status
	if status.Claim == nil {
		name := r.connectionName()
		status.Claim = &v1alpha1.Claim{
			Origin: v1alpha1.OriginCreated,
			Connection: v1alpha1.ClaimConnection{
				Namespace: name.Namespace,
				Name:      name.Name,
				Host:      r.session.Host(),
			},
		}
		if r.related() {
			status.Claim.Origin = v1alpha1.OriginAdopted
			if status.ObservedExpiry != nil {
				// For the access that was there the end is news.
				status.ObservedExpiry.DeclaredTime = &r.now
			}
			r.note(corev1.EventTypeNormal, "Adopted", "Adopt", "Adopted what was there: user %q has %s to client %q",
				r.binding.Spec.UserUUID, access(status.Access), r.binding.Spec.CUID)
		}
	}
	if adopting {
		return r.bound()
	}
	if r.awaited() {
		return r.conclude(r.confirming())
	}
	// Written ahead of the call, so that a call whose outcome nobody saw is known to have been made.
	switch {
	case !r.now.Time.Before(r.settledBy()):
		status.Claim.UnseenWriteTime = nil
	case unconfirmedWrite(r.binding) != nil:
		status.Claim.UnseenWriteTime = status.Claim.LastWriteTime
	}
	status.Claim.LastWriteTime, status.LastConfirmedTime = &r.now, nil
	return r.patchStatus(ctx)
}

// awaited reports whether an accepted write may still come to show.
func (r *run) awaited() bool {
	ready := meta.FindStatusCondition(r.was.Conditions, v1alpha1.ConditionReady)
	written := r.binding.Status.Claim.LastWriteTime
	return ready != nil && ready.Reason == v1alpha1.ReasonConfirming && ready.ObservedGeneration == r.binding.Generation &&
		written != nil && r.recent(written)
}

func (r *run) confirming() outcome {
	return outcome{reason: v1alpha1.ReasonConfirming, message: "The Delos API accepted the change, which does not show yet. " + r.shown()}
}

// relate makes the relation as declared.
func (r *run) relate(ctx context.Context) error {
	err := r.sendRelate(ctx, r.binding.Status.Access)
	if delos.KindOf(err) == delos.KindAlreadyRelated {
		err = r.rebind(ctx, err)
	}
	if err != nil {
		return r.fail(ctx, err)
	}
	r.noteWritten()
	return nil
}

// rebind handles an API that says that the user is related already. If that is so in the declared way,
// all is well; if in the other way, the API does not overwrite, and the relation is removed and made again.
func (r *run) rebind(ctx context.Context, refusal error) error {
	spec := r.binding.Spec
	user, err := r.session.User(ctx, spec.UserUUID)
	if err != nil {
		return err
	}
	isOwner, related, err := user.Relation(spec.CUID)
	switch {
	case err != nil:
		return err
	case !related:
		return refusal
	case isOwner == spec.IsOwner:
		return nil
	}
	if err := r.sendUnrelate(ctx, accessOf(isOwner)); err != nil {
		return err
	}
	if err := r.sendRelate(ctx, v1alpha1.AccessNone); err != nil {
		return err
	}
	r.note(corev1.EventTypeNormal, "Rebound", "Relate",
		"The Delos API does not overwrite a relation, so it was removed and made again: user %q was without access to client %q for a moment", spec.UserUUID, spec.CUID)
	return nil
}

// noteWritten tells what the write was for: a new grant, an edit, or a drift.
func (r *run) noteWritten() {
	spec, before, now := r.binding.Spec, access(r.binding.Status.Access), access(r.declared())
	switch {
	case r.confirmed():
		r.session.CountDrift()
		r.noteCorrection()
		r.note(corev1.EventTypeWarning, "DriftCorrected", "Relate",
			"User %q had %s to client %q, which was not changed here; corrected to %s", spec.UserUUID, before, spec.CUID, now)
	case r.related():
		r.note(corev1.EventTypeNormal, "Changed", "Relate",
			"Changed user %q from %s to %s to client %q", spec.UserUUID, before, now, spec.CUID)
	default:
		r.note(corev1.EventTypeNormal, "Granted", "Relate", "Granted user %q %s to client %q", spec.UserUUID, now, spec.CUID)
	}
}

// confirm reads back what was written.
func (r *run) confirm(ctx context.Context) error {
	user, err := r.session.User(ctx, r.binding.Spec.UserUUID)
	if err != nil {
		r.seeNobody(err)
		return r.fail(ctx, err)
	}
	if err := r.see(user); err != nil {
		return r.fail(ctx, err)
	}
	if !r.asDeclared() {
		return r.conclude(r.confirming())
	}
	return r.bound()
}
