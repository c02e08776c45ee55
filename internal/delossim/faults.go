package delossim

import (
	"slices"
	"time"
)

// Fault is a scripted failure: the calls that it hits, and their outcome.
type Fault struct {
	// Op and User say which calls it matches; empty matches all.
	Op   Operation
	User string
	// Skip is the number of matching calls that pass first.
	Skip int
	// Times is the number of calls that it hits; zero hits all until it is removed.
	Times int

	// Delay is slept, for real, before anything else; it ends early with the request.
	Delay time.Duration
	// Apply carries the call out before its answer is replaced. Otherwise the call has no effect. Failures that change
	// the platform's own answer always carry it out.
	Apply bool
	// Failure replaces the answer; nil only delays it.
	Failure Failure
}

// Failure replaces the platform's answer by an [Answer], a [Reset], a [Hang] or a
// [HangAfterHeaders], or changes it by [Truncate], [CutJSON], [Pad], [WrongUser],
// [Rewrite] or [Drip].
type Failure interface {
	// spoil turns the platform's own answer into the delivered one. It is called with the server locked.
	spoil(s *Server, req request, genuine answer) delivery
	// needsAnswer says that it changes the platform's own answer.
	needsAnswer() bool
}

// Injection is a fault that was injected.
type Injection struct {
	server *Server
	fault  Fault
	seen   int
	hits   int
}

// Inject lets the fault hit later calls. If several faults match, the one injected first hits. So
// faults injected one after the other, each with Times, are a script.
func (s *Server) Inject(fault Fault) *Injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	injection := &Injection{server: s, fault: fault}
	s.faults = append(s.faults, injection)
	return injection
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Remove removes the fault. Calls that it delays stay delayed: see [Server.Close].
func (i *Injection) Remove() {
	i.server.mu.Lock()
	defer i.server.mu.Unlock()
	i.server.removeFault(i)
}

// Hits returns the number of calls that the fault has hit.
func (i *Injection) Hits() int {
	i.server.mu.Lock()
	defer i.server.mu.Unlock()
	return i.hits
}

// nextFault returns the fault that hits the call; the zero Fault changes nothing.
func (s *Server) nextFault(req request) Fault {
	for _, injection := range s.faults {
		fault := injection.fault
		if !fault.matches(req) {
			continue
		}
		injection.seen++
		if injection.seen <= fault.Skip {
			continue
		}
		injection.hits++
		if injection.hits == fault.Times {
			s.removeFault(injection)
		}
		return fault
	}
	return Fault{}
}

func (s *Server) removeFault(injection *Injection) {
	s.faults = slices.DeleteFunc(s.faults, func(other *Injection) bool { return other == injection })
}

func (f Fault) matches(req request) bool {
	return (f.Op == OpAny || f.Op == req.op) && (f.User == "" || f.User == req.user)
}

// performs reports whether a call that the fault hits is carried out.
func (f Fault) performs() bool {
	return f.Failure == nil || f.Apply || f.Failure.needsAnswer()
}
