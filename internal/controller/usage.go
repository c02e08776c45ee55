package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/secretwatch"
)

// UsageReconciler sets a finalizer on APIConnections and their Secrets while ClientBindings need them: without them
// nothing can be revoked. It also counts these ClientBindings. It works on one object at a time, since connections share
// Secrets.
type UsageReconciler struct {
	// Kube reads connections and bindings from the manager's cache and writes to the API server.
	Kube client.Client
	// Connections tells which connections a binding may need.
	Connections Connections
	// Live reads from the API server, where the cache may be too old.
	Live client.Reader
	// Secrets watches the Secrets that connections name.
	Secrets Secrets
	// Identity is the operator's username, for the messages that ask for a right.
	Identity Identity
	// Writes remembers what this process wrote.
	Writes *Writes
	// Shard tells which connections this process serves; nil for all.
	Shard *Shard
	// Brake takes approvals of held revocations.
	Brake *Brake
	// Events records why a deleted object stays.
	Events events.EventRecorder
	// Now is the clock.
	Now func() time.Time
	// DryRun means that it only counts.
	DryRun bool

	// told are the objects with an event that says why they stay.
	told map[types.UID]bool
	// kept has the time at which this process last looked at the RoleBinding of a namespace.
	kept map[string]time.Time
}

const (
	// releaseRetry is the wait before another try to release a Secret: no event tells when the right to do so comes.
	releaseRetry = 10 * time.Second
	// keepPeriod is the time between two looks at the RoleBinding of a namespace while connections need it. A write of the whole
	// object may drop the finalizer, and RoleBindings are not watched.
	keepPeriod = time.Minute
)

// +kubebuilder:rbac:groups=access.delos.financial,resources=apiconnections,verbs=patch

