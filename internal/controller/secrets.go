package controller

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/secretwatch"
)

// CredentialsRole is the shipped ClusterRole with the operator's rights to Secrets. It is bound in the namespaces of connections.
const CredentialsRole = "clientbinding-operator-credentials"

// Secrets watches the Secrets that connections name; see [secretwatch.Watches].
type Secrets interface {
	// Follow says which Secrets a connection names from now on.
	Follow(connection types.NamespacedName, secrets ...string)
	// Get reads the metadata of a Secret that is watched. Its errors are NotFound, Forbidden and secretwatch.ErrUnknown.
	Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error
}

// SecretChanges are the changes of the Secrets that are watched.
type SecretChanges <-chan event.TypedGenericEvent[secretwatch.Change]

// follow has the Secrets of a connection watched: the one that it names, and those that are to be released.
func follow(secrets Secrets, of *v1alpha1.APIConnection) {
	secrets.Follow(client.ObjectKeyFromObject(of), secretsOf(of)...)
}

// secretsOf are the names of the Secret that a connection names, and of those that it has on record.
func secretsOf(connection *v1alpha1.APIConnection) []string {
	name := connection.Spec.Credentials.SecretRef.Name
	if slices.Contains(connection.Status.ProtectedSecrets, name) {
		return connection.Status.ProtectedSecrets
	}
	return append(slices.Clone(connection.Status.ProtectedSecrets), name)
}

// wokenBySecrets wakes the connections whose Secret changed, for those changes that matter.
func wokenBySecrets(changes SecretChanges, matters func(secretwatch.Change) bool) source.TypedSource[reconcile.Request] {
	return source.TypedChannel(changes, handler.TypedEnqueueRequestsFromMapFunc(
		func(_ context.Context, change secretwatch.Change) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: change.Connection}}
		}), source.WithPredicates[secretwatch.Change, reconcile.Request](predicate.TypedFuncs[secretwatch.Change]{
		GenericFunc: func(change event.TypedGenericEvent[secretwatch.Change]) bool { return matters(change.Object) },
	}))
}

// anyChange lets all changes of a Secret through.
func anyChange(secretwatch.Change) bool { return true }

// protectionChanged lets the creation and deletion of a Secret through, and changes of its finalizer.
func protectionChanged(change secretwatch.Change) bool {
	if change.Was == nil || change.Is == nil {
		return true
	}
	return change.Was.DeletionTimestamp.IsZero() != change.Is.DeletionTimestamp.IsZero() ||
		slices.Contains(change.Was.Finalizers, v1alpha1.InUseFinalizer) != slices.Contains(change.Is.Finalizers, v1alpha1.InUseFinalizer)
}

// Identity is the operator's username at the API server, as in
// system:serviceaccount:clientbinding-system:clientbinding-operator; "" when it is not known.
type Identity string

// WhoAmI asks the API server for the operator's username. Without an answer, messages name it less exactly.
func WhoAmI(ctx context.Context, config *rest.Config) Identity {
	asking, err := authenticationclient.NewForConfig(config)
	if err == nil {
		var answer *authenticationv1.SelfSubjectReview
		ctx, cancel := context.WithTimeout(ctx, identityLimit)
		defer cancel()
		answer, err = asking.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil {
			return Identity(answer.Status.UserInfo.Username)
		}
	}
	ctrl.Log.Info("the API server does not tell who the operator is", "error", err.Error())
	return ""
}

// identityLimit bounds the wait for the operator's username.
const identityLimit = 10 * time.Second

// plain names need no quotes in a shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9@:._/-]+$`)

// subject is the flag of kubectl create rolebinding that names the operator.
func (i Identity) subject() string {
	switch account, is := strings.CutPrefix(string(i), "system:serviceaccount:"); {
	case i == "":
		return "--serviceaccount=NAMESPACE:NAME (those of the operator)"
	case is:
		return "--serviceaccount=" + account
	case plain.MatchString(string(i)):
		return "--user=" + string(i)
	default:
		return "--user='" + strings.ReplaceAll(string(i), "'", `'\''`) + "'"
	}
}

// giveRights says how the operator gets its rights to the Secrets of a namespace. In one that is being deleted nothing can
// be created, and its RoleBindings may be gone already: only a right in all namespaces helps.
func (i Identity) giveRights(ctx context.Context, kube client.Reader, namespace string) string {
	if beingDeleted(ctx, kube, namespace) {
		return fmt.Sprintf("Namespace %s is being deleted: an administrator of the cluster gives the right, until the namespace is gone, with: "+
			"kubectl create clusterrolebinding %s --clusterrole=%s %s", namespace, CredentialsRole, CredentialsRole, i.subject())
	}
	return fmt.Sprintf("An administrator of the namespace gives the right with: "+
		"kubectl create rolebinding %s -n %s --clusterrole=%s %s", CredentialsRole, namespace, CredentialsRole, i.subject())
}

// beingDeleted reports whether a namespace is being deleted, as far as the operator may know.
func beingDeleted(ctx context.Context, kube client.Reader, namespace string) bool {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return kube.Get(ctx, types.NamespacedName{Name: namespace}, found) == nil && !found.DeletionTimestamp.IsZero()
}

// refusal is the error that the operator lacks a right to a Secret; nil when it has all rights, or when that is not known.
func refusal(ctx context.Context, secrets Secrets, name types.NamespacedName) error {
	err := secrets.Get(ctx, name, secretMetadata(name.Namespace, name.Name))
	if apierrors.IsForbidden(err) {
		return err
	}
	return nil
}
