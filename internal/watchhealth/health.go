// Package watchhealth tells whether the operator sees what happens in Kubernetes: whether its caches have filled, and
// whether a watch has been failing. Without them no deletion is noticed and no access revoked.
package watchhealth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const (
	// failingAfter is the time for which a watch has to fail until that is reported.
	failingAfter = time.Minute
	// fewestErrors keeps a short interruption of the API server from being reported: client-go, whose waits double, needs
	// some ten seconds for as many tries.
	fewestErrors = 4
	// recoveredAfter is the time after its last error from which a watch counts as working. client-go waits up to a minute
	// from one try to the next, and a connection may take half a minute to fail.
	recoveredAfter = 2 * time.Minute
)

// Health has the failures of the watches of some kinds. It is safe for concurrent use.
type Health struct {
	kinds map[string]client.Object
	now   func() time.Time

	mu       sync.Mutex
	failures map[*toolscache.Reflector]*failure
}

// failure has the errors of a watch since it began to fail.
type failure struct {
	kind        string
	since, last time.Time
	errors      int
	err         error
	// version is the resource version at the last error. Once the watch sees another one, it works again.
	version string
	// logged: the failure is in the log.
	logged bool
}

// New returns the health of the watches of these kinds. An object of the Go type metav1.PartialObjectMetadata has to have its
// kind set.
func New(scheme *runtime.Scheme, now func() time.Time, kinds ...client.Object) (*Health, error) {
	h := &Health{kinds: map[string]client.Object{}, now: now, failures: map[*toolscache.Reflector]*failure{}}
	for _, kind := range kinds {
		gvk, err := apiutil.GVKForObject(kind, scheme)
		if err != nil {
			return nil, err
		}
		h.kinds[gvk.Kind] = kind
	}
	return h, nil
}

// Kinds are the names of the kinds, sorted.
func (h *Health) Kinds() []string { return slices.Sorted(maps.Keys(h.kinds)) }

// WatchFailed is a DefaultWatchErrorHandler of a cache, which calls it for each failed list or watch.
func (h *Health) WatchFailed(ctx context.Context, reflector *toolscache.Reflector, err error) {
	toolscache.DefaultWatchErrorHandler(ctx, reflector, err)
	if errors.Is(err, io.EOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return // A watch ends now and then, and begins anew.
	}
	kind := h.kindOf(reflector)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	is := h.failures[reflector]
	if is == nil || is.recovered(now, reflector) {
		is = &failure{kind: kind, since: now}
		h.failures[reflector] = is
	}
	is.last, is.err, is.version = now, err, reflector.LastSyncResourceVersion()
	is.errors++
	if is.lasts(now) && !is.logged {
		is.logged = true
		ctrl.LoggerFrom(ctx).Error(err, "the operator does not see what happens: a watch keeps failing", "kind", kind, "since", is.since.UTC().Format(time.RFC3339))
	}
}

func (f *failure) recovered(now time.Time, reflector *toolscache.Reflector) bool {
	return now.Sub(f.last) >= recoveredAfter || reflector.LastSyncResourceVersion() != f.version
}

func (f *failure) lasts(now time.Time) bool {
	return f.errors >= fewestErrors && now.Sub(f.since) >= failingAfter
}

// kindOf finds the kind of a reflector. client-go describes it by the Go type of the watched objects.
func (h *Health) kindOf(reflector *toolscache.Reflector) string {
	for name, kind := range h.kinds {
		if reflector.TypeDescription() == fmt.Sprintf("%T", kind) {
			return name
		}
	}
	return reflector.TypeDescription()
}

// Failing returns, by kind, why watches have been failing for a minute or longer. A watch counts as working again when it
// sees something, or after two minutes without an error.
func (h *Health) Failing() map[string]error {
	h.mu.Lock()
	defer h.mu.Unlock()
	failing, now := map[string]error{}, h.now()
	for reflector, is := range h.failures {
		switch {
		case is.recovered(now, reflector):
			delete(h.failures, reflector)
		case is.lasts(now):
			failing[is.kind] = fmt.Errorf("the watch has been failing since %s: %w", is.since.UTC().Format(time.RFC3339), is.err)
		}
	}
	return failing
}

// Problems returns, by kind, why the operator sees no changes: the cache has not filled, or a watch has been failing for a
// minute or longer.
func (h *Health) Problems(ctx context.Context, of cache.Cache) map[string]error {
	problems := h.Failing()
	for name := range h.kinds {
		if err := h.filled(ctx, of, name); err != nil {
			problems[name] = errors.Join(err, problems[name])
		}
	}
	return problems
}

// Filled reports whether the cache has filled for all kinds.
func (h *Health) Filled(ctx context.Context, of cache.Cache) bool {
	for name := range h.kinds {
		if h.filled(ctx, of, name) != nil {
			return false
		}
	}
	return true
}

func (h *Health) filled(ctx context.Context, of cache.Cache, kind string) error {
	informer, err := of.GetInformer(ctx, h.kinds[kind], cache.BlockUntilSynced(false))
	if err == nil && !informer.HasSynced() {
		err = errors.New("the cache has not filled yet")
	}
	return err
}

// Check returns a check that fails as long as there are problems.
func (h *Health) Check(of cache.Cache) func(*http.Request) error {
	return func(request *http.Request) error {
		problems := h.Problems(request.Context(), of)
		var all []error
		for _, kind := range slices.Sorted(maps.Keys(problems)) {
			all = append(all, fmt.Errorf("%s: %w", kind, problems[kind]))
		}
		return errors.Join(all...)
	}
}
