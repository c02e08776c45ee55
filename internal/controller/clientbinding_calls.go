package controller

import (
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// showsWithin is the time that an accepted call may take to show in Get user before it is sent again.
const showsWithin = 30 * time.Second

// longestCall is the longest timeout of a connection. It stands in for one that cannot be read.
const longestCall = 2 * time.Minute

// knownCall has the facts about a call on record that only this process knows.
type knownCall struct {
	// since is the time from which the length of the call counts, by this process's clock.
	since time.Time
	// answer of the platform to a call that this process sent. It may not be on record: the object may have been changed meanwhile.
	answer relation.Answer
	// overtakesNone: the call was accepted, and no other one shortly before it.
	overtakesNone bool
}

// callID tells one call on record from others.
type callID struct {
	binding  types.UID
	access   v1alpha1.Access
	sent     int64
	accepted bool
}

func idOf(binding types.UID, call v1alpha1.Call) callID {
	return callID{binding, call.Access, call.SentTime.Unix(), call.AcceptedTime != nil}
}

// settlesAfter is the time after its deadline in which a call may still arrive, or may not show yet. A proxy before the platform may hold a
// call for as long as the operator waits for an answer.
func settlesAfter(timeout time.Duration) time.Duration { return max(timeout, showsWithin) }

// callsOf returns the calls on a binding's record. The length of each counts from the time at which this process first knew of it.
func (r *run) callsOf(binding *v1alpha1.ClientBinding, known map[callID]knownCall) []relation.Call {
	now := r.Schedule.Now()
	var calls []relation.Call
	for _, recorded := range binding.Status.Claim.InFlight {
		id := idOf(binding.UID, recorded)
		known[id] = r.knownSince(id, now)
		call := relation.Call{
			Makes: accessOf(recorded.Access), Accepted: recorded.AcceptedTime != nil,
			Sent: recorded.SentTime.Time, Timeout: recorded.Timeout.Duration, Settle: recorded.Settle.Duration,
		}
		switch known[id].answer {
		case relation.NoCall:
		case relation.Accepted:
			call.Accepted, call.Settle = true, showsWithin
		default:
			continue
		}
		call.Overtakes = call.Accepted && !known[id].overtakesNone
		call.Left = known[id].since.Add(lengthOf(call)).Sub(now)
		calls = append(calls, call)
	}
	calls = lastAccepted(calls)
	if len(binding.UnreadableFields.Under("status.claim.inFlight")) > 0 {
		// The record may be of any call.
		for _, access := range []relation.Access{relation.None, relation.Owner} {
			id := callID{binding: binding.UID, access: nameOf(access), sent: -1}
			known[id] = r.knownSince(id, now)
			calls = append(calls, relation.Call{
				Makes: access, Sent: r.now.Time, Timeout: longestCall, Settle: longestCall, Left: known[id].since.Add(2 * longestCall).Sub(now),
			})
		}
	}
	return calls
}

// lastAccepted leaves out the calls that were accepted before the last accepted one. The record may still have them, if an edit of the
// object kept the status from being written.
func lastAccepted(calls []relation.Call) []relation.Call {
	last := time.Duration(math.MinInt64)
	for _, call := range calls {
		if call.Accepted {
			last = max(last, call.Left)
		}
	}
	return slices.DeleteFunc(calls, func(call relation.Call) bool { return call.Accepted && call.Left < last })
}

// knownSince returns the facts that this process knows of a call, which counts from now if it is new.
func (r *run) knownSince(id callID, now time.Time) knownCall {
	if known, is := r.known.calls[id]; is {
		return known
	}
	return knownCall{since: now}
}

// noteAnswer remembers the answer to the call on record. The length of the call counts from now, and not from its record, since it was
// sent later. The answer says nothing about an earlier call for which the record stands, too.
func (r *run) noteAnswer(i int, makes relation.Access, answer relation.Answer) {
	m := &r.facts.Members[i]
	known := knownCall{since: r.Schedule.Now()}
	if answer != relation.Lost && m.Prior.Left <= 0 {
		known.answer = answer
		known.overtakesNone = !slices.ContainsFunc(m.Calls, func(c relation.Call) bool { return c.Overtakes })
	}
	r.known.calls[idOf(r.members[i].cached.UID, v1alpha1.Call{Access: nameOf(makes), SentTime: r.now})] = known
}

// lengthOf is the time in which a call may take effect: from its acceptance if it was accepted, else from its record.
func lengthOf(call relation.Call) time.Duration {
	if call.Accepted {
		return call.Settle
	}
	return call.Timeout + call.Settle
}

// noteCalls puts the calls of a member on its record, and remembers since when this process knows of them.
func (r *run) noteCalls(m *member, calls []relation.Call) {
	claim := m.edit().Status.Claim
	former := claim.InFlight
	claim.InFlight = nil
	for _, call := range calls {
		recorded := v1alpha1.Call{
			Access:   nameOf(call.Makes),
			SentTime: metav1.Time{Time: call.Sent.UTC().Truncate(time.Second)},
			Timeout:  metav1.Duration{Duration: call.Timeout},
			Settle:   metav1.Duration{Duration: call.Settle},
		}
		if call.Accepted {
			recorded.AcceptedTime = &r.now
		}
		if i := slices.IndexFunc(former, func(f v1alpha1.Call) bool {
			return idOf("", f) == idOf("", recorded)
		}); i >= 0 && call.Accepted {
			recorded.AcceptedTime = former[i].AcceptedTime
		}
		claim.InFlight = append(claim.InFlight, recorded)
		// A call that overtakes may have the callID of one that was accepted in the same second, and overtook none.
		if id := idOf(m.cached.UID, recorded); r.known.calls[id].since.IsZero() || call.Overtakes && r.known.calls[id].overtakesNone {
			r.known.calls[id] = knownCall{since: r.Schedule.Now().Add(call.Left - lengthOf(call)), overtakesNone: !call.Overtakes}
		}
	}
}

// accessOf is the access that a name in our API stands for. An unknown name stands for Owner.
func accessOf(name v1alpha1.Access) relation.Access {
	switch name {
	case v1alpha1.AccessNone:
		return relation.None
	case v1alpha1.AccessStandard:
		return relation.Standard
	default:
		return relation.Owner
	}
}

// nameOf is the name of an access in our API; empty when it is unknown.
func nameOf(access relation.Access) v1alpha1.Access {
	switch access {
	case relation.None:
		return v1alpha1.AccessNone
	case relation.Standard:
		return v1alpha1.AccessStandard
	case relation.Owner:
		return v1alpha1.AccessOwner
	default:
		return ""
	}
}
