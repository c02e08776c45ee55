// Package relation decides what is done about one relation: one user and one client at one API host, which any
// number of ClientBindings may declare. It is pure: it knows no Kubernetes, no HTTP and no clock. Its caller gathers Facts, asks
// Decide for the next step, takes it, notes in the Facts what came of it, and asks again, until Decide says to report.
package relation

import (
	"slices"
	"time"
)

// Access is the access of a user at a client, in rising order.
type Access uint8

const (
	// Unknown means that it was not read, or that the answer can be understood in more than one way.
	Unknown Access = iota
	// None means that the user has no access to the client.
	None
	// Standard access.
	Standard
	// Owner has full administrative rights over the client.
	Owner
)

// Facts are all that a run knows of a relation.
type Facts struct {
	// Members are the ClientBindings that declare the relation, the oldest first.
	Members []Member
	// DryRun means that the operator only says what it would do.
	DryRun bool
}

// Member is one ClientBinding of the relation, with the calls and reads of this run on its behalf.
type Member struct {
	// Declares is Owner or Standard.
	Declares Access
	// Leaving means that it is being deleted. Expired: its time has passed. Suspended: it neither gives nor corrects.
	Leaving, Expired, Suspended bool
	// Orphan: its deletion leaves the access as it is.
	Orphan bool
	// SpecUnreadable and ClaimUnreadable: fields do not decode that say what it declares, or what it answers for.
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
	// WaitedLong: for --stall-after the holder could not take the relation over from it. Without a claim: for --stall-after the
	// holder did not adopt the relation, or no read could tell whether there is one.
	WaitedLong bool
	// Contested: others changed its access, and the operator corrected it, as often as the limit allows. It is not given again.
	Contested bool
	// Brake is the answer of the brake to its revocation.
	Brake Brake
	// Through numbers the APIConnection through which it acts, and Link is the state of that. Account is the account of the connection's
	// session. ClaimAccount is the account that last saw the relation on behalf of the claim, or that claimed it.
	Through               int
	Link                  Link
	Account, ClaimAccount string

	// Reading is the last read of this run through its connection.
	Reading Reading
	// Recorded is the access that the recorded call of this run makes, until that is sent; Unknown when there is no such call.
	Recorded Access
	// Sent is the last call that this run sent on its behalf.
	Sent Sent
	// Prior is the unanswered call that was on record before, and makes the same access as the recorded one.
	Prior Call
}

// Link is the state of the APIConnection through which a member acts.
type Link uint8

const (
	// LinkReady means that it has an open session.
	LinkReady Link = iota
	// LinkMissing means that it does not exist.
	LinkMissing
	// LinkElsewhere means that it leads to another API than the one in which the relation was made.
	LinkElsewhere
	// LinkDenied means that it does not allow what the member declares.
	LinkDenied
	// LinkNotReady means that it cannot be used.
	LinkNotReady
	// LinkStarting means that it was ready when the operator last ran, and has no session yet.
	LinkStarting
	// LinkUnprotected means that it or its Secret is not protected by the operator's finalizer, and could go before the access is revoked.
	// Nothing is given through it on behalf of a member without a claim.
	LinkUnprotected
	// LinkLeaving means that it is being deleted. Nothing is given through it on behalf of a member without a claim, either.
	LinkLeaving
)

// usable reports whether a connection can be used, now or later, without the help of a person.
func (l Link) usable() bool { return l == LinkReady || l == LinkStarting || l == LinkUnprotected }

// Brake is the answer of a connection's brake to one revocation.
type Brake uint8

const (
	// BrakeNone means that there is no limit, or the revocation was let through.
	BrakeNone Brake = iota
	// BrakeAsk means that the brake was not asked yet.
	BrakeAsk
	// BrakeHolds means that the limit is reached.
	BrakeHolds
)

// Call is a call that changes the relation and that may still take effect. The times are for the record; only Left counts.
type Call struct {
	// Makes is the access that it makes: None for a removal.
	Makes Access
	// Accepted means that the platform accepted it, but it may not show yet. Else no answer was seen, and it may still arrive.
	Accepted bool
	// Overtakes means that another call, which makes another access, came shortly before this accepted one, and may not have shown yet. A
	// read that shows the access of this call may then be older than both.
	Overtakes bool
	// Left is the time in which it may still arrive, or may not show yet. It has settled when nothing is left.
	Left time.Duration

	// Sent is the time of its record. Timeout bounds the call, and Settle is the time after that in which it may still take effect.
	Sent            time.Time
	Timeout, Settle time.Duration
}

