// Package controller reconciles ClientBindings and APIConnections.
package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// FieldManager owns the fields that the operator writes: finalizers and status, never a spec.
const FieldManager = "clientbinding-operator"

// conflictRetry is when a run that met a newer version of its object is repeated: once the cache has
// had time to learn of that version.
const conflictRetry = time.Second

// soonest keeps a wait from being none: an object without a wait is not looked at again.
const soonest = 100 * time.Millisecond

// ClientBindingReconciler makes the Delos API agree with ClientBindings.
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
}

// +kubebuilder:rbac:groups=access.delos.financial,resources=clientbindings,verbs=list;watch;patch
// +kubebuilder:rbac:groups=access.delos.financial,resources=clientbindings/status,verbs=patch
// +kubebuilder:rbac:groups=access.delos.financial,resources=clientbindings/finalizers;apiconnections/finalizers,verbs=release
// +kubebuilder:rbac:groups="",resources=secrets/finalizers,verbs=release
// +kubebuilder:rbac:groups=access.delos.financial,resources=apiconnections,verbs=list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// Reconcile brings one ClientBinding a step further.
func (r *ClientBindingReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	binding := &v1alpha1.ClientBinding{}
	if err := r.Kube.Get(ctx, request.NamespacedName, binding); err != nil {
		r.Pool.Leave(request.String())
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	run := r.begin(binding)
	run.noteExpiry()
	var err error
	switch {
	case !binding.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(binding, v1alpha1.RevokeFinalizer):
		return ctrl.Result{}, nil
	case !binding.DeletionTimestamp.IsZero():
		err = run.perform(ctx, run.readClaim, run.releaseUnclaimed, run.releaseOrphan, run.locate, run.stay, run.handOver,
			run.connect, run.brake, run.enter, run.remove, run.confirmGone)
	case run.expired() && binding.Status.Claim == nil:
		err = run.perform(ctx, run.latchExpiry, run.readClaim, run.readSpec, run.restExpired, run.locate, run.permit, run.connect, run.enter, run.observeEnd)
	case run.expired():
		err = run.perform(ctx, run.latchDeclaredExpiry, run.readClaim, run.locate, run.stay, run.handOver,
			run.connect, run.brake, run.latchExpiry, run.enter, run.remove, run.confirmGone)
	default:
		err = run.perform(ctx, run.readClaim, run.readSpec, run.locate, run.permit, run.stay, run.contend, run.rest, run.connect, run.protect, run.enter,
			run.observe, run.follow, run.yield, run.await, run.compare, run.hold, run.claim, run.relate, run.confirm)
	}
	if err != nil {
		return retryConflict(err)
	}
	return run.finish(ctx)
}

// run is one look at one binding.
type run struct {
	*ClientBindingReconciler
	binding *v1alpha1.ClientBinding
	// before is the binding as the last write to the API server left it.
	before *v1alpha1.ClientBinding
	// was is the status with which the run began.
	was v1alpha1.ClientBindingStatus
	now metav1.Time

	connection *v1alpha1.APIConnection
	session    *connection.Session
	user       *delos.User
	// end is what the run came to, once a step has decided it.
	end *outcome
	// released: the finalizer is gone, and with it perhaps the object.
	released bool
	// noHeir: nobody else declared the relation when this run began to revoke it.
	noHeir bool
	// accepted: the API accepted the removal of the relation during this run.
	accepted bool
	// wrote: the API accepted a write during this run.
	wrote bool
	// refusal is why the API did not remove the relation, perhaps because there is none.
	refusal error
	news    []news
}

func (r *ClientBindingReconciler) begin(binding *v1alpha1.ClientBinding) *run {
	begun := &run{
		ClientBindingReconciler: r,
		binding:                 binding,
		before:                  binding.DeepCopy(),
		now:                     metav1.Time{Time: r.Schedule.Now().UTC().Truncate(time.Second)},
	}
	begun.replaceUnreadableTimes()
	begun.was = *binding.Status.DeepCopy()
	return begun
}

// perform takes steps until one of them decides what the run came to.
func (r *run) perform(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil || r.end != nil {
			return err
		}
	}
	return nil
}