// Reconcile protects one connection and its Secret, or releases them.
func (r *UsageReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	found := &v1alpha1.APIConnection{}
	if err := r.Kube.Get(ctx, request.NamespacedName, found); err != nil {
		if apierrors.IsNotFound(err) {
			r.Secrets.Follow(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	term, serves := r.Shard.enterConnection(found)
	if !serves {
		r.Secrets.Follow(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	defer term.Leave()
	found = r.Writes.latest(found)
	follow(r.Secrets, found)
	who, err := r.need(ctx, found)
	if err != nil {
		return ctrl.Result{}, err
	}
	if r.DryRun {
		return retryConflict(r.count(ctx, found, who))
	}
	for _, step := range []func(context.Context, *v1alpha1.APIConnection, demand) error{
		r.acknowledge, r.protect, r.count, r.release,
	} {
		switch err := step(ctx, found, who); {
		case errors.Is(err, errNotRecorded):
			return ctrl.Result{RequeueAfter: conflictRetry}, nil
		case errors.Is(err, errRecordFull):
			// The release of the former Secrets makes room.
			r.tellUnprotected(ctx, found)
		case err != nil:
			return retryConflict(err)
		}
	}
	switch remembered := len(found.Status.ProtectedSecrets); {
	case remembered > 1, remembered == 1 && who.bindings == 0:
		return ctrl.Result{RequeueAfter: releaseRetry}, nil
	case remembered == 1:
		return ctrl.Result{RequeueAfter: keepPeriod}, nil
	default:
		return ctrl.Result{}, nil
	}
}

// demand is the need for a connection.
type demand struct {
	// bindings is the number of bindings that need it, and held the number of those whose revocation the brake holds.
	bindings, held int32
}

func (r *UsageReconciler) need(ctx context.Context, of *v1alpha1.APIConnection) (demand, error) {
	bindings := &v1alpha1.ClientBindingList{}
	key := client.ObjectKeyFromObject(of).String()
	if err := r.Kube.List(ctx, bindings, client.MatchingFields{connectionIndex: key}, client.UnsafeDisableDeepCopy); err != nil {
		return demand{}, fmt.Errorf("finding the ClientBindings of APIConnection %s: %w", key, err)
	}
	found := demand{}
	for i := range bindings.Items {
		binding := &bindings.Items[i]
		needed, err := r.needs(ctx, binding, of)
		if err != nil {
			return demand{}, err
		}
		if needed {
			found.bindings++
		}
		ready := meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && ready.Reason == v1alpha1.ReasonRevocationHeld {
			found.held++
		}
	}
	return found, nil
}

// needs reports whether a binding has access to revoke through a connection, or may get such access. A binding that the
// connection does not allow cannot keep it from going.
func (r *UsageReconciler) needs(ctx context.Context, binding *v1alpha1.ClientBinding, through *v1alpha1.APIConnection) (bool, error) {
	name := client.ObjectKeyFromObject(through)
	if claimed, is := claimedConnection(binding); is && claimed == name {
		return true, nil
	}
	if r.Connections.Declared(binding) != name || !binding.DeletionTimestamp.IsZero() || expired(binding, r.Now()) {
		return false, nil
	}
	denial, err := judge(ctx, r.Kube, binding, through)
	return denial == "", err
}

func (r *UsageReconciler) acknowledge(ctx context.Context, on *v1alpha1.APIConnection, _ demand) error {
	if on.Spec.Revocations == nil {
		return nil
	}
	return r.Brake.Acknowledge(ctx, on, metav1.Time{Time: r.Now().UTC().Truncate(time.Second)})
}

// protect records the Secret, and sets the finalizer on the Secret and then on the connection; see isProtected. The connection's own
// reconciler reports a Secret that is missing, or that the operator may not protect.
func (r *UsageReconciler) protect(ctx context.Context, of *v1alpha1.APIConnection, who demand) error {
	if who.bindings == 0 {
		return nil
	}
	secret := secretMetadata(of.Namespace, of.Spec.Credentials.SecretRef.Name)
	err := r.Secrets.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if errors.Is(err, secretwatch.ErrUnknown) || apierrors.IsForbidden(err) {
		// The connection is woken once the Secret is known, or may be protected.
		return nil
	}
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil {
		if err := r.remember(ctx, of, secret); err != nil {
			return err
		}
		if !controllerutil.ContainsFinalizer(secret, v1alpha1.InUseFinalizer) || r.Now().Sub(r.kept[of.Namespace]) >= keepPeriod {
			if err := r.keepRights(ctx, of.Namespace); err != nil {
				return err
			}
			r.noteKept(of.Namespace)
		}
		if err := r.setFinalizer(ctx, secret, who); err != nil {
			return err
		}
	}
	return r.setFinalizer(ctx, of, who)
}

// mostProtected bounds the Secrets that a connection has on record; the CRD has the same number.
const mostProtected = 16

// errRecordFull says that a connection cannot protect another Secret, since it has too many on record that were not released.
var errRecordFull = errors.New("too many former Secrets are on record")

// remember records a Secret before it is protected: else it could not be found again.
func (r *UsageReconciler) remember(ctx context.Context, of *v1alpha1.APIConnection, secret client.Object) error {
	former := of.Status.ProtectedSecrets
	if slices.Contains(former, secret.GetName()) || !secret.GetDeletionTimestamp().IsZero() && !controllerutil.ContainsFinalizer(secret, v1alpha1.InUseFinalizer) {
		return nil
	}
	if len(former) >= mostProtected {
		return errRecordFull
	}
	return r.record(ctx, of, func(secrets []string) []string { return append(secrets, secret.GetName()) })
}

// forget takes a Secret off the record that is no longer protected.
func (r *UsageReconciler) forget(ctx context.Context, of *v1alpha1.APIConnection, secret string) error {
	if !slices.Contains(of.Status.ProtectedSecrets, secret) {
		return nil
	}
	delete(r.told, unreleased(of, secret))
	return r.record(ctx, of, func(secrets []string) []string {
		return slices.DeleteFunc(secrets, func(name string) bool { return name == secret })
	})
}

// record writes which Secrets are protected.
func (r *UsageReconciler) record(ctx context.Context, of *v1alpha1.APIConnection, change func([]string) []string) error {
	err := r.patchStatus(ctx, of, func(status *v1alpha1.APIConnectionStatus) {
		status.ProtectedSecrets = change(status.ProtectedSecrets)
		if len(status.ProtectedSecrets) == 0 {
			status.ProtectedSecrets = nil
		}
	})
	follow(r.Secrets, of)
	return err
}

// patchStatus writes a change of a connection's status, and updates the connection.
func (r *UsageReconciler) patchStatus(ctx context.Context, of *v1alpha1.APIConnection, change func(*v1alpha1.APIConnectionStatus)) error {
	is, err := r.Writes.patchConnection(ctx, of, func(after *v1alpha1.APIConnection) { change(&after.Status) })
	if err == nil && is != of {
		*of = *is
	}
	return err
}

// isProtected reports whether a connection has the finalizer, its Secret on record, and bindings that need it. Before anything is released
// the count says that no binding needs it. The finalizer of the connection alone does not
// tell that the Secret has it: it stays when another Secret is named, or is missing, and is removed last when both are released. The
// record leads the finalizer of the Secret by one write: a Secret is recorded before it gets the finalizer, and taken off after it lost it.
func isProtected(connection *v1alpha1.APIConnection) bool {
	return controllerutil.ContainsFinalizer(connection, v1alpha1.InUseFinalizer) && ptr.Deref(connection.Status.Bindings, 0) > 0 &&
		slices.Contains(connection.Status.ProtectedSecrets, connection.Spec.Credentials.SecretRef.Name)
}

// setFinalizer sets the finalizer on an object. An object that is being deleted cannot get it, but stays if it has it.
func (r *UsageReconciler) setFinalizer(ctx context.Context, object client.Object, who demand) error {
	if !object.GetDeletionTimestamp().IsZero() {
		r.tell(object, who)
		return nil
	}
	return r.patchFinalizer(ctx, object, controllerutil.AddFinalizer)
}

// tell records one event on an object that is being deleted, which says why it stays.
func (r *UsageReconciler) tell(object client.Object, who demand) {
	if r.told[object.GetUID()] {
		return
	}
	r.noteTold(object.GetUID())
	r.Events.Eventf(object, nil, corev1.EventTypeWarning, "InUse", "Delete",
		"Stays until no ClientBinding needs it to revoke access; %d do", who.bindings)
}

func (r *UsageReconciler) noteKept(namespace string) {
	if r.kept == nil {
		r.kept = map[string]time.Time{}
	}
	r.kept[namespace] = r.Now()
}

func (r *UsageReconciler) noteTold(object types.UID) {
	if r.told == nil {
		r.told = map[types.UID]bool{}
	}
	r.told[object] = true
}

// release releases the Secrets that no binding needs any more, then the RoleBinding that gives the rights to them, then the
// connection, which is the memory of both. The cache may be old, so each release asks the API server first.
func (r *UsageReconciler) release(ctx context.Context, of *v1alpha1.APIConnection, who demand) error {
	remembers := controllerutil.ContainsFinalizer(of, v1alpha1.InUseFinalizer) || len(of.Status.ProtectedSecrets) > 0
	for _, name := range secretsOf(of) {
		if who.bindings > 0 && name == of.Spec.Credentials.SecretRef.Name {
			continue
		}
		if err := r.releaseSecret(ctx, of, name); err != nil {
			return err
		}
	}
	if who.bindings > 0 || len(of.Status.ProtectedSecrets) > 0 || !remembers {
		return nil
	}
	if needed, err := r.liveNeed(ctx, *of); err != nil || needed {
		return err
	}
	if err := r.releaseRights(ctx, of.Namespace); err != nil {
		return err
	}
	return r.patchFinalizer(ctx, of, controllerutil.RemoveFinalizer)
}

// errNotRecorded says that another connection needs a Secret, and is about to have it on record.
var errNotRecorded = errors.New("the Secret is needed by a connection that does not have it on record yet")

// releaseSecret releases a Secret that no connection needs, and takes it off the record. If another connection needs it, that
// one has to have it on its own record first.
func (r *UsageReconciler) releaseSecret(ctx context.Context, of *v1alpha1.APIConnection, name string) error {
	secret := secretMetadata(of.Namespace, name)
	err := r.Secrets.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if slices.Contains(of.Status.ProtectedSecrets, name) {
		// The watch may not show a finalizer yet that was set a moment ago, and the Secret would be forgotten with it.
		err = r.Live.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	}
	switch {
	case apierrors.IsNotFound(err), err == nil && !controllerutil.ContainsFinalizer(secret, v1alpha1.InUseFinalizer):
		return r.forget(ctx, of, name)
	case errors.Is(err, secretwatch.ErrUnknown):
		return nil
	case apierrors.IsForbidden(err):
		r.tellUnreleased(ctx, of, name)
		return nil
	case err != nil:
		return err
	}
	users, err := r.liveUsers(ctx, of.Namespace, name)
	if err != nil {
		return err
	}
	if needed, err := r.liveNeed(ctx, users...); err != nil {
		return err
	} else if needed {
		recorded := slices.ContainsFunc(users, func(user v1alpha1.APIConnection) bool {
			return user.UID != of.UID && slices.Contains(user.Status.ProtectedSecrets, name)
		})
		if recorded {
			return r.forget(ctx, of, name)
		}
		return errNotRecorded
	}
	if err := r.patchFinalizer(ctx, secret, controllerutil.RemoveFinalizer); client.IgnoreNotFound(err) != nil {
		return err
	}
	return r.forget(ctx, of, name)
}

// liveUsers are the connections that have their credentials in a Secret.
func (r *UsageReconciler) liveUsers(ctx context.Context, namespace, secret string) ([]v1alpha1.APIConnection, error) {
	connections := &v1alpha1.APIConnectionList{}
	if err := r.Live.List(ctx, connections, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing the APIConnections of namespace %s: %w", namespace, err)
	}
	return slices.DeleteFunc(connections.Items, func(c v1alpha1.APIConnection) bool { return c.Spec.Credentials.SecretRef.Name != secret }), nil
}

// livePage is the number of objects in one page of a list from the API server.
const livePage = 500

// liveNeed reports whether any binding needs one of the connections. It asks the API server: after a restart the cache may be
// behind, and a connection that is released too early cannot revoke any more.
func (r *UsageReconciler) liveNeed(ctx context.Context, connections ...v1alpha1.APIConnection) (bool, error) {
	if len(connections) == 0 {
		return false, nil
	}
	namespaces := r.Connections.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		next := ""
		for more := true; more; more = next != "" {
			// A new list for each page: objects that are decoded into a used list keep fields that they lack.
			page := &v1alpha1.ClientBindingList{}
			if err := r.Live.List(ctx, page, client.InNamespace(namespace), client.Limit(livePage), client.Continue(next)); err != nil {
				return false, fmt.Errorf("listing the ClientBindings: %w", err)
			}
			next = page.Continue
			for i := range page.Items {
				for j := range connections {
					if needed, err := r.needs(ctx, &page.Items[i], &connections[j]); err != nil || needed {
						return needed, err
					}
				}
			}
		}
	}
	return false, nil
}

// unreleased is the key of a connection's Secret in told.
func unreleased(of *v1alpha1.APIConnection, secret string) types.UID {
	return of.UID + "/" + types.UID(secret)
}

// tellUnreleased records one event that a Secret keeps the finalizer, since the operator may not take it off.
func (r *UsageReconciler) tellUnreleased(ctx context.Context, of *v1alpha1.APIConnection, secret string) {
	key := unreleased(of, secret)
	if !slices.Contains(of.Status.ProtectedSecrets, secret) || r.told[key] {
		return
	}
	r.noteTold(key)
	r.Events.Eventf(of, nil, corev1.EventTypeWarning, "SecretNotReleased", "Release",
		"Secret %s keeps the finalizer %s, since the operator may not change it. %s",
		secret, v1alpha1.InUseFinalizer, r.Identity.giveRights(ctx, r.Kube, of.Namespace))
}

// tellUnprotected records one event that the record of a connection is full, so that its Secret is not protected.
func (r *UsageReconciler) tellUnprotected(ctx context.Context, of *v1alpha1.APIConnection) {
	secret := of.Spec.Credentials.SecretRef.Name
	key := of.UID + "/unprotected/" + types.UID(secret)
	if r.told[key] {
		return
	}
	r.noteTold(key)
	r.Events.Eventf(of, nil, corev1.EventTypeWarning, "SecretNotProtected", "Protect",
		"Secret %s is not protected, and gives no new access: %d Secrets that were used before could not be released (status.protectedSecrets). %s",
		secret, len(of.Status.ProtectedSecrets), r.Identity.giveRights(ctx, r.Kube, of.Namespace))
}

// count writes the demand for a connection into its status.
func (r *UsageReconciler) count(ctx context.Context, of *v1alpha1.APIConnection, who demand) error {
	return r.patchStatus(ctx, of, func(status *v1alpha1.APIConnectionStatus) {
		status.Bindings, status.RevocationsHeld = &who.bindings, nil
		if of.Spec.Revocations != nil {
			status.RevocationsHeld = &who.held
		}
	})
}

// patchFinalizer adds or removes the finalizer, and only on the version of the object that was read.
func (r *UsageReconciler) patchFinalizer(ctx context.Context, object client.Object, change func(client.Object, string) bool) error {
	before := object.DeepCopyObject().(client.Object)
	if !change(object, v1alpha1.InUseFinalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Kube.Patch(ctx, object, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("changing the finalizer of %s: %w", client.ObjectKeyFromObject(object), err)
	}
	r.Writes.wrote(object)
	if !controllerutil.ContainsFinalizer(object, v1alpha1.InUseFinalizer) {
		delete(r.told, object.GetUID())
	}
	return nil
}

// secretMetadata is the part of a Secret that its protection needs.
func secretMetadata(namespace, name string) *metav1.PartialObjectMetadata {
	secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return secret
}
