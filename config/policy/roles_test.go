package policy_test

import (
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWhoWritesRolesCannotGiveWhatTheyLack: the admin of a namespace writes its roles, but RBAC refuses to give verbs that
// the admin does not have. (The ClusterRole admin is empty here, because no
// controllers run beside the API server of a test. config/manifests_test.go checks its aggregated rules.)
func TestWhoWritesRolesCannotGiveWhatTheyLack(t *testing.T) {
	namespace := newNamespace(t)
	admin := newUser(t, "admin-of-a-namespace")
	admin.allow(t, namespace, rbacv1.PolicyRule{
		APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "update", "patch"},
	})
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, role := range []string{requester, "clientbinding-operator-owner-granter", "clientbinding-operator-standard-granter",
		"clientbinding-operator-orphaner", "clientbinding-operator-apiconnection-editor", "clientbinding-operator"} {
		refused("binding "+role, admin.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: admin.name}},
		}))
	}
	refused("a role of their own", admin.Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mine"},
		Rules:      []rbacv1.PolicyRule{may("grant", "clientbindings/owner", "C-1001")},
	}))
}
