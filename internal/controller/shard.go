package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/leading"
)

// Shard is the part of the work that this process serves: the API hosts that it leads, and of their APIConnections those that its selector
// selects. A nil Shard serves all.
type Shard struct {
	// Selector selects APIConnections.
	Selector labels.Selector
	// Kube reads from the manager's cache, and Live from the API server.
	Kube, Live client.Reader
	// Namespaces are those that the operator serves; all when there are none.
	Namespaces []string
	// Now is the clock.
	Now func() time.Time

	elections leading.Elections

	mu sync.Mutex
	// hosts are those to which a connection leads, and selected the connections that the selector selects, as last seen.
	hosts    map[string]bool
	selected map[types.NamespacedName]bool
	// changed are called with a host whose leader has changed, or which gets its first connection or loses its last one.
	changed []func(host string)
	// forget drops the memory of relations at hosts.
	forget func(at func(host string) bool)

	// catchingUp is held during a check whether the cache is behind; caughtUpSince is the start of the last check that found it was not.
	catchingUp    sync.Mutex
	caughtUpSince time.Time
}

// noHost stands for all hosts to which no connection leads, and for a host that is not known.
const noHost = ""

// NewShard returns a shard whose processes are elected by the locks of hosts. See [leading.Elections] and [ShardIdentity].
func NewShard(of *Shard, newLock func(host string) resourcelock.Interface) *Shard {
	of.elections.NewLock, of.elections.Now = newLock, of.Now
	of.elections.Prepare, of.elections.Changed = of.prepare, of.tell
	return of
}

// ShardIdentity is the identity of a shard's process in the election for a host.
func ShardIdentity(selector labels.Selector, host, process string) string {
	return selector.String() + "; " + host + "; " + process
}

// selectorOf reads the selector of a shard's identity; one that selects nothing if it cannot be read.
func selectorOf(identity string) (text string, selector labels.Selector) {
	text, _, _ = strings.Cut(identity, "; ")
	selector, err := labels.Parse(text)
	if err != nil || identity == "" {
		return text, labels.Nothing()
	}
	return text, selector
}

// Start takes part in the elections until the context ends and all work is done.
func (s *Shard) Start(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	return s.elections.Start(ctx)
}

// hostOfConnection is the host whose leader serves a connection. A connection whose URL cannot be read has a host to itself.
func hostOfConnection(of *v1alpha1.APIConnection) string {
	if host := connection.Host(of.Spec); host != "" {
		return host
	}
	return client.ObjectKeyFromObject(of).String()
}

// look looks at all connections, and takes part in the elections for the hosts of those that are selected.
func (s *Shard) look(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	found := &v1alpha1.APIConnectionList{}
	if err := s.Kube.List(ctx, found, client.UnsafeDisableDeepCopy); err != nil {
		s.mu.Unlock()
		return fmt.Errorf("listing the APIConnections: %w", err)
	}
	former, wanted := s.hosts, map[string]bool{noHost: true}
	s.hosts, s.selected = map[string]bool{}, map[types.NamespacedName]bool{}
	for i := range found.Items {
		host := hostOfConnection(&found.Items[i])
		s.hosts[host] = true
		if s.Selector.Matches(labels.Set(found.Items[i].Labels)) {
			wanted[host], s.selected[client.ObjectKeyFromObject(&found.Items[i])] = true, true
		}
	}
	var others []string
	for _, hosts := range []map[string]bool{former, s.hosts} {
		for host := range hosts {
			if former[host] != s.hosts[host] {
				others = append(others, host)
			}
		}
	}
	s.elections.Want(ctx, wanted)
	s.mu.Unlock()
	for _, host := range others {
		s.tell(host)
	}
	return nil
}

// selects reports whether a connection is one of this shard, as it was last seen.
func (s *Shard) selects(through *v1alpha1.APIConnection) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.selected[client.ObjectKeyFromObject(through)]
}

// electionOf names the election whose leader serves a host.
func (s *Shard) electionOf(host string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hosts[host] {
		return host
	}
	return noHost
}

// enter begins work at a host; serves is false if another process serves it.
func (s *Shard) enter(host string) (term *leading.Term, serves bool) {
	if s == nil {
		return nil, true
	}
	term = s.elections.Enter(s.electionOf(host))
	return term, term != nil
}

// enterConnection begins work with a connection; serves is false if another process serves it.
func (s *Shard) enterConnection(of *v1alpha1.APIConnection) (term *leading.Term, serves bool) {
	if !s.selects(of) {
		return nil, false
	}
	return s.enter(hostOfConnection(of))
}

// serves reports whether work at a host is for this process.
func (s *Shard) serves(host string) bool {
	term, serves := s.enter(host)
	term.Leave()
	return serves
}

