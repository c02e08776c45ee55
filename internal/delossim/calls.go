package delossim

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// keptCalls is the number of calls that the record keeps. The counts have all calls.
const keptCalls = 100_000

// Call is one call to the platform. It has no secret: no token, password or code.
type Call struct {
	// Op is the operation.
	Op Operation `json:"operation"`
	// Method and Path are those of the request, the path with its query and without a refresh token.
	Method string `json:"method"`
	Path   string `json:"path"`
	// User is the user's UUID; empty for calls that name none.
	User string `json:"user,omitempty"`
	// CUID is the client of a PUT or DELETE; empty if the body of a PUT could not be understood.
	CUID string `json:"cuid,omitempty"`
	// IsOwner is the isOwner of a PUT, or the limit of a DELETE; nil if there is none.
	IsOwner *bool `json:"isOwner,omitempty"`
	// Status of the answer; zero without an answer.
	Status int `json:"status"`
	// Applied says that the platform carried the call out, also if its answer does not say so.
	Applied bool `json:"applied"`
	// Time of the call, by the server's clock.
	Time time.Time `json:"time"`
	// UserAgent is the caller's User-Agent.
	UserAgent string `json:"userAgent,omitempty"`
	// RequestID is the caller's X-Request-Id, if it sent one.
	RequestID string `json:"requestId,omitempty"`
	// Traceparent is the trace that the caller says the call belongs to (W3C Trace Context).
	Traceparent string `json:"traceparent,omitempty"`
}

// Summary counts calls by operation. All calls count, also those refused, spoiled or dropped.
type Summary struct {
	Relate    int `json:"relate"`
	User      int `json:"user"`
	Unrelate  int `json:"unrelate"`
	Login     int `json:"login"`
	Refresh   int `json:"refresh"`
	List      int `json:"list"`
	Customers int `json:"customers"`
	Other     int `json:"other"`
}

// String is one line for people, such as "PUT relate-client 4, GET user 12, DELETE relate-client 1, logins 1,
// refreshes 0"; listings and others are told only if there were any.
func (s Summary) String() string {
	line := fmt.Sprintf("PUT relate-client %d, GET user %d, DELETE relate-client %d, logins %d, refreshes %d",
		s.Relate, s.User, s.Unrelate, s.Login, s.Refresh)
	if s.List > 0 {
		line += fmt.Sprintf(", user lists %d", s.List)
	}
	if s.Customers > 0 {
		line += fmt.Sprintf(", client lists %d", s.Customers)
	}
	if s.Other > 0 {
		line += fmt.Sprintf(", others %d", s.Other)
	}
	return line
}

// Calls returns the last 100,000 calls, oldest first, or those among them that are of the given operations.
// They are in the order in which they were carried out.
func (s *Server) Calls(ops ...Operation) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls.all()
	if len(ops) == 0 {
		return calls
	}
	return slices.DeleteFunc(calls, func(call Call) bool { return !slices.Contains(ops, call.Op) })
}

// Count returns the number of calls of the operation; for [OpAny], of all calls.
func (s *Server) Count(op Operation) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if op != OpAny {
		return s.calls.counts[op]
	}
	total := 0
	for count := range maps.Values(s.calls.counts) {
		total += count
	}
	return total
}

// Summary returns the number of calls since the start or the last reset.
func (s *Server) Summary() Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.calls.counts
	return Summary{
		Relate:    counts[OpRelate],
		User:      counts[OpUser],
		Unrelate:  counts[OpUnrelate],
		Login:     counts[OpLogin],
		Refresh:   counts[OpRefresh],
		List:      counts[OpList],
		Customers: counts[OpCustomers],
		Other:     counts[OpOther],
	}
}

// ResetCalls forgets calls and counts.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = newRecord(s.calls.keep)
}

// record has exact counts of all calls, and the last calls themselves.
type record struct {
	keep   int
	counts map[Operation]int
	calls  []Call
	oldest int // where the oldest call is, once calls has reached keep
}

func newRecord(keep int) record {
	return record{keep: keep, counts: map[Operation]int{}}
}

// add notes a call and returns it.
func (r *record) add(req request, at time.Time, status int, applied bool) Call {
	call := Call{
		Op:          req.op,
		Method:      req.method,
		Path:        req.path,
		User:        req.user,
		CUID:        req.cuid,
		IsOwner:     req.isOwner,
		Status:      status,
		Applied:     applied,
		Time:        at,
		UserAgent:   req.header.Get("User-Agent"),
		RequestID:   req.header.Get("X-Request-Id"),
		Traceparent: req.header.Get("traceparent"),
	}
	r.counts[call.Op]++
	if len(r.calls) < r.keep {
		r.calls = append(r.calls, call)
		return call
	}
	r.calls[r.oldest] = call
	r.oldest = (r.oldest + 1) % r.keep
	return call
}

// all returns the kept calls, oldest first.
func (r *record) all() []Call {
	return slices.Concat(r.calls[r.oldest:], r.calls[:r.oldest])
}
