package connection

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// Session uses one API with one account. It keeps to the connection's rate, pauses when the API asks for patience,
// and closes itself when further calls make no sense. It is safe for concurrent use.
type Session struct {
	pool     *Pool
	name     types.NamespacedName
	uid      types.UID
	settings settings
	api      *delos.Client
	reads    *reads
	gate     *gate
	breaker  breaker
	metrics  *metrics.Connection

	// checking is held by the run that checks whether there is an outage; checked is the time of the last check.
	checking sync.Mutex
	checked  time.Time

	// open and trouble are guarded by the pool's lock.
	open    bool
	trouble error
}

// checkPeriod is the shortest time between two probes that failed calls cause.
const checkPeriod = 10 * time.Second

func newSession(pool *Pool, name types.NamespacedName, uid types.UID, wanted settings, api *delos.Client, gate *gate) *Session {
	s := &Session{
		pool:     pool,
		name:     name,
		uid:      uid,
		settings: wanted,
		api:      api,
		gate:     gate,
		metrics:  pool.options.Metrics.Connection(name.String()),
	}
	s.reads = newReads(s.readUser, pool.options)
	return s
}

// Host is the host and port of the API.
func (s *Session) Host() string { return s.settings.host }

// TokenExpiry returns the expiry of the Secret's token, if the token names it.
func (s *Session) TokenExpiry() (at time.Time, known bool) {
	return delos.TokenExpiry(s.settings.credentials.Token)
}

// HasToken reports whether the session uses a token of the Secret, and no login.
func (s *Session) HasToken() bool { return s.settings.credentials.Token != "" }

// Timeout of one call.
func (s *Session) Timeout() time.Duration { return s.settings.timeout }

// Account is an opaque name of the account that the session acts as; see settings.account.
func (s *Session) Account() string { return s.settings.account() }

// Enter gives the run of a relation its turn, which has to be done when the run is. It never waits: the turn is nil, and
// entered false, while all slots are taken, the rate has no token, or the API asks for patience. The relation is then on the
// session's list, once, and is called back when its turn has come (see Pool.OnTurn): the highest priority first, and of equals
// the one that came first. From Urgent on, a run does not wait for the rate. Another Enter can raise the priority.
func (s *Session) Enter(relation Relation, priority int) (turn *Turn, entered bool) {
	turn = s.gate.enter(relation, priority)
	if turn == nil {
		s.metrics.Waited()
	}
	return turn, turn != nil
}

// Paused returns the rest of the pause that the API asked for.
func (s *Session) Paused() time.Duration { return s.gate.closedFor() }

// Probe proves that the session can be used: that the API answers and takes the credentials, also when they
// were refused before. See delos.Client.Probe. An API that asks for patience is not probed either.
func (s *Session) Probe(ctx context.Context) error {
	return s.probe(ctx, s.api.Probe)
}

func (s *Session) probe(ctx context.Context, send func(context.Context) error) error {
	if wait := s.gate.charge(); wait > 0 {
		return &delos.Error{Operation: delos.OperationList, Kind: delos.KindRateLimited, RetryAfter: wait}
	}
	err := send(ctx)
	if delos.RetryAfterOf(err) > 0 {
		s.gate.heed(err)
	}
	if err == nil {
		s.breaker.reset()
	}
	return err
}

// Tolerates reports whether a session that is in use stays so although a Probe failed: one failure is no
// outage yet.
func (s *Session) Tolerates(err error) bool {
	if !s.isOpen() {
		return false
	}
	switch delos.KindOf(err) {
	case delos.KindRateLimited:
		s.gate.heed(err)
		return true
	case delos.KindAwaitingCode:
		return true
	case delos.KindUnavailable, delos.KindUnreachable:
		outage := s.breaker.record("", err)
		if outage {
			s.metrics.Outage()
		}
		return !outage
	default:
		return false
	}
}

// TakeTrouble returns why the session closed itself since it was last asked; nil when it did not.
func (s *Session) TakeTrouble() error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	trouble := s.trouble
	s.trouble = nil
	return trouble
}

// User reads a user, together with other callers for the same user. The read begins after the call of
// this method. See delos.Client.User.
func (s *Session) User(ctx context.Context, uuid string) (*delos.User, error) {
	return s.reads.user(ctx, uuid)
}

func (s *Session) readUser(ctx context.Context, uuid string) (user *delos.User, err error) {
	err = s.call(ctx, uuid, func() error {
		user, err = s.api.User(ctx, uuid)
		return err
	})
	return user, err
}

// Relate gives a user access to a client. See delos.Client.Relate.
func (s *Session) Relate(ctx context.Context, uuid, cuid string, isOwner bool) (requestID string, err error) {
	err = s.call(ctx, uuid, func() error {
		requestID, err = s.api.Relate(ctx, uuid, cuid, isOwner)
		return err
	})
	return requestID, err
}

// Unrelate takes a user's access to a client away. See delos.Client.Unrelate.
func (s *Session) Unrelate(ctx context.Context, uuid, cuid string) (requestID string, err error) {
	err = s.call(ctx, uuid, func() error {
		requestID, err = s.api.Unrelate(ctx, uuid, cuid)
		return err
	})
	return requestID, err
}

// CountDrift counts a relation that was changed from outside, and that was corrected.
func (s *Session) CountDrift() { s.metrics.Drift() }

// call makes a call about a user unless the API asks for patience, and learns from the answer.
func (s *Session) call(ctx context.Context, user string, send func() error) error {
	if wait := s.gate.charge(); wait > 0 {
		return &delos.Error{Kind: delos.KindRateLimited, RetryAfter: wait}
	}
	err := send()
	s.gate.heed(err)
	mayBeOutage := s.breaker.record(user, err)
	switch kind := delos.KindOf(err); {
	case kind == delos.KindLoginRefused, kind == delos.KindUnauthorized:
		// The client has probed the session, so that this goes for all users.
		s.close(err)
	case mayBeOutage:
		s.check(ctx)
	}
	return err
}

// check probes the API. It closes the session if the API fails, or refuses the session. One probe at a time is enough, and
// one in checkPeriod: other runs do not wait for it.
func (s *Session) check(ctx context.Context) {
	if !s.isOpen() || !s.checking.TryLock() {
		return
	}
	defer s.checking.Unlock()
	now := s.pool.options.Now()
	if now.Sub(s.checked) < checkPeriod || s.gate.closedFor() > 0 {
		return
	}
	s.checked = now
	err := s.probe(ctx, s.api.Check)
	switch kind := delos.KindOf(err); {
	case ctx.Err() != nil:
	case kind == delos.KindRateLimited:
		s.gate.pause(delos.RetryAfterOf(err))
	case kind == delos.KindUnavailable, kind == delos.KindUnreachable:
		s.metrics.Outage()
		s.close(err)
	case kind == delos.KindLoginRefused, kind == delos.KindUnauthorized:
		s.close(err)
	}
}

func (s *Session) isOpen() bool {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.open
}

// close keeps the session from being used, and wakes the connection's reconciler with the reason. A session that is
// closed already has done so.
func (s *Session) close(why error) {
	s.pool.mu.Lock()
	news := s.open
	if news {
		s.trouble, s.open = why, false
	}
	s.pool.mu.Unlock()
	if !news {
		return
	}
	s.metrics.Open(false)
	s.gate.dismiss()
	tell(s.pool.troubled, s.name)
}
