// Package secretwatch watches single Secrets by their names, so that the operator needs no right to all Secrets of a
// namespace or of the cluster, and keeps nothing of those that no connection names.
//
// Kubernetes has no informer for this: one for each Secret would retry a refused watch after half a minute, and would log
// each try. A watch of this package lists the one Secret, watches it, and begins anew when that ends.
package secretwatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

const (
	// retry is the wait of a watch that was refused or failed; up to half as long again is added by chance.
	retry = 2 * time.Second
	// retriesPerSecond bounds the tries of all watches that were refused or failed, so that many of them do not flood the
	// API server.
	retriesPerSecond = 20
	// requestsAtOnce bounds the requests under way that begin watches.
	requestsAtOnce = 20
	// A watch ends after a time between these, and begins anew. So a right that was taken away is noticed: the API server does
	// not check rights again while a watch goes on.
	shortestWatch, longestWatch = 2 * time.Minute, 4 * time.Minute
)

// ErrUnknown says that a Secret is watched and was not seen yet. A [Change] tells when it was.
var ErrUnknown = errors.New("the Secret was not looked at yet")

// Change is a change of a Secret, for one connection that names it.
type Change struct {
	// Connection is the name of that APIConnection.
	Connection types.NamespacedName
	// Was and Is are the Secret before and after; nil when it did not exist, was not known, or could not be watched.
	Was, Is *metav1.PartialObjectMetadata
}

// Watches are the watches of all Secrets that connections name, each Secret's shared by its connections.
type Watches struct {
	ctx     context.Context //nolint:containedctx // a watch outlives the call that begins it, and ends with the process
	secrets metadata.Getter
	reviews authorizationclient.SelfSubjectAccessReviewInterface
	slots   chan struct{}
	retries *rate.Limiter
	// lasts draws the duration of a watch.
	lasts func() time.Duration

	mu sync.Mutex
	// named are the names of each connection's Secrets.
	named     map[types.NamespacedName][]string
	watched   map[types.NamespacedName]*single
	listeners []chan event.TypedGenericEvent[Change]
}

// New returns Watches without any watch. Those that begin end with the context.
func New(ctx context.Context, config *rest.Config) (*Watches, error) {
	// The client's own limit on requests does not apply to watches: slots and retries bound them.
	unlimited := rest.CopyConfig(config)
	unlimited.QPS = -1
	secrets, err := metadata.NewForConfig(unlimited)
	if err != nil {
		return nil, err
	}
	reviews, err := authorizationclient.NewForConfig(unlimited)
	if err != nil {
		return nil, err
	}
	return &Watches{
		ctx:     ctx,
		secrets: secrets.Resource(corev1.SchemeGroupVersion.WithResource("secrets")),
		reviews: reviews.SelfSubjectAccessReviews(),
		slots:   make(chan struct{}, requestsAtOnce),
		retries: rate.NewLimiter(retriesPerSecond, retriesPerSecond),
		lasts:   func() time.Duration { return shortestWatch + rand.N(longestWatch-shortestWatch) },
		named:   map[types.NamespacedName][]string{},
		watched: map[types.NamespacedName]*single{},
	}, nil
}

// Changes returns a channel of its own for all changes from now on. It has to be read as long as there are watches.
func (w *Watches) Changes() <-chan event.TypedGenericEvent[Change] {
	w.mu.Lock()
	defer w.mu.Unlock()
	listener := make(chan event.TypedGenericEvent[Change], 1)
	w.listeners = append(w.listeners, listener)
	return listener
}

// Follow sets the Secrets of its namespace that a connection names from now on. Their watches begin, and watches that no
// connection needs any more end.
func (w *Watches) Follow(connection types.NamespacedName, secrets ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	former := w.named[connection]
	w.named[connection] = slices.Clone(secrets)
	if len(secrets) == 0 {
		delete(w.named, connection)
	}
	for _, name := range secrets {
		key := types.NamespacedName{Namespace: connection.Namespace, Name: name}
		if w.watched[key] == nil {
			w.watched[key] = w.begin(key)
		}
	}
	for _, name := range former {
		key := types.NamespacedName{Namespace: connection.Namespace, Name: name}
		if one := w.watched[key]; one != nil && len(w.followers(key)) == 0 {
			one.stop()
			delete(w.watched, key)
		}
	}
}

// followers are the connections that name a Secret. The caller holds the lock.
func (w *Watches) followers(secret types.NamespacedName) (connections []types.NamespacedName) {
	for connection, names := range w.named {
		if connection.Namespace == secret.Namespace && slices.Contains(names, secret.Name) {
			connections = append(connections, connection)
		}
	}
	return connections
}

// Get returns the last version of a watched Secret, with the part of its metadata that its protection needs. into has to be
// a *metav1.PartialObjectMetadata. The errors are NotFound, Forbidden when the operator lacks a right to the Secret, and
// [ErrUnknown].
func (w *Watches) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.watched[key]
	switch {
	case one == nil || !one.known && one.refusal == nil:
		return ErrUnknown
	case one.refusal != nil:
		return one.refusal
	case one.is == nil:
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	one.is.DeepCopyInto(into.(*metav1.PartialObjectMetadata))
	return nil
}

// tell sends a change of a Secret to all listeners, once for each connection that names it.
func (w *Watches) tell(ctx context.Context, secret types.NamespacedName, was, is *metav1.PartialObjectMetadata) {
	w.mu.Lock()
	connections, listeners := w.followers(secret), w.listeners
	w.mu.Unlock()
	for _, connection := range connections {
		for _, listener := range listeners {
			select {
			case listener <- event.TypedGenericEvent[Change]{Object: Change{connection, was, is}}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// may returns an error if the operator may not patch a Secret, which the requests of a watch do not show.
func (w *Watches) may(ctx context.Context, secret types.NamespacedName) error {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: secret.Namespace, Name: secret.Name, Verb: "patch", Version: "v1", Resource: "secrets"},
	}}
	answer, err := w.reviews.Create(ctx, review, metav1.CreateOptions{})
	// If the review fails, the patch itself will show it.
	if err == nil && !answer.Status.Allowed {
		return apierrors.NewForbidden(corev1.Resource("secrets"), secret.Name, errors.New("the verb patch is missing"))
	}
	return ctx.Err()
}
