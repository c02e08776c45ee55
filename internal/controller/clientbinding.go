// Package controller reconciles ClientBindings and APIConnections.
package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/leading"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// FieldManager owns the fields that the operator writes: finalizers and status, never a spec.
const FieldManager = "clientbinding-operator"

const (
	// conflictRetry is the wait after a run has met a newer version of an object: time for the cache to learn of that version.
	conflictRetry = time.Second
	// soonest is the shortest wait: with a wait of 0 an object would not be looked at again.
	soonest = 100 * time.Millisecond
	// mostSteps bounds the steps of a run: so many for each member, and as many on top. The explorer shows that no run takes
	// as many.
	mostSteps = 20
)

// ClientBindingReconciler makes the Delos API agree with ClientBindings, one relation at a time.
type ClientBindingReconciler struct {
	// Kube reads from the manager's cache and writes to the API server.
	Kube client.Client
	// Connections tells which connection a binding uses.
	Connections Connections
	// Pool has the sessions of the connections.
	Pool *connection.Pool
	// Events records events.
	Events events.EventRecorder
	// Schedule says when objects are looked at again.
	Schedule Schedule
	// Brake enforces the limits on revocations.
	Brake *Brake
	// Writes remembers what this process wrote.
	Writes *Writes
	// Metrics count the members that were let go unread, and the audit lines that failed.
	Metrics *metrics.Metrics
	// Audit takes the audit lines; nil where they go to the log.
	Audit *AuditFile
	// Tracer makes a span of each run; nil when tracing is off.
	Tracer trace.Tracer
	// Leads reports whether this process leads, right before each write; nil where it always does.
	Leads func() bool
	// Shard tells which hosts this process serves; nil for all.
	Shard *Shard
	// DryRun has the operator only say what it would do.
	DryRun bool

	memory memory
}

// memory has the facts about relations that only this process knows.
type memory struct {
	mu        sync.Mutex
	relations map[connection.Relation]*remembered
}

// remembered is the memory of one relation.
type remembered struct {
	// calls are the calls on record.
	calls map[callID]knownCall
	// absent has for each account since when its reads have found no such user.
	absent map[string]time.Time
	// waits has since when a member could not be handed over, or, without a claim, could not be read.
	waits map[types.UID]time.Time
	// confirmed has the last confirmation of a member whose status has an older one.
	confirmed map[types.UID]metav1.Time
	// unprotected is since when a member waits until its connection is protected.
	unprotected time.Time
	// unconfirmed: this process sent a call, and has not confirmed the relation since.
	unconfirmed bool
}

func (k *remembered) nothing() bool {
	return len(k.calls) == 0 && len(k.absent) == 0 && len(k.waits) == 0 && len(k.confirmed) == 0 && k.unprotected.IsZero() && !k.unconfirmed
}

// of returns the memory of a relation. Only one run at a time uses it, since a relation has one.
func (m *memory) of(key connection.Relation) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.relations[key] == nil {
		if m.relations == nil {
			m.relations = map[connection.Relation]*remembered{}
		}
		m.relations[key] = &remembered{
			calls: map[callID]knownCall{}, absent: map[string]time.Time{}, waits: map[types.UID]time.Time{}, confirmed: map[types.UID]metav1.Time{},
		}
	}
	return m.relations[key]
}

// tidy forgets a relation without members, and one without anything to remember.
func (m *memory) tidy(key connection.Relation, members int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.relations[key]
	if known != nil && (members == 0 || known.nothing()) {
		delete(m.relations, key)
	}
}

// forget forgets all relations at hosts.
func (m *memory) forget(at func(host string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.relations, func(key connection.Relation, _ *remembered) bool { return at(key.Host) })
}

// +kubebuilder:rbac:groups=access.delos.financial,resources=clientbindings,verbs=list;watch;patch
// +kubebuilder:rbac:groups=access.delos.financial,resources=clientbindings/status,verbs=patch
// +kubebuilder:rbac:groups=access.delos.financial,resources=clientbindings/finalizers;apiconnections/finalizers,verbs=release
// +kubebuilder:rbac:groups="",resources=secrets/finalizers,verbs=release
// +kubebuilder:rbac:groups=access.delos.financial,resources=apiconnections,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// Reconcile makes one run of a relation: it gathers the facts, and takes the steps that relation.Decide asks for, until the
// report.
func (r *ClientBindingReconciler) Reconcile(ctx context.Context, key connection.Relation) (ctrl.Result, error) {
	if r.Tracer == nil {
		return r.reconcile(ctx, key)
	}
	ctx, span := beginSpan(ctx, r.Tracer, "relation",
		attribute.String("clientbinding.user", key.UserUUID), attribute.String("clientbinding.cuid", key.CUID), attribute.String("clientbinding.host", key.Host))
	result, err := r.reconcile(ctx, key)
	endSpan(span, err)
	return result, err
}

func (r *ClientBindingReconciler) reconcile(ctx context.Context, key connection.Relation) (ctrl.Result, error) {
	term, serves := r.Shard.enter(key.Host)
	if !serves {
		return ctrl.Result{}, nil
	}
	defer term.Leave()
	run, err := r.gather(ctx, key)
	if err != nil {
		return ctrl.Result{}, err
	}
	run.term = term
	defer run.end()
	if run.lagging {
		return ctrl.Result{RequeueAfter: soonest}, nil
	}
	for range mostSteps * (len(run.members) + 1) {
		decision := relation.Decide(run.facts)
		if decision.Step.Writes() {
			if ctx.Err() != nil {
				return ctrl.Result{}, ctx.Err()
			}
			// A run that has begun to write goes on to its report when the process is told to end. Without its answer on record, a call would
			// keep the next process waiting until it has settled.
			ctx = context.WithoutCancel(ctx)
		}
		switch decision.Step {
		case relation.StepRead:
			err = run.read(ctx, decision.Member)
		case relation.StepWitness:
			err = run.readWitness(ctx, decision.Member)
		case relation.StepAskBrake:
			err = run.askBrake(ctx, decision.Member)
		case relation.StepRecord:
			err = run.record(ctx, decision.Member, decision.Makes)
		case relation.StepSend:
			err = run.send(ctx, decision.Member, decision.Makes)
		default:
			return run.report(ctx, decision.Outcomes)
		}
		if err != nil {
			return retryConflict(err)
		}
	}
	return ctrl.Result{}, fmt.Errorf("the relation was not decided within %d steps", mostSteps*(len(run.members)+1))
}

// run is one look at one relation.
type run struct {
	*ClientBindingReconciler
	key connection.Relation
	// term is the one in which this process leads the host.
	term    *leading.Term
	now     metav1.Time
	members []*member
	facts   relation.Facts
	known   *remembered
	// turns are the turns that the run has. refused: it did not get one, and is called back.
	turns   map[*connection.Session]*connection.Turn
	refused bool
	// lagging: the cache does not show yet what this process wrote.
	lagging bool
}

// end gives back what the run holds.
func (r *run) end() {
	for _, turn := range r.turns {
		turn.Done()
	}
	if !r.refused {
		r.Pool.Leave(r.key)
	}
	r.memory.tidy(r.key, len(r.members))
}

// errNotLeading ends a run: another process may lead by now.
var errNotLeading = errors.New("this process may not lead any more")

// lead ends the run unless this process leads.
func (r *run) lead() error {
	if r.Leads != nil && !r.Leads() || !r.term.Leads() {
		return errNotLeading
	}
	return nil
}

// retryConflict repeats a run that met a newer version of an object, and one that may not lead. A run whose object is gone is over.
func retryConflict(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || errors.Is(err, errNotLeading) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}