// conflict says why a connection that this shard selects is not used: another shard serves its host for other connections. It is empty if
// that shard selects this connection, too. It is also empty if that shard selects none of the host any more, and is about to give it up.
func (s *Shard) conflict(ctx context.Context, of *v1alpha1.APIConnection) (message string, err error) {
	host := hostOfConnection(of)
	text, leader := selectorOf(s.elections.Leader(host))
	if !s.selects(of) || leader.Matches(labels.Set(of.Labels)) {
		return "", nil
	}
	found := &v1alpha1.APIConnectionList{}
	if err := s.Kube.List(ctx, found, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("listing the APIConnections: %w", err)
	}
	for i := range found.Items {
		if hostOfConnection(&found.Items[i]) == host && leader.Matches(labels.Set(found.Items[i].Labels)) {
			return fmt.Sprintf("The APIConnections of one API host have to be in one shard, and %s is served by the one with --connection-selector=%s: "+
				"label this APIConnection so that it is selected there, or have the others of this host labelled so that all are selected here", host, text), nil
		}
	}
	return "", nil
}

// tell calls all listeners with a host whose leader has changed.
func (s *Shard) tell(host string) {
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	for _, tell := range changed {
		tell(host)
	}
}

// listen adds a listener, which is called with each host whose leader has changed.
func (s *Shard) listen(changed func(host string)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(s.changed, changed)
}

// onForget sets the function that drops the memory of relations.
func (s *Shard) onForget(forget func(at func(host string) bool)) {
	if s != nil {
		s.forget = forget
	}
}

// wokenByShard wakes the connections of hosts whose leader has changed.
func (s *Shard) wokenByShard() source.TypedSource[reconcile.Request] {
	return source.TypedFunc[reconcile.Request](func(ctx context.Context, into workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		s.listen(func(host string) {
			found := &v1alpha1.APIConnectionList{}
			if err := s.Kube.List(ctx, found, client.UnsafeDisableDeepCopy); err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "listing the APIConnections of a host", "host", host)
			}
			for i := range found.Items {
				if hostOfConnection(&found.Items[i]) == host {
					into.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&found.Items[i])})
				}
			}
		})
		return nil
	})
}

// catchUpPeriod is the time between two comparisons of the cache with the API server, until the cache is not behind.
const catchUpPeriod = 100 * time.Millisecond

// prepare waits until the cache has all writes of a host's former leader, and drops this process's memory of the host's relations.
func (s *Shard) prepare(ctx context.Context, host string) {
	elected := s.Now()
	err := wait.PollUntilContextCancel(ctx, catchUpPeriod, true, func(ctx context.Context) (bool, error) {
		s.catchingUp.Lock()
		defer s.catchingUp.Unlock()
		if !s.caughtUpSince.Before(elected) {
			return true, nil
		}
		begun := s.Now()
		err := errors.Join(s.caughtUp(ctx, "ClientBindingList", &v1alpha1.ClientBindingList{}), s.caughtUp(ctx, "APIConnectionList", &v1alpha1.APIConnectionList{}))
		if err != nil {
			ctrl.Log.V(1).Info("a host is not served yet", "host", host, "why", err.Error())
			return false, nil
		}
		s.caughtUpSince = begun
		return true, nil
	})
	if err == nil {
		s.forget(func(of string) bool { return s.electionOf(of) == host })
	}
}

// caughtUp returns an error if the cache may be behind the API server with a kind. cached is an empty list of that kind.
func (s *Shard) caughtUp(ctx context.Context, kind string, cached client.ObjectList) error {
	// The cache is read last, so that it has had more time to catch up.
	live := map[types.UID]string{}
	namespaces := s.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		next := ""
		for more := true; more; more = next != "" {
			page := &metav1.PartialObjectMetadataList{}
			page.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
			if err := s.Live.List(ctx, page, client.InNamespace(namespace), client.Limit(livePage), client.Continue(next)); err != nil {
				return fmt.Errorf("listing the objects: %w", err)
			}
			for i := range page.Items {
				live[page.Items[i].UID] = page.Items[i].ResourceVersion
			}
			next = page.Continue
		}
	}
	if err := s.Kube.List(ctx, cached, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("reading the cache: %w", err)
	}
	err := meta.EachListItem(cached, func(object runtime.Object) error {
		is, err := meta.Accessor(object)
		if err == nil && !older(is.GetResourceVersion(), live[is.GetUID()]) {
			delete(live, is.GetUID())
		}
		return err
	})
	if err == nil && len(live) > 0 {
		err = fmt.Errorf("the cache is behind with %d objects of %s", len(live), kind)
	}
	return err
}
