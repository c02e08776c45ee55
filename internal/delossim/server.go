package delossim

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxRequestBody is the limit of a request's body in bytes. Documented bodies have about a hundred.
const maxRequestBody = 1 << 20

// Server is the simulated platform. All its methods are safe for concurrent use.
type Server struct {
	clock  func() time.Time
	onCall func(Call)

	closed    chan struct{}
	closeOnce sync.Once

	// One lock for everything: a call is matched, carried out and recorded in one step, so that the record
	// is in the order in which the state changed.
	mu       sync.Mutex
	settings Settings
	users    directory
	sessions sessions
	faults   []*Injection
	calls    record
}

// New makes a platform from config.
func New(config Config) *Server {
	s := &Server{
		clock:    config.Clock,
		onCall:   config.OnCall,
		closed:   make(chan struct{}),
		settings: config.Settings,
		users:    newDirectory(),
		sessions: newSessions(),
		calls:    newRecord(keptCalls),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	for _, account := range config.Accounts {
		s.AddAccount(account)
	}
	for _, token := range config.Tokens {
		s.AddToken(token)
	}
	for _, cuid := range config.Clients {
		s.AddClient(cuid)
	}
	for cuid, name := range config.ClientNames {
		s.NameClient(cuid, name)
	}
	for _, user := range config.Users {
		s.AddUser(user)
	}
	return s
}

// Adjust changes the settings for later calls. A new lag or lifetime does not affect earlier writes and
// tokens.
func (s *Server) Adjust(change func(*Settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.settings)
}

// Close ends every delayed call by resetting its connection, and delays no later one. Call
// it before closing the HTTP server, which otherwise waits for those calls.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
}

// ServeHTTP answers one call to the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The body is read before any waiting: net/http notices that a client has gone only after that.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBody))
	if err != nil {
		call, sent := s.unanswered(parse(r, nil))
		s.deliver(w, r, call, sent)
		return
	}
	call, sent := s.handle(r.Context(), parse(r, body))
	s.deliver(w, r, call, sent)
}

// handle carries the call out, as far as settings and faults let it.
func (s *Server) handle(ctx context.Context, req request) (Call, delivery) {
	s.mu.Lock()
	latency := s.settings.Latency
	s.mu.Unlock()
	if !s.wait(ctx, latency) {
		return s.unanswered(req)
	}

	s.mu.Lock()
	fault := s.nextFault(req)
	s.mu.Unlock()
	if !s.wait(ctx, fault.Delay) {
		return s.unanswered(req)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var genuine answer
	if fault.performs() {
		genuine = s.perform(&req)
	}
	sent := genuine.delivery()
	if fault.Failure != nil {
		sent = fault.Failure.spoil(s, req, genuine)
	}
	return s.calls.add(req, s.clock(), sent.status, genuine.applied), sent
}

// unanswered records a call that ended before it was carried out.
func (s *Server) unanswered(req request) (Call, delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := Reset{}.spoil(s, req, answer{})
	return s.calls.add(req, s.clock(), sent.status, false), sent
}

// deliver records the call and then sends the answer, in this order, so that the receiver of an answer finds
// its call in the record.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, call Call, sent delivery) {
	if s.onCall != nil {
		s.onCall(call)
	}
	sent.send(w, r)
}

// wait sleeps for d. It reports false if the context ended or the server was closed.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.closed:
		return false
	}
}
