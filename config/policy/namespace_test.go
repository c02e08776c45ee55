package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestNamespacesCanBeDeleted makes the requests of the namespace controller, with its identity and role, because no
// controllers run beside the API server of a test.
func TestNamespacesCanBeDeleted(t *testing.T) {
	namespace := newNamespace(t)
	objects := kept(namespace)
	for _, object := range objects {
		create(t, object)
	}
	orphaned := binding(namespace, "orphaned", "C-1001", true)
	orphaned.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	create(t, orphaned)
	other := newUser(t, "other")
	other.allow(t, namespace, writes())
	itself := newUser(t, operator)
	itself.allow(t, namespace, writes())
	check(t, kube.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}), "")

	controller := newUser(t, "system:serviceaccount:kube-system:namespace-controller")
	for _, kind := range []client.Object{&v1alpha1.ClientBinding{}, &v1alpha1.APIConnection{}, &corev1.Secret{}} {
		check(t, controller.DeleteAllOf(t.Context(), kind, client.InNamespace(namespace)), "")
	}
	if err := kube.Get(t.Context(), key(orphaned), orphaned); !apierrors.IsNotFound(err) {
		t.Errorf("%s is still there: %v", orphaned.Name, err)
	}

	// The kept objects stay until the operator lets them go. No other account can.
	for resource, object := range objects {
		ours := object.GetFinalizers()[0]
		check(t, other.edit(t, object, noFinalizers), noRelease(object, resource))
		check(t, other.edit(t, object, `{"metadata":{"finalizers":["`+ours+`"]}}`), "")
		check(t, itself.edit(t, object, noFinalizers), "")
		if err := kube.Get(t.Context(), key(object), object); !apierrors.IsNotFound(err) {
			t.Errorf("%s is still there: %v", resource, err)
		}
	}
}
