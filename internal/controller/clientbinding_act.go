package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// The steps that a run takes between two decisions. Each notes its result in the facts.

// turn takes the run's turn on the connection of a member; false when there is none now. The run is then called back.
func (r *run) turn(i int) bool {
	m := r.members[i]
	if r.turns[m.session] != nil {
		return true
	}
	turn, entered := m.session.Enter(r.key, priorityOf(m.cached, r.now.Time))
	if !entered {
		r.refused = true
		r.facts.NoteRead(i, relation.Reading{State: relation.NoTurn})
		return false
	}
	r.turns[m.session] = turn
	return true
}

// read reads the user through the connection of a member.
func (r *run) read(ctx context.Context, i int) error {
	if !r.turn(i) {
		return nil
	}
	user, err := r.members[i].session.User(ctx, r.key.UserUUID)
	if ctx.Err() != nil {
		// The operator shuts down, which is no failure of the object.
		return ctx.Err()
	}
	reading, err := r.readingOf(user, err)
	r.facts.NoteRead(i, reading)
	for j, m := range r.members {
		if r.facts.Members[j].Reading == reading && r.facts.Members[j].Through == r.facts.Members[i].Through {
			m.user, m.failure = user, err
		}
	}
	account := r.facts.Members[i].Account
	switch {
	case reading.State == relation.Shown:
		delete(r.known.absent, account)
	case reading.State == relation.NoUser && r.known.absent[account].IsZero():
		r.known.absent[account] = r.Schedule.Now()
	}
	return nil
}

// readingOf turns an answer of Get user into a reading of the relation.
func (r *run) readingOf(user *delos.User, err error) (relation.Reading, error) {
	var failure *delos.Error
	switch {
	case errors.As(err, &failure) && failure.Kind == delos.KindUserNotFound:
		return relation.Reading{State: relation.NoUser, Named: failure.ProvesUserGone() && failure.Names(r.key.UserUUID)}, err
	case err != nil:
		return relation.Reading{State: relation.ReadFailed}, err
	}
	reading := relation.Reading{State: relation.Shown, Access: relation.None, Deleted: user.Deleted, Whole: user.Complete, Odd: user.Foreign}
	isOwner, related, err := user.Relation(r.key.CUID)
	switch {
	case err != nil:
		reading.Access = relation.Unknown
	case related && isOwner:
		reading.Access = relation.Owner
	case related:
		reading.Access = relation.Standard
	}
	return reading, err
}

// witnesses bounds the number of other users that are read to find one that the account sees.
const witnesses = 3

// readWitness reads another user whom the account of a member has confirmed.
func (r *run) readWitness(ctx context.Context, i int) error {
	m, reading := r.members[i], r.facts.Members[i].Reading
	account := r.facts.Members[i].Account
	candidates := &v1alpha1.ClientBindingList{}
	if err := r.Kube.List(ctx, candidates, client.MatchingFields{accountIndex: account}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("finding other users of the account: %w", err)
	}
	reading.Witness = relation.NoWitness
	if since := r.known.absent[account]; !since.IsZero() && r.Schedule.Now().Sub(since) >= r.Schedule.StallAfter {
		reading.Witness = relation.LongAbsent
	}
	asked := map[string]bool{r.key.UserUUID: true}
	for j := range candidates.Items {
		candidate := &candidates.Items[j]
		if asked[candidate.Spec.UserUUID] || candidate.Status.Claim.Connection.Host != r.key.Host || !confirmed(candidate) || len(asked) > witnesses {
			continue
		}
		asked[candidate.Spec.UserUUID] = true
		_, err := m.session.User(ctx, candidate.Spec.UserUUID)
		switch kind := delos.KindOf(err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			reading.Witness = relation.SeesOthers
		case kind == delos.KindUserNotFound, kind == delos.KindForbidden:
			reading.Witness = relation.SeesNobody
			continue
		default:
			reading, m.failure = relation.Reading{State: relation.ReadFailed}, err
		}
		break
	}
	r.facts.NoteRead(i, reading)
	return nil
}

// askBrake asks the brake, which counts the revocation if it lets it through.
func (r *run) askBrake(ctx context.Context, i int) error {
	if !r.turn(i) {
		return nil
	}
	m := r.members[i]
	let, until, err := r.Brake.Let(ctx, m.through, r.now)
	if err != nil {
		return err
	}
	m.heldUntil = until
	r.facts.Members[i].Brake = relation.BrakeHolds
	if let {
		r.facts.Members[i].Brake = relation.BrakeNone
		m.edit().Status.Claim.RevocationPermittedTime = &r.now
	}
	return nil
}

