package relation

import (
	"slices"
	"time"
)

// end decides for a member whose access is to end.
func (d *decider) end(i int) (Outcome, *Decision) {
	switch m := &d.Members[i]; {
	case m.Leaving && !m.Finalizer:
		return Outcome{State: Gone, Other: i}, nil
	case m.Leaving && m.Orphan:
		return d.orphan(i)
	case m.ClaimUnreadable:
		return d.wait(i, Unreadable)
	case m.Claimed:
		return d.leave(i)
	case m.Leaving:
		return d.leaveUnclaimed(i)
	case m.SpecUnreadable:
		return d.wait(i, Unreadable)
	default:
		return d.observeExpired(i)
	}
}

// orphan lets a member with deletionPolicy Orphan go once all its calls have settled. Another member then reads access that no call of
// this one can change any more.
func (d *decider) orphan(i int) (Outcome, *Decision) {
	left := time.Duration(0)
	for _, call := range d.Members[i].Calls {
		left = max(left, call.Left)
	}
	if left > 0 {
		return Outcome{State: Revoking, Why: OrphanMayArrive, Other: i, Look: left}, nil
	}
	return Outcome{State: Gone, Why: Orphaned, Other: i}, nil
}

// leave decides for a member with a claim whose access is to end: the holder takes the relation over, or it is
// removed.
func (d *decider) leave(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	if d.holder < 0 {
		return d.revoke(i)
	}
	holder := d.outcomes[d.holder]
	taken := holder.State == Bound && holder.Why == AsDeclared && d.proves(d.holder, m)
	switch left := max(m.arrivesWithin(Unknown), m.overtook()); {
	case taken && left > 0:
		return Outcome{State: Revoking, Why: HandedOverSoon, Other: d.holder, Look: left}, nil
	case taken:
		return Outcome{State: Gone, Why: HandedOver, Other: d.holder}, nil
	case d.Members[d.holder].Sent.Answer == Refused, m.WaitedLong:
		// Access that is to end does not wait for a holder that cannot take it over.
		return d.revoke(i)
	default:
		return Outcome{State: Revoking, Why: HandingOver, Other: d.holder, Look: holder.Look}, nil
	}
}

// revoke removes the relation, and lets the member go once the relation was seen gone.
func (d *decider) revoke(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	switch why := m.linkProblem(); {
	case why != NoReason:
		return d.wait(i, why)
	case m.Sent.Answer == Lost, m.Sent.Answer == Unsent:
		return d.wait(i, CallFailed)
	case m.Sent.Answer != NoCall, d.removed(i), d.removalTried(i, NothingThere), d.removalTried(i, Refused):
		return d.checkGone(i)
	case !m.removalUnanswered():
		return d.remove(i)
	}
	// A removal may still arrive. It is sent again only if the relation is there: otherwise removals would follow each other for ever.
	if outcome, next, done := d.read(i); !done {
		return outcome, next
	}
	if m.Reading.State == Shown && m.Reading.Access > None {
		return d.remove(i)
	}
	return d.checkGone(i)
}

// remove sends the removal, if the brake lets it through.
func (d *decider) remove(i int) (Outcome, *Decision) {
	switch m := &d.Members[i]; {
	case m.Brake == BrakeAsk && !d.DryRun && m.Reading.State != NoTurn:
		return d.step(i, StepAskBrake, Unknown)
	case m.Brake == BrakeHolds:
		return d.revoking(i, BrakeHeld)
	default:
		return d.send(i, None, Outcome{State: Revoking, Why: RemovalNotShown, Other: i})
	}
}

// removed reports whether an accepted removal has the last word. A removal of this run by the same account has it. A removal on record
// has it if no other member has a claim, and no unanswered grant of this member has settled since: after such a grant the removal is sent
// once more.
func (d *decider) removed(i int) bool {
	m := &d.Members[i]
	if d.removalTried(i, Accepted) {
		return true
	}
	accepted := slices.ContainsFunc(m.Calls, func(c Call) bool { return c.Accepted && c.Makes == None })
	settledGrant := slices.ContainsFunc(m.Calls, func(c Call) bool { return !c.Accepted && c.Makes > None && c.settled() })
	claims := 0
	for _, other := range d.Members {
		if other.Claimed {
			claims++
		}
	}
	return accepted && !settledGrant && claims == 1
}