// conclude ends the run.
func (r *run) conclude(end outcome) error {
	r.end = &end
	return nil
}

// fail ends the run with an error of the API. That the operator is shutting down is no failure of the
// object and is not written down.
func (r *run) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	end := outcomeOf(err, r.subject())
	if end.woken && r.Pool.Session(r.connection) != nil {
		// The session that the run had is of no use, but what would wake the binding has happened: there is one since.
		end.wait = soonest
	}
	return r.conclude(end)
}

func (r *run) subject() failureSubject {
	name := r.connectionName()
	return failureSubject{user: r.binding.Spec.UserUUID, cuid: r.binding.Spec.CUID, connection: name.String()}
}

// finish writes the status, tells the news and says when to look again.
func (r *run) finish(ctx context.Context) (ctrl.Result, error) {
	if r.released {
		r.tell()
		return ctrl.Result{}, nil
	}
	if r.end.silent {
		return r.next(), nil
	}
	r.end.log(ctx)
	if r.removing() {
		*r.end = blocked(*r.end)
	}
	r.end.accepted = r.wrote
	if r.removing() && r.end.woken && r.end.wait == 0 {
		// Access that is to end does not depend on being woken.
		r.end.wait = r.Schedule.Jitter(lastRetry)
	}
	status := &r.binding.Status
	if !r.vouched() {
		wait := r.Schedule.conclude(conditioned{
			conditions:         &status.Conditions,
			observedGeneration: &status.ObservedGeneration,
			generation:         r.binding.Generation,
		}, *r.end, r.interval())
		if wait == 0 && !r.end.final {
			wait = max(r.untilDue(), soonest)
		}
		r.end.wait = wait
	}
	status.Acknowledge(r.binding.Annotations)
	if err := r.patchStatus(ctx); err != nil {
		return retryConflict(err)
	}
	r.tell()
	return r.next(), nil
}

// next is when the binding is looked at again: after the outcome's wait, and when it expires.
func (r *run) next() ctrl.Result {
	wait, priority := r.end.wait, priorityOf(r.binding, r.now.Time)
	if expires := r.binding.Spec.ExpiresAt; expires != nil && !r.expired() {
		left := max(expires.Sub(r.Schedule.Now()), soonest)
		if wait == 0 || left <= wait {
			wait, priority = left, priorityRevoke
		}
	}
	return ctrl.Result{RequeueAfter: wait, Priority: &priority}
}

// revoking reports whether the binding's access is to end.
func (r *run) revoking() bool { return !r.binding.DeletionTimestamp.IsZero() || r.expired() }

// removing reports whether there is access to remove.
func (r *run) removing() bool { return r.revoking() && r.binding.Status.Claim != nil }

// vouched reports whether the binding keeps the Ready that it has: it was confirmed in this generation,
// nothing else was read since, and that not for too long. The outcome gets its next try.
func (r *run) vouched() bool {
	if !r.end.unread || r.user != nil || r.revoking() || !r.confirmed() && !r.unverified() {
		return false
	}
	confirmed := r.binding.Status.LastConfirmedTime
	until := confirmed.Add(unverifiedAfter * r.interval())
	if r.unverified() || r.overdue() {
		*r.end = outcome{
			ready:   metav1.ConditionUnknown,
			reason:  v1alpha1.ReasonUnverified,
			message: fmt.Sprintf("Last confirmed at %s. %s", confirmed.UTC().Format(time.RFC3339), r.end.message),
			wait:    r.end.wait,
		}
		return false
	}
	if r.end.wait == 0 {
		overdue := r.now.Sub(confirmed.Add(r.interval()))
		r.end.wait = min(max(r.Schedule.retry(overdue), -overdue), until.Sub(r.now.Time)+time.Second)
	}
	return true
}

