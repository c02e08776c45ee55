// Package explorer visits every state of a small world around relation.Decide: a platform, some ClientBindings and their
// connections, and one or two processes of the operator. It looks for a state that breaks a promise, and shows the shortest path to it.
package explorer

import "github.com/delos-financial/clientbinding-operator/internal/relation"

const (
	maxBindings  = 3
	maxProcesses = 2
	connections  = 2
	maxTransit   = 2
)

// world is one state. It consists of bytes only, so that its memory is its canonical encoding. All lengths of time are in ticks.
type world struct {
	platform platform
	// conns are the APIConnections, and accounts the platform's accounts that they may use.
	conns    [connections]conn
	accounts [2]account
	bindings [maxBindings]binding
	procs    [maxProcesses]process
	leader   uint8
	// budget is the number of events of each kind that may still happen.
	budget [budgets]uint8
}

type platform struct {
	user user
	// access of the user, or the access that a deleted user would have again when restored.
	access relation.Access
	// stale is the time in which a read may still show each former access.
	stale [4]uint8
	// made: the operator gave the access, or confirmed it.
	made bool
	// transit are the calls on their way, the empty ones last.
	transit [maxTransit]transit
}

type user uint8

const (
	userThere user = iota
	userMissing
	userDeleted
)

// transit is a call on its way: it may arrive for as long as left is not 0.
type transit struct {
	makes   relation.Access
	left    uint8
	binding uint8
}

type conn struct {
	// link is the state of the connection for all bindings.
	link       relation.Link
	account    uint8
	deniesAll  bool
	deniesOwns bool
}

type account struct {
	readsOnly, blind bool
}

type phase uint8

const (
	notCreated phase = iota
	there
	deleted
)

// binding is one ClientBinding, as it is stored in Kubernetes.
type binding struct {
	phase                               phase
	declares                            relation.Access
	conn                                uint8
	suspended, orphan, leaving, expired bool
	finalizer, claimed, rests           bool
	// saidUnclaimed, waitedLong and contested are as in relation.Member.
	saidUnclaimed, waitedLong, contested bool
	// after are the bindings that were confirmed after this one.
	after uint8
	// lost: its status was lost, and with it the claim.
	lost         bool
	status       status
	claimAccount uint8
	// calls[None..Owner] tells whether a call without an answer is on record; calls[Unknown] names the access of the
	// accepted call on record.
	calls [4]uint8
}

// status is the state in a binding's status, for the present generation.
type status uint8

const (
	noStatus status = iota
	saysWaiting
	saysConfirming
	saysBound
	saysRevoking
	saysGone
)

// process is one process of the operator.
type process struct {
	// view has the bindings as its cache shows them, and behind tells which are older than the stored ones.
	view   [maxBindings]binding
	behind [maxBindings]bool
	// memory is the time in which each call on record may still take effect, plus one; 0 while the process has not seen the record.
	// foreign tells which of the calls another process has recorded since.
	memory  [maxBindings][4]uint8
	foreign [maxBindings]uint8
	// overtakesNone: no other call was accepted shortly before the accepted call on record.
	overtakesNone [maxBindings]bool
	// sent: it has sent a call since it confirmed.
	sent bool
	run  run
}

// run is the progress of a run.
type run struct {
	phase runPhase
	steps uint8
	// failed are the bindings whose patch failed; written are those that are done.
	failed, written uint8
	// drifted: the relation was changed from outside since it was read.
	drifted bool
	// accountsChanged: what an account may do changed since the run began.
	accountsChanged bool
	conns           [connections]conn
	members         [maxBindings]member
}

type runPhase uint8

const (
	idle runPhase = iota
	deciding
	reporting
)

// member is the part of relation.Member that a run changes.
type member struct {
	// left of the calls, as in binding.calls, plus one; accepted is the access that the accepted one makes.
	left      [4]uint8
	accepted  relation.Access
	overtakes bool
	reading   reading
	recorded  relation.Access
	prior     uint8
	sent      relation.Access
	answer    relation.Answer
	account   uint8
	brake     relation.Brake
	rests     bool
	// claims: the claim is noted, and not written yet.
	claims bool
}

type reading struct {
	state   relation.ReadState
	access  relation.Access
	deleted bool
	// listless: it has no list of clients.
	listless bool
	witness  relation.Witness
}

// The events whose number a configuration bounds.
const (
	edits = iota
	faults
	crashes
	drifts
	outages
	moves
	userEvents
	restores
	budgets
)
