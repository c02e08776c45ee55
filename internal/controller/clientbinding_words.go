package controller

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

const (
	// longPause is the length from which on a pause that the API asks for shows in the bindings' statuses.
	longPause = 10 * time.Second
	// startingRetry is the wait before a binding looks again for the session of a connection that was ready when the operator last
	// ran.
	startingRetry = time.Second
	// protectionLimit is the time after which a binding says that it waits until its connection is protected. As a rule that takes less than a second.
	protectionLimit = 10 * time.Second
)

// lettingGo is the outcome of a member that is let go.
var lettingGo = outcome{reason: v1alpha1.ReasonRevoking, noRetry: true}

// outcomeOf puts the outcome of a member into words: the reason, the message, and the next try.
func (r *run) outcomeOf(i int, o relation.Outcome) outcome {
	m := r.members[i]
	var end outcome
	switch o.State {
	case relation.Waiting:
		end = r.waiting(m, o)
	case relation.Confirming:
		end = outcome{reason: v1alpha1.ReasonConfirming, message: r.confirming(m, o)}
	case relation.Bound:
		end = outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonBound, message: r.shown(m)}
		if o.Why == relation.AsDeclaredUnclaimed {
			end.reason = v1alpha1.ReasonUnclaimed
			end.message += ". This ClientBinding does not answer for that, and its deletion revokes nothing"
		}
	case relation.Revoking:
		end = r.revoking(m, o)
	default:
		end = r.gone(m, o)
	}
	if o.Look > 0 {
		wait := o.Look
		if o.Why == relation.NotShownYet || o.Why == relation.RemovalNotShown {
			// It may show at any time.
			wait = min(wait, r.Schedule.retry(showsWithin-o.Look))
		}
		end.wait = max(wait, soonest)
	}
	if f := &r.facts.Members[i]; !f.Claimed && !f.ClaimUnreadable && o.Unread() {
		end.message += fmt.Sprintf(". It has no status.claim, so it is let go after %s, or at once with deletionPolicy: Orphan", r.Schedule.StallAfter)
	}
	return end
}

// failed says why a read or a call failed.
func (r *run) failed(m *member, failure error) outcome {
	end := outcomeOf(failure, failureSubject{user: r.key.UserUUID, cuid: r.key.CUID, connection: m.name.String()})
	if end.woken && m.through != nil && r.Pool.Session(m.through) != nil {
		// A new session has opened during the run, so it will not wake the binding.
		end.wait = soonest
	}
	return end
}

// waiting says why a member gives no access of its own.
func (r *run) waiting(m *member, o relation.Outcome) outcome {
	switch o.Why {
	case relation.OlderHolds:
		return outcome{reason: v1alpha1.ReasonConflict, stalled: true, woken: true, message: fmt.Sprintf(
			"The relation of user %q and client %q is held by %s, which is older: delete one of the two",
			r.key.UserUUID, r.key.CUID, r.named(m, o.Other))}
	case relation.UserDeleted:
		return outcome{reason: v1alpha1.ReasonUserDeleted, stalled: true, message: fmt.Sprintf(
			"User %q is deleted in the Delos API and has no access: restore the user there, or delete this ClientBinding", r.key.UserUUID)}
	case relation.Held:
		return r.held(m)
	case relation.ContestedAccess:
		return outcome{reason: v1alpha1.ReasonContested, stalled: true, message: fmt.Sprintf(
			"%s, and it was changed to that again and again: it was corrected %d times, and is not given again. Find out who changes it, then have this ClientBinding looked at with the annotation %s, or edit it",
			r.shown(m), m.was().Contest.Corrections, v1alpha1.RequestedAtAnnotation)}
	case relation.AbsenceUnnamed, relation.AbsenceSeenByOther, relation.AbsenceSeenByBlind, relation.AbsenceAwaited, relation.AbsenceOdd, relation.AbsenceNotWhole:
		return outcome{reason: v1alpha1.ReasonUnexpectedAnswer, unread: true, message: ended(m.is()) + ". " + r.unproven(m, o)}
	default:
		return r.unlinked(m, o)
	}
}

