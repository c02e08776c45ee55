package relation

import (
	"slices"
	"time"
)

// Step is the next step of a run.
type Step uint8

const (
	// StepReport means that the run is over. Statuses are written, and members that may go are let go.
	StepReport Step = iota
	// StepRead has the run read the user through the member's connection.
	StepRead
	// StepWitness has the run read another user, one that the member's account has confirmed.
	StepWitness
	// StepAskBrake has the run ask the brake, which counts the member's revocation if it lets it through.
	StepAskBrake
	// StepRecord has the run set the member's finalizer, and record its claim, with the call that Makes names if that is not Unknown.
	StepRecord
	// StepSend has the run send the call on record.
	StepSend
)

// Writes reports whether the step changes an object or the platform; the report does not count.
func (s Step) Writes() bool { return s == StepAskBrake || s == StepRecord || s == StepSend }

// Decision is the next step of a run. The last step of a run has the outcomes.
type Decision struct {
	Step Step
	// Member is the index of the member for which the step is taken. Makes is the access that its call makes.
	Member int
	Makes  Access
	// Outcomes of the members when the Step is StepReport.
	Outcomes []Outcome
}

// State is the state of a member, in one word.
type State uint8

const (
	// Waiting means that it gives no access of its own, until something else happens.
	Waiting State = iota
	// Confirming means that what it declares was sent, and does not show yet.
	Confirming
	// Bound means that what it declares was read.
	Bound
	// Revoking means that its access is to end, and was not seen gone.
	Revoking
	// Gone means that the operator no longer answers for it.
	Gone
)

// Outcome is the result of a run for one member.
type Outcome struct {
	State State
	// Why is the reason in detail.
	Why Why
	// Other is the index of another member that the reason is about, else the index of the member itself.
	Other int
	// Look is the time until the next look, if the reason may change by itself then. 0 leaves the next look to the schedule of
	// retries and confirmations.
	Look time.Duration
	// Calls that stay on the member's record.
	Calls []Call
}

// Why is the reason why a member has its state.
type Why uint8

// The reasons for Waiting.
const (
	// NoReason means that there is nothing new to say, or nothing that hinders.
	NoReason Why = iota
	Unreadable
	NoConnection
	NotAllowed
	ConnectionElsewhere
	ConnectionNotReady
	ConnectionStarting
	ConnectionUnprotected
	ConnectionLeaving
	NoTurnYet
	OlderHolds
	CannotRead
	CallFailed
	UserMissing
	UserDeleted
	Held
	ContestedAccess
)

// The reasons for Confirming.
const (
	NotShownYet Why = iota + 32
	// CallMayArrive means that a call whose answer nobody saw may still change the relation.
	CallMayArrive
	// RemovedToRebind means that the platform does not overwrite a relation, so it was removed and is made again.
	RemovedToRebind
)

// The reasons for Bound.
const (
	AsDeclared Why = iota + 64
	// AsDeclaredUnclaimed means that the relation is as declared, but the operator does not answer for it.
	AsDeclaredUnclaimed
)

// The reasons for Revoking.
const (
	HandingOver Why = iota + 96
	// HandedOverSoon means that the holder has taken the relation over, but a call of this member may still arrive.
	HandedOverSoon
	BrakeHeld
	RemovalNotShown
	// GoneMayBeOlder means that no relation was read, but the answer may be older than the last call.
	GoneMayBeOlder
	// RemovedButMayArrive means that the relation is gone, but a call of this member may still arrive.
	RemovedButMayArrive
	// NothingRemoved means that the platform found nothing to remove, but shows the relation.
	NothingRemoved
	// RemovalRefused means that the platform refuses the removal, and shows the relation.
	RemovalRefused

	// The following six mean that an answer shows no relation, and that it proves nothing.

	// AbsenceUnnamed means that the answer that there is no such user does not name the user.
	AbsenceUnnamed
	// AbsenceSeenByOther means that the account is not the one that last saw the relation for the claim.
	AbsenceSeenByOther
	// AbsenceSeenByBlind means that the account does not see another user either, one that it has confirmed before.
	AbsenceSeenByBlind
	// AbsenceAwaited means that there is no other user to ask for, so that the absence has to last.
	AbsenceAwaited
	// AbsenceOdd means that an entry of the answer has a form that is not known, and may be about this client.
	AbsenceOdd
	// AbsenceNotWhole means that the answer has no list of clients, or an entry without a client.
	AbsenceNotWhole

	// DeletedNotRemoved means that a deleted user has no access, but would have it again when restored.
	DeletedNotRemoved
	// Undeclared means that the relation is there, nobody declares it, and the operator does not know whether it made it.
	Undeclared
	// OrphanMayArrive means that the access is to stay, but a call of this member may still change it.
	OrphanMayArrive
	// HeldBack means that the operator would remove the access if it were no dry run.
	HeldBack
	// LetGoHeldBack means that the operator would let the object go if it were no dry run.
	LetGoHeldBack
)

