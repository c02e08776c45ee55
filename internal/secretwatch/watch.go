package secretwatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

// single is the watch of one Secret. The lock of its Watches guards what it knows.
type single struct {
	*Watches
	secret types.NamespacedName
	stop   context.CancelFunc

	// known says that the Secret was looked at, and is is its last version; nil when it did not exist.
	known bool
	is    *metav1.PartialObjectMetadata
	// refusal is the error because of which it cannot be watched at present.
	refusal error
}

// begin begins the watch of one Secret.
func (w *Watches) begin(secret types.NamespacedName) *single {
	ctx, stop := context.WithCancel(w.ctx)
	one := &single{Watches: w, secret: secret, stop: stop}
	go one.run(ctx)
	return one
}

// run watches until the context ends, one watch after the other.
func (s *single) run(ctx context.Context) {
	for {
		began := time.Now()
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if apierrors.IsForbidden(err) {
			s.refused(ctx, err)
		}
		// A watch that ends at once is not begun anew at once, either.
		if !pause(ctx, retry+rand.N(retry/2)-time.Since(began)) || err != nil && s.retries.Wait(ctx) != nil {
			return
		}
	}
}

func pause(ctx context.Context, wait time.Duration) (goesOn bool) {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow lists the Secret and watches it until the watch ends.
func (s *single) follow(ctx context.Context) error {
	lasts := s.lasts()
	// The timeout holds also if the API server does not end the watch in time.
	ctx, cancel := context.WithTimeout(ctx, lasts+time.Minute)
	defer cancel()
	listed, changes, err := s.open(ctx, lasts)
	if err != nil {
		return err
	}
	defer changes.Stop()
	s.saw(ctx, listed)
	for change := range changes.ResultChan() {
		switch change.Type {
		case watch.Added, watch.Modified:
			found, is := change.Object.(*metav1.PartialObjectMetadata)
			if !is {
				return fmt.Errorf("a watch of Secret %s got a %T", s.secret, change.Object)
			}
			s.saw(ctx, found)
		case watch.Deleted:
			s.saw(ctx, nil)
		case watch.Error:
			return apierrors.FromObject(change.Object)
		case watch.Bookmark:
		}
	}
	return nil
}

// open lists the Secret and begins a watch, if the operator has all rights to it: only then it counts as watched.
func (s *single) open(ctx context.Context, lasts time.Duration) (*metav1.PartialObjectMetadata, watch.Interface, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if err := s.may(ctx, s.secret); err != nil {
		return nil, nil, err
	}
	// RBAC takes this selector for the name of the object.
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, s.secret.Name).String()}
	secrets := s.secrets.Namespace(s.secret.Namespace)
	list, err := secrets.List(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	options.ResourceVersion = list.ResourceVersion
	options.TimeoutSeconds = ptr.To(int64(lasts.Seconds()))
	changes, err := secrets.Watch(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	if len(list.Items) == 0 {
		return nil, changes, nil
	}
	return &list.Items[0], changes, nil
}

// saw remembers the Secret, and tells the listeners if it has changed.
func (s *single) saw(ctx context.Context, found *metav1.PartialObjectMetadata) {
	is := stripped(found)
	s.mu.Lock()
	was, news := s.is, !s.known || s.refusal != nil || !same(s.is, is)
	if s.refusal != nil {
		was = nil
	}
	s.known, s.is, s.refusal = true, is, nil
	s.mu.Unlock()
	if news {
		s.tell(ctx, s.secret, was, is)
	}
}

// refused remembers why the Secret cannot be watched, and tells the listeners if that is new.
func (s *single) refused(ctx context.Context, why error) {
	s.mu.Lock()
	was, news := s.is, s.refusal == nil
	s.refusal = why
	s.mu.Unlock()
	if news {
		s.tell(ctx, s.secret, was, nil)
	}
}

func same(a, b *metav1.PartialObjectMetadata) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.UID == b.UID && a.ResourceVersion == b.ResourceVersion
}

// stripped is the part of a Secret that its protection needs. Annotations and managed fields may have any size, and
// kubectl's last-applied-configuration contains the content of the Secret.
func stripped(secret *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	if secret == nil {
		return nil
	}
	kept := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace:         secret.Namespace,
		Name:              secret.Name,
		UID:               secret.UID,
		ResourceVersion:   secret.ResourceVersion,
		DeletionTimestamp: secret.DeletionTimestamp,
		Finalizers:        secret.Finalizers,
	}}
	kept.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return kept
}