// unlinked says why a member cannot act through its connection, or what failed there.
func (r *run) unlinked(m *member, o relation.Outcome) outcome {
	notReady := outcome{reason: v1alpha1.ReasonConnectionNotReady, unread: true, woken: true}
	switch o.Why {
	case relation.Unreadable:
		return r.unreadable(m)
	case relation.NoConnection:
		return r.missing(m)
	case relation.NotAllowed:
		return r.notAllowed(m)
	case relation.ConnectionElsewhere:
		return r.elsewhere(m)
	case relation.ConnectionStarting:
		return r.starting(m, notReady)
	case relation.ConnectionNotReady:
		notReady.message = fmt.Sprintf("Waits for APIConnection %s to become ready (%s)", m.name, readyOfConnection(m.through))
		if !r.Shard.selects(m.through) {
			notReady.message = fmt.Sprintf("Waits for APIConnection %s, which is in another shard of the operator than others of the same API host: "+
				"ask those who may label it", m.name)
		}
	case relation.ConnectionLeaving:
		notReady.unread, notReady.message = false, fmt.Sprintf("APIConnection %s is being deleted, and no more access is given through it", m.name)
	case relation.ConnectionUnprotected:
		return r.unprotected(m, notReady)
	case relation.NoTurnYet:
		return r.waitsForTurn(m)
	case relation.CallFailed, relation.RemovalRefused:
		return r.failed(m, m.refusal)
	default:
		return r.failed(m, m.failure)
	}
	return notReady
}

// elsewhere says that a member's connection leads to another API than the one in which the relation was made.
func (r *run) elsewhere(m *member) outcome {
	leads := "leads to " + connection.Host(m.through.Spec)
	if m.through.Namespace != m.cached.Namespace {
		leads = "does not lead there any more"
	}
	return outcome{reason: v1alpha1.ReasonConnectionChanged, stalled: true, woken: true, message: fmt.Sprintf(
		"The relation was made at %s, but APIConnection %s %s: bring the former connection back, or give the relation up with deletionPolicy: Orphan",
		m.was().Claim.Connection.Host, m.name, leads)}
}

// starting says that a member's connection has no session yet. It is silent unless that lasts.
func (r *run) starting(m *member, notReady outcome) outcome {
	ending := !m.cached.DeletionTimestamp.IsZero() || expired(m.cached, r.now.Time)
	switch {
	case readyOfConnection(m.through) == "":
		notReady.message = fmt.Sprintf("Waits for APIConnection %s to become ready (it was not checked yet)", m.name)
	case !ending && !r.overdue(m):
		return outcome{silent: true, wait: startingRetry}
	default:
		notReady.wait, notReady.message = startingRetry, fmt.Sprintf("Waits for the session of APIConnection %s", m.name)
	}
	return notReady
}

// unprotected says that a member's connection or its Secret could still go. It is silent unless that lasts; but a new reason after NotAllowed
// wakes the reconciler that protects connections.
func (r *run) unprotected(m *member, notReady outcome) outcome {
	if r.known.unprotected.IsZero() {
		r.known.unprotected = r.Schedule.Now()
	}
	ready := readyOf(m.cached)
	if r.Schedule.Now().Sub(r.known.unprotected) < protectionLimit && (ready == nil || ready.Reason != v1alpha1.ReasonNotAllowed) {
		return outcome{silent: true, wait: startingRetry}
	}
	notReady.unread, notReady.message = false, fmt.Sprintf(
		"Waits until APIConnection %s and its Secret have the finalizer that keeps them while they are needed. Their events say what hinders it", m.name)
	return notReady
}

