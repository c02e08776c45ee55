package controller

import (
	"context"
	"testing"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// interrupted is a Kubernetes client that lets something happen right after the next List.
type interrupted struct {
	client.Client
	then func()
}

func (i *interrupted) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := i.Client.List(ctx, list, options...)
	if then := i.then; then != nil {
		i.then = nil
		then()
	}
	return err
}

// TestHolderThatCannotTakeOver shows that no binding can hold up the end of a user's access: not at all with a
// connection that does not work, and not for long with a connection that was not checked yet.
func TestHolderThatCannotTakeOver(t *testing.T) {
	for name, end := range map[string]func(*world){
		"deletion": func(w *world) { w.delete() },
		"expiry":   func(w *world) { w.clock.Advance(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(func(b *v1alpha1.ClientBinding) {
				until(time.Hour)(b)
				b.Spec.IsOwner = true
			})
			w.reconcile()
			holder := w.bindIn(w.anotherNamespace(), "second", nil) // Nobody has looked at its connection.
			end(w)
			w.reconcile()
			holder.reconcile()
			expectEqual(t, "relations while the holder may still come", map[string]bool{acme: true}, w.platform.Relations(john))
			w.clock.Advance(10 * time.Minute)

			w.reconcile()

			expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
		})
	}
}

func TestHolderWhoseConnectionDoesNotWork(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(until(time.Hour))
	w.reconcile()
	namespace := w.anotherNamespace()
	w.bindIn(namespace, "second", nil)
	connections := &APIConnectionReconciler{Kube: w.kube, Writes: w.writes, Secrets: unwatched{w.kube}, Pool: w.pool, Events: w.recorder, Schedule: w.schedule()}
	if _, err := connections.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: "default"}}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)

	w.reconcile()

	expectEqual(t, "reason", "Expired", w.reason())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestHandoverToOneThatWasReadyBefore shows that a holder counts only once it has looked at what the other one left.
func TestHandoverToOneThatWasReadyBefore(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner, b.Spec.Suspend = true, ref(true) })
	second := w.bindIn(w.namespace, "second", nil)
	second.reconcile()
	binding := w.binding()
	w.edit(binding, func() { binding.Spec.Suspend = nil })
	w.clock.Advance(time.Minute)
	w.reconcile() // Promotes; the operator ends before it looks at the second.
	w.delete()
	w.restart()
	w.reconcileConnection()
	w.clock.Advance(time.Minute)

	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the holder", "Bound", second.ready().Reason)
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestHolderLooksAgainAfterAnotherMemberWrote: the holder's connection is made anew, and meanwhile another binding was
// first in line.
func TestHolderLooksAgainAfterAnotherMemberWrote(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.createConnection(func(c *v1alpha1.APIConnection) { c.Name = "other" })
	other := &APIConnectionReconciler{Kube: w.kube, Writes: w.writes, Secrets: unwatched{w.kube}, Pool: w.pool, Events: w.recorder, Schedule: w.schedule()}
	if _, err := other.Reconcile(t.Context(), w.request("other")); err != nil {
		t.Fatal(err)
	}
	w.bind(nil)
	w.reconcile()
	second := w.bindIn(w.namespace, "second", func(b *v1alpha1.ClientBinding) {
		b.Spec.IsOwner, b.Spec.ConnectionRef = true, &v1alpha1.ConnectionReference{Name: "other"}
	})
	w.loseConnection()
	w.clock.Advance(10 * time.Minute)
	second.reconcile()
	expectEqual(t, "relations meanwhile", map[string]bool{acme: true}, w.platform.Relations(john))
	w.createConnection(nil)
	w.reconcileConnection()
	w.clock.Advance(time.Second)

	w.reconcile()

	expectEqual(t, "ready", true, w.ready())
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestSuccessorThatComesDuringTheRemoval: a binding is renamed in Git, so that the new one looks while the old one's
// removal is under way.
func TestSuccessorThatComesDuringTheRemoval(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.delete()
	w.clock.Advance(time.Second)
	var renamed *otherBinding
	plain := w.kube
	w.kube = &interrupted{Client: plain, then: func() {
		renamed = w.bindIn(w.namespace, "renamed", nil)
		renamed.reconcile()
	}}
	w.reconcile()
	w.kube = plain

	for range 2 {
		w.clock.Advance(time.Minute)
		renamed.reconcile()
		w.reconcile()
	}

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "reason of the new one", "Bound", renamed.ready().Reason)
	expectEqual(t, "relations", map[string]bool{acme: false}, w.platform.Relations(john))
}

// TestHandoverWaitsForAGrantUnderWay: the binding that takes the relation over knows nothing of a grant that the other one sent
// without seeing an answer. It could be gone itself before that arrives.
func TestHandoverWaitsForAGrantUnderWay(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Reset{}})
	w.bind(nil)
	w.reconcile()
	second := w.bindIn(w.namespace, "second", nil)
	w.delete()
	w.clock.Advance(time.Second)
	second.reconcile()
	expectEqual(t, "reason of the holder", "Bound", second.ready().Reason)
	w.clock.Advance(time.Second)

	wait := w.reconcile()
	expectEqual(t, "gone while the grant may still arrive", false, w.gone())
	if err := w.kube.Delete(t.Context(), second.get()); err != nil {
		t.Fatal(err)
	}
	second.reconcile()
	w.platform.SetRelation(john, acme, false) // It arrives.
	w.clock.Advance(wait)
	w.reconcile()

	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}
