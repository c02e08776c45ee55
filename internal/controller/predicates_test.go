package controller

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestWhatWakesABinding shows which changes of a binding are edits, and that the operator does not wake itself.
func TestWhatWakesABinding(t *testing.T) {
	granted := func(change func(*v1alpha1.ClientBinding)) *v1alpha1.ClientBinding {
		binding := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Generation: 1, Finalizers: []string{v1alpha1.RevokeFinalizer}}}
		change(binding)
		return binding
	}
	expired := func(b *v1alpha1.ClientBinding) { b.Status.ExpiredTime = &metav1.Time{} }
	for name, test := range map[string]struct {
		was, is func(*v1alpha1.ClientBinding)
		want    bool
	}{
		"the spec":               {func(*v1alpha1.ClientBinding) {}, func(b *v1alpha1.ClientBinding) { b.Generation++ }, true},
		"the status":             {func(*v1alpha1.ClientBinding) {}, expired, false},
		"the finalizer is taken": {func(*v1alpha1.ClientBinding) {}, func(b *v1alpha1.ClientBinding) { b.Finalizers = nil }, true},
		"it is taken from what has expired": {expired, func(b *v1alpha1.ClientBinding) {
			expired(b)
			b.Finalizers = nil
		}, false},
		"what has expired is deleted": {expired, func(b *v1alpha1.ClientBinding) {
			expired(b)
			b.Generation++
		}, true},
		"a run is asked for": {func(*v1alpha1.ClientBinding) {}, func(b *v1alpha1.ClientBinding) {
			b.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
		}, true},
		"another annotation": {func(*v1alpha1.ClientBinding) {}, func(b *v1alpha1.ClientBinding) {
			b.Annotations = map[string]string{"note": "now"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := edited().Update(event.UpdateEvent{ObjectOld: granted(test.was), ObjectNew: granted(test.is)}); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
