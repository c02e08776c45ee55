package controller

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// The waits after a refused login are long, so that the retries do not lock the account out.
const (
	firstLoginRetry = 15 * time.Minute
	lastLoginRetry  = time.Hour
)

// unreadableRetry is the wait before a Secret is read again that the operator may watch but not get. One API server may learn of a
// right before another, and no event tells when.
const unreadableRetry = 5 * time.Second

// APIConnectionReconciler proves the credentials of APIConnections and opens their sessions.
type APIConnectionReconciler struct {
	// Kube reads connections from the manager's cache and Secrets from the API server.
	Kube client.Client
	// Secrets watches the Secrets that connections name.
	Secrets Secrets
	// Identity is the operator's username, for the messages that ask for a right.
	Identity Identity
	// Pool keeps the sessions.
	Pool *connection.Pool
	// Events records events.
	Events events.EventRecorder
	// Schedule says when connections are looked at again.
	Schedule Schedule
	// Shard tells which connections this process serves; nil for all.
	Shard *Shard
	// Policies tells whether the admission policies are enforced; nil to leave that out of the status.
	Policies *Policies
	// Tracer makes a span of each run; nil when tracing is off.
	Tracer trace.Tracer
	// Writes remembers what this process wrote.
	Writes *Writes
}

// +kubebuilder:rbac:groups=access.delos.financial,resources=apiconnections/status,verbs=patch

// Reconcile opens or closes the session of one APIConnection.
func (r *APIConnectionReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if r.Tracer == nil {
		return r.reconcile(ctx, request)
	}
	ctx, span := beginSpan(ctx, r.Tracer, "connection", attribute.String("clientbinding.connection", request.String()))
	result, err := r.reconcile(ctx, request)
	endSpan(span, err)
	return result, err
}

