package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// operator is the operator's ServiceAccount.
const operator = "system:serviceaccount:clientbinding-system:clientbinding-operator"

// TestOperatorChangesNothingButFinalizers is about a thief of its token, also if the account has more rights
// than its role.
func TestOperatorChangesNothingButFinalizers(t *testing.T) {
	const (
		nothing    = "the operator changes nothing but status and finalizers"
		ofASecret  = "the operator changes nothing of a Secret or a RoleBinding but its finalizers"
		others     = "the operator changes no finalizer but its own"
		declaring  = "declares-nothing"
		ofAnyOther = "keeps-secrets"
	)
	namespace := newNamespace(t)
	for _, account := range []string{
		operator,
		"system:serviceaccount:elsewhere:clientbinding-operator", // where a kustomization has moved it
	} {
		t.Run(account, func(t *testing.T) {
			namespace := newNamespace(t)
			thief := newUser(t, account)
			thief.allow(t, namespace, writes(), releases("clientbindings"), releases("apiconnections"), releases("secrets"),
				may("grant", "clientbindings/owner"), may("grant", "clientbindings/standard"), may("orphan", "clientbindings/owner"))
			for resource, object := range kept(namespace) {
				create(t, object)
				policy, message := declaring, nothing
				edits := []string{
					`{"metadata":{"labels":{"team":"a"}}}`,
					`{"metadata":{"annotations":{"access.delos.financial/approvedRevocations":"1000"}}}`,
					`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]}}`,
				}
				switch resource {
				case "clientbindings":
					edits = append(edits, `{"spec":{"isOwner":false}}`, `{"spec":{"deletionPolicy":"Orphan"}}`, `{"spec":{"suspend":true}}`,
						`{"spec":{"expiresAt":"2000-01-01T00:00:00Z"}}`)
				case "apiconnections":
					edits = append(edits, `{"spec":{"credentials":{"secretRef":{"name":"other"}}}}`, `{"spec":{"allowed":{"namespaces":{"from":"All"}}}}`)
				case "secrets":
					policy, message = ofAnyOther, ofASecret
					edits = append(edits, `{"stringData":{"token":"other"}}`, `{"data":null}`, `{"immutable":true}`)
				}
				for _, edit := range edits {
					check(t, thief.edit(t, object, edit), refusal(object, policy, message))
				}
				ours := object.GetFinalizers()[0]
				check(t, thief.edit(t, object, `{"metadata":{"finalizers":["`+ours+`"]}}`), refusal(object, policy, others))
				check(t, thief.edit(t, object, `{"metadata":{"finalizers":["`+othersFinalizer+`"]}}`), "")
				check(t, thief.edit(t, object, `{"metadata":{"finalizers":["`+othersFinalizer+`","`+ours+`"]}}`), "")
			}
		})
	}

	thief := newUser(t, operator)
	thief.allow(t, namespace, writes(), may("grant", "clientbindings/owner"))
	of := binding(namespace, "declared", "C-1001", true)
	check(t, thief.Create(t.Context(), of), refusal(of, declaring, nothing))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "new"}}
	check(t, thief.Create(t.Context(), secret), refusal(secret, ofAnyOther, ofASecret))

	// The role for Secrets includes the right to keep its RoleBinding, but not to extend it.
	rights := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "clientbinding-operator-credentials"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "clientbinding-operator-credentials"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: operator}},
	}
	create(t, rights)
	thief.waitForRight(t, namespace, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"patch"}})
	check(t, thief.edit(t, rights, `{"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"mallory"}]}`), refusal(rights, ofAnyOther, ofASecret))
	check(t, thief.edit(t, rights, `{"metadata":{"finalizers":["access.delos.financial/in-use"]}}`), "")
	check(t, thief.edit(t, rights, `{"metadata":{"finalizers":null}}`), "")
}

// TestOperatorUnderItsRole makes the operator's requests, with only the shipped role.
func TestOperatorUnderItsRole(t *testing.T) {
	namespace := newNamespace(t)
	itself := newUser(t, operator)
	itself.waitForRight(t, namespace, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{"clientbindings"}, Verbs: []string{"patch"}})
	of := binding(namespace, "owner", "C-1001", true)
	create(t, of)

	check(t, itself.edit(t, of, `{"metadata":{"finalizers":["access.delos.financial/revoke"]}}`), "")
	check(t, itself.Status().Patch(t.Context(), of.DeepCopy(), statusPatch(`{"access":"Owner"}`)), "")
	check(t, kube.Delete(t.Context(), of), "")
	check(t, itself.edit(t, of, noFinalizers), "")
	if err := kube.Get(t.Context(), key(of), &v1alpha1.ClientBinding{}); err == nil {
		t.Error("the object is still there without its finalizer")
	}
}