// The reasons for Gone.
const (
	Revoked Why = iota + 160
	HandedOver
	Orphaned
	// NothingToRevoke means that no relation was there, or none that this member could answer for.
	NothingToRevoke
	// NotOurs means that it was suspended and never had a claim.
	NotOurs
	// DeclaredByOther means that another member declares the relation.
	DeclaredByOther
	// GivenUp means that for too long no read could tell whether there is a relation.
	GivenUp
	// ExpiredBefore means that it expired without a claim, and there is no access.
	ExpiredBefore
	// ExpiredElsewhere means that it expired without a claim, and another member declares the access that there is.
	ExpiredElsewhere
	// ExpiredUndeclared means that it expired without a claim, and there is access that no member declares.
	ExpiredUndeclared
)

// Decide returns what a run with these facts does next.
func Decide(f Facts) Decision {
	for i, m := range f.Members {
		if m.Recorded != Unknown {
			return Decision{Step: StepSend, Member: i, Makes: m.Recorded}
		}
	}
	d := &decider{Facts: f, outcomes: make([]Outcome, len(f.Members))}
	d.holder = d.elect()
	// The holder first, since those that leave may wait for it; then revocations.
	for _, concerned := range []func(int) bool{
		func(i int) bool { return i == d.holder },
		func(i int) bool { return i != d.holder && d.Members[i].ending() },
		func(i int) bool { return i != d.holder && !d.Members[i].ending() },
	} {
		for i := range d.Members {
			if !concerned(i) {
				continue
			}
			outcome, next := d.decide(i)
			if next != nil {
				return *next
			}
			d.outcomes[i] = d.finish(i, outcome)
		}
	}
	return Decision{Outcomes: d.outcomes}
}

type decider struct {
	Facts
	// holder is the index of the member that holds the relation; -1 when none does.
	holder   int
	outcomes []Outcome
}

// hasToLeave reports whether the member's relation is to be handed over or removed.
func (m *Member) hasToLeave() bool {
	return m.Claimed && (m.Leaving && m.Finalizer && !m.Orphan || !m.Leaving && m.Expired)
}

// ending reports whether the member's access is to end.
func (m *Member) ending() bool { return m.Leaving || m.Expired }

// elect returns the holder: the oldest member that may hold the relation. A member without a claim needs a connection that is ready, or
// becomes ready without help. Otherwise a person who can create connections could keep younger members from the relation.
func (d *decider) elect() int {
	return slices.IndexFunc(d.Members, func(m Member) bool {
		switch {
		case m.ending(), m.SpecUnreadable, m.ClaimUnreadable:
			return false
		case m.Link == LinkMissing, m.Link == LinkElsewhere, m.Link == LinkDenied:
			return false
		case m.Claimed:
			return true
		default:
			return !m.Suspended && m.Link.usable()
		}
	})
}

func (d *decider) decide(i int) (Outcome, *Decision) {
	switch m := &d.Members[i]; {
	case m.Claimed && !m.Finalizer && !m.Leaving && !d.DryRun:
		// Without the finalizer the deletion would not revoke.
		return d.step(i, StepRecord, Unknown)
	case m.ending():
		return d.end(i)
	case m.ClaimUnreadable:
		return d.wait(i, Unreadable)
	case m.SpecUnreadable:
		return d.wait(i, Unreadable)
	case i == d.holder:
		return d.hold(i)
	default:
		return d.waitBehind(i)
	}
}

