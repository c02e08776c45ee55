// Package relation decides what is done about one relation: one user and one client at one API host, which any
// number of ClientBindings may declare. It is pure: it knows no Kubernetes, no HTTP and no clock. Its caller gathers Facts, asks
// Decide for the next step, takes it, notes in the Facts what came of it, and asks again, until Decide says to report.
package relation

import (
	"slices"
	"time"
)

// Access is what a user may do for a client, in rising order.
type Access uint8

const (
	// Unknown means that it was not read, or what was read can be understood in more than one way.
	Unknown Access = iota
	// None means that the user has no access to the client.
	None
	// Standard access.
	Standard
	// Owner has full administrative rights over the client.
	Owner
)

// Facts is all that a run knows of a relation.
type Facts struct {
	// Members are the ClientBindings that declare the relation, the oldest first.
	Members []Member
	// DryRun means that the operator only says what it would do.
	DryRun bool
}

// Member is one ClientBinding of the relation, and what this run has done for it.
type Member struct {
	// Declares is Owner or Standard.
	Declares Access
	// Leaving means that it is being deleted. Expired: its access has come to its end. Suspended: it neither gives nor corrects.
	Leaving, Expired, Suspended bool
	// Orphan: its deletion leaves the access as it is.
	Orphan bool
	// SpecUnreadable and ClaimUnreadable: fields of it do not decode, so that it is not known what it declares, or what it
	// answers for.
	SpecUnreadable, ClaimUnreadable bool
	// Finalizer means that it has the operator's finalizer. Claimed: the operator answers for the relation on its behalf, and its
	// deletion or expiry revokes.
	Finalizer, Claimed bool
	// Calls are the calls made on its behalf that may still change the relation.
	Calls []Call
	// Rests: what it declares was confirmed, and is not due to be read again. DueIn is the time until then; 0 means that it never is.
	Rests bool
	DueIn time.Duration
	// SaidUnclaimed: its status says, under suspension, that the operator does not answer for the relation.
	SaidUnclaimed bool
	// WaitedLong: for as long as --stall-after the holder could not take the relation over from it. Without a claim: for as long the
	// holder did not adopt the relation, or it could not be read whether there is one.
	WaitedLong bool
	// Contested: others undid its access, and the operator gave it again, as often as it does. It is not given again now.
	Contested bool
	// Brake is what the connection's limit on revocations says of its revocation.
	Brake Brake
	// Through names the APIConnection through which it acts, and Link is its state. Account names the platform's account that
	// the connection has a session of. ClaimAccount is the account that last saw the relation on behalf of the claim, or claimed it.
	Through               int
	Link                  Link
	Account, ClaimAccount string

	// Reading is what this run last read through its connection.
	Reading Reading
	// Recorded is what the call makes that was recorded in this run and not sent yet; Unknown when there is none.
	Recorded Access
	// Sent is the last call that this run sent on its behalf.
	Sent Sent
	// Prior is the unanswered call of the same kind that was on record before the one that this run recorded.
	Prior Call
}

// Link is the state of the APIConnection through which a member acts.
type Link uint8

const (
	// LinkReady means that it has an open session.
	LinkReady Link = iota
	// LinkMissing means that there is none.
	LinkMissing
	// LinkElsewhere means that it leads to another API than the one in which the relation was made.
	LinkElsewhere
	// LinkDenied means that it does not allow what the member declares.
	LinkDenied
	// LinkNotReady means that it cannot be used.
	LinkNotReady
	// LinkStarting means that it was ready when the operator last ran, and has no session yet.
	LinkStarting
	// LinkUnprotected means that it is not sure to stay until the access was revoked, so that nothing is given through it on behalf of a
	// member without a claim.
	LinkUnprotected
	// LinkLeaving means that it is being deleted. Nothing is given through it on behalf of a member without a claim, either.
	LinkLeaving
)

// usable reports whether a member may come to act through a connection without help from outside.
func (l Link) usable() bool { return l == LinkReady || l == LinkStarting || l == LinkUnprotected }

// Brake is what a connection's limit on revocations says of one.
type Brake uint8

const (
	// BrakeNone means that there is no limit, or the revocation was let through.
	BrakeNone Brake = iota
	// BrakeAsk means that it was not asked yet.
	BrakeAsk
	// BrakeHolds means that the limit is reached.
	BrakeHolds
)

// Call is a call that changes the relation and that may still take effect. The times are for the record; only Left counts.
type Call struct {
	// Makes is what it makes of the relation: None for a removal.
	Makes Access
	// Accepted means that the platform accepted it, but it may not show yet. Else nobody saw an answer, and it may still arrive.
	Accepted bool
	// Overtakes means that a call that makes another access came shortly before this accepted one, and may not have shown yet. A read that
	// shows what this one makes may then be older than both.
	Overtakes bool
	// Left is for how long it may still arrive, or may not show; it has settled when nothing is left.
	Left time.Duration

	// Sent is when it was recorded. Timeout bounds the call, and Settle is for how long after that it may take effect.
	Sent            time.Time
	Timeout, Settle time.Duration
}

func (c Call) settled() bool { return c.Left <= 0 }

