package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// The selectors of two shards. A connection with shard=both is selected by both.
const (
	shardA = "shard in (a,both)"
	shardB = "shard in (b,both)"
)

// startShards starts a process for each of the two shards.
func startShards(t *testing.T) map[string]*sandbox.Operator {
	t.Helper()
	rights, err := sandbox.Render(t.Context(), "config/shards")
	sandbox.Must(t, err)
	sandbox.Must(t, cluster.Apply(t.Context(), rights))
	t.Cleanup(func() {
		// An operator without the flag waits for some time after the last shard has ended.
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: operatorName + ".access.delos.financial"}}
		sandbox.Must(t, kube.Delete(context.WithoutCancel(t.Context()), lease))
	})
	shards := map[string]*sandbox.Operator{}
	for _, selector := range []string{shardA, shardB} {
		shard := operator.Aside(filepath.Join(t.TempDir(), "shard.log"))
		sandbox.Must(t, shard.Start(t.Context(), verbose, "--connection-selector="+selector))
		t.Cleanup(func() {
			sandbox.Must(t, shard.Stop())
			log, err := shard.Log()
			sandbox.Must(t, err)
			for _, text := range []string{"is forbidden", "DATA RACE", "panic", account.Password, "eyJ"} {
				if line := lineWith(log, text); line != "" {
					t.Errorf("the log of the shard %q: %s", selector, line)
				}
			}
		})
		shards[selector] = shard
	}
	return shards
}

// labelled creates a Secret, and a connection of a shard, which ClientBindings of all namespaces may use.
func (n *tenant) labelled(t *testing.T, url, shard string) {
	t.Helper()
	create(t, n.Secret(secretName, account))
	connection := n.connection(url)
	connection.Labels = map[string]string{"shard": shard}
	connection.Spec.Allowed = &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}}
	create(t, connection)
}

// move labels the tenant's connection for another shard.
func (n *tenant) move(t *testing.T, shard string) {
	t.Helper()
	n.Patch(t, n.connection(""), `{"metadata":{"labels":{"shard":%q}}}`, shard)
}

// is describes the difference between the Ready of the tenant's connection and the wanted one; "" if there is none.
func (n *tenant) connectionIs(t *testing.T, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	is := n.connection("")
	sandbox.Must(t, kube.Get(t.Context(), client.ObjectKeyFromObject(is), is))
	return sandbox.NotReady(is, is.Status.Conditions, status, reason)
}

// bindingIs describes the difference between a binding's Ready and the wanted one; "" if there is none.
func (n *tenant) bindingIs(t *testing.T, name string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	is := n.Binding(name, "", "", false)
	sandbox.Must(t, kube.Get(t.Context(), client.ObjectKeyFromObject(is), is))
	return sandbox.NotReady(is, is.Status.Conditions, status, reason)
}

// leader is the selector of the shard that leads the tenant's API host, by its Lease; empty when there is none.
func (n *tenant) leader(t *testing.T) string {
	t.Helper()
	leases := &coordinationv1.LeaseList{}
	sandbox.Must(t, kube.List(t.Context(), leases, client.InNamespace(systemNamespace)))
	for i := range leases.Items {
		selector, rest, _ := strings.Cut(ptr.Deref(leases.Items[i].Spec.HolderIdentity, ""), "; ")
		if host, _, _ := strings.Cut(rest, "; "); "http://"+host == n.Platform.URL {
			return selector
		}
	}
	return ""
}

// ledBy waits until a shard leads the tenant's API host.
func (n *tenant) ledBy(t *testing.T, selector string) {
	t.Helper()
	sandbox.Within(t, time.Minute, func() string {
		if leader := n.leader(t); leader != selector {
			return fmt.Sprintf("the host is led by the shard %q", leader)
		}
		return ""
	})
}

// Each of two shards serves its own connections and their bindings, in any namespace. A connection in the wrong shard says so, and is not
// used until its label is corrected. One of the shards reports, and lets go, a binding without a connection.
func TestShards(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}, {UUID: "user_1"}}, Clients: []string{"cust_0"}})
	m := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}}, Clients: []string{"cust_0"}})
	astray := newTenant(t, delossim.Config{})
	n.labelled(t, n.Platform.URL, "a")
	m.labelled(t, m.Platform.URL, "b")
	shards := startShards(t)
	n.ledBy(t, shardA)
	m.ledBy(t, shardB)

	astray.labelled(t, n.Platform.URL, "b")
	create(t, n.Binding("own", "user_0", "cust_0", true))
	create(t, m.Binding("own", "user_0", "cust_0", false))
	waits := astray.Binding("waits", "user_1", "cust_0", false)
	create(t, waits)
	remote := m.Binding("remote", "user_1", "cust_0", false)
	remote.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}
	create(t, remote)
	lost := n.Binding("lost", "user_1", "cust_0", false)
	lost.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "nowhere"}
	create(t, lost)
	sandbox.Within(t, time.Minute, func() string {
		return sandbox.First(
			n.Unbound(t, "own"), m.Unbound(t, "own"),
			m.bindingIs(t, "remote", metav1.ConditionTrue, v1alpha1.ReasonBound),
			astray.connectionIs(t, metav1.ConditionFalse, v1alpha1.ReasonOtherShard),
			n.bindingIs(t, "lost", metav1.ConditionFalse, v1alpha1.ReasonConnectionNotFound),
		)
	})

	box.Delete(t, remote, lost)
	sandbox.Within(t, time.Minute, func() string { return sandbox.First(m.gone(t, "remote"), n.gone(t, "lost")) })
	sandbox.Within(t, time.Minute, func() string {
		return astray.bindingIs(t, "waits", metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	})
	astray.move(t, "a")
	sandbox.Within(t, time.Minute, func() string { return astray.bindingIs(t, "waits", metav1.ConditionTrue, v1alpha1.ReasonBound) })

	want := delossim.Summary{Relate: 3, Unrelate: 1, Login: 2}
	got := n.Platform.Summary()
	got.User, got.List, got.Refresh = 0, 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	for selector, foreign := range map[string]*tenant{shardA: m, shardB: n} {
		log, err := shards[selector].Log()
		sandbox.Must(t, err)
		for line := range strings.Lines(log) {
			if strings.Contains(line, `"audit":true`) && strings.Contains(line, `"connection":"`+foreign.Namespace+"/") {
				t.Errorf("the shard %q acted through the other one's connection: %s", selector, line)
			}
		}
	}
}

