package controller

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestStripLeavesWhatIsUsed and nothing whose length strangers choose.
func TestStripLeavesWhatIsUsed(t *testing.T) {
	metadata := metav1.ObjectMeta{
		Namespace: "team-a", Name: "john", UID: "uid", ResourceVersion: "7", Generation: 3,
		Finalizers: []string{"example.com/other", v1alpha1.RevokeFinalizer},
		Labels:     map[string]string{"team": "a"},
		Annotations: map[string]string{
			corev1.LastAppliedConfigAnnotation:     "{}",
			"access.delos.financial/another":       "value",
			v1alpha1.RequestedAtAnnotation:         "now",
			v1alpha1.FluxRequestedAtAnnotation:     strings.Repeat("x", 1000),
			v1alpha1.RequestedByAnnotation:         "ann",
			v1alpha1.ApprovedRevocationsAnnotation: "1@now",
		},
		ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		OwnerReferences: []metav1.OwnerReference{{Kind: "Other"}},
	}
	kept := metav1.ObjectMeta{
		Namespace: "team-a", Name: "john", UID: "uid", ResourceVersion: "7", Generation: 3, Finalizers: metadata.Finalizers,
	}
	ours := kept
	ours.Annotations = map[string]string{
		v1alpha1.RequestedAtAnnotation:         "now",
		v1alpha1.FluxRequestedAtAnnotation:     strings.Repeat("x", 300),
		v1alpha1.RequestedByAnnotation:         "ann",
		v1alpha1.ApprovedRevocationsAnnotation: "1@now",
	}
	labelled := kept
	labelled.Labels = metadata.Labels
	for _, test := range []struct {
		object, want client.Object
	}{
		{&v1alpha1.ClientBinding{ObjectMeta: metadata}, &v1alpha1.ClientBinding{ObjectMeta: ours}},
		{&v1alpha1.APIConnection{ObjectMeta: metadata}, &v1alpha1.APIConnection{ObjectMeta: ours}},
		{&metav1.PartialObjectMetadata{ObjectMeta: metadata}, &metav1.PartialObjectMetadata{ObjectMeta: labelled}},
	} {
		got, err := Strip(test.object.DeepCopyObject())
		if err != nil {
			t.Fatal(err)
		}
		expectEqual(t, "what is left", test.want, got.(client.Object))
	}
}

// TestWhatIsStrippedSurvives: what the cache does not keep, and the finalizers of others, are as before when the operator has
// written what it writes.
func TestWhatIsStrippedSurvives(t *testing.T) {
	w := newWorld(t)
	w.clock.Advance(time.Since(start))
	w.runManager()
	w.createSecret(map[string]string{"login": login, "password": password})
	foreign := func(object client.Object) {
		object.SetLabels(map[string]string{"team": "a"})
		object.SetAnnotations(map[string]string{"example.com/note": "note", v1alpha1.RequestedAtAnnotation: strings.Repeat("x", 1000)})
		object.SetFinalizers([]string{"example.com/other"})
		object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: "uid"}})
	}
	w.createConnection(func(c *v1alpha1.APIConnection) { foreign(c) })
	w.bind(func(b *v1alpha1.ClientBinding) { foreign(b) })
	w.eventually("LoggedIn", "Bound")

	for finalizer, object := range map[string]client.Object{v1alpha1.RevokeFinalizer: w.binding(), v1alpha1.InUseFinalizer: w.connection()} {
		want := &metav1.PartialObjectMetadata{}
		foreign(want)
		expectEqual(t, "labels", want.Labels, object.GetLabels())
		expectEqual(t, "annotations", want.Annotations, object.GetAnnotations())
		expectEqual(t, "owners", want.OwnerReferences, object.GetOwnerReferences())
		expectEqual(t, "finalizers", []string{"example.com/other", finalizer}, object.GetFinalizers())
	}
	// Or nobody would take them off.
	for _, object := range []client.Object{w.binding(), w.connection()} {
		w.edit(object, func() { object.SetFinalizers(object.GetFinalizers()[1:]) })
	}
}
