//go:build argocd

package argocd

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// The daily work: the platform has the committed access. The samples are delivered unchanged, for the
// namespace team-a.
func TestDelivery(t *testing.T) {
	n := newTeam(t, "team-a")
	step(t, "create: a commit, and the relations are there", func(t *testing.T) {
		n.deliverSamples(t, wrongFile)
		// When they are Healthy, the relations exist.
		if problem := sandbox.First(n.otherwise(john, cust, true), n.otherwise(maria, cust, false), n.otherwise(maria, doxd, true)); problem != "" {
			t.Fatal("healthy in Argo CD, but on the platform " + problem)
		}
		argo.print(t, "app", "get", n.Namespace)
	})
	step(t, "the bindings came after the connection was ready", func(t *testing.T) {
		// Argo CD waited for the waves, which it does only for kinds whose health it knows.
		connection, binding := &v1alpha1.APIConnection{ObjectMeta: n.Meta(v1alpha1.DefaultConnectionName)}, n.bindingNamed(johnOwns)
		for _, object := range []client.Object{connection, binding} {
			sandbox.Must(t, box.Kube.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		}
		ready := sandbox.Ready(connection.Status.Conditions)
		if ready.Status == "" || binding.CreationTimestamp.Before(&ready.LastTransitionTime) {
			t.Fatalf("%s was created at %s, the connection's Ready is %v", binding.Name, binding.CreationTimestamp, ready)
		}
	})
	step(t, "promote by a commit: maria becomes owner of "+cust, func(t *testing.T) {
		n.edit(t, "clientbinding_standard.yaml", "isOwner: false", "isOwner: true")
		n.deliver(t, "Healthy", "maria becomes owner")
		n.related(t, maria, cust, true)
	})
	step(t, "a change past Git is undone by self-heal", func(t *testing.T) {
		binding := n.bindingNamed(mariaUses)
		box.Patch(t, binding, `{"spec":{"isOwner":false}}`)
		changed := binding.Generation
		sandbox.Within(t, limit, func() string {
			sandbox.Must(t, box.Kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding))
			if binding.Generation == changed || !binding.Spec.IsOwner {
				return "isOwner is still false"
			}
			return ""
		})
		becomes(t, n.Namespace, "Synced", "Healthy", "")
		n.related(t, maria, cust, true)
	})
	step(t, "a drift on the platform is corrected, Argo CD stays Synced", n.drift)
	n.leaves(t)
}

// drift changes the platform without the operator, and asks for a look at the binding by Argo CD's action.
func (n *team) drift(t *testing.T) {
	if !n.Platform.SetRelation(john, cust, false) {
		t.Fatalf("the platform knows no user %s", john)
	}
	began := time.Now()
	n.act(t, "reconcile", "ClientBinding", johnOwns)
	sandbox.Within(t, limit, func() string {
		if st := stateOf(t, n.Namespace); st.Status.Sync.Status != "Synced" {
			t.Fatalf("a difference was seen by Argo CD: %s", st)
		}
		return n.otherwise(john, cust, true)
	})
	// Also once Argo CD has looked again.
	staysSynced(t, n.Namespace, began)
	const reason = "DriftCorrected"
	sandbox.Within(t, limit, func() string {
		events := &corev1.EventList{}
		sandbox.Must(t, box.Kube.List(t.Context(), events, client.InNamespace(n.Namespace)))
		for _, event := range events.Items {
			if event.InvolvedObject.Name == johnOwns && event.Reason == reason {
				return ""
			}
		}
		return fmt.Sprintf("no event %s of %s", reason, johnOwns)
	})
}