// wait is the outcome of a member that cannot get on by itself.
func (d *decider) wait(i int, why Why) (Outcome, *Decision) {
	if m := &d.Members[i]; m.ending() && m.Finalizer && (m.Leaving || m.Claimed) {
		return Outcome{State: Revoking, Why: why, Other: i}, nil
	}
	return Outcome{State: Waiting, Why: why, Other: i}, nil
}

func (d *decider) step(i int, step Step, makes Access) (Outcome, *Decision) {
	return Outcome{}, &Decision{Step: step, Member: i, Makes: makes}
}

// send records a call. One run makes one change; only a removal may follow a removal. A member sends one call. It sends a second
// one only to remove a relation that the platform does not overwrite.
func (d *decider) send(i int, makes Access, otherwise Outcome) (Outcome, *Decision) {
	m := &d.Members[i]
	changed := slices.ContainsFunc(d.Members, func(other Member) bool {
		return (other.Sent.Answer == Accepted || other.Sent.Answer == Lost) && (makes > None || other.Sent.Makes > None)
	})
	switch {
	case m.Reading.State == NoTurn:
		return d.wait(i, NoTurnYet)
	case d.DryRun && m.ending():
		return Outcome{State: Revoking, Why: HeldBack, Other: i}, nil
	case d.DryRun:
		return d.wait(i, Held)
	case m.Sent.Answer != NoCall && (m.Sent.Answer != AlreadyRelated || makes > None):
		return otherwise, nil
	case changed:
		otherwise.Look = soon
		return otherwise, nil
	case d.yields(m, makes):
		return otherwise, nil
	default:
		return d.step(i, StepRecord, makes)
	}
}

// yields reports whether the holder's call has to wait, since a member that hands over has waited for too long and can remove the
// relation. The removal comes before the holder gives more access, and before it repeats a call that got no answer.
func (d *decider) yields(holder *Member, makes Access) bool {
	if makes == None || makes <= holder.Reading.Access && !holder.lost() {
		return false
	}
	for i := range d.Members {
		if m := &d.Members[i]; m.hasToLeave() && m.WaitedLong && !m.ClaimUnreadable {
			if outcome, next := d.revoke(i); next != nil || outcome.Why == RemovalNotShown || outcome.Why == GoneMayBeOlder || outcome.Why == RemovedButMayArrive {
				return true
			}
		}
	}
	return false
}

// soon has the relation looked at again at once.
const soon = time.Nanosecond

// linkProblem is the reason why a member cannot act through its connection; NoReason if it can.
func (m *Member) linkProblem() Why {
	switch m.Link {
	case LinkMissing:
		return NoConnection
	case LinkElsewhere:
		return ConnectionElsewhere
	case LinkDenied:
		return NotAllowed
	case LinkNotReady:
		return ConnectionNotReady
	case LinkStarting:
		return ConnectionStarting
	case LinkUnprotected:
		return ConnectionUnprotected
	case LinkLeaving:
		return ConnectionLeaving
	default:
		return NoReason
	}
}

// read returns the step that reads the user, or the outcome of a read that failed. done reports that the platform has shown the user,
// or has said that there is no such user.
func (d *decider) read(i int) (outcome Outcome, next *Decision, done bool) {
	switch r := d.Members[i].Reading; {
	case r.State == NotRead:
		outcome, next = d.step(i, StepRead, Unknown)
	case r.State == NoTurn:
		outcome, next = d.wait(i, NoTurnYet)
	case r.State == ReadFailed, r.State == Shown && r.Access == Unknown:
		outcome, next = d.wait(i, CannotRead)
	default:
		return Outcome{}, nil, true
	}
	return outcome, next, false
}

// hold decides for the member that holds the relation.
func (d *decider) hold(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	if m.Rests && (m.Claimed || d.DryRun) && !d.disturbed(i) {
		return Outcome{State: Bound, Look: m.DueIn, Other: i}, nil
	}
	if why := m.linkProblem(); why != NoReason {
		return d.wait(i, why)
	}
	switch m.Sent.Answer {
	case Refused, Lost, Unsent, NothingThere:
		return d.wait(i, CallFailed)
	}
	return d.look(i)
}

