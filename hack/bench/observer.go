package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// observer watches all bindings of a namespace, so that no change of any of them is missed.
type observer struct {
	close func()

	mu sync.Mutex
	of map[string]*history
	// left tells each time that a binding was Ready and then was not.
	left []string
}

// history is what became of one binding.
type history struct {
	ready metav1.Condition
	// created is when the object was first seen, and bound when it was first seen Ready.
	created, bound time.Time
	// writes is how often the object was written since the last call of forget; its creation does not count.
	writes int
	// checks is how many of them tell that a check found all as declared.
	checks    int
	confirmed metav1.Time
}

// observe begins to watch.
func observe(ctx context.Context, config *rest.Config, scheme *runtime.Scheme, namespace string) (*observer, error) {
	watched, err := cache.New(config, cache.Options{
		Scheme:            scheme,
		DefaultNamespaces: map[string]cache.Config{namespace: {}},
	})
	if err != nil {
		return nil, err
	}
	informer, err := watched.GetInformer(ctx, &v1alpha1.ClientBinding{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	o := &observer{of: map[string]*history{}, close: func() { cancel(); <-ended }}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { o.see(object.(*v1alpha1.ClientBinding), 0) },
		UpdateFunc: func(_, object any) { o.see(object.(*v1alpha1.ClientBinding), 1) },
	}); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(ended)
		_ = watched.Start(ctx) // it waits for the API server if need be, and ends with the context
	}()
	return o, nil
}

func (o *observer) see(binding *v1alpha1.ClientBinding, writes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	h := o.of[binding.Name]
	if h == nil {
		h = &history{created: time.Now()}
		o.of[binding.Name] = h
	}
	h.writes += writes
	if confirmed := binding.Status.LastConfirmedTime; confirmed != nil && !confirmed.Equal(&h.confirmed) {
		h.confirmed = *confirmed
		h.checks += writes
	}
	was := h.ready.Status
	h.ready = sandbox.Ready(binding.Status.Conditions)
	if h.bound.IsZero() && h.ready.Status == metav1.ConditionTrue {
		h.bound = time.Now()
	}
	if was == metav1.ConditionTrue && h.ready.Status != was {
		o.left = append(o.left, fmt.Sprintf("%s: %s/%s: %s", binding.Name, h.ready.Status, h.ready.Reason, h.ready.Message))
	}
}

// count counts the bindings whose Ready has a status now, for a reason or, without one, for any.
func (o *observer) count(status metav1.ConditionStatus, reason string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := 0
	for _, h := range o.of {
		if h.ready.Status == status && (reason == "" || h.ready.Reason == reason) {
			count++
		}
	}
	return count
}

// since are the times from a moment until each binding was Ready, the shortest first.
func (o *observer) since(moment time.Time) []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var times []time.Duration
	for _, h := range o.of {
		times = append(times, h.bound.Sub(moment))
	}
	slices.Sort(times)
	return times
}

// confirmedSince counts the bindings whose status says that they were confirmed since a moment.
func (o *observer) confirmedSince(moment time.Time) (count int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.of {
		if h.confirmed.After(moment) {
			count++
		}
	}
	return count
}

// boundAt is when a binding was first seen Ready; zero if it never was.
func (o *observer) boundAt(name string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.of[name]; h != nil {
		return h.bound
	}
	return time.Time{}
}

// waits are the times from the creation of bindings until they were Ready, the shortest first.
func (o *observer) waits(from, to int, binding func(int) *v1alpha1.ClientBinding) []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var waits []time.Duration
	for i := from; i < to; i++ {
		h := o.of[binding(i).Name]
		waits = append(waits, h.bound.Sub(h.created))
	}
	slices.Sort(waits)
	return waits
}

// leftReady tells each time that a binding was Ready and then was not.
func (o *observer) leftReady() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.left...)
}

// forget begins to count writes, and what left Ready, anew.
func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = nil
	for _, h := range o.of {
		h.writes, h.checks = 0, 0
	}
}

// writes is how often those of the named bindings that was written most was. The idle ones are those that tell of no check:
// one that was read before an outage may be written after its beginning.
func (o *observer) writes(names []string, onlyIdle bool) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	most := 0
	for _, name := range names {
		h := o.of[name]
		switch {
		case h == nil:
		case onlyIdle:
			most = max(most, h.writes-h.checks)
		default:
			most = max(most, h.writes)
		}
	}
	return most
}
