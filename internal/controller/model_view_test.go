package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// view is what the API server has at one moment. It is never changed, so that an old one can be kept.
type view struct {
	bindings    map[types.NamespacedName]*v1alpha1.ClientBinding
	connections map[types.NamespacedName]*v1alpha1.APIConnection
	secrets     map[types.NamespacedName]*corev1.Secret
}

// look reads anew what may have changed since a view.
func (w *walk) look(since *view) *view {
	now := &view{}
	if since != nil {
		*now = *since
	}
	if since == nil || w.stale.bindings {
		now.bindings = listed[*v1alpha1.ClientBinding](w, &v1alpha1.ClientBindingList{}, now.bindings)
		for _, binding := range now.bindings {
			w.specs[declaration{binding.UID, binding.Generation}] = binding.Spec
		}
	}
	if since == nil || w.stale.connections {
		now.connections = listed[*v1alpha1.APIConnection](w, &v1alpha1.APIConnectionList{}, now.connections)
		now.secrets = listed[*corev1.Secret](w, &corev1.SecretList{}, now.secrets)
	}
	w.stale.bindings, w.stale.connections = false, false
	return now
}

// walkLabel is on all objects of a walk.
const walkLabel = "example.com/walk"

func (w *walk) labels() map[string]string { return map[string]string{walkLabel: fmt.Sprint(w.seed)} }

// listed reads all objects of a kind. Those that did not change are the same as before.
func listed[T client.Object](w *walk, list client.ObjectList, before map[types.NamespacedName]T) map[types.NamespacedName]T {
	w.must(w.kube.List(w.t.Context(), list, client.MatchingLabels(w.labels())))
	now := map[types.NamespacedName]T{}
	for _, object := range objectsOf(list) {
		w.identities.hide(object)
		key := client.ObjectKeyFromObject(object)
		now[key] = object.(T)
		if former, known := before[key]; known && former.GetUID() == object.GetUID() && former.GetResourceVersion() == object.GetResourceVersion() {
			now[key] = former
		}
	}
	return now
}

func objectsOf(list client.ObjectList) []client.Object {
	var objects []client.Object
	switch list := list.(type) {
	case *v1alpha1.ClientBindingList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	case *v1alpha1.APIConnectionList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	case *corev1.SecretList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	return objects
}

// identities replace what the API server draws for each object, and what a walk could otherwise not repeat: the UID
// and the time of creation.
type identities struct {
	clock *clock
	known map[types.UID]identity
}

type identity struct {
	uid     types.UID
	created metav1.Time
}

func newIdentities(clock *clock) identities {
	return identities{clock: clock, known: map[types.UID]identity{}}
}

// give names an object that was just created.
func (i identities) give(object client.Object) {
	i.known[object.GetUID()] = identity{
		uid:     types.UID(fmt.Sprintf("object-%d", len(i.known)+1)),
		created: metav1.NewTime(i.clock.Now().UTC().Truncate(1e9)),
	}
}

// hide replaces what the API server drew.
func (i identities) hide(object client.Object) {
	if identity, known := i.known[object.GetUID()]; known {
		object.SetUID(identity.uid)
		object.SetCreationTimestamp(identity.created)
	}
}

// reveal puts back what the API server drew, since a write may name it.
func (i identities) reveal(object client.Object) {
	for drawn, identity := range i.known {
		if identity.uid == object.GetUID() {
			object.SetUID(drawn)
		}
	}
}

// create makes an object as people do.
func (w *walk) create(object client.Object) {
	object.SetLabels(w.labels())
	w.must(w.kube.Create(w.t.Context(), object))
	w.identities.give(object)
	w.touched()
}

// edit changes an object as people do, and returns how the API server refuses that.
func (w *walk) edit(object client.Object, change func()) error {
	before := object.DeepCopyObject().(client.Object)
	change()
	patch := client.MergeFrom(before)
	w.touched()
	return w.kube.Patch(context.WithoutCancel(w.t.Context()), object, patch)
}

func (w *walk) delete(object client.Object) {
	w.must(client.IgnoreNotFound(w.kube.Delete(w.t.Context(), object)))
	w.touched()
}

// touched says that the objects are others than when they were last looked at.
func (w *walk) touched() { w.stale.bindings, w.stale.connections = true, true }

// binding returns a binding as it is now, to be edited; nil when there is none.
func (w *walk) binding(key types.NamespacedName) *v1alpha1.ClientBinding {
	object := &v1alpha1.ClientBinding{}
	err := w.kube.Get(w.t.Context(), key, object)
	if client.IgnoreNotFound(err) != nil {
		w.must(err)
	}
	if err != nil {
		return nil
	}
	return object
}