// removalTried reports whether this run has tried the removal by the member's account, and got this answer.
func (d *decider) removalTried(i int, answer Answer) bool {
	return slices.ContainsFunc(d.Members, func(m Member) bool {
		return m.Account == d.Members[i].Account && m.Sent == Sent{None, answer}
	})
}

// removalMayShowLater reports whether a removal by the member's account was accepted, and may not show yet.
func (d *decider) removalMayShowLater(i int) bool {
	return slices.ContainsFunc(d.Members, func(other Member) bool {
		return other.Account == d.Members[i].Account && other.accepted(None)
	})
}

func (m *Member) removalUnanswered() bool {
	return slices.ContainsFunc(m.Calls, func(c Call) bool { return !c.Accepted && c.Makes == None && !c.settled() })
}

// checkGone decides by the answer of Get user after a removal.
func (d *decider) checkGone(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	if outcome, next, done := d.read(i); !done {
		return outcome, next
	}
	var outcome Outcome
	var next *Decision
	switch r := m.Reading; {
	case r.State == NoUser:
		outcome, next = d.proveAbsence(i)
	case r.Deleted:
		outcome, next = d.checkDeleted(i)
	case r.Access > None:
		outcome, next = d.checkPresent(i)
	default:
		outcome, next = d.checkAbsent(i)
	}
	left := m.arrivesWithin(Unknown)
	switch {
	case next != nil, outcome.State != Gone:
		return outcome, next
	case left > 0:
		return Outcome{State: Revoking, Why: RemovedButMayArrive, Other: i, Look: left}, nil
	case d.overtaken(None), m.overtook() > 0:
		// This read may be older than the last accepted call, and a later one may show access.
		return d.revoking(i, GoneMayBeOlder)
	default:
		return outcome, nil
	}
}

// checkPresent decides for a relation that is still there.
func (d *decider) checkPresent(i int) (Outcome, *Decision) {
	switch {
	case d.removalTried(i, Refused):
		return d.revoking(i, RemovalRefused)
	case d.removalMayShowLater(i):
		return d.revoking(i, RemovalNotShown)
	case d.removed(i):
		return d.remove(i)
	default:
		return d.revoking(i, NothingRemoved)
	}
}

// checkDeleted decides for a deleted user: there is no access, but a relation that was not removed would be there again if the
// user were restored.
func (d *decider) checkDeleted(i int) (Outcome, *Decision) {
	switch m := &d.Members[i]; {
	case !d.removed(i):
		return d.revoking(i, DeletedNotRemoved)
	case m.Reading.Access > None && d.removalMayShowLater(i):
		return d.revoking(i, RemovalNotShown)
	case m.Reading.Access > None:
		return d.remove(i)
	default:
		return d.gone(i)
	}
}

// checkAbsent decides whether an answer that does not show the relation proves that it is gone.
func (d *decider) checkAbsent(i int) (Outcome, *Decision) {
	switch m, accepted := &d.Members[i], d.removed(i); {
	case !accepted && m.ClaimAccount != m.Account:
		return d.revoking(i, AbsenceSeenByOther)
	case m.Reading.Odd:
		return d.revoking(i, AbsenceOdd)
	case !accepted && !m.Reading.Whole:
		return d.revoking(i, AbsenceNotWhole)
	default:
		return d.gone(i)
	}
}

func (d *decider) gone(i int) (Outcome, *Decision) {
	return Outcome{State: Gone, Why: Revoked, Other: i}, nil
}

func (d *decider) revoking(i int, why Why) (Outcome, *Decision) {
	return Outcome{State: Revoking, Why: why, Other: i}, nil
}

