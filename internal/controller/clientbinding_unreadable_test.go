package controller

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// withUnreadable gives objects as the cache has them when fields of theirs do not decode. The API server of these tests has the
// present CRDs, which let no such object in; test/e2e stores some under older ones.
type withUnreadable struct {
	client.Client

	change func(client.Object)
}

func (u withUnreadable) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := u.Client.Get(ctx, key, object, options...)
	if err == nil {
		u.change(object)
	}
	return err
}

func (u withUnreadable) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := u.Client.List(ctx, list, options...)
	if bindings, is := list.(*v1alpha1.ClientBindingList); is {
		for i := range bindings.Items {
			u.change(&bindings.Items[i])
		}
	}
	return err
}

// hide makes a field of the bindings' status unreadable, and returns the client for which it is not.
func (w *world) hide(path string, change func(*v1alpha1.ClientBindingStatus)) (readable client.Client) {
	readable = w.kube
	w.kube = withUnreadable{w.kube, func(object client.Object) {
		if binding, is := object.(*v1alpha1.ClientBinding); is {
			change(&binding.Status)
			binding.UnreadableFields = v1alpha1.UnreadableFields{{Path: path, Problem: "odd"}}
		}
	}}
	return readable
}

// said is the reason and the message of the condition Stalled.
func said(conditions []metav1.Condition) string {
	stalled := meta.FindStatusCondition(conditions, v1alpha1.ConditionStalled)
	if stalled == nil {
		return ""
	}
	return stalled.Reason + ": " + stalled.Message
}

func TestConnectionThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.kube = withUnreadable{w.kube, func(object client.Object) {
		if connection, is := object.(*v1alpha1.APIConnection); is {
			connection.UnreadableFields = v1alpha1.UnreadableFields{{Path: "spec.allowed.owner", Problem: "no bool"}}
		}
	}}

	w.reconcile() // The connection's reconciler has not seen it yet.
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))

	w.reconcileConnection()
	expectEqual(t, "reason and message", "InvalidSpec: Fields of this APIConnection cannot be read: spec.allowed.owner (no bool). Correct them",
		said(w.connection().Status.Conditions))
	w.reconcile()
	expectEqual(t, "relations once it is said", map[string]bool{}, w.platform.Relations(john))
}

// TestClaimThatCannotBeRead shows that an object is not let go as long as it is not known for what it answers.
func TestClaimThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	readable := w.hide("status.claim", func(status *v1alpha1.ClientBindingStatus) { status.Claim = nil })
	w.delete()

	w.reconcile()

	expectEqual(t, "reason and message", "InvalidSpec: The record of the access that this ClientBinding answers for cannot be read: status.claim (odd). "+
		"Correct the fields, or delete it with deletionPolicy: Orphan, which leaves the access as it is", said(w.binding().Status.Conditions))

	w.kube = readable
	w.reconcile()
	expectEqual(t, "gone once it can be read", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestCallsThatCannotBeRead shows that a removal waits for as long as any call may take to arrive, when it is not known which were sent.
func TestCallsThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	readable := w.hide("status.claim.inFlight", func(status *v1alpha1.ClientBindingStatus) { status.Claim.InFlight = nil })
	w.delete()

	w.reconcile()

	w.kube = readable
	w.clock.Advance(2*longestCall - time.Second)
	w.reconcile()
	expectEqual(t, "reason while a call may arrive", "Revoking", w.reason())
	w.clock.Advance(time.Second)
	w.reconcile()
	expectEqual(t, "gone when none can", true, w.gone())
}
