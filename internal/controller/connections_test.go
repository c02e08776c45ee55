package controller

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

func TestConnectionsOfABinding(t *testing.T) {
	own := types.NamespacedName{Namespace: "team-a", Name: "default"}
	shared := types.NamespacedName{Namespace: "platform", Name: "delos"}
	former := types.NamespacedName{Namespace: "platform", Name: "former"}
	named := func(ref v1alpha1.ConnectionReference) func(*v1alpha1.ClientBinding) {
		return func(b *v1alpha1.ClientBinding) { b.Spec.ConnectionRef = &ref }
	}
	claimed := func(name types.NamespacedName) func(*v1alpha1.ClientBinding) {
		return func(b *v1alpha1.ClientBinding) {
			b.Status.Claim = &v1alpha1.Claim{Connection: v1alpha1.ClaimConnection{Namespace: name.Namespace, Name: name.Name}}
		}
	}
	for _, test := range []struct {
		reason      string
		connections Connections
		binding     func(*v1alpha1.ClientBinding)
		want        []types.NamespacedName
	}{
		{"none is named", Connections{}, nil, []types.NamespacedName{own}},
		{"none is named, and there is a default for all", Connections{Default: shared}, nil, []types.NamespacedName{shared}},
		{"one of its namespace is named", Connections{Default: shared}, named(v1alpha1.ConnectionReference{Name: "default"}), []types.NamespacedName{own}},
		{"one of another namespace is named", Connections{}, named(v1alpha1.ConnectionReference{Name: "delos", Namespace: "platform"}), []types.NamespacedName{shared}},
		{"its relation was made through the declared one", Connections{Default: shared}, claimed(shared), []types.NamespacedName{shared}},
		{"its relation was made before there was a default", Connections{Default: shared}, claimed(own), []types.NamespacedName{shared, own}},
		{"its relation was made through the former default", Connections{Default: shared}, claimed(former), []types.NamespacedName{shared, former}},
		{"its relation was made through a default that there is no longer", Connections{}, claimed(former), []types.NamespacedName{own, former}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			binding := &v1alpha1.ClientBinding{}
			binding.Namespace = "team-a"
			if test.binding != nil {
				test.binding(binding)
			}

			expectEqual(t, "connections", test.want, test.connections.Of(binding))
			expectEqual(t, "declared", test.want[0], test.connections.Declared(binding))
			expectEqual(t, "for a grant", test.want[:1], test.connections.candidates(binding, false))
			expectEqual(t, "first for a revocation", test.want[len(test.want)-1], test.connections.candidates(binding, true)[0])
		})
	}
}

// another makes a second connection of the world's namespace, with the same Secret, and opens its session.
func (w *world) another(name string, change func(*v1alpha1.APIConnection)) {
	w.t.Helper()
	w.createConnection(func(c *v1alpha1.APIConnection) {
		c.Name = name
		if change != nil {
			change(c)
		}
	})
	w.reconcileConnectionAt(types.NamespacedName{Namespace: w.namespace, Name: name})
	w.reconcileUsageOf(w.request(name))
	w.calls()
	w.events()
}

// defaultTo is what a restart with another --default-connection does.
func (w *world) defaultTo(name string) {
	w.connections.Default = types.NamespacedName{Namespace: w.namespace, Name: name}
}

// TestClaimFollowsTheDefault shows a change of --default-connection to another connection of the same API: the
// next look goes through it, and from then on the relation is revoked through it.
func TestClaimFollowsTheDefault(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.another("shared", func(c *v1alpha1.APIConnection) { c.Spec.Interval = duration(time.Minute) })
	w.defaultTo("shared")
	w.clock.Advance(2 * time.Minute)
	w.reconcileUsageOf(w.request("shared"))

	w.reconcile()

	claim := w.claim(v1alpha1.OriginCreated)
	claim.Connection.Name = "shared"
	confirmed := at(2 * time.Minute)
	w.expect(v1alpha1.ClientBindingStatus{
		ObservedGeneration: 1,
		Conditions:         []condition{ready("True", "Bound", `Get user shows that user "user_abc123def" has standard access to client "cust_789xyz"`, 0)},
		Access:             v1alpha1.AccessStandard,
		Claim:              claim,
		User:               &v1alpha1.User{Username: "john.smith", Status: "ACCEPT"},
		LastConfirmedTime:  &confirmed,
	})
	expectEqual(t, "calls", operations{opUser}, w.calls())
}

// TestDefaultThatLeadsElsewhere shows that a relation is not moved to another API, nor reported to be there.
func TestDefaultThatLeadsElsewhere(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Name, c.Spec.URL = "shared", "https://elsewhere.example" })
	w.defaultTo("shared")
	w.calls()

	w.reconcile()

	got := w.binding().Status
	expectEqual(t, "reason", "ConnectionChanged", w.reason())
	expectEqual(t, "claim", w.claim(v1alpha1.OriginCreated), got.Claim)
	expectEqual(t, "calls", operations(nil), w.calls())
}

// TestRevocationAfterTheDefaultChanged shows through which connection a relation is revoked that was made through
// another one than is the default now.
func TestRevocationAfterTheDefaultChanged(t *testing.T) {
	for name, change := range map[string]func(*world){
		"to one that leads elsewhere": func(w *world) {
			w.createConnection(func(c *v1alpha1.APIConnection) { c.Name, c.Spec.URL = "shared", "https://elsewhere.example" })
			w.defaultTo("shared")
		},
		"to one that is not there": func(w *world) { w.defaultTo("shared") },
		"to one that cannot be used": func(w *world) {
			w.createConnection(func(c *v1alpha1.APIConnection) { c.Name = "shared" })
			w.defaultTo("shared")
		},
		"and the former one is gone": func(w *world) {
			w.another("shared", nil)
			w.defaultTo("shared")
			w.loseConnection()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			change(w)
			w.delete()

			w.reconcile()

			expectEqual(t, "gone", true, w.gone())
			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
		})
	}
}