// confirmed reports whether the declared state was read back for this generation and nothing else has
// been found since.
func (r *run) confirmed() bool {
	ready := meta.FindStatusCondition(r.was.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == r.binding.Generation &&
		r.was.LastConfirmedTime != nil
}

// unverified reports whether the declared state was read back for this generation, but too long ago.
func (r *run) unverified() bool {
	ready := meta.FindStatusCondition(r.was.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonUnverified && ready.ObservedGeneration == r.binding.Generation &&
		r.was.LastConfirmedTime != nil
}

func (r *run) interval() time.Duration {
	if r.connection == nil {
		return connection.DefaultInterval
	}
	return connection.Interval(r.connection.Spec)
}

// untilDue is how long it takes until the binding is to be looked at again.
func (r *run) untilDue() time.Duration {
	confirmed := r.binding.Status.LastConfirmedTime
	if confirmed == nil || !meta.IsStatusConditionTrue(r.binding.Status.Conditions, v1alpha1.ConditionReady) {
		return r.Schedule.Jitter(r.interval())
	}
	at := due(r.binding.UID, *confirmed, r.interval())
	if settled := r.settledBy(); confirmed.Time.Before(settled) && settled.Before(at) {
		// A write that nobody saw may still undo what was confirmed.
		at = settled
	}
	return at.Sub(r.Schedule.Now())
}

// patchStatus writes the status if it changed, and only onto the version of the object that was read.
func (r *run) patchStatus(ctx context.Context) error {
	if equality.Semantic.DeepEqual(r.before.Status, r.binding.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(r.before, client.MergeFromWithOptimisticLock{})
	if err := r.Kube.Status().Patch(ctx, r.binding, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	r.before = r.binding.DeepCopy()
	return nil
}

// patchFinalizer adds or removes the finalizer, and only on the version of the object that was read.
func (r *run) patchFinalizer(ctx context.Context, change func(client.Object, string) bool) error {
	// The status as it is so far is not part of this write, but its answer would overwrite it.
	status := r.binding.Status.DeepCopy()
	target := r.before.DeepCopy()
	if change(target, v1alpha1.RevokeFinalizer) {
		patch := client.MergeFromWithOptions(r.before, client.MergeFromWithOptimisticLock{})
		if err := r.Kube.Patch(ctx, target, patch, client.FieldOwner(FieldManager)); err != nil {
			return fmt.Errorf("changing the finalizer: %w", err)
		}
		r.binding, r.before = target, target.DeepCopy()
		r.binding.Status = *status
	}
	return nil
}

// retryConflict repeats a run that met a newer version of its object, or its end.
func retryConflict(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// news is something that happened, told as an event once the status that says so is written.
type news struct {
	kind, reason, action, note string
}

func (r *run) note(kind, reason, action, format string, args ...any) {
	r.news = append(r.news, news{kind, reason, action, fmt.Sprintf(format, args...)})
}

// tell records the run's events: what was done, and else a change of the reason why the object is ready
// or not.
func (r *run) tell() {
	for _, n := range r.news {
		r.Events.Eventf(r.binding, nil, n.kind, n.reason, n.action, "%s", n.note)
	}
	if len(r.news) > 0 || r.released {
		return
	}
	announce(r.Events, r.binding, r.was.Conditions, r.binding.Status.Conditions, r.end.message)
}

// announce records an event when the reason or the status of Ready changed.
func announce(recorder events.EventRecorder, object client.Object, was, is []metav1.Condition, message string) {
	former, ready := meta.FindStatusCondition(was, v1alpha1.ConditionReady), meta.FindStatusCondition(is, v1alpha1.ConditionReady)
	if ready == nil || former != nil && former.Reason == ready.Reason && former.Status == ready.Status {
		return
	}
	kind := corev1.EventTypeWarning
	switch ready.Reason {
	case v1alpha1.ReasonConnectionNotReady:
		// What is created together with its connection waits for it for a moment, and that is no news.
		if former == nil {
			return
		}
	case v1alpha1.ReasonConfirming, v1alpha1.ReasonRevoking, v1alpha1.ReasonSuspended:
		kind = corev1.EventTypeNormal
	}
	if ready.Status == metav1.ConditionTrue {
		kind = corev1.EventTypeNormal
	}
	recorder.Eventf(object, nil, kind, ready.Reason, "Reconcile", "%s", message)
}
