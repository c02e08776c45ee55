package controller

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// census counts what is in the world's namespace.
func (w *world) census() metrics.Objects {
	return Census{Kube: client.NewNamespacedClient(w.kube, w.namespace), Connections: w.connections, Now: w.clock.Now}.Objects(w.t.Context())
}

// counted are the bindings, all of them through the default connection.
func (w *world) counted() []metrics.Binding {
	counted := slices.Collect(w.census().Bindings)
	for i := range counted {
		expectEqual(w.t, "connection", w.namespace+"/default", counted[i].Connection)
		counted[i].Connection = ""
		for _, at := range []*time.Time{&counted[i].Confirmed, &counted[i].Expires, &counted[i].Due} {
			*at = at.UTC()
		}
	}
	return counted
}

// TestCensusOfBindings tells what the metrics are told of a binding.
func TestCensusOfBindings(t *testing.T) {
	bound := func(w *world) {
		w.bind(nil)
		w.reconcile()
	}
	for name, tc := range map[string]struct {
		arrange func(*world)
		want    func(*world) metrics.Binding
	}{
		"new": {
			arrange: func(w *world) { w.bind(nil) },
			want:    func(*world) metrics.Binding { return metrics.Binding{State: "New", Reason: "None"} },
		},
		"bound": {
			arrange: bound,
			want: func(*world) metrics.Binding {
				return metrics.Binding{State: "Ready", Reason: "Bound", Confirmed: start.UTC()}
			},
		},
		"bound, and to end": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
				w.reconcile()
			},
			want: func(*world) metrics.Binding {
				return metrics.Binding{State: "Ready", Reason: "Bound", Confirmed: start.UTC(), Expires: at(time.Minute).UTC()}
			},
		},
		"no such user": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.UserUUID = "nobody" })
				w.reconcile()
			},
			want: func(*world) metrics.Binding { return metrics.Binding{State: "Reconciling", Reason: "UserNotFound"} },
		},
		"suspended, and changed on the platform": {
			arrange: func(w *world) {
				bound(w)
				binding := w.binding()
				w.edit(binding, func() { binding.Spec.Suspend = ref(true) })
				w.platform.SetRelation(john, acme, !binding.Spec.IsOwner)
				w.clock.Advance(2 * time.Hour)
				w.reconcile()
			},
			want: func(*world) metrics.Binding {
				return metrics.Binding{State: "Waiting", Reason: "Suspended", Confirmed: start.UTC(), Drifted: true}
			},
		},
		"an expiry that the API fails": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
				w.reconcile()
				w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 500}})
				w.clock.Advance(time.Hour)
				w.reconcile()
			},
			want: func(*world) metrics.Binding {
				return metrics.Binding{State: "Reconciling", Reason: "RevocationBlocked", Revoking: "RevocationBlocked", Due: at(time.Minute).UTC(), Unrevoked: true}
			},
		},
		"expired, and access that nobody declares": {
			arrange: func(w *world) {
				w.platform.SetRelation(john, acme, true)
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(-time.Minute)) })
				w.reconcile()
			},
			want: func(*world) metrics.Binding {
				return metrics.Binding{State: "Stalled", Reason: "Expired", Due: at(-time.Minute).UTC(), Unrevoked: true}
			},
		},
		"expired and revoked": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
				w.reconcile()
				w.clock.Advance(time.Hour)
				w.reconcile()
			},
			want: func(*world) metrics.Binding { return metrics.Binding{State: "Ready", Reason: "Expired"} },
		},
		"a deletion that nobody looked at yet": {
			arrange: func(w *world) {
				bound(w)
				w.delete()
			},
			want: func(w *world) metrics.Binding {
				return metrics.Binding{State: "Ready", Reason: "Bound", Revoking: "Revoking", Due: w.binding().DeletionTimestamp.UTC()}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			tc.arrange(w)
			expectEqual(t, "counted", []metrics.Binding{tc.want(w)}, w.counted())
		})
	}
}

// TestCensusOfConnections: a binding makes up no series by the name of a connection that there is not.
func TestCensusOfConnections(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.edit(w.connection(), func() {})
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "made-up"} })

	expectEqual(t, "connections", []metrics.APIConnection{{
		Name: w.namespace + "/default", Ready: true, Reason: "LoggedIn", Interval: time.Hour,
	}}, slices.Collect(w.census().Connections))
	expectEqual(t, "bindings", []metrics.Binding{{Connection: "none", State: "New", Reason: "None"}}, slices.Collect(w.census().Bindings))
}

// TestMetricsOfTokens: when the token of a Secret expires is known before it does.
func TestMetricsOfTokens(t *testing.T) {
	expires := metav1.NewTime(start.Add(time.Hour))
	counted := countedConnection(&v1alpha1.APIConnection{Status: v1alpha1.APIConnectionStatus{SessionExpiresAt: &expires}})
	expectEqual(t, "expires", expires.Time, counted.TokenExpires)
}

// filled is a cache that has filled: its lists take the same steps as those of controller-runtime's.
type filled struct {
	client.Reader
	connections, bindings toolscache.Store
}

func (f *filled) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	store := f.connections
	if _, are := list.(*v1alpha1.ClientBindingList); are {
		store = f.bindings
	}
	var objects []runtime.Object
	for _, object := range store.List() {
		objects = append(objects, object.(runtime.Object))
	}
	return meta.SetList(list, objects)
}

// BenchmarkScrape is a scrape of what is counted of 10,000 bindings through 10 connections.
func BenchmarkScrape(b *testing.B) {
	const many, through = 10_000, 10
	cached := &filled{connections: toolscache.NewStore(toolscache.MetaNamespaceKeyFunc), bindings: toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)}
	for i := range many {
		name := fmt.Sprintf("binding-%d", i)
		if err := cached.bindings.Add(&v1alpha1.ClientBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, Generation: 1},
			Spec:       v1alpha1.ClientBindingSpec{UserUUID: name, CUID: acme},
			Status: v1alpha1.ClientBindingStatus{
				ObservedGeneration: 1, Access: v1alpha1.AccessStandard, LastConfirmedTime: ref(at(0)),
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonBound, ObservedGeneration: 1}},
				Claim:      &v1alpha1.Claim{Connection: v1alpha1.ClaimConnection{Namespace: "team", Name: fmt.Sprintf("connection-%d", i%through)}},
			},
		}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range through {
		if err := cached.connections.Add(&v1alpha1.APIConnection{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprintf("connection-%d", i)}}); err != nil {
			b.Fatal(err)
		}
	}
	census := Census{Kube: cached, Now: time.Now}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCensus(func() metrics.Objects { return census.Objects(b.Context()) }, time.Now))
	b.ReportAllocs()
	for b.Loop() {
		series, err := testutil.GatherAndCount(registry, "clientbinding_bindings")
		if err != nil || series != through {
			b.Fatal(series, err)
		}
	}
}
