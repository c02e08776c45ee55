package policy_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const (
	othersFinalizer = "example.com/other"
	noFinalizers    = `{"metadata":{"finalizers":null}}`
)

// kept are objects that the operator keeps, one of each kind, in a namespace. Another controller keeps them, too.
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
		"removing a finalizer of access.delos.financial needs the verb release on %s/finalizers named %s in namespace %s; "+
			"if your request replaces the object, send its finalizers, too, or use kubectl apply",
		resource, object.GetName(), object.GetNamespace()))
}

// writes is a rule for writing all kinds that the operator keeps, as namespace administrators have for Secrets.
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

// finalizersOf are the current finalizers of an object; nil when it is gone.
func finalizersOf(t *testing.T, of client.Object) []string {
	t.Helper()
	found := of.DeepCopyObject().(client.Object)
	if err := kube.Get(t.Context(), key(of), found); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	return found.GetFinalizers()
}

// sent is a replacement of an object, with other content and the finalizers that its writer knows.
func sent(t *testing.T, of client.Object, content string, finalizers ...string) client.Object {
	t.Helper()
	whole := of.DeepCopyObject().(client.Object)
	if err := kube.Get(t.Context(), key(of), whole); err != nil {
		t.Fatal(err)
	}
	switch whole := whole.(type) {
	case *v1alpha1.ClientBinding:
		whole.Spec.Justification = content
	case *v1alpha1.APIConnection:
		whole.Spec.Credentials.SecretRef.Name = content
	case *corev1.Secret:
		whole.Data = map[string][]byte{"token": []byte(content)}
	}
	whole.SetFinalizers(finalizers)
	kind, err := apiutil.GVKForObject(whole, scheme)
	if err != nil {
		t.Fatal(err)
	}
	whole.GetObjectKind().SetGroupVersionKind(kind) // which who applies has to name
	return whole
}

// contentOf is the content that sent has changed.
func contentOf(t *testing.T, of client.Object) string {
	t.Helper()
	found := of.DeepCopyObject().(client.Object)
	if err := kube.Get(t.Context(), key(of), found); err != nil {
		t.Fatal(err)
	}
	switch found := found.(type) {
	case *v1alpha1.ClientBinding:
		return found.Spec.Justification
	case *v1alpha1.APIConnection:
		return found.Spec.Credentials.SecretRef.Name
	default:
		return string(found.(*corev1.Secret).Data["token"])
	}
}

// TestWhoWritesObjectsAsAWholeIsNotHindered is about writers that do not know the operator: an admin of the namespace
// with kubectl replace, a secret manager, a GitOps tool that replaces.
func TestWhoWritesObjectsAsAWholeIsNotHindered(t *testing.T) {
	namespace := newNamespace(t)
	admin := rbacv1.PolicyRule{ // the rule of the ClusterRole admin for Secrets
		APIGroups: []string{""}, Resources: []string{"secrets"},
		Verbs: []string{"get", "list", "watch", "create", "delete", "deletecollection", "patch", "update"},
	}
	writers := map[string][]user{}
	for _, name := range []string{"admin-of-the-namespace", "system:serviceaccount:external-secrets:external-secrets"} {
		writer := newUser(t, name)
		writer.allow(t, namespace, admin)
		writers["secrets"] = append(writers["secrets"], writer)
	}
	argo := newRequester(t, namespace, "system:serviceaccount:argocd:argocd-application-controller")
	argo.bind(t, namespace, "clientbinding-operator-apiconnection-editor")
	writers["clientbindings"], writers["apiconnections"] = []user{argo}, []user{argo}

	for resource, object := range kept(namespace) {
		create(t, object)
		ours := object.GetFinalizers()[0]
		for _, writer := range writers[resource] {
			for _, way := range []struct {
				name string
				do   func(content string) error
				want []string
			}{
				{"PUT of what does not have it", func(content string) error {
					return writer.Update(t.Context(), sent(t, object, content))
				}, []string{ours}},
				{"PUT of new ones of others", func(content string) error {
					return writer.Update(t.Context(), sent(t, object, content, "example.com/a", "example.com/b"))
				}, []string{ours, "example.com/a", "example.com/b"}},
				{"PUT with it at its place", func(content string) error {
					return writer.Update(t.Context(), sent(t, object, content, "example.com/b", ours, "example.com/a"))
				}, []string{"example.com/b", ours, "example.com/a"}},
				{"PUT of the same without it", func(content string) error {
					return writer.Update(t.Context(), sent(t, object, content, "example.com/b", "example.com/a"))
				}, []string{"example.com/b", ours, "example.com/a"}},
				{"merge patch of all finalizers", func(content string) error {
					before := sent(t, object, content, "example.com/b", ours, "example.com/a")
					return writer.Patch(t.Context(), sent(t, object, content+"-patched"), client.MergeFrom(before))
				}, []string{ours}},
				{"apply of what has it", func(content string) error {
					return writer.Apply(t.Context(), applyConfiguration(t, sent(t, object, content, ours)), client.ForceOwnership, client.FieldOwner("gitops"))
				}, []string{ours}},
				{"apply of what no longer has it", func(content string) error {
					return writer.Apply(t.Context(), applyConfiguration(t, sent(t, object, content)), client.ForceOwnership, client.FieldOwner("gitops"))
				}, []string{ours}},
			} {
				t.Run(writer.name+"/"+resource+"/"+way.name, func(t *testing.T) {
					content := strings.ToLower(rand.Text())
					check(t, way.do(content), "")
					if diff := cmp.Diff(way.want, finalizersOf(t, object)); diff != "" {
						t.Errorf("finalizers: -want +got:\n%s", diff)
					}
					if got := contentOf(t, object); !strings.HasPrefix(got, content) {
						t.Errorf("the content is %q, want %q", got, content)
					}
				})
			}
		}
	}
}