func (c Call) settled() bool { return c.Left <= 0 }

// Reading is the answer of Get user, to a read that began after all calls that this run has sent.
type Reading struct {
	State ReadState
	// Access of the user, or the access that a deleted user would have again when restored. It is Unknown if the
	// answer has an entry about this client that cannot be understood.
	Access Access
	// Deleted means that the user is deleted in the platform and has no access.
	Deleted bool
	// Whole means that the answer had a list of the user's clients, and that each entry names its client. Odd: an entry has a form that is
	// not known, and may be about any client.
	Whole, Odd bool
	// Named means that an answer that there is no such user names this user.
	Named bool
	// Witness is the proof that the account sees users at all.
	Witness Witness
}

// ReadState is the state of a read.
type ReadState uint8

const (
	// NotRead means that it was not tried since the last call was sent.
	NotRead ReadState = iota
	// NoTurn means that the connection has no turn free, and calls the relation back.
	NoTurn
	// ReadFailed means that no usable answer came.
	ReadFailed
	// Shown means that Get user showed the user.
	Shown
	// NoUser means that the platform says that there is no such user.
	NoUser
)

// Witness is the result of reading another user, one that the account has confirmed before. An account that does not see
// that user either proves nothing about the user of the relation.
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
	// LongAbsent means that there is no other user to ask for, but the absence was read again and again for --stall-after.
	LongAbsent
)

// Sent is a call that was sent, and its answer.
type Sent struct {
	Makes  Access
	Answer Answer
}

// Answer is the answer to a call, as far as it was seen.
type Answer uint8

const (
	// NoCall means that none was sent.
	NoCall Answer = iota
	// Accepted by the platform.
	Accepted
	// Refused by the platform, which did nothing.
	Refused
	// AlreadyRelated means that the platform does not overwrite the existing relation.
	AlreadyRelated
	// NothingThere means that the platform says that there is nothing to remove.
	NothingThere
	// Lost means that no answer was seen. The call may have arrived, and may still arrive.
	Lost
	// Unsent means that it was not sent after all.
	Unsent
)

// NoteRecorded notes that the claim of a member is on record, and with it a call that is about to be sent. If call makes
// Unknown, no call is recorded.
func (f *Facts) NoteRecorded(member int, call Call) {
	m := &f.Members[member]
	m.Finalizer = true
	if !m.Claimed {
		// A confirmation by a dry run, or under suspension, is reported anew with the claim.
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
			// One record stands for both calls, and must not end before either of them.
			call.Settle = max(call.Settle, former.Left-call.Timeout)
			call.Left = max(call.Left, former.Left)
		}
		// A settled call that makes another access stays: until the new call is accepted, the member still owes a removal after it.
		return same || former.settled() && former.Makes == call.Makes
	})
	m.Calls = append(m.Calls, call)
}

// NoteSent notes the answer to the call on record. Reads from before the call prove nothing any more. An accepted call
// overrules all that were accepted before it; shows is the time in which it may not show yet.
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
	call.Overtakes = f.has(func(c Call) bool { return !c.settled() && (c.Makes != makes || c.Overtakes) })
	f.outdate(member, makes, answer)
	if answer == Accepted {
		call.Accepted, call.Left, call.Settle = true, shows, shows
		m.Calls = append(m.Calls, call)
	}
}

// outdate drops the reads, and the accepted calls, from before a call.
func (f *Facts) outdate(member int, makes Access, answer Answer) {
	changed := answer == Accepted || answer == Lost
	for i := range f.Members {
		other := &f.Members[i]
		if changed || other.Through == f.Members[member].Through {
			other.Reading = Reading{}
		}
		other.Rests = other.Rests && !changed
		if answer == Accepted {
			other.Calls = without(other.Calls, func(c Call) bool {
				return c.Accepted && (c.Makes != makes || i == member) || i == member && c.settled()
			})
		}
	}
}

// has reports whether such a call is on the record of any member.
func (f *Facts) has(such func(Call) bool) bool {
	return slices.ContainsFunc(f.Members, func(m Member) bool { return slices.ContainsFunc(m.Calls, such) })
}

// NoteRead notes a read through the connection of a member, for all members with that connection.
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

// without returns a copy of the calls that leaves out those that go.
func without(calls []Call, goes func(Call) bool) []Call {
	return slices.DeleteFunc(slices.Clone(calls), goes)
}
