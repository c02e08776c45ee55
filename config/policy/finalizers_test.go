package policy_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const othersFinalizer = "example.com/other"

// kept are objects that the operator keeps, one of each kind, in a namespace. Somebody else keeps them, too.
func kept(namespace string) map[string]client.Object {
	named := func(ours string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: "kept", Finalizers: []string{ours, othersFinalizer}}
	}
	relation := binding(namespace, "kept", "C-1001", true)
	relation.ObjectMeta = named(v1alpha1.RevokeFinalizer)
	return map[string]client.Object{
		"clientbindings": relation,
		"apiconnections": &v1alpha1.APIConnection{
			ObjectMeta: named(v1alpha1.InUseFinalizer),
			Spec: v1alpha1.APIConnectionSpec{
				URL:         "https://delos.example.com",
				Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "kept"}},
			},
		},
		"secrets": &corev1.Secret{ObjectMeta: named(v1alpha1.InUseFinalizer), StringData: map[string]string{"token": "secret"}},
	}
}

func noRelease(object client.Object, resource string) string {
	return refusal(object, "finalizers", fmt.Sprintf(
		"the finalizers of access.delos.financial are taken away only by who has the verb release on %s/finalizers named %s in namespace %s; "+
			"if they are missing from what you sent, send them, too, or use kubectl apply",
		resource, object.GetName(), object.GetNamespace()))
}

// writes is a rule for writing all of the kinds that the operator keeps, as namespace administrators have for Secrets.
func writes() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups: []string{group, ""},
		Resources: []string{"clientbindings", "apiconnections", "secrets"},
		Verbs:     []string{"patch", "update", "get", "delete", "create"},
	}
}

func releases(resource string) rbacv1.PolicyRule {
	apiGroup := group
	if resource == "secrets" {
		apiGroup = ""
	}
	return rbacv1.PolicyRule{APIGroups: []string{apiGroup}, Resources: []string{resource + "/finalizers"}, Verbs: []string{"release"}}
}

func TestTakingAFinalizerAwayNeedsItsVerb(t *testing.T) {
	namespace := newNamespace(t)
	for resource, object := range kept(namespace) {
		t.Run(resource, func(t *testing.T) {
			other, releaser := newUser(t, "other-"+resource), newUser(t, "releaser-"+resource)
			other.allow(t, namespace, writes())
			releaser.allow(t, namespace, writes(), releases(resource))
			create(t, object)

			const none = `{"metadata":{"finalizers":null}}`
			check(t, other.edit(t, object, none), noRelease(object, resource))
			// Whoever replaces an object by one without finalizers takes them away as well.
			replacement := object.DeepCopyObject().(client.Object)
			replacement.SetFinalizers(nil)
			check(t, other.Update(t.Context(), replacement), noRelease(object, resource))
			check(t, other.edit(t, object, `{"metadata":{"labels":{"team":"a"}}}`), "")
			// Finalizers of others are none of our business.
			ours := object.GetFinalizers()[0]
			check(t, other.edit(t, object, `{"metadata":{"finalizers":["`+ours+`"]}}`), "")
			// Nor does it make a difference that the object is being deleted.
			check(t, other.Delete(t.Context(), object), "")
			check(t, other.edit(t, object, none), noRelease(object, resource))
			check(t, releaser.edit(t, object, none), "")
		})
	}
}

func TestSecretsOfOthersAreNotTouched(t *testing.T) {
	namespace := newNamespace(t)
	other := newUser(t, "other")
	other.allow(t, namespace, writes())
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other", Finalizers: []string{othersFinalizer}},
		StringData: map[string]string{"token": "a"},
	}
	check(t, other.Create(t.Context(), secret), "")
	check(t, other.edit(t, secret, `{"stringData":{"token":"b"},"metadata":{"finalizers":null}}`), "")
}
