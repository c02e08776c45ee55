package delossim

import (
	"slices"
	"time"
)

// Fault is a scripted failure: which calls it hits, and what becomes of them.
type Fault struct {
	// Op and User say which calls it matches; empty matches all.
	Op   Operation
	User string
	// Skip lets that many matching calls pass first.
	Skip int
	// Times is how many calls it hits before it is spent; zero hits until it is removed.
	Times int

	// Delay is slept, for real, before anything else; it ends early with the request.
	Delay time.Duration
	// Apply carries the call out before its answer is replaced; else it has no effect. Failures that spoil
	// the platform's own answer carry it out in any case.
	Apply bool
	// Failure is what arrives instead of the answer; nil delays only.
	Failure Failure
}

// Failure is what arrives instead of the platform's answer: an [Answer], a [Reset], a [Hang], a
// [HangAfterHeaders], or the answer spoilt by [Truncate], [CutJSON], [Pad], [WrongUser],
// [Rewrite] or [Drip].
type Failure interface {
	// spoil makes of the platform's own answer what is delivered. It is called with the server locked.
	spoil(s *Server, req request, genuine answer) delivery
	// needsAnswer says that it spoils the platform's own answer.
	needsAnswer() bool
}

// Injection is a fault that was injected.
type Injection struct {
	server *Server
	fault  Fault
	seen   int
	hits   int
}

// Inject lets the fault hit the calls that come next. Where several match, the one injected first hits, so
// that faults injected one after the other, each with Times, are a script.
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

// Remove takes the fault back. Calls that it holds up stay held up: see [Server.Close].
func (i *Injection) Remove() {
	i.server.mu.Lock()
	defer i.server.mu.Unlock()
	i.server.removeFault(i)
}

// Hits returns how many calls the fault has hit.
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