// readyOfConnection is the reason why a connection is ready or not; empty while it was not checked.
func readyOfConnection(through *v1alpha1.APIConnection) string {
	if ready := meta.FindStatusCondition(through.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// waitsForTurn says that a member has no turn, and is called back. It is silent unless that lasts.
func (r *run) waitsForTurn(m *member) outcome {
	end := outcome{reason: v1alpha1.ReasonRateLimited, unread: true, woken: true, wait: lastRetry}
	switch paused := m.session.Paused(); {
	case paused > longPause:
		end.message = "The Delos API asks for patience"
	case r.overdue(m):
		end.message = "Waits for its turn within the rate of its APIConnection"
	default:
		return outcome{silent: true, wait: lastRetry}
	}
	return end
}

// unreadable says which fields do not decode. Their content is not guessed.
func (r *run) unreadable(m *member) outcome {
	ending := !m.cached.DeletionTimestamp.IsZero() || expired(m.cached, r.now.Time)
	spec, claim := under(m.cached, "spec"), under(m.cached, "status.claim.origin", "status.claim.connection")
	if m.was().Claim == nil {
		claim = under(m.cached, "status.claim")
	} else if ending {
		claim = append(claim, under(m.cached, "spec.userUUID", "spec.cuid")...)
	}
	end := outcome{reason: v1alpha1.ReasonInvalidSpec, stalled: true, woken: true}
	switch {
	case len(claim) > 0:
		end.message = fmt.Sprintf("The record of the access that this ClientBinding answers for cannot be read: %s. "+
			"Correct the fields, or delete it with deletionPolicy: Orphan, which leaves the access as it is", claim)
	case m.was().Claim != nil:
		end.message = fmt.Sprintf("Fields of this ClientBinding cannot be read: %s. Correct them, or delete the ClientBinding"+
			". The access that it gave is neither checked nor corrected, and is revoked when it is deleted", spec)
	default:
		end.message = fmt.Sprintf("Fields of this ClientBinding cannot be read: %s. Correct them, or delete the ClientBinding", spec)
	}
	return end
}

// missing says that a member's connection does not exist.
func (r *run) missing(m *member) outcome {
	end := outcome{reason: v1alpha1.ReasonConnectionNotFound, unread: true, woken: true}
	if !r.Connections.Serve(m.name.Namespace) {
		end.message = fmt.Sprintf("Waits for APIConnection %s, in a namespace that the operator does not serve: add the namespace to the flag --namespaces", m.name)
	} else {
		end.message = fmt.Sprintf("Waits for APIConnection %s, which does not exist: create it, or create a ClientBinding with the right connectionRef and delete this one", m.name)
	}
	return end
}

// notAllowed says that a member may not use its connection.
func (r *run) notAllowed(m *member) outcome {
	message := m.denial
	if m.was().Claim != nil {
		message += ". The access that it gave is neither checked nor corrected, and is revoked when it is deleted or expires"
	}
	// The interval of another team's connection must not show in the retries.
	m.through = nil
	return outcome{reason: v1alpha1.ReasonNotAllowed, stalled: true, woken: true, message: message}
}

// held says what the operator would do without the suspension or the dry run.
func (r *run) held(m *member) outcome {
	verb := "grant"
	if m.user != nil {
		switch shownAccess(m.user, r.key.CUID) {
		case v1alpha1.AccessOwner:
			verb = "demote the user to"
		case v1alpha1.AccessStandard:
			verb = "promote the user to"
		}
	}
	declared := accessText(declaredBy(m.cached))
	if ptr.Deref(m.cached.Spec.Suspend, false) {
		return outcome{reason: v1alpha1.ReasonSuspended, noRetry: true, message: fmt.Sprintf(
			"Suspended. %s; without spec.suspend the operator would %s %s", r.shown(m), verb, declared)}
	}
	return outcome{reason: v1alpha1.ReasonDryRun, noRetry: true, message: fmt.Sprintf(
		"Dry run. %s; without --dry-run the operator would %s %s", r.shown(m), verb, declared)}
}

// confirming says why the declared access is not confirmed yet.
func (r *run) confirming(m *member, o relation.Outcome) string {
	switch o.Why {
	case relation.CallMayArrive:
		return "A call whose answer was not seen may still change this relation. " + r.shown(m)
	case relation.RemovedToRebind:
		return "The Delos API does not overwrite a relation, so it was removed, and is made again. " + r.shown(m)
	default:
		return "The Delos API accepted the change, which does not show yet. " + r.shown(m)
	}
}

// mayReturn says why access that is not shown may show again.
var mayReturn = map[relation.Why]string{
	relation.GoneMayBeOlder:      ", but that may be older than the last change",
	relation.RemovedButMayArrive: ", but a call whose answer was not seen may still arrive, and the removal is then sent once more",
}

// revoking says why the access of a member was not seen gone yet.
func (r *run) revoking(m *member, o relation.Outcome) outcome {
	end := outcome{reason: v1alpha1.ReasonRevoking}
	switch o.Why {
	case relation.HandingOver:
		end.message = fmt.Sprintf("Hands the relation over to %s, which declares it, too, and is not ready yet", r.named(m, o.Other))
	case relation.HandedOverSoon:
		end.message = fmt.Sprintf("Handed the relation over to %s, but an earlier call may still change it", r.named(m, o.Other))
	case relation.BrakeHeld:
		return r.brakeHeld(m)
	case relation.RemovalNotShown:
		end.message = "The Delos API accepted the removal, which does not show yet. " + r.shown(m)
	case relation.GoneMayBeOlder, relation.RemovedButMayArrive:
		end.message = r.shown(m) + mayReturn[o.Why]
	case relation.OrphanMayArrive:
		end.message = "deletionPolicy is Orphan, but a call whose answer was not seen may still arrive"
	case relation.NothingRemoved:
		if delos.KindOf(m.refusal) == delos.KindRefused {
			return r.failed(m, m.refusal)
		}
		end.reason, end.message = v1alpha1.ReasonRevocationBlocked, "The Delos API found nothing to remove, but "+r.shown(m)
	case relation.DeletedNotRemoved:
		why := "the Delos API did not accept its removal"
		if m.was().Claim == nil {
			why = "no status says whether the operator gave it"
		}
		end.reason, end.message = v1alpha1.ReasonRevocationBlocked, fmt.Sprintf(
			"User %q is deleted, but would have the relation again if restored: %s", r.key.UserUUID, why)+wayOut
	case relation.Undeclared:
		end = outcome{reason: v1alpha1.ReasonRevocationBlocked, stalled: true, message: fmt.Sprintf(
			"%s, but no status says whether the operator gave that, as after a restore from a backup, and no other ClientBinding declares it. "+
				"Declare it with another ClientBinding, remove it in the Delos platform, or set deletionPolicy: Orphan", r.shown(m))}
	case relation.HeldBack, relation.LetGoHeldBack:
		would := "remove the access"
		if o.Why == relation.LetGoHeldBack {
			would = "let this ClientBinding go"
		}
		return outcome{reason: v1alpha1.ReasonDryRun, noRetry: true, message: "Dry run. Without --dry-run the operator would " + would}
	case relation.AbsenceUnnamed, relation.AbsenceSeenByOther, relation.AbsenceSeenByBlind, relation.AbsenceAwaited, relation.AbsenceOdd, relation.AbsenceNotWhole:
		end.reason, end.message = v1alpha1.ReasonRevocationBlocked, r.unproven(m, o)
	default:
		end = r.unlinked(m, o)
	}
	return end
}

// brakeHeld says that the connection's limit on revocations holds a member, and what helps.
func (r *run) brakeHeld(m *member) outcome {
	limit := m.through.Spec.Revocations
	by, wayBack := "deleted", ""
	if m.cached.DeletionTimestamp.IsZero() {
		by, wayBack = "deleted, or had expiresAt brought forward,", "; if not, put the former expiresAt back"
	}
	end := outcome{reason: v1alpha1.ReasonRevocationHeld, message: fmt.Sprintf(
		"The access stays for now: as many ClientBindings were %s as spec.revocations of APIConnection %s lets through (%d per %s). If that is meant, approve it there with the annotation %s%s",
		by, m.name, *limit.Max, limit.Per.Duration, v1alpha1.ApprovedRevocationsAnnotation, wayBack)}
	if m.heldUntil.IsZero() {
		end.woken = true
	} else {
		end.wait = max(m.heldUntil.Sub(r.now.Time), soonest)
	}
	return end
}

// wayOut is for a person who knows more than Get user shows.
const wayOut = ". If the access is gone or is to stay, set deletionPolicy: Orphan and delete this ClientBinding"

// unproven says why the answer of Get user does not prove that there is no relation.
func (r *run) unproven(m *member, o relation.Outcome) string {
	user := r.key.UserUUID
	switch o.Why {
	case relation.AbsenceUnnamed:
		return fmt.Sprintf("The Delos API says that it knows no such user without naming user %q, which proves nothing", user) + wayOut
	case relation.AbsenceSeenByOther:
		return fmt.Sprintf("The account of APIConnection %s does not see user %q, but it is another one than the account that saw the relation: "+
			"bring that account back, or give this one the right to see the user", m.name, user) + wayOut
	case relation.AbsenceSeenByBlind:
		return fmt.Sprintf("The account of APIConnection %s sees neither user %q nor another one that it has seen before: "+
			"give it the right to see users again", m.name, user) + wayOut
	case relation.AbsenceAwaited:
		return fmt.Sprintf("The Delos API knows no user %q. The account of APIConnection %s has confirmed no other user who could show that it sees users at all, "+
			"so this answer has to last for %s", user, m.name, r.Schedule.StallAfter) + wayOut
	case relation.AbsenceNotWhole:
		return fmt.Sprintf("Get user shows user %q without a whole list of clients, which does not prove that the access is gone", user) + wayOut
	default:
		return fmt.Sprintf("Get user shows an entry among the clients of user %q that names no client in a known way, and may be about client %q: "+
			"have it corrected in the Delos platform", user, r.key.CUID)
	}
}

// gone says that an expired member gives no access any more.
func (r *run) gone(m *member, o relation.Outcome) outcome {
	if o.Why == relation.ExpiredUndeclared {
		return outcome{reason: v1alpha1.ReasonExpired, stalled: true, message: ended(m.is()) + ". " + r.shown(m) +
			", which this object did not give and does not revoke: remove it in the Delos platform, or declare it with another ClientBinding"}
	}
	end := outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonExpired, noRetry: true, final: true}
	proof := ""
	switch o.Why {
	case relation.ExpiredElsewhere:
		end.final = false
		proof = fmt.Sprintf("%s, which %s declares", r.shown(m), r.named(m, o.Other))
	default:
		proof = r.proof(r.indexIn(m), o)
	}
	end.message = ended(m.is()) + ". " + proof
	return end
}

func (r *run) indexIn(m *member) int {
	for i, other := range r.members {
		if other == m {
			return i
		}
	}
	return 0
}

// proof says why the operator no longer answers for a member.
func (r *run) proof(i int, o relation.Outcome) string {
	m, reading := r.members[i], r.facts.Members[i].Reading
	user, cuid := r.key.UserUUID, r.key.CUID
	switch o.Why {
	case relation.HandedOver:
		return fmt.Sprintf("Nothing was revoked: the relation of user %q and client %q is held by %s", user, cuid, r.named(m, o.Other))
	case relation.Orphaned:
		return fmt.Sprintf("deletionPolicy is Orphan: the access of user %q to client %q was left as it is", user, cuid)
	case relation.NotOurs:
		return "Nothing was granted or adopted under this object, which was suspended, so nothing was revoked"
	case relation.DeclaredByOther:
		return fmt.Sprintf("Nothing was revoked under this object: %s declares the relation of user %q and client %q", r.named(m, o.Other), user, cuid)
	case relation.GivenUp:
		return fmt.Sprintf("The operator could not read for %s whether user %q has access to client %q, and no status says that the operator gave any. "+
			"This object is let go: look in the Delos platform", r.Schedule.StallAfter, user, cuid)
	case relation.NothingToRevoke:
		return "Nothing was granted or adopted under this object, so nothing was revoked"
	}
	switch {
	case reading.State == relation.NoUser && o.Why == relation.ExpiredBefore:
		return fmt.Sprintf("The Delos API knows no user %q", user)
	case reading.State == relation.NoUser:
		return fmt.Sprintf("The Delos API knows user %q no longer", user)
	case reading.Deleted && o.Why == relation.Revoked:
		return fmt.Sprintf("User %q is deleted, and the relation with client %q was removed", user, cuid)
	default:
		return r.shown(m)
	}
}

// eventReason is the reason of an event.
type eventReason string

// eventOf is the reason of the event about a member that was let go.
func eventOf(why relation.Why) eventReason {
	switch why {
	case relation.HandedOver, relation.DeclaredByOther:
		return "HandedOver"
	case relation.Orphaned:
		return "Orphaned"
	case relation.Revoked:
		return "Revoked"
	case relation.GivenUp:
		return "ReleasedUnread"
	default:
		return "NothingToRevoke"
	}
}

// shown puts the answer of Get user into words.
func (r *run) shown(m *member) string {
	access := m.is().Status.Access
	if m.user != nil {
		access = shownAccess(m.user, r.key.CUID)
	}
	return fmt.Sprintf("Get user shows that user %q has %s to client %q", r.key.UserUUID, accessText(access), r.key.CUID)
}

// accessText puts an access into words.
func accessText(access v1alpha1.Access) string {
	switch access {
	case v1alpha1.AccessOwner:
		return "owner access"
	case v1alpha1.AccessStandard:
		return "standard access"
	case v1alpha1.AccessNone:
		return "no access"
	default:
		return "access of an unknown kind"
	}
}

// declaredBy is the access that a binding declares.
func declaredBy(binding *v1alpha1.ClientBinding) v1alpha1.Access {
	if binding.Spec.IsOwner {
		return v1alpha1.AccessOwner
	}
	return v1alpha1.AccessStandard
}

// named names another member in a message of this one. It does not reveal names in other namespaces.
func (r *run) named(m *member, other int) string {
	binding := r.members[other].cached
	if binding.Namespace != m.cached.Namespace {
		return "a ClientBinding in another namespace"
	}
	return fmt.Sprintf("ClientBinding %q", client.ObjectKeyFromObject(binding).Name)
}