func (r *APIConnectionReconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	if err := r.Shard.look(ctx); err != nil {
		return ctrl.Result{}, err
	}
	found := &v1alpha1.APIConnection{}
	if err := r.Kube.Get(ctx, request.NamespacedName, found); err != nil {
		if apierrors.IsNotFound(err) {
			r.leave(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	term, serves := r.Shard.enterConnection(found)
	if !serves {
		r.leave(request.NamespacedName)
		return r.elsewhere(ctx, found)
	}
	defer term.Leave()
	// The cache may not tell yet that a login was refused.
	found = r.Writes.latest(found)
	// The watch begins before the read, or a change between the two would not be noticed.
	follow(r.Secrets, found)
	if unreadable := found.UnreadableFields.Under("spec"); len(unreadable) > 0 {
		r.Pool.Close(request.NamespacedName)
		ctrl.LoggerFrom(ctx).Info("the APIConnection has fields that cannot be read", "fields", unreadable.String())
		return r.finish(ctx, found.DeepCopy(), found, outcome{reason: v1alpha1.ReasonInvalidSpec, stalled: true, woken: true,
			message: fmt.Sprintf("Fields of this APIConnection cannot be read: %s. Correct them", unreadable)})
	}
	secret, end, err := r.secret(ctx, found)
	if err != nil {
		return ctrl.Result{}, err
	}
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err()
	}
	// A login that was begun goes on when the process is told to end. A refused login that is not on record would be sent again.
	ctx = context.WithoutCancel(ctx)
	before := found.DeepCopy()
	if end == nil {
		end = r.establish(ctx, found, secret)
	}
	if err := connection.CheckSelector(found); err != nil && end.ready == metav1.ConditionTrue {
		// The session stays open, since access that was given before can still be revoked. No binding is allowed more.
		end = &outcome{reason: v1alpha1.ReasonInvalidSpec, stalled: true, message: err.Error()}
	}
	return r.finish(ctx, before, found, *end)
}

// leave forgets a connection that is gone, or that this process does not serve.
func (r *APIConnectionReconciler) leave(name types.NamespacedName) {
	r.Secrets.Follow(name)
	r.Pool.Drop(name)
}

// elsewhere reports on a connection that this shard selects, but whose host another shard serves. It writes only onto the version that was
// judged: the other shard may serve a newer one.
func (r *APIConnectionReconciler) elsewhere(ctx context.Context, of *v1alpha1.APIConnection) (ctrl.Result, error) {
	message, err := r.Shard.conflict(ctx, of)
	if err != nil || message == "" {
		return ctrl.Result{}, err
	}
	is := of.DeepCopy()
	wait := r.Schedule.conclude(conditioned{&is.Status.Conditions, &is.Status.ObservedGeneration, is.Generation},
		outcome{reason: v1alpha1.ReasonOtherShard, stalled: true, woken: true, message: message}, lastRetry)
	is.Status.Acknowledge(is.Annotations)
	if equality.Semantic.DeepEqual(of.Status, is.Status) {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	patch := client.MergeFromWithOptions(of, client.MergeFromWithOptimisticLock{})
	if err := r.Kube.Status().Patch(ctx, is, patch, client.FieldOwner(FieldManager)); err != nil {
		return retryConflict(fmt.Errorf("writing the status of APIConnection %s: %w", client.ObjectKeyFromObject(of), err))
	}
	announce(r.Events, is, of.Status.Conditions, is.Status.Conditions, message)
	return ctrl.Result{RequeueAfter: wait}, nil
}

// secret reads the connection's Secret, or says why it cannot.
func (r *APIConnectionReconciler) secret(ctx context.Context, of *v1alpha1.APIConnection) (*corev1.Secret, *outcome, error) {
	secret := &corev1.Secret{}
	name := types.NamespacedName{Namespace: of.Namespace, Name: of.Spec.Credentials.SecretRef.Name}
	if err := refusal(ctx, r.Secrets, name); err != nil {
		// The watch goes on trying, and wakes the connection.
		return nil, r.unreadable(ctx, name, err, 0), nil
	}
	err := r.Kube.Get(ctx, name, secret)
	if apierrors.IsForbidden(err) {
		return nil, r.unreadable(ctx, name, err, unreadableRetry), nil
	}
	if apierrors.IsNotFound(err) {
		r.Pool.Close(client.ObjectKeyFromObject(of))
		return nil, &outcome{reason: v1alpha1.ReasonSecretNotFound, stalled: true, message: fmt.Sprintf(
			"Secret %s does not exist: create it with the keys login and password, or token, or correct spec.credentials.secretRef", name)}, nil
	}
	if err != nil && r.Pool.Session(of) == nil {
		// Nothing works without a session, so the status has to say it.
		return nil, &outcome{reason: v1alpha1.ReasonSecretUnreadable, message: fmt.Sprintf(
			"Secret %s cannot be read: %v", name, err)}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	return secret, nil, nil
}

// unreadable says that the operator lacks a right to the Secret, and which command gives it. A session that is open
// goes on.
func (r *APIConnectionReconciler) unreadable(ctx context.Context, secret types.NamespacedName, why error, wait time.Duration) *outcome {
	return &outcome{reason: v1alpha1.ReasonSecretUnreadable, woken: true, wait: wait, message: fmt.Sprintf(
		"The operator may not get, list, watch and patch Secret %s (%v). %s", secret, why, r.Identity.giveRights(ctx, r.Kube, secret.Namespace))}
}

// establish proves the credentials and opens the session, or closes it and says why.
func (r *APIConnectionReconciler) establish(ctx context.Context, of *v1alpha1.APIConnection, secret *corev1.Secret) *outcome {
	end := r.prove(ctx, of, secret)
	if end.ready != metav1.ConditionTrue && !end.silent {
		r.Pool.Close(client.ObjectKeyFromObject(of))
	}
	return end
}

func (r *APIConnectionReconciler) prove(ctx context.Context, of *v1alpha1.APIConnection, secret *corev1.Secret) *outcome {
	subject := failureSubject{
		connection: client.ObjectKeyFromObject(of).String(),
		secret:     client.ObjectKeyFromObject(secret).String(),
	}
	session, err := r.Pool.Prepare(of, secret)
	if err != nil {
		end := connectionOutcomeOf(err, subject)
		return &end
	}
	attempt := attempt{now: r.Schedule.Now(), credentials: versionOf(secret), connection: of}
	attempt.carryOver(r.Pool.Judged(session, false), r.Pool.Judged(session, true))
	if end := attempt.expired(session, subject); end != nil {
		return end
	}
	if wait := attempt.mayTryIn(); wait > 0 {
		return &outcome{silent: true, wait: wait}
	}
	// A failure that a call met a moment ago need not be tried again at once.
	if err = session.TakeTrouble(); err == nil || attempt.asked() {
		err = session.Probe(ctx)
	}
	if err != nil && session.Tolerates(err) {
		return &outcome{silent: true, wait: max(firstRetry, delos.RetryAfterOf(err))}
	}
	if err != nil {
		end := connectionOutcomeOf(err, subject)
		if delos.KindOf(err) == delos.KindLoginRefused {
			r.Pool.Judge(session, false)
			end.wait = max(attempt.refused(), delos.RetryAfterOf(err))
		}
		return &end
	}
	r.Pool.Judge(session, true)
	attempt.accepted()
	r.Pool.Open(session)
	if session.HasToken() {
		return &outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonTokenAccepted, message: fmt.Sprintf(
			"The Delos API at %s accepted the token of Secret %s", session.Host(), subject.secret)}
	}
	return &outcome{ready: metav1.ConditionTrue, reason: v1alpha1.ReasonLoggedIn, message: fmt.Sprintf(
		"The Delos API at %s accepted the login of Secret %s", session.Host(), subject.secret)}
}

// finish writes the status, records an event, and returns when to look again.
func (r *APIConnectionReconciler) finish(ctx context.Context, before, is *v1alpha1.APIConnection, end outcome) (ctrl.Result, error) {
	r.Policies.tell(is, r.Schedule)
	if end.silent {
		if err := r.patchStatus(ctx, before, is); err != nil {
			return retryConflict(err)
		}
		return ctrl.Result{RequeueAfter: end.wait}, nil
	}
	end.log(ctx)
	if !is.DeletionTimestamp.IsZero() {
		end.message += ". It is being deleted, and stays until no ClientBinding needs it to revoke access (status.bindings) and its Secrets are released (status.protectedSecrets)"
	}
	interval := connection.Interval(is.Spec)
	wait := r.Schedule.conclude(conditioned{
		conditions:         &is.Status.Conditions,
		observedGeneration: &is.Status.ObservedGeneration,
		generation:         is.Generation,
	}, end, min(interval, lastRetry))
	if wait == 0 {
		wait = r.Schedule.Jitter(interval)
	}
	if expires := is.Status.SessionExpiresAt; end.ready == metav1.ConditionTrue && expires != nil {
		wait = max(min(wait, expires.Sub(r.Schedule.Now())), soonest)
	}
	is.Status.Acknowledge(is.Annotations)
	if err := r.patchStatus(ctx, before, is); err != nil {
		return retryConflict(err)
	}
	logChange(ctx, before.Status.Conditions, is.Status.Conditions)
	announce(r.Events, is, before.Status.Conditions, is.Status.Conditions, end.message)
	return ctrl.Result{RequeueAfter: wait}, nil
}

// patchStatus writes this reconciler's parts of the status, also if the object has changed meanwhile: a refused login that
// is not on record would be sent again.
func (r *APIConnectionReconciler) patchStatus(ctx context.Context, before, is *v1alpha1.APIConnection) error {
	_, err := r.Writes.patchConnection(ctx, before, func(after *v1alpha1.APIConnection) {
		others := after.Status
		after.Status = *is.Status.DeepCopy()
		after.Status.Bindings, after.Status.RevocationsHeld = others.Bindings, others.RevocationsHeld
		after.Status.ProtectedSecrets, after.Status.Revocations = others.ProtectedSecrets, others.Revocations
	})
	return err
}

// attempt decides by the connection's status when a refused login may be tried again.
type attempt struct {
	now         time.Time
	credentials string
	connection  *v1alpha1.APIConnection
}

// versionOf names a version of a Secret, and reveals nothing of its content.
func versionOf(secret *corev1.Secret) string {
	return string(secret.UID) + "/" + secret.ResourceVersion
}

// asked reports whether a person asks for a run.
func (a attempt) asked() bool { return a.connection.Status.RunRequested(a.connection.Annotations) }

// mayTryIn returns the time in which refused credentials must not be tried again; 0 when they may be tried.
func (a attempt) mayTryIn() time.Duration {
	refused := a.connection.Status.RefusedLogin
	if refused == nil || refused.CredentialsVersion != a.credentials || a.asked() ||
		a.connection.Status.ObservedGeneration != a.connection.Generation {
		return 0
	}
	return max(refused.Time.Add(loginRetry(refused.Attempts)).Sub(a.now), 0)
}

// carryOver records a new version of the Secret if it still has the credentials that the API refused, or accepted: a finalizer or
// a label on the Secret must not cause a login.
func (a attempt) carryOver(refused, accepted bool) {
	status := &a.connection.Status
	if status.RefusedLogin != nil && refused {
		status.RefusedLogin.CredentialsVersion = a.credentials
	}
	if status.CredentialsVersion != "" && accepted {
		status.CredentialsVersion = a.credentials
	}
}

// refused remembers a refusal and returns when to try again.
func (a attempt) refused() time.Duration {
	status := &a.connection.Status
	attempts := int32(1)
	if status.RefusedLogin != nil && status.RefusedLogin.CredentialsVersion == a.credentials {
		attempts = status.RefusedLogin.Attempts + 1
	}
	status.RefusedLogin = &v1alpha1.RefusedLogin{
		Time:               metav1.Time{Time: a.now.UTC().Truncate(time.Second)},
		Attempts:           attempts,
		CredentialsVersion: a.credentials,
	}
	return loginRetry(attempts)
}

// accepted forgets refusals, and remembers since when these credentials are in use.
func (a attempt) accepted() {
	status := &a.connection.Status
	status.RefusedLogin = nil
	if status.CredentialsVersion != a.credentials {
		status.CredentialsVersion = a.credentials
		status.CredentialsObservedAt = &metav1.Time{Time: a.now.UTC().Truncate(time.Second)}
	}
}

// expired is the outcome for a token that names its expiry and is past it: it is not tried. It is nil for others.
func (a attempt) expired(session *connection.Session, subject failureSubject) *outcome {
	expires, known := session.TokenExpiry()
	if !known {
		a.connection.Status.SessionExpiresAt = nil
		return nil
	}
	a.connection.Status.SessionExpiresAt = &metav1.Time{Time: expires}
	if a.now.Before(expires) {
		return nil
	}
	return &outcome{reason: v1alpha1.ReasonTokenExpired, stalled: true, message: fmt.Sprintf(
		"The token of Secret %s expired at %s: put a new one there", subject.secret, expires.UTC().Format(time.RFC3339))}
}

// loginRetry doubles the wait with each refusal.
func loginRetry(attempts int32) time.Duration {
	wait := firstLoginRetry
	for ; attempts > 1 && wait < lastLoginRetry; attempts-- {
		wait *= 2
	}
	return min(wait, lastLoginRetry)
}
