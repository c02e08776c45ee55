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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// UsageReconciler keeps APIConnections and their Secrets from going while ClientBindings need them: without them
// nothing can be revoked. It also counts who needs them. It must be the only one at work, one object at a time, since
// connections share Secrets.
type UsageReconciler struct {
	// Kube reads connections and bindings from the manager's cache and writes to the API server.
	Kube client.Client
	// Connections tells which connections a binding may need.
	Connections Connections
	// Secrets reads the metadata of Secrets from the manager's cache.
	Secrets client.Reader
	// Brake takes approvals of held revocations.
	Brake *Brake
	// Events tells people why something does not go.
	Events events.EventRecorder
	// Now is the clock.
	Now func() time.Time

	// told are the objects of which was told that they stay for now.
	told map[types.UID]bool
}

// +kubebuilder:rbac:groups=access.delos.financial,resources=apiconnections,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=patch

// Reconcile protects one connection and its Secret, or lets them go.
func (r *UsageReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	found := &v1alpha1.APIConnection{}
	if err := r.Kube.Get(ctx, request.NamespacedName, found); apierrors.IsNotFound(err) {
		return retryConflict(r.releaseSecrets(ctx, request.Namespace))
	} else if err != nil {
		return ctrl.Result{}, err
	}
	who, err := r.need(ctx, found)
	if err != nil {
		return ctrl.Result{}, err
	}
	for _, step := range []func(context.Context, *v1alpha1.APIConnection, demand) error{
		r.acknowledge, r.protect, r.release, r.count,
	} {
		if err := step(ctx, found, who); err != nil {
			return retryConflict(err)
		}
	}
	return ctrl.Result{}, nil
}

// demand is who needs a connection.
type demand struct {
	// bindings is how many bindings do, and held how many of them the brake holds.
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

// needs reports whether a binding has access to revoke through a connection, or may come to have. Whom the connection
// does not allow cannot keep it from going.
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

// protect has the Secret stay, and then the connection: a connection that is protected says that both are.
func (r *UsageReconciler) protect(ctx context.Context, of *v1alpha1.APIConnection, who demand) error {
	if who.bindings == 0 {
		return nil
	}
	secret := secretMetadata(of.Namespace, of.Spec.Credentials.SecretRef.Name)
	err := r.Secrets.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the metadata of Secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	if err == nil {
		if err := r.hold(ctx, secret, who); err != nil {
			return err
		}
	}
	return r.hold(ctx, of, who)
}

// hold sets the finalizer on an object. One that is being deleted can get none, and stays if it has one.
func (r *UsageReconciler) hold(ctx context.Context, object client.Object, who demand) error {
	if !object.GetDeletionTimestamp().IsZero() {
		r.tell(object, who)
		return nil
	}
	return r.patchFinalizer(ctx, object, controllerutil.AddFinalizer)
}

// tell tells once, on an object that is being deleted, why it stays.
func (r *UsageReconciler) tell(object client.Object, who demand) {
	if r.told[object.GetUID()] {
		return
	}
	if r.told == nil {
		r.told = map[types.UID]bool{}
	}
	r.told[object.GetUID()] = true
	r.Events.Eventf(object, nil, corev1.EventTypeWarning, "InUse", "Delete",
		"Stays until no ClientBinding needs it to revoke access; %d do", who.bindings)
}

// release lets the Secrets go that nobody needs any more, and the connection. The Secrets come first, so that a crash
// between the two is made good with the connection's next run.
func (r *UsageReconciler) release(ctx context.Context, of *v1alpha1.APIConnection, who demand) error {
	if err := r.releaseSecrets(ctx, of.Namespace); err != nil || who.bindings > 0 {
		return err
	}
	return r.patchFinalizer(ctx, of, controllerutil.RemoveFinalizer)
}

// releaseSecrets lets go all Secrets of a namespace that are protected and not needed.
func (r *UsageReconciler) releaseSecrets(ctx context.Context, namespace string) error {
	secrets := &metav1.PartialObjectMetadataList{}
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := r.Secrets.List(ctx, secrets, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing the metadata of Secrets in namespace %s: %w", namespace, err)
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if !controllerutil.ContainsFinalizer(secret, v1alpha1.InUseFinalizer) {
			continue
		}
		needed, err := r.secretNeeded(ctx, secret)
		if err != nil {
			return err
		}
		if needed {
			continue
		}
		secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		if err := r.patchFinalizer(ctx, secret, controllerutil.RemoveFinalizer); err != nil {
			return err
		}
	}
	return nil
}

// secretNeeded reports whether a connection that is needed has its credentials in a Secret.
func (r *UsageReconciler) secretNeeded(ctx context.Context, secret client.Object) (bool, error) {
	connections := &v1alpha1.APIConnectionList{}
	if err := r.Kube.List(ctx, connections, client.InNamespace(secret.GetNamespace()), client.MatchingFields{secretIndex: secret.GetName()}); err != nil {
		return false, fmt.Errorf("finding the APIConnections of Secret %s: %w", client.ObjectKeyFromObject(secret), err)
	}
	for i := range connections.Items {
		who, err := r.need(ctx, &connections.Items[i])
		if err != nil || who.bindings > 0 {
			return true, err
		}
	}
	return false, nil
}

// count writes to the status how many bindings need the connection, and how many wait for an approval.
func (r *UsageReconciler) count(ctx context.Context, of *v1alpha1.APIConnection, who demand) error {
	before := of.DeepCopy()
	of.Status.Bindings, of.Status.RevocationsHeld = &who.bindings, nil
	if of.Spec.Revocations != nil {
		of.Status.RevocationsHeld = &who.held
	}
	if equality.Semantic.DeepEqual(before.Status, of.Status) {
		return nil
	}
	if err := r.Kube.Status().Patch(ctx, of, client.MergeFrom(before), client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
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
	if !controllerutil.ContainsFinalizer(object, v1alpha1.InUseFinalizer) {
		delete(r.told, object.GetUID())
	}
	return nil
}

// secretMetadata is all of a Secret that protecting it takes.
func secretMetadata(namespace, name string) *metav1.PartialObjectMetadata {
	secret := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return secret
}

// protect ends the run of a binding that has nothing to answer for yet, unless its connection and the credentials are
// sure to stay until its access was revoked. It does so before the first call, which would have to be repeated. One
// that is suspended writes nothing, and may look.
func (r *run) protect(context.Context) error {
	switch {
	case r.binding.Status.Claim != nil || r.suspended():
		return nil
	case !r.connection.DeletionTimestamp.IsZero():
		return r.conclude(outcome{reason: v1alpha1.ReasonConnectionNotReady, woken: true, message: fmt.Sprintf(
			"APIConnection %s is being deleted, and no more access is given through it", r.connectionName())})
	case !controllerutil.ContainsFinalizer(r.connection, v1alpha1.InUseFinalizer) && r.refused():
		// That it is no longer said to be refused is what tells those who protect connections.
		return r.conclude(outcome{reason: v1alpha1.ReasonConnectionNotReady, woken: true, wait: startingRetry, message: fmt.Sprintf(
			"Waits until APIConnection %s is sure to stay", r.connectionName())})
	case !controllerutil.ContainsFinalizer(r.connection, v1alpha1.InUseFinalizer):
		return r.conclude(outcome{silent: true, wait: startingRetry})
	}
	return nil
}