// look decides by the answer of Get user: for the holder, and for a suspended member without a claim.
func (d *decider) look(i int) (Outcome, *Decision) {
	if outcome, next, done := d.read(i); !done {
		return outcome, next
	}
	switch m, r := &d.Members[i], d.Members[i].Reading; {
	case r.State == NoUser:
		return d.wait(i, UserMissing)
	case r.Deleted:
		return d.wait(i, UserDeleted)
	case r.Access == m.Declares:
		return d.confirm(i)
	default:
		return d.correct(i)
	}
}

// disturbed reports whether a confirmed member has to be read before it is due: another member is leaving and waits for the
// confirmation, or a call may still change the relation.
func (d *decider) disturbed(i int) bool {
	m := &d.Members[i]
	leaving := slices.ContainsFunc(d.Members, func(other Member) bool { return other.hasToLeave() })
	return leaving || m.arrivesWithin(Unknown) > 0 || d.Doubtful(i)
}

// confirm decides for a member whose relation is as it declares.
func (d *decider) confirm(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	unconfirmed := Outcome{State: Confirming, Why: NotShownYet, Other: i}
	switch left := d.mayArrive(m.Declares); {
	case left > 0:
		return Outcome{State: Confirming, Why: CallMayArrive, Other: i, Look: left}, nil
	case d.overtaken(m.Declares) && (m.Suspended || d.DryRun):
		return unconfirmed, nil
	case !m.Claimed && (m.Suspended || d.DryRun):
		return Outcome{State: Bound, Why: AsDeclaredUnclaimed, Other: i}, nil
	case d.overtaken(m.Declares), d.toProve(i):
		return d.send(i, m.Declares, unconfirmed)
	case !m.Claimed:
		return d.step(i, StepRecord, Unknown)
	default:
		// A call that makes the same access may still arrive. The next look is after that.
		return Outcome{State: Bound, Why: AsDeclared, Other: i, Look: m.arrivesWithin(Unknown)}, nil
	}
}

// correct decides for a member whose relation is not as it declares.
func (d *decider) correct(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	gives := m.Declares > m.Reading.Access
	switch {
	case m.Suspended:
		return d.wait(i, Held)
	case m.Sent.Answer == AlreadyRelated && m.Reading.Access == None:
		return d.wait(i, CallFailed)
	case m.Sent.Answer == AlreadyRelated:
		return d.send(i, None, Outcome{State: Confirming, Why: NotShownYet, Other: i})
	case m.Sent == Sent{None, Accepted}:
		return Outcome{State: Confirming, Why: RemovedToRebind, Other: i, Look: soon}, nil
	case m.Sent.Answer == Accepted:
		return Outcome{State: Confirming, Why: NotShownYet, Other: i}, nil
	case m.Contested && gives && !m.accepted(None):
		// The member's own removal, which makes room for the relation, is no contest.
		return d.wait(i, ContestedAccess)
	case gives && d.mayArrive(m.Declares) > 0:
		return Outcome{State: Confirming, Why: CallMayArrive, Other: i, Look: d.mayArrive(m.Declares)}, nil
	case m.accepted(m.Declares):
		return Outcome{State: Confirming, Why: NotShownYet, Other: i}, nil
	default:
		return d.send(i, m.Declares, Outcome{State: Confirming, Why: NotShownYet, Other: i})
	}
}

// Doubtful reports whether the confirmation of a member needs a new read: a call on record makes another access, and may have changed
// the relation since, or may still change it.
func (f *Facts) Doubtful(member int) bool {
	return f.has(func(c Call) bool { return c.Makes != f.Members[member].Declares })
}

// mayArrive is the time in which a call of any member may still arrive that makes another access than declared.
func (f *Facts) mayArrive(declared Access) time.Duration {
	left := time.Duration(0)
	for i := range f.Members {
		left = max(left, f.Members[i].arrivesWithin(declared))
	}
	return left
}

// lost reports whether a call of the member is on record whose answer was not seen.
func (m *Member) lost() bool {
	return slices.ContainsFunc(m.Calls, func(c Call) bool { return !c.Accepted })
}