// A connection moves to and fro between two shards while ClientBindings are created, changed and deleted. Untouched bindings keep their access, and no
// call is made twice. When both shards select the connection, one acts, and the other takes over when the first is killed.
func TestConnectionMovesBetweenShards(t *testing.T) {
	n := newTenant(t, delossim.Config{
		Users:   []delossim.User{{UUID: "user_0"}, {UUID: "user_1"}, {UUID: "user_2"}, {UUID: "user_3"}},
		Clients: []string{"cust_0", "cust_1"},
	})
	shards := startShards(t)
	n.labelled(t, n.Platform.URL, "a")
	n.ledBy(t, shardA)
	d := newDirector(n, rand.New(rand.NewPCG(20261127, 0)))
	d.roles, d.made = d.roles[2:], 0 // the bindings of user_0 are not touched
	for _, cuid := range n.Platform.Clients() {
		create(t, n.Binding("untouched-"+strings.TrimPrefix(cuid, "cust_"), "user_0", cuid, true))
	}
	sandbox.Within(t, time.Minute, func() string { return sandbox.First(n.Unbound(t, "untouched-0"), n.Unbound(t, "untouched-1")) })

	for _, move := range []struct{ label, leader string }{{"b", shardB}, {"a", shardA}, {"both", shardA}, {"b", shardB}, {"both", shardB}} {
		d.actFor(t, time.Second)
		n.move(t, move.label)
		d.actUntil(t, func() string {
			if leader := n.leader(t); leader != move.leader {
				return fmt.Sprintf("%q leads", leader)
			}
			return ""
		})
		d.actFor(t, time.Second)
	}
	// To and fro, with no time to give it up.
	n.move(t, "a")
	n.move(t, "b")
	d.actFor(t, time.Second)
	sandbox.Within(t, time.Minute, func() string { return d.unsettled(t) })
	if problem := n.connectionIs(t, metav1.ConditionTrue, v1alpha1.ReasonLoggedIn); problem != "" {
		t.Error(problem)
	}
	n.assertNoCallTwice(t, shards)

	n.move(t, "both")
	n.ledBy(t, shardB)
	sandbox.Must(t, shards[shardB].Kill())
	create(t, n.Binding("later", "user_0", "cust_0", true))
	box.Delete(t, n.Binding("untouched-1", "", "", true))
	sandbox.Within(t, time.Minute, func() string { return n.gone(t, "untouched-1") })
	n.ledBy(t, shardA)
	n.assertNoCallTwice(t, shards)
	for user, want := range d.declared() {
		if user == "user_0" {
			want = map[string]bool{"cust_0": true}
		}
		if diff := cmp.Diff(want, n.Platform.Relations(user)); diff != "" {
			t.Errorf("access of %s (-want +got):\n%s", user, diff)
		}
	}
}

// actFor acts again and again for a time.
func (d *director) actFor(t *testing.T, time time.Duration) {
	t.Helper()
	d.act(t)
	sandbox.Pause(t, time/2)
	d.act(t)
	sandbox.Pause(t, time/2)
}

// actUntil acts until there is no problem.
func (d *director) actUntil(t *testing.T, problem func() string) {
	t.Helper()
	sandbox.Within(t, time.Minute, func() string {
		d.act(t)
		return problem()
	})
}

// assertNoCallTwice: no shard sent an accepted call for a ClientBinding again. It ignores relations after a call that was not
// accepted: such a call may have to be repeated, and so may a removal after it.
func (n *tenant) assertNoCallTwice(t *testing.T, shards map[string]*sandbox.Operator) {
	t.Helper()
	type sent struct {
		UID, Outcome, RequestID string
		call                    delossim.Call
	}
	accepted := map[string]sent{}
	for _, shard := range shards {
		log, err := shard.Log()
		sandbox.Must(t, err)
		for line := range strings.Lines(log) {
			var audit sent
			if strings.Contains(line, `"outcome":"accepted"`) {
				sandbox.Must(t, json.Unmarshal([]byte(line), &audit))
				accepted[audit.RequestID] = audit
			}
		}
	}
	type relation struct{ user, cuid string }
	last, doubtful, compared := map[relation]sent{}, map[relation]bool{}, 0
	for _, call := range n.Platform.Calls(delossim.OpRelate, delossim.OpUnrelate) {
		of := relation{call.User, call.CUID}
		is, known := accepted[call.RequestID]
		is.call = call
		doubtful[of] = doubtful[of] || !known
		former := last[of]
		last[of] = is
		if doubtful[of] || former.UID != is.UID {
			continue
		}
		compared++
		if former.call.Op == call.Op && cmp.Equal(former.call.IsOwner, call.IsOwner) {
			t.Errorf("%s of %s and %s was sent again, though it was accepted before", call.Method, of.user, of.cuid)
		}
	}
	if compared == 0 {
		t.Error("no relation had two calls to compare")
	}
}