// Reading is what Get user showed, in a read that began after all calls that this run has sent.
type Reading struct {
	State ReadState
	// Access of the user, or what a deleted user would have again when restored. It is Unknown if the answer
	// says of this client what cannot be understood.
	Access Access
	// Deleted means that the user is deleted in the platform and has no access.
	Deleted bool
	// Whole means that the answer had a list of the user's clients. Odd: one of them has a form that is not known, and
	// may be any client.
	Whole, Odd bool
	// Named means that an answer that there is no such user names this user.
	Named bool
	// Witness is what became of the proof that the account can see users at all.
	Witness Witness
}

// ReadState is what became of a read.
type ReadState uint8

const (
	// NotRead means that it was not tried since the last call was sent.
	NotRead ReadState = iota
	// NoTurn means that the connection has no turn free, and calls the relation back.
	NoTurn
	// ReadFailed means that there was no answer that can be used.
	ReadFailed
	// Shown means that Get user showed the user.
	Shown
	// NoUser means that the platform says that there is no such user.
	NoUser
)

// Witness is the read of another user, one that the account has confirmed before. An account that does not see that one
// either proves nothing about this one.
type Witness uint8

const (
	// NotAsked means that no other user was read yet.
	NotAsked Witness = iota
	// SeesOthers means that the account sees the other user.
	SeesOthers
	// SeesNobody means that it does not.
	SeesNobody
	// NoWitness means that there is no other user to ask for, and the absence was not read for long enough.
	NoWitness
	// LongAbsent means that there is none, but the absence was read again and again for --stall-after.
	LongAbsent
)

// Sent is a call that was sent, and its answer.
type Sent struct {
	Makes  Access
	Answer Answer
}

// Answer is what came of a call.
type Answer uint8

const (
	// NoCall means that none was sent.
	NoCall Answer = iota
	// Accepted by the platform.
	Accepted
	// Refused by the platform, which did nothing.
	Refused
	// AlreadyRelated means that the platform does not overwrite the relation that there is.
	AlreadyRelated
	// NothingThere means that the platform says that there is nothing to remove.
	NothingThere
	// Lost means that nobody saw an answer. The call may have arrived, and may still arrive.
	Lost
	// Unsent means that it was not sent after all.
	Unsent
)

// NoteRecorded notes that the claim of a member is on record, and with it a call that is about to be sent. A call that makes
// Unknown is none.
func (f *Facts) NoteRecorded(member int, call Call) {
	m := &f.Members[member]
	m.Finalizer = true
	if !m.Claimed {
		// What a dry run, or a look under suspension, has confirmed is reported anew with the claim.
		m.Claimed, m.ClaimAccount, m.Rests = true, m.Account, false
	}
	if call.Makes == Unknown {
		return
	}
	m.Recorded, m.Prior = call.Makes, Call{}
	m.Calls = without(m.Calls, func(former Call) bool {
		same := former.Makes == call.Makes && !former.Accepted && !former.settled()
		if same {
			m.Prior = former
			// One record stands for both calls, and may not end before either of them.
			call.Settle = max(call.Settle, former.Left-call.Timeout)
			call.Left = max(call.Left, former.Left)
		}
		// A settled call that makes another access stays: until the new call is accepted, the member still owes a removal after it.
		return same || former.settled() && former.Makes == call.Makes
	})
	m.Calls = append(m.Calls, call)
}

// NoteSent notes what came of the call on record. What was read before it proves nothing any more. A call that the
// platform accepted has the last word over all that it accepted before; shows is for how long it may not show yet.
func (f *Facts) NoteSent(member int, answer Answer, shows time.Duration) {
	m := &f.Members[member]
	makes := m.Recorded
	m.Recorded, m.Sent = Unknown, Sent{makes, answer}
	ofCall := func(c Call) bool { return c.Makes == makes && !c.Accepted }
	call := m.Calls[slices.IndexFunc(m.Calls, ofCall)]
	if answer != Lost {
		m.Calls = without(m.Calls, ofCall)
		if !m.Prior.settled() {
			m.Calls = append(m.Calls, m.Prior)
		}
	}
	if answer == Unsent {
		return
	}
	changed := answer == Accepted || answer == Lost
	call.Overtakes = f.has(func(c Call) bool { return !c.settled() && (c.Makes != makes || c.Overtakes) })
	for i := range f.Members {
		other := &f.Members[i]
		if changed || other.Through == m.Through {
			other.Reading = Reading{}
		}
		other.Rests = other.Rests && !changed
		if answer == Accepted {
			other.Calls = without(other.Calls, func(c Call) bool {
				return c.Accepted && (c.Makes != makes || i == member) || i == member && c.settled()
			})
		}
	}
	if answer == Accepted {
		call.Accepted, call.Left, call.Settle = true, shows, shows
		m.Calls = append(m.Calls, call)
	}
}

// has reports whether such a call is on the record of any member.
func (f *Facts) has(such func(Call) bool) bool {
	return slices.ContainsFunc(f.Members, func(m Member) bool { return slices.ContainsFunc(m.Calls, such) })
}

// NoteRead notes what was read through the connection of a member, which all members with the same connection share.
func (f *Facts) NoteRead(member int, reading Reading) {
	for i := range f.Members {
		m := &f.Members[i]
		if m.Through != f.Members[member].Through || m.Link != f.Members[member].Link && i != member {
			continue
		}
		m.Reading = reading
		if reading.State == Shown && reading.Access > None && m.Claimed {
			m.ClaimAccount = m.Account
		}
	}
}

// without returns the calls that are not to go, in a slice of its own.
func without(calls []Call, goes func(Call) bool) []Call {
	return slices.DeleteFunc(slices.Clone(calls), goes)
}