// proveAbsence decides whether the answer that there is no such user proves that the relation is gone. It proves nothing if
// the account sees no user at all, or is not the account that saw the relation.
func (d *decider) proveAbsence(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	switch r := m.Reading; {
	case !r.Named:
		return d.revoking(i, AbsenceUnnamed)
	case m.Claimed && m.ClaimAccount != m.Account:
		return d.revoking(i, AbsenceSeenByOther)
	case r.Witness == NotAsked:
		return d.step(i, StepWitness, Unknown)
	case r.Witness == SeesNobody:
		return d.revoking(i, AbsenceSeenByBlind)
	case r.Witness == NoWitness:
		return d.revoking(i, AbsenceAwaited)
	default:
		return d.gone(i)
	}
}

// leaveUnclaimed decides for a deleted member that has the finalizer and no claim: the operator never gave or adopted its
// access, or it was restored without its status.
func (d *decider) leaveUnclaimed(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	switch {
	case m.Link == LinkDenied:
		return Outcome{State: Gone, Why: NothingToRevoke, Other: i}, nil
	case d.holder >= 0 && d.Members[d.holder].Claimed:
		return Outcome{State: Gone, Why: DeclaredByOther, Other: d.holder}, nil
	case m.Suspended && m.SaidUnclaimed:
		return Outcome{State: Gone, Why: NotOurs, Other: i}, nil
	}
	outcome, next := d.readUnclaimed(i)
	switch {
	case next != nil || !m.WaitedLong:
		return outcome, next
	case outcome.Why == HandingOver:
		return Outcome{State: Gone, Why: DeclaredByOther, Other: outcome.Other}, nil
	case outcome.Unread():
		return Outcome{State: Gone, Why: GivenUp, Other: i}, nil
	default:
		return outcome, nil
	}
}

// Unread is for a member without a claim that leaves. It reports whether no read could tell whether there is a relation. A wait
// for a turn, or for a session, does not count.
func (o Outcome) Unread() bool {
	switch o.Why {
	case NoTurnYet, ConnectionStarting, Undeclared, HandingOver, HeldBack, LetGoHeldBack:
		return false
	default:
		return o.State == Revoking
	}
}

func (d *decider) readUnclaimed(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	if why := m.linkProblem(); why != NoReason {
		return d.wait(i, why)
	}
	if outcome, next, done := d.read(i); !done {
		return outcome, next
	}
	switch r := m.Reading; {
	case r.State == NoUser:
		if outcome, next := d.proveAbsence(i); next != nil || outcome.State != Gone {
			return outcome, next
		}
	case r.Access > None && d.holder >= 0:
		return Outcome{State: Revoking, Why: HandingOver, Other: d.holder}, nil
	case r.Access > None:
		return d.revoking(i, Undeclared)
	case r.Deleted:
		return d.revoking(i, DeletedNotRemoved)
	case r.Odd:
		return d.revoking(i, AbsenceOdd)
	case !r.Whole:
		return d.revoking(i, AbsenceNotWhole)
	}
	return Outcome{State: Gone, Why: NothingToRevoke, Other: i}, nil
}

// observeExpired decides for a member that expired and has no claim: it was created after its time, or its status was
// lost, or its access was revoked. It revokes nothing, and says which access there is.
func (d *decider) observeExpired(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	if m.Rests && (m.DueIn == 0 || d.holder >= 0) {
		return Outcome{State: Gone, Other: i, Look: m.DueIn}, nil
	}
	if why := m.linkProblem(); why != NoReason {
		return d.wait(i, why)
	}
	if outcome, next, done := d.read(i); !done {
		return outcome, next
	}
	switch r := m.Reading; {
	case r.State == NoUser:
		if outcome, next := d.proveAbsence(i); next != nil || outcome.State != Gone {
			outcome.State = Waiting
			return outcome, next
		}
	case r.Deleted:
	case r.Access > None && d.holder >= 0:
		return Outcome{State: Gone, Why: ExpiredElsewhere, Other: d.holder}, nil
	case r.Access > None:
		return Outcome{State: Gone, Why: ExpiredUndeclared, Other: i}, nil
	case r.Odd:
		return d.wait(i, AbsenceOdd)
	}
	return Outcome{State: Gone, Why: ExpiredBefore, Other: i}, nil
}
