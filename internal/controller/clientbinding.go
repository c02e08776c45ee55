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
	// conflictRetry is when a run that met a newer version of an object is repeated: once the cache has had time to learn
	// of that version.
	conflictRetry = time.Second
	// soonest keeps a wait from being none: an object without a wait is not looked at again.
	soonest = 100 * time.Millisecond
	// mostSteps is how many steps a run takes at most for each member, and as many on top. The explorer shows that no run takes
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
	// Events tells people what happened.
	Events events.EventRecorder
	// Schedule says when objects are looked at again.
	Schedule Schedule
	// Brake lets revocations through where a connection bounds them.
	Brake *Brake
	// Writes remembers what this process wrote.
	Writes *Writes
	// Metrics count what was let go without a look.
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

// memory is what this process remembers of relations, beside what is on record.
type memory struct {
	mu        sync.Mutex
	relations map[connection.Relation]*remembered
}

// remembered is what this process remembers of one relation.
type remembered struct {
	// calls is what it knows of each call on record.
	calls map[callID]knownCall
	// absent is since when reads through an account found no such user, without one that found the user.
	absent map[string]time.Time
	// waits is since when a member cannot be handed over, or without a claim cannot be read.
	waits map[types.UID]time.Time
	// confirmed is when members were confirmed last, of those whose status has an older time.
	confirmed map[types.UID]metav1.Time
	// unconfirmed: it sent a call, and has not confirmed the relation since.
	unconfirmed bool
}

func (k *remembered) nothing() bool {
	return len(k.calls) == 0 && len(k.absent) == 0 && len(k.waits) == 0 && len(k.confirmed) == 0 && !k.unconfirmed
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

// tidy forgets a relation of which there is nothing to remember.
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

// Reconcile brings one relation a step further: it gathers the facts, and takes the steps that relation.Decide asks for
// until that has nothing more to ask.
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
	// term is that in which this process leads the host.
	term    *leading.Term
	now     metav1.Time
	members []*member
	facts   relation.Facts
	known   *remembered
	// turns are those that the run has; refused that it did not get one, and is called back.
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

// errNotLeading ends a run: another process may have gone on in the meantime.
var errNotLeading = errors.New("this process may not lead any more")

// lead ends the run unless this process leads.
func (r *run) lead() error {
	if r.Leads != nil && !r.Leads() || !r.term.Leads() {
		return errNotLeading
	}
	return nil
}

// retryConflict repeats a run that met a newer version of an object, or its end.
func retryConflict(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) || errors.Is(err, errNotLeading) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}
