package connection

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// Pool keeps one Session for each APIConnection. The connection's reconciler opens and closes
// sessions; everybody else only asks for them.
type Pool struct {
	options Options
	refused chan event.TypedGenericEvent[types.NamespacedName]

	mu       sync.Mutex
	sessions map[types.NamespacedName]*Session
}

// refusedBuffer is how many refusals may wait to be looked at. One more than that is not lost: its
// connection is closed already and is looked at when it is next probed.
const refusedBuffer = 1024

// NewPool returns an empty pool.
func NewPool(options Options) *Pool {
	return &Pool{
		options:  options,
		refused:  make(chan event.TypedGenericEvent[types.NamespacedName], refusedBuffer),
		sessions: map[types.NamespacedName]*Session{},
	}
}

// Refused tells the names of connections whose credentials were refused during a call.
func (p *Pool) Refused() <-chan event.TypedGenericEvent[types.NamespacedName] { return p.refused }

// Prepare returns the session for a connection and its Secret: the one that is there, or a new one
// when the API, the credentials or the settings are others. A new session is not in the pool before
// it is opened. The error is a *SettingsError.
func (p *Pool) Prepare(connection *v1alpha1.APIConnection, secret *corev1.Secret) (*Session, error) {
	wanted, err := settingsOf(connection, secret, p.options)
	if err != nil {
		return nil, err
	}
	name := types.NamespacedName{Namespace: connection.Namespace, Name: connection.Name}
	p.mu.Lock()
	present := p.sessions[name]
	p.mu.Unlock()
	if present != nil && present.uid == connection.UID && present.settings == wanted {
		return present, nil
	}
	api, err := wanted.client(p.options)
	if err != nil {
		return nil, err
	}
	session := &Session{pool: p, name: name, uid: connection.UID, settings: wanted, api: api}
	session.reads = newReads(api.User)
	return session, nil
}

// Open lets a session be used, in the place of the one that was used before.
func (p *Pool) Open(session *Session) {
	p.mu.Lock()
	former := p.sessions[session.name]
	p.sessions[session.name] = session
	session.open = true
	p.mu.Unlock()
	if former != nil && former != session {
		former.api.CloseIdleConnections()
	}
}

// Close keeps a connection's session from being used until it is opened again. What is known of the
// session is kept, so that no login is wasted.
func (p *Pool) Close(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if session := p.sessions[name]; session != nil {
		session.open = false
	}
}

// Drop forgets a connection's session.
func (p *Pool) Drop(name types.NamespacedName) {
	p.mu.Lock()
	session := p.sessions[name]
	delete(p.sessions, name)
	p.mu.Unlock()
	if session != nil {
		session.api.CloseIdleConnections()
	}
}

// Session returns the open session of a connection; nil when there is none.
func (p *Pool) Session(connection *v1alpha1.APIConnection) *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	session := p.sessions[types.NamespacedName{Namespace: connection.Namespace, Name: connection.Name}]
	if session == nil || !session.open || session.uid != connection.UID {
		return nil
	}
	return session
}

// Session is the use of one API with one account. It is safe for concurrent use.
type Session struct {
	pool     *Pool
	name     types.NamespacedName
	uid      types.UID
	settings settings
	api      *delos.Client
	reads    *reads

	// open and refusal are guarded by the pool's lock.
	open    bool
	refusal error
}

// Host is the host and port of the API.
func (s *Session) Host() string { return s.settings.host }

// HasToken reports whether the session uses a token that was given, so that no login proves it.
func (s *Session) HasToken() bool { return s.settings.credentials.Token != "" }

// Probe proves the credentials, also when they were refused before. See delos.Client.Probe.
func (s *Session) Probe(ctx context.Context) error {
	err := s.api.Probe(ctx)
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.refusal = nil
	return err
}

// Refusal returns the error with which the credentials were refused during a call since the last
// Probe; nil when they were not.
func (s *Session) Refusal() error {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	return s.refusal
}

// User reads a user, together with all others who ask for the same user; the read begins after the
// call of this method. See delos.Client.User.
func (s *Session) User(ctx context.Context, uuid string) (*delos.User, error) {
	user, err := s.reads.user(ctx, uuid)
	return user, s.note(err)
}

// Relate gives a user access to a client. See delos.Client.Relate.
func (s *Session) Relate(ctx context.Context, uuid, cuid string, isOwner bool) error {
	return s.note(s.api.Relate(ctx, uuid, cuid, isOwner))
}

// Unrelate takes a user's access to a client away. See delos.Client.Unrelate.
func (s *Session) Unrelate(ctx context.Context, uuid, cuid string) error {
	return s.note(s.api.Unrelate(ctx, uuid, cuid))
}

// note closes the session once its credentials were refused, and tells the connection's reconciler.
func (s *Session) note(err error) error {
	if delos.KindOf(err) != delos.KindLoginRefused {
		return err
	}
	s.pool.mu.Lock()
	news := s.refusal == nil
	s.refusal, s.open = err, false
	s.pool.mu.Unlock()
	if news {
		select {
		case s.pool.refused <- event.TypedGenericEvent[types.NamespacedName]{Object: s.name}:
		default:
		}
	}
	return err
}