// arrivesWithin is the time in which a call of the member may still arrive that makes another access than except.
func (m *Member) arrivesWithin(except Access) time.Duration {
	left := time.Duration(0)
	for _, call := range m.Calls {
		if !call.Accepted && call.Makes != except {
			left = max(left, call.Left)
		}
	}
	return left
}

// overtaken reports whether the last accepted call made another access than declared, and may not show yet. A read that shows the
// declared access is then older than that call.
func (f *Facts) overtaken(declared Access) bool {
	return f.has(func(c Call) bool { return c.Accepted && c.Makes != declared && !c.settled() })
}

// accepted reports whether the platform accepted a call of the member that makes this access and may not show yet.
func (m *Member) accepted(makes Access) bool {
	return slices.ContainsFunc(m.Calls, func(c Call) bool { return c.Accepted && c.Makes == makes && !c.settled() })
}

// showsWithin is the time in which an accepted call of any member may not show yet.
func (f *Facts) showsWithin() time.Duration {
	left := time.Duration(0)
	for _, m := range f.Members {
		for _, call := range m.Calls {
			if call.Accepted {
				left = max(left, call.Left)
			}
		}
	}
	return left
}

// overtook is the time in which a read may be older than an accepted call of the member, although it shows the access that the call makes.
func (m *Member) overtook() time.Duration {
	left := time.Duration(0)
	for _, call := range m.Calls {
		if call.Overtakes {
			left = max(left, call.Left)
		}
	}
	return left
}

// proves reports whether the holder can revoke the relation that a member hands over: both have the same account, or the platform
// answered a call of the holder as one that its account may send. A read of the relation is no proof.
func (d *decider) proves(holder int, leaver *Member) bool {
	m := &d.Members[holder]
	return m.Sent.Answer == Accepted || m.Sent.Answer == AlreadyRelated || m.Account != "" && m.Account == leaver.Account
}

// toProve reports whether the holder has to send its call once more, since a member waits for the proof that the holder can revoke.
func (d *decider) toProve(i int) bool {
	return !d.Members[i].Suspended && !d.DryRun && slices.ContainsFunc(d.Members, func(other Member) bool {
		return other.hasToLeave() && !other.ClaimUnreadable && other.arrivesWithin(Unknown) <= 0 && !d.proves(i, &other)
	})
}

// waitBehind decides for a member that does not hold the relation.
func (d *decider) waitBehind(i int) (Outcome, *Decision) {
	m := &d.Members[i]
	switch why := m.linkProblem(); {
	case why == NoConnection, why == NotAllowed, why == ConnectionElsewhere:
		return d.wait(i, why)
	case d.holder >= 0 && d.holder < i:
		return Outcome{State: Waiting, Why: OlderHolds, Other: d.holder}, nil
	case m.Rests && !d.disturbed(i):
		return Outcome{State: Bound, Look: m.DueIn, Other: i}, nil
	case why != NoReason:
		return d.wait(i, why)
	}
	// A member that gets here is suspended and has no claim.
	return d.look(i)
}

// finish completes the outcome of a member. A dry run lets no member go. A member whose access is to end keeps all calls on its record,
// since the access is removed once more after a call that has settled. From the record of other members, a confirmation takes the calls
// that have settled, and the accepted call that it shows.
func (d *decider) finish(i int, outcome Outcome) Outcome {
	m := &d.Members[i]
	if d.DryRun && outcome.State == Gone && (m.Finalizer || m.Claimed && !m.Leaving) {
		outcome = Outcome{State: Revoking, Why: LetGoHeldBack, Other: i}
	}
	switch outcome.Why {
	case NotShownYet, RemovalNotShown, GoneMayBeOlder:
		outcome.Look = max(outcome.Look, d.showsWithin())
	}
	switch {
	case outcome.State == Gone:
		return outcome
	case m.ending():
		outcome.Calls = m.Calls
		return outcome
	}
	confirmed := outcome.Why == AsDeclared || d.holder >= 0 && d.outcomes[d.holder].Why == AsDeclared
	outcome.Calls = without(m.Calls, func(c Call) bool { return confirmed && (c.settled() || c.Accepted && !c.Overtakes) })
	return outcome
}