// record sets the finalizer and records the claim, with the call that is about to be sent. From then on the deletion of the object
// revokes, even if the operator ends. The turn is taken before, so that nothing slow lies between the record and the call.
func (r *run) record(ctx context.Context, i int, makes relation.Access) error {
	if makes != relation.Unknown && !r.turn(i) {
		return nil
	}
	m := r.members[i]
	m.edit()
	if m.binding.DeletionTimestamp.IsZero() {
		if err := r.patchFinalizer(ctx, m, controllerutil.AddFinalizer); err != nil {
			return err
		}
	}
	if makes == relation.Unknown {
		r.facts.NoteRecorded(i, relation.Call{})
		if m.was().Claim == nil {
			// The relation is adopted, and the report writes that.
			r.noteClaim(i)
		}
		return nil
	}
	timeout := m.session.Timeout()
	settle := settlesAfter(timeout)
	// An earlier call within this second has the same callID.
	delete(r.known.calls, idOf(m.cached.UID, v1alpha1.Call{Access: nameOf(makes), SentTime: r.now}))
	r.facts.NoteRecorded(i, relation.Call{Makes: makes, Left: timeout + settle, Sent: r.now.Time, Timeout: timeout, Settle: settle})
	r.noteClaim(i)
	m.shown = m.is().Status.Access
	if user := m.user; user != nil {
		m.shown = shownAccess(user, r.key.CUID)
	}
	r.noteReading(i)
	status := &m.binding.Status
	if r.facts.Members[i].Expired && status.ExpiredTime == nil {
		status.ExpiredTime = &r.now
	}
	if m.binding.DeletionTimestamp.IsZero() {
		status.LastConfirmedTime = nil
	}
	return r.patchStatus(ctx, m)
}

// noteClaim puts the facts of a member's claim into its status.
func (r *run) noteClaim(i int) {
	m, facts := r.members[i], &r.facts.Members[i]
	status := &m.edit().Status
	if status.Claim == nil {
		status.Claim = &v1alpha1.Claim{
			Origin:     v1alpha1.OriginCreated,
			Connection: v1alpha1.ClaimConnection{Namespace: m.name.Namespace, Name: m.name.Name, Host: m.session.Host()},
		}
		if shown := facts.Reading.Access; shown > relation.None {
			status.Claim.Origin = v1alpha1.OriginAdopted
			if status.ObservedExpiry != nil {
				// The access was there before, and its end is new.
				status.ObservedExpiry.DeclaredTime = &r.now
			}
		}
	}
	status.Claim.Account = facts.ClaimAccount
	r.noteCalls(m, facts.Calls)
}

// send sends the call on record. Its deadline is the one on record.
func (r *run) send(ctx context.Context, i int, makes relation.Access) error {
	m := r.members[i]
	if err := r.lead(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, m.session.Timeout())
	defer cancel()
	var err error
	if makes == relation.None {
		err = r.sendUnrelate(within, m)
	} else {
		err = r.sendRelate(within, m, makes == relation.Owner)
	}
	answer := answerOf(err, makes)
	r.facts.NoteSent(i, answer, showsWithin)
	r.noteAnswer(i, makes, answer)
	m.refusal = err
	for _, other := range r.members {
		if other.session == m.session && other.refusal == nil {
			other.refusal = err
		}
	}
	switch answer {
	case relation.Unsent:
		return nil
	case relation.Accepted:
		m.accepted = true
		r.noteWritten(m, makes)
	}
	r.known.unconfirmed = true
	return nil
}

// answerOf tells which answer a call got. Only the platform's own words are an answer: a proxy before it may fail although the
// call arrived.
func answerOf(err error, makes relation.Access) relation.Answer {
	operation := delos.OperationRelate
	if makes == relation.None {
		operation = delos.OperationUnrelate
	}
	var failure *delos.Error
	switch {
	case err == nil:
		return relation.Accepted
	case !errors.As(err, &failure):
		return relation.Lost
	case failure.Operation != operation || failure.RequestID == "", saysNothing(failure):
		return relation.Unsent
	case failure.Kind == delos.KindAlreadyRelated:
		return relation.AlreadyRelated
	case makes > relation.None && failure.Answered():
		return relation.Refused
	case makes > relation.None:
		return relation.Lost
	default:
		return answerOfRemoval(failure)
	}
}

// saysNothing reports whether a call was turned away for a reason that is not about the relation.
func saysNothing(failure *delos.Error) bool {
	switch failure.Kind {
	case delos.KindUnauthorized, delos.KindLoginRefused, delos.KindRateLimited:
		return failure.Declined()
	default:
		return false
	}
}

