package connection

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// Session is the use of one API with one account. It keeps to the connection's rate, leaves an API alone
// that asks for it, and closes itself when going on makes no sense. It is safe for concurrent use.
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

	// open and trouble are guarded by the pool's lock.
	open    bool
	trouble error
}

func newSession(pool *Pool, name types.NamespacedName, uid types.UID, wanted settings, api *delos.Client) *Session {
	s := &Session{
		pool:     pool,
		name:     name,
		uid:      uid,
		settings: wanted,
		api:      api,
		gate:     newGate(wanted.perSecond, wanted.burst),
		metrics:  pool.options.Metrics.Connection(name.String()),
	}
	s.reads = newReads(s.readUser)
	return s
}

// Host is the host and port of the API.
func (s *Session) Host() string { return s.settings.host }

// TokenExpiry returns when a token that was given expires, as far as it says so itself.
func (s *Session) TokenExpiry() (at time.Time, known bool) {
	return delos.TokenExpiry(s.settings.credentials.Token)
}

// HasToken reports whether the session uses a token that was given.
func (s *Session) HasToken() bool { return s.settings.credentials.Token != "" }

// Enter lets a run begin, or returns when it is to come back: within the connection's rate, and not before
// the API may be called again. The key names who asks. An urgent run does not stand in the queue.
func (s *Session) Enter(key string, urgent bool) time.Duration {
	now := s.pool.options.Now()
	wait := time.Duration(0)
	if urgent {
		wait = s.gate.closedFor(now)
	} else {
		wait = s.gate.enter(key, now)
	}
	if wait > 0 {
		s.metrics.Waited()
	}
	return wait
}

// Paused returns for how long the API asked to be left alone.
func (s *Session) Paused() time.Duration { return s.gate.closedFor(s.pool.options.Now()) }

// Probe proves that the session can be used: that the API answers and takes the credentials, also when they
// were refused before. See delos.Client.Probe. An API that asked to be left alone is not probed either.
func (s *Session) Probe(ctx context.Context) error {
	if wait := s.Paused(); wait > 0 {
		return &delos.Error{Operation: delos.OperationList, Kind: delos.KindRateLimited, RetryAfter: wait}
	}
	err := s.api.Probe(ctx)
	if delos.RetryAfterOf(err) > 0 {
		s.gate.heed(s.pool.options.Now(), err)
	}
	if err == nil {
		s.breaker.reset()
	}
	return err
}

// Tolerates reports whether a session that is in use stays so although a Probe failed: one failure is no
// outage yet.
func (s *Session) Tolerates(err error) bool {
	s.pool.mu.Lock()
	open := s.open
	s.pool.mu.Unlock()
	if !open {
		return false
	}
	switch delos.KindOf(err) {
	case delos.KindRateLimited:
		s.gate.heed(s.pool.options.Now(), err)
		return true
	case delos.KindAwaitingCode:
		return true
	case delos.KindUnavailable, delos.KindUnreachable:
		outage := s.breaker.record(err)
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

// User reads a user, together with all others who ask for the same user; the read begins after the
// call of this method. See delos.Client.User.
func (s *Session) User(ctx context.Context, uuid string) (*delos.User, error) {
	return s.reads.user(ctx, uuid)
}

func (s *Session) readUser(ctx context.Context, uuid string) (user *delos.User, err error) {
	err = s.call(func() error {
		user, err = s.api.User(ctx, uuid)
		return err
	})
	return user, err
}

// Relate gives a user access to a client. See delos.Client.Relate.
func (s *Session) Relate(ctx context.Context, uuid, cuid string, isOwner bool) (requestID string, err error) {
	err = s.call(func() error {
		requestID, err = s.api.Relate(ctx, uuid, cuid, isOwner)
		return err
	})
	return requestID, err
}

// Unrelate takes a user's access to a client away. See delos.Client.Unrelate.
func (s *Session) Unrelate(ctx context.Context, uuid, cuid string) (requestID string, err error) {
	err = s.call(func() error {
		requestID, err = s.api.Unrelate(ctx, uuid, cuid)
		return err
	})
	return requestID, err
}

// CountDrift counts a relation that somebody else had changed, and that was corrected.
func (s *Session) CountDrift() { s.metrics.Drift() }

// call makes a call unless the API asked to be left alone, and learns from what came of it.
func (s *Session) call(send func() error) error {
	if wait := s.gate.charge(s.pool.options.Now()); wait > 0 {
		return &delos.Error{Kind: delos.KindRateLimited, RetryAfter: wait}
	}
	err := send()
	s.gate.heed(s.pool.options.Now(), err)
	outage := s.breaker.record(err)
	if outage {
		s.metrics.Outage()
	}
	if outage || delos.KindOf(err) == delos.KindLoginRefused {
		s.close(err)
	}
	return err
}

// close keeps the session from being used and tells the connection's reconciler why. A session that is closed
// already has told it.
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
	select {
	case s.pool.troubled <- event.TypedGenericEvent[types.NamespacedName]{Object: s.name}:
	default:
	}
}
