package controller

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// manyOfOne is a cache, and an API server behind it, with one connection and many bindings of one relation.
type manyOfOne struct {
	client.Client

	through  *v1alpha1.APIConnection
	bindings []v1alpha1.ClientBinding
	// written are the names of the bindings that were written, in order.
	written []string
}

// newManyOfOne has a binding that holds the relation, and 1,999 younger ones.
func newManyOfOne(through *v1alpha1.APIConnection, holder *v1alpha1.ClientBinding) *manyOfOne {
	many := &manyOfOne{through: through, bindings: []v1alpha1.ClientBinding{*holder}}
	for i := range 1999 {
		name := fmt.Sprintf("other-%04d", i)
		many.bindings = append(many.bindings, v1alpha1.ClientBinding{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: holder.Namespace, Name: name, UID: types.UID(name), ResourceVersion: "1", Generation: 1,
				CreationTimestamp: metav1.NewTime(holder.CreationTimestamp.Add(time.Minute)),
			},
			Spec: v1alpha1.ClientBindingSpec{UserUUID: john, CUID: acme},
		})
	}
	return many
}

func (m *manyOfOne) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	m.through.DeepCopyInto(object.(*v1alpha1.APIConnection))
	return nil
}

func (m *manyOfOne) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.ClientBindingList).Items = slices.Clone(m.bindings)
	return nil
}

func (m *manyOfOne) Status() client.SubResourceWriter { return statusOfMany{many: m} }

type statusOfMany struct {
	client.SubResourceWriter

	many *manyOfOne
}

func (s statusOfMany) Patch(_ context.Context, object client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	s.many.written = append(s.many.written, object.GetName())
	i := slices.IndexFunc(s.many.bindings, func(b v1alpha1.ClientBinding) bool { return b.Name == object.GetName() })
	s.many.bindings[i] = *object.(*v1alpha1.ClientBinding).DeepCopy()
	return nil
}

// TestManyOfOne: 1,999 bindings that wait for the holder of their relation cost one read and no write of their own when they say so
// already.
func TestManyOfOne(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	many := newManyOfOne(w.connection(), w.binding())
	reconciler, key := w.bindings(), connection.Relation{Host: w.host(), UserUUID: john, CUID: acme}
	reconciler.Kube, reconciler.Events = many, events.NewFakeRecorder(2000)
	look := func() {
		t.Helper()
		if _, err := reconciler.Reconcile(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	look()
	expectEqual(t, "bindings that say so", 1999, len(many.written))
	many.written = nil
	w.calls()

	look()
	expectEqual(t, "writes while the holder rests", []string(nil), many.written)
	expectEqual(t, "calls while the holder rests", operations(nil), w.calls())

	w.clock.Advance(2 * time.Hour)
	look()
	expectEqual(t, "writes when the holder is due", []string{"john"}, many.written)
	expectEqual(t, "calls when the holder is due", operations{delossim.OpRefresh, opUser}, w.calls())
}

// BenchmarkManyOfOne is a look at 2,000 bindings of one relation, of which all but the holder are in conflict and say so.
func BenchmarkManyOfOne(b *testing.B) {
	now := time.Now().Truncate(time.Second)
	host := "api.example.com"
	through := &v1alpha1.APIConnection{ObjectMeta: metav1.ObjectMeta{Namespace: "bench", Name: "default"}}
	through.Spec.URL = "https://" + host
	holder := &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "bench", Name: "john", UID: "john", ResourceVersion: "1", Generation: 1,
			CreationTimestamp: metav1.NewTime(now), Finalizers: []string{v1alpha1.RevokeFinalizer},
		},
		Spec: v1alpha1.ClientBindingSpec{UserUUID: john, CUID: acme},
		Status: v1alpha1.ClientBindingStatus{
			Conditions:        []condition{{Type: "Ready", Status: "True", Reason: "Bound", ObservedGeneration: 1}},
			LastConfirmedTime: ref(metav1.NewTime(now)),
			Claim:             &v1alpha1.Claim{Connection: v1alpha1.ClaimConnection{Namespace: "bench", Name: "default", Host: host}},
		},
	}
	many := newManyOfOne(through, holder)
	reconciler := &ClientBindingReconciler{
		Kube: many, Pool: connection.NewPool(connection.Options{Now: time.Now}), Writes: &Writes{Kube: many, Live: many},
		Events: events.NewFakeRecorder(2000), Schedule: Schedule{Now: time.Now, StallAfter: 10 * time.Minute, Jitter: Jitter},
	}
	look := func() {
		if _, err := reconciler.Reconcile(b.Context(), connection.Relation{Host: host, UserUUID: john, CUID: acme}); err != nil {
			b.Fatal(err)
		}
	}
	look()
	many.written = nil
	b.ReportAllocs()
	for b.Loop() {
		look()
	}
	if len(many.written) > 0 {
		b.Errorf("%d bindings were written", len(many.written))
	}
}