// TestFinalizerAtCreation: with config/policy-creation a ClientBinding has the finalizer from its creation, once, beside those of others.
// Other objects do not have it.
func TestFinalizerAtCreation(t *testing.T) {
	withOverlay(t, "config/examples/finalizer-at-creation")
	ours := map[string]string{"clientbindings": v1alpha1.RevokeFinalizer}
	for name, sent := range map[string]func(ours string) []string{
		"without finalizers":          func(string) []string { return nil },
		"with another one's":          func(string) []string { return []string{othersFinalizer} },
		"with it":                     func(ours string) []string { return []string{ours} },
		"with it and another one's":   func(ours string) []string { return []string{ours, othersFinalizer} },
		"with it after another one's": func(ours string) []string { return []string{othersFinalizer, ours} },
	} {
		t.Run(name, func(t *testing.T) {
			for resource, object := range kept(newNamespace(t)) {
				want := sent(object.GetFinalizers()[0])
				object.SetFinalizers(want)
				if ours := ours[resource]; ours != "" && !slices.Contains(want, ours) {
					want = append(want, ours)
				}
				create(t, object)
				if diff := cmp.Diff(want, finalizersOf(t, object)); diff != "" {
					t.Errorf("%s: -want +got:\n%s", resource, diff)
				}
			}
		})
	}
}

// TestPuttingBackGivesNobodyAFinalizer: the policy adds only finalizers that the object had.
func TestPuttingBackGivesNobodyAFinalizer(t *testing.T) {
	namespace := newNamespace(t)
	other := newUser(t, "other")
	other.allow(t, namespace, writes())
	for resource, object := range kept(namespace) {
		object.SetFinalizers([]string{othersFinalizer})
		create(t, object)
		check(t, other.Update(t.Context(), sent(t, object, "other")), "")
		if got := finalizersOf(t, object); len(got) > 0 {
			t.Errorf("%s have the finalizers %v", resource, got)
		}
	}
}

// TestTakingAFinalizerAwayNeedsItsVerb: a person without the verb cannot remove the finalizer, whether the object is being deleted or
// not.
func TestTakingAFinalizerAwayNeedsItsVerb(t *testing.T) {
	namespace := newNamespace(t)
	for resource, object := range kept(namespace) {
		t.Run(resource, func(t *testing.T) {
			other, releaser := newUser(t, "other-"+resource), newUser(t, "releaser-"+resource)
			other.allow(t, namespace, writes())
			releaser.allow(t, namespace, writes(), releases(resource))
			create(t, object)
			all := slices.Clone(object.GetFinalizers())
			ours := all[0]
			expect := func(want ...string) {
				t.Helper()
				if diff := cmp.Diff(want, finalizersOf(t, object)); diff != "" {
					t.Errorf("finalizers: -want +got:\n%s", diff)
				}
			}

			check(t, other.edit(t, object, `{"metadata":{"finalizers":["`+othersFinalizer+`"]}}`), "")
			expect(all...)
			// An account with the verb may do so, also for an object that is not being deleted.
			check(t, releaser.edit(t, object, `{"metadata":{"finalizers":["`+othersFinalizer+`"]}}`), "")
			expect(othersFinalizer)
			check(t, releaser.edit(t, object, `{"metadata":{"finalizers":["`+ours+`","`+othersFinalizer+`"]}}`), "")

			check(t, other.Delete(t.Context(), object), "")
			check(t, other.edit(t, object, noFinalizers), noRelease(object, resource))
			check(t, other.edit(t, object, `{"metadata":{"labels":{"team":"a"}}}`), "")
			// A requester with the verb can also correct the password of a Secret that is being deleted.
			check(t, other.Update(t.Context(), sent(t, object, "corrected", othersFinalizer)), "")
			expect(all...)
			check(t, releaser.Update(t.Context(), sent(t, object, "corrected-again", othersFinalizer)), "")
			expect(all...)
			// The policies ignore finalizers of others.
			check(t, other.edit(t, object, `{"metadata":{"finalizers":["`+ours+`"]}}`), "")
			check(t, releaser.edit(t, object, noFinalizers), "")
			expect()
		})
	}
}

// TestWithoutPuttingBack is a cluster whose API server does not know mutating policies.
func TestWithoutPuttingBack(t *testing.T) {
	withoutMutation(t, "finalizers")
	namespace := newNamespace(t)
	for resource, object := range kept(namespace) {
		t.Run(resource, func(t *testing.T) {
			other := newUser(t, "other-"+resource)
			other.allow(t, namespace, writes())
			create(t, object)
			want, left := "", []string(nil)
			if resource == "clientbindings" {
				want, left = noRelease(object, resource), slices.Clone(object.GetFinalizers())
			}
			check(t, other.Update(t.Context(), sent(t, object, "other")), want)
			if diff := cmp.Diff(left, finalizersOf(t, object)); diff != "" {
				t.Errorf("finalizers: -want +got:\n%s", diff)
			}

			check(t, kube.Patch(t.Context(), object.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType,
				[]byte(`{"metadata":{"finalizers":["access.delos.financial/revoke","access.delos.financial/in-use"]}}`))), "")
			check(t, other.Delete(t.Context(), object), "")
			check(t, other.Update(t.Context(), sent(t, object, "other")), noRelease(object, resource))
			check(t, other.edit(t, object, noFinalizers), noRelease(object, resource))
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
