package connection

import (
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// Pool keeps one Session for each APIConnection. The connection's reconciler opens and closes
// sessions; all others only ask for them.
type Pool struct {
	options  Options
	troubled chan event.TypedGenericEvent[types.NamespacedName]
	opened   chan event.TypedGenericEvent[types.NamespacedName]

	mu       sync.Mutex
	onTurn   func(relation Relation, priority int)
	sessions map[types.NamespacedName]*Session
	judged   map[types.NamespacedName]verdict
}

// verdict is the API's last answer to a connection's credentials.
type verdict struct {
	connection  types.UID
	credentials delos.Credentials
	accepted    bool
}

// channelCapacity bounds the names in the channels of the pool. One more than that does no harm: a session that closed itself
// stays closed, and its connection is looked at when it is next probed; and bindings that wait for a session look by themselves
// now and then.
const channelCapacity = 1024

// NewPool returns an empty pool.
func NewPool(options Options) *Pool {
	if options.AfterFunc == nil {
		options.AfterFunc = func(wait time.Duration, f func()) func() bool { return time.AfterFunc(wait, f).Stop }
	}
	return &Pool{
		options:  options,
		onTurn:   func(Relation, int) {},
		troubled: make(chan event.TypedGenericEvent[types.NamespacedName], channelCapacity),
		opened:   make(chan event.TypedGenericEvent[types.NamespacedName], channelCapacity),
		sessions: map[types.NamespacedName]*Session{},
		judged:   map[types.NamespacedName]verdict{},
	}
}

// Troubled receives the names of connections whose session closed itself during a call: the credentials
// were refused, or an outage began.
func (p *Pool) Troubled() <-chan event.TypedGenericEvent[types.NamespacedName] { return p.troubled }

// Opened receives the names of connections that have a new open session.
func (p *Pool) Opened() <-chan event.TypedGenericEvent[types.NamespacedName] { return p.opened }

// OnTurn sets the function that is called when the turn of a relation on a session's list has come (see Session.Enter), or when the session
// is closed. It has to queue the relation, ahead of others of its priority, since a turn may be held for it. It is called without a lock, and
// must not take long. Call OnTurn before the first session is used.
func (p *Pool) OnTurn(callBack func(relation Relation, priority int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onTurn = callBack
}

func (p *Pool) callBack(relation Relation, priority int) {
	p.mu.Lock()
	callBack := p.onTurn
	p.mu.Unlock()
	callBack(relation, priority)
}

// Prepare returns the session for a connection and its Secret: the present one, or a new one if the API, the
// credentials or the settings have changed. A new session is not in the pool before it is opened. The error is
// a *SettingsError.
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
	gate := newGate(wanted, p.options, p.callBack)
	api, err := wanted.client(name.String(), gate, p.options)
	if err != nil {
		return nil, err
	}
	if present != nil {
		api.Succeed(present.api)
	}
	return newSession(p, name, connection.UID, wanted, api, gate), nil
}

// Open lets a session be used, instead of the connection's former one.
func (p *Pool) Open(session *Session) {
	p.mu.Lock()
	former := p.sessions[session.name]
	news := former != session || !former.open
	if former != nil {
		former.open = false
	}
	p.sessions[session.name] = session
	session.open, session.trouble = true, nil
	p.mu.Unlock()
	session.metrics.Open(true)
	if former != nil && former != session {
		former.gate.dismiss()
		former.api.CloseIdleConnections()
	}
	if news {
		tell(p.opened, session.name)
	}
}

// tell sends the name of a connection, unless the channel is full.
func tell(listeners chan<- event.TypedGenericEvent[types.NamespacedName], name types.NamespacedName) {
	select {
	case listeners <- event.TypedGenericEvent[types.NamespacedName]{Object: name}:
	default:
	}
}

// Close keeps a connection's session from being used until it is opened again. The pool keeps the
// session with its token, so that no login is wasted.
func (p *Pool) Close(name types.NamespacedName) {
	p.mu.Lock()
	session := p.sessions[name]
	if session != nil {
		session.open = false
	}
	p.mu.Unlock()
	if session != nil {
		session.gate.dismiss()
	}
	p.options.Metrics.Connection(name.String()).Open(false)
}

// Drop forgets a connection's session.
func (p *Pool) Drop(name types.NamespacedName) {
	p.mu.Lock()
	session := p.sessions[name]
	delete(p.sessions, name)
	delete(p.judged, name)
	p.mu.Unlock()
	if session != nil {
		session.gate.dismiss()
		session.api.CloseIdleConnections()
	}
	p.options.Metrics.Connection(name.String()).Forget()
}

// Judge remembers whether the API accepted the credentials of a session, in memory only.
func (p *Pool) Judge(session *Session, accepted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judged[session.name] = verdict{session.uid, session.settings.credentials, accepted}
}

// Judged reports whether the credentials of a session are those that the API accepted, or refused, last.
func (p *Pool) Judged(session *Session, accepted bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.judged[session.name] == verdict{session.uid, session.settings.credentials, accepted}
}

// Leave gives up the places of a relation on the lists of all sessions, and the turns that are held for it. A run that ends
// without having asked for a turn has to leave: otherwise a turn is held in vain, for some seconds.
func (p *Pool) Leave(relation Relation) {
	p.mu.Lock()
	sessions := slices.Collect(maps.Values(p.sessions))
	p.mu.Unlock()
	for _, session := range sessions {
		session.gate.leave(relation)
	}
}

// Session returns the open session of a connection; nil when there is none, or when a field of the connection's spec cannot
// be read.
func (p *Pool) Session(connection *v1alpha1.APIConnection) *Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	session := p.sessions[types.NamespacedName{Namespace: connection.Namespace, Name: connection.Name}]
	unreadable := len(connection.UnreadableFields.Under("spec")) > 0
	if session == nil || !session.open || session.uid != connection.UID || unreadable {
		return nil
	}
	return session
}
