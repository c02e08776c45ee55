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
	ready metav1.ConditionStatus
	// created is when the object was first seen, and bound when it was first seen Ready.
	created, bound time.Time
	// writes is how often the object was written since the last call of forget; its creation does not count.
	writes int
	// confirmed is when the status says that a check found all as declared.
	confirmed time.Time
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
	if confirmed := binding.Status.LastConfirmedTime; confirmed != nil {
		h.confirmed = confirmed.Time
	}
	ready := sandbox.Ready(binding.Status.Conditions)
	if h.bound.IsZero() && ready.Status == metav1.ConditionTrue {
		h.bound = time.Now()
	}
	if h.ready == metav1.ConditionTrue && ready.Status != h.ready {
		o.left = append(o.left, fmt.Sprintf("%s: %s/%s: %s", binding.Name, ready.Status, ready.Reason, ready.Message))
	}
	h.ready = ready.Status
}

// each looks at all bindings.
func (o *observer) each(look func(name string, h *history)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, h := range o.of {
		look(name, h)
	}
}

// ready counts the bindings that are Ready now.
func (o *observer) ready() (count int) {
	o.each(func(_ string, h *history) {
		if h.ready == metav1.ConditionTrue {
			count++
		}
	})
	return count
}

// confirmedSince counts the bindings whose status says that they were confirmed since a moment.
func (o *observer) confirmedSince(moment time.Time) (count int) {
	o.each(func(_ string, h *history) {
		if h.confirmed.After(moment) {
			count++
		}
	})
	return count
}

// waits are the times until the bindings that are Ready were, the shortest first: those that have a beginning, from then on.
func (o *observer) waits(beginning func(name string, h *history) (time.Time, bool)) (waits []time.Duration) {
	o.each(func(name string, h *history) {
		if from, has := beginning(name, h); has && !h.bound.IsZero() {
			waits = append(waits, h.bound.Sub(from))
		}
	})
	slices.Sort(waits)
	return waits
}

// leftReady tells each time that a binding was Ready and then was not.
func (o *observer) leftReady() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.left)
}

// forget begins to count writes, and what left Ready, anew.
func (o *observer) forget() {
	o.each(func(_ string, h *history) { h.writes, o.left = 0, nil })
}

// mostWrites is how often the binding that was written most was, since the last call of forget.
func (o *observer) mostWrites() (most int) {
	o.each(func(_ string, h *history) { most = max(most, h.writes) })
	return most
}
