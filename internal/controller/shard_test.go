package controller

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// leaseOf names the Lease of a host.
func leaseOf(host string) string { return fmt.Sprintf("host-%x", host) }

// beShard makes the operator a shard that selects shard=a, with its Leases in the world's namespace. Where another shard leads, that is given by
// its selector.
func (w *world) beShard(other string) {
	w.t.Helper()
	if err := coordinationv1.AddToScheme(clusterScheme); err != nil {
		w.t.Fatal(err)
	}
	if other != "" {
		selector, err := labels.Parse(other)
		if err != nil {
			w.t.Fatal(err)
		}
		w.create(&coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: leaseOf(w.host())},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: ptr.To(ShardIdentity(selector, w.host(), "other")), LeaseDurationSeconds: ptr.To[int32](3600),
				AcquireTime: ptr.To(metav1.NowMicro()), RenewTime: ptr.To(metav1.NowMicro()),
			},
		})
	}
	own := labels.SelectorFromSet(labels.Set{"shard": "a"})
	kube := coordinationclient.NewForConfigOrDie(cluster)
	w.shard = NewShard(&Shard{Selector: own, Kube: w.kube, Live: w.kube, Namespaces: []string{w.namespace}, Now: w.clock.Now}, func(host string) resourcelock.Interface {
		return &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: leaseOf(host)}, Client: kube,
			LockConfig: resourcelock.ResourceLockConfig{Identity: ShardIdentity(own, host, "this")},
		}
	})
	w.restart()
	w.shard.onForget(w.reconciler.memory.forget)
	told := make(chan struct{}, 1)
	w.shard.listen(func(string) {
		select {
		case told <- struct{}{}:
		default: // it is told already; connections of other tests have hosts, too
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- w.shard.Start(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	for !w.shard.serves(w.host()) && (other == "" || w.shard.elections.Leader(w.host()) == "") {
		select {
		case <-told:
		case <-time.After(time.Minute):
			w.t.Fatal("nobody leads the host")
		}
	}
}

// inShard labels a connection.
func inShard(shard string) func(*v1alpha1.APIConnection) {
	return func(c *v1alpha1.APIConnection) { c.Labels = map[string]string{"shard": shard} }
}

// A shard that does not lead the host of a connection which it selects says so, if the one that leads it serves other connections and not this
// one. It does nothing else there.
func TestHostOfAnotherShard(t *testing.T) {
	for name, test := range map[string]struct {
		other, leader string
		want          string
	}{
		"the leader serves another connection of the host": {"b", "shard=b",
			"The APIConnections of one API host have to be in one shard, and HOST is served by the one with --connection-selector=shard=b: " +
				"label this APIConnection so that it is selected there, or have the others of this host labelled so that all are selected here"},
		"the leader is about to give the host up": {"a", "shard=b", ""},
		"the leader selects this one, too":        {"b", "shard", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.createSecret(map[string]string{"login": login, "password": password})
			w.createConnection(inShard("a"))
			w.createConnection(func(c *v1alpha1.APIConnection) { c.Name = "other"; inShard(test.other)(c) })
			w.beShard(test.leader)
			w.bind(nil)

			w.reconcileConnection()
			w.reconcileUsage()
			w.look(w.request("john").NamespacedName)

			want, got := metav1.Condition{}, metav1.Condition{}
			if test.want != "" {
				want = metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonOtherShard, Message: strings.ReplaceAll(test.want, "HOST", w.host())}
			}
			if ready := meta.FindStatusCondition(w.connection().Status.Conditions, v1alpha1.ConditionReady); ready != nil {
				got = metav1.Condition{Status: ready.Status, Reason: ready.Reason, Message: ready.Message}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Ready of the connection (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(v1alpha1.ClientBindingStatus{ObservedGeneration: -1}, w.binding().Status); diff != "" {
				t.Errorf("status of the binding (-want +got):\n%s", diff)
			}
			if got := w.platform.Summary(); got != (delossim.Summary{}) {
				t.Errorf("the platform was asked %s", got)
			}
		})
	}
}

// That another shard serves the host is not written onto a connection that has changed since it was judged.
func TestOtherShardIsSaidOfTheJudgedVersionOnly(t *testing.T) {
	w := newWorld(t)
	w.createConnection(inShard("a"))
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Name = "other"; inShard("b")(c) })
	w.beShard("shard=b")
	judged := w.connection()
	changed := w.connection()
	w.edit(changed, func() { changed.Labels["shard"] = "b" })
	reconciler := &APIConnectionReconciler{Kube: w.kube, Events: w.recorder, Schedule: w.schedule(), Shard: w.shard}

	result, err := reconciler.elsewhere(t.Context(), judged)

	if diff := cmp.Diff(ctrl.Result{RequeueAfter: conflictRetry}, result); err != nil || diff != "" {
		t.Errorf("error %v, result (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(changed.Status, w.connection().Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// A binding whose connection is in another shard than its host waits, and its access stays: also when it is deleted.
func TestConnectionOfAnotherShard(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": password})
	w.createConnection(inShard("a"))
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Name = "other"; inShard("a")(c) })
	w.beShard("")
	w.reconcileConnection()
	w.bind(nil)
	w.reconcile()
	if got := readyOf(w.binding()).Reason; got != v1alpha1.ReasonBound {
		t.Fatal("the binding is", got)
	}
	moved := w.connection()
	w.edit(moved, func() { moved.Labels["shard"] = "b" })
	w.reconcileConnection()
	w.platform.ResetCalls()
	w.delete()

	w.reconcile()

	ready := readyOf(w.binding())
	want := fmt.Sprintf("The access could not be removed yet. Waits for APIConnection %s/default, which is in another shard of the operator than others of the same API host: ask those who may label it", w.namespace)
	if diff := cmp.Diff([]string{v1alpha1.ReasonRevocationBlocked, want}, []string{ready.Reason, ready.Message}); diff != "" {
		t.Errorf("Ready (-want +got):\n%s", diff)
	}
	if got := w.platform.Summary(); got != (delossim.Summary{}) {
		t.Errorf("the platform was asked %s", got)
	}
	if diff := cmp.Diff(map[string]bool{acme: false}, w.platform.Relations(john)); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

// formerBindings shows ClientBindings as they were.
type formerBindings struct {
	client.Reader

	items []v1alpha1.ClientBinding
}

func (f formerBindings) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.ClientBindingList).Items = f.items
	return nil
}

// A cache is behind while it lacks an object, or has an older version than the API server.
func TestCaughtUp(t *testing.T) {
	w := newWorld(t)
	w.bind(nil)
	before := *w.binding()
	now := w.binding()
	w.edit(now, func() { now.Annotations = map[string]string{"a": "b"} })
	behind := "the cache is behind with 1 objects of ClientBindingList"
	for name, test := range map[string]struct {
		cached []v1alpha1.ClientBinding
		want   string
	}{
		"lacks it":            {nil, behind},
		"has it as it was":    {[]v1alpha1.ClientBinding{before}, behind},
		"has it as it is":     {[]v1alpha1.ClientBinding{*now}, ""},
		"has what is gone":    {[]v1alpha1.ClientBinding{*now, {ObjectMeta: metav1.ObjectMeta{UID: "gone", ResourceVersion: "1"}}}, ""},
		"has a later version": {[]v1alpha1.ClientBinding{{ObjectMeta: metav1.ObjectMeta{UID: now.UID, ResourceVersion: now.ResourceVersion + "0"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Shard{Kube: formerBindings{items: test.cached}, Live: w.kube, Namespaces: []string{w.namespace}}
			got := ""
			if err := s.caughtUp(t.Context(), "ClientBindingList", &v1alpha1.ClientBindingList{}); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A shard that comes to lead a host knows nothing of what it knew of relations there, and goes on knowing of others.
func TestForgetsWhatItKnew(t *testing.T) {
	here, there := connection.Relation{Host: "here", UserUUID: john, CUID: acme}, connection.Relation{Host: "there", UserUUID: john, CUID: acme}
	known := memory{}
	kept := known.of(there)
	known.of(here).absent["account"] = start
	kept.waits[types.UID("member")] = start

	known.forget(func(host string) bool { return host == "here" })

	if !known.of(here).nothing() || known.of(there) != kept {
		t.Errorf("here is known %+v, there %+v", known.of(here), known.of(there))
	}
}