// answerOfRemoval tells which answer a removal got that failed. A 2xx may not be clear, but it is an answer, and Get user shows its
// effect.
func answerOfRemoval(failure *delos.Error) relation.Answer {
	switch {
	case failure.Refused() && failure.Succeeded():
		return relation.Refused
	case !failure.Answered():
		return relation.Lost
	case failure.MayMeanGone():
		return relation.NothingThere
	case failure.Refused():
		return relation.Refused
	default:
		return relation.Unsent
	}
}

// noteWritten notes an event that tells the purpose of an accepted call: an edit, drift, or the removal of a relation that the platform
// does not overwrite. A new grant needs none beside the status.
func (r *run) noteWritten(m *member, makes relation.Access) {
	user, cuid := r.key.UserUUID, r.key.CUID
	before, now := accessText(m.shown), accessText(nameOf(makes))
	ending := !m.cached.DeletionTimestamp.IsZero() || expired(m.cached, r.now.Time)
	switch {
	case ending:
	case makes == relation.None:
		m.note(corev1.EventTypeNormal, "Rebound", "Relate",
			"The Delos API does not overwrite a relation, so it was removed and is made again: user %q is without access to client %q for a moment", user, cuid)
	case m.shown == nameOf(makes):
		m.note(corev1.EventTypeNormal, "Proven", "Relate",
			"Sent again what is declared, to be sure of it: user %q has %s to client %q", user, now, cuid)
	case confirmed(m.cached):
		m.session.CountDrift()
		r.noteCorrection(m)
		m.note(corev1.EventTypeWarning, "DriftCorrected", "Relate",
			"User %q had %s to client %q, which was not changed here; corrected to %s", user, before, cuid, now)
	case gives(m.shown):
		m.note(corev1.EventTypeNormal, "Changed", "Relate", "Changed user %q from %s to %s to client %q", user, before, now, cuid)
	}
}

// noteCorrection counts a correction.
func (r *run) noteCorrection(m *member) {
	status := &m.edit().Status
	if status.Contest == nil || r.contestOver(m) {
		status.Contest = &v1alpha1.Contest{Since: r.now}
	}
	status.Contest.Corrections++
}

// The platform may be changed by others who want another relation than the one that is declared: a second cluster, a script, a person.
// If they and the operator correct each other for ever, a user's access changes back and forth. So the operator stops giving it.
const (
	// mostCorrections is the number of corrections within a period that makes a contest.
	mostCorrections = 5
	// contestIntervals is the length of the period, in intervals of the connection; shortestContest is its shortest length.
	contestIntervals = 10
	shortestContest  = time.Hour
)

// contestOver reports whether earlier corrections no longer count: a person asks for another look, or there were too few within the
// period.
func (r *run) contestOver(m *member) bool {
	contest := m.was().Contest
	if contest == nil {
		return false
	}
	period := max(contestIntervals*interval(m.through), shortestContest)
	return r.asked(m) || contest.Corrections < mostCorrections && r.now.Sub(contest.Since.Time) > period
}

// patchStatus writes the status if it changed, and only onto the version of the object that was read.
func (r *run) patchStatus(ctx context.Context, m *member) error {
	if m.binding == nil || equality.Semantic.DeepEqual(m.before.Status, m.binding.Status) {
		return nil
	}
	if err := r.lead(); err != nil {
		return err
	}
	patch := client.MergeFromWithOptions(m.before, client.MergeFromWithOptimisticLock{})
	if err := r.Kube.Status().Patch(ctx, m.binding, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	m.before = m.binding.DeepCopy()
	r.Writes.wrote(m.binding)
	return nil
}

// patchFinalizer adds or removes the finalizer, and only on the version of the object that was read.
func (r *run) patchFinalizer(ctx context.Context, m *member, change func(client.Object, string) bool) error {
	// This write does not send the status that the run has so far, but its answer would overwrite it.
	status := m.edit().Status.DeepCopy()
	target := m.before.DeepCopy()
	if !change(target, v1alpha1.RevokeFinalizer) {
		return nil
	}
	if err := r.lead(); err != nil {
		return err
	}
	patch := client.MergeFromWithOptions(m.before, client.MergeFromWithOptimisticLock{})
	if err := r.Kube.Patch(ctx, target, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("changing the finalizer: %w", err)
	}
	m.binding, m.before = target, target.DeepCopy()
	m.binding.Status = *status
	r.Writes.wrote(target)
	return nil
}
