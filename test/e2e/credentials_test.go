package e2e

import (
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// newTenantWithoutRights is a tenant whose Secrets the operator may not use.
func newTenantWithoutRights(t *testing.T) *tenant {
	t.Helper()
	n := newTenant(t, crowd())
	if err := kube.Delete(t.Context(), n.CredentialsBinding()); err != nil {
		t.Fatal(err)
	}
	return n
}

// A connection whose Secret may not be read has the command that gives the right. It goes on within seconds after an
// administrator of the namespace, without other rights, has run it.
func TestRightToTheSecretsOfANamespace(t *testing.T) {
	underDeployedOperator(t)
	n := newTenantWithoutRights(t)
	n.connect(t)
	create(t, n.Binding("cb", "user_0", "cust_1", false))
	command := "kubectl create rolebinding clientbinding-operator-credentials -n " + n.Namespace +
		" --clusterrole=clientbinding-operator-credentials --serviceaccount=clientbinding-system:clientbinding-operator"
	sandbox.Within(t, 20*time.Second, func() string {
		return sandbox.First(n.tells(t, v1alpha1.ReasonSecretUnreadable, n.Namespace+"/"+secretName, command), n.waits(t, "cb"))
	})

	n.administer(t, "ann")
	arguments := append(strings.Fields(command)[1:], "--as=ann")
	if _, err := cluster.Kubectl(t.Context(), "", arguments...); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 15*time.Second, func() string { return n.Unbound(t, "cb") })
}

// administer gives a user the rights of the ClusterRole admin in the namespace. It binds the aggregated roles, because
// no controller aggregates them here.
func (n *tenant) administer(t *testing.T, user string) {
	t.Helper()
	for _, role := range []string{"system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view"} {
		create(t, &rbacv1.RoleBinding{
			ObjectMeta: n.Meta(role),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})
	}
}

// A Role for one Secret is enough, from the grant to the end; the operator cannot read any other.
func TestRightToOneSecret(t *testing.T) {
	underDeployedOperator(t)
	n := newTenantWithoutRights(t)
	role := &rbacv1.Role{ObjectMeta: n.Meta("one-secret"), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{secretName}, Verbs: []string{"get", "list", "watch", "patch"},
	}}}
	binding := n.CredentialsBinding()
	binding.Name, binding.RoleRef.Kind, binding.RoleRef.Name = role.Name, "Role", role.Name
	create(t, role)
	create(t, binding)
	n.connect(t)
	create(t, n.Binding("cb", "user_0", "cust_1", false))
	sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, "cb") })

	n.putSecret(t, true, map[string]string{"login": account.Login, "password": wrongPassword})
	sandbox.Within(t, 20*time.Second, func() string { return n.tells(t, v1alpha1.ReasonLoginRefused) })
	n.putSecret(t, true, map[string]string{"login": account.Login, "password": account.Password})
	sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, "cb") })

	for _, object := range []client.Object{n.Binding("cb", "", "", false), n.connection(n.Platform.URL), n.secret(nil)} {
		if err := kube.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		sandbox.Within(t, 20*time.Second, func() string { return n.remains(t, object) })
	}
}

// The role has exactly the rights that an administrator of a namespace can give. The operator's own role has none
// of these.
func TestWhatAnAdministratorMayHandOn(t *testing.T) {
	n := newTenant(t, crowd())
	n.administer(t, "beth")
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "beth", Groups: []string{"system:authenticated"}}
	beth, err := client.New(config, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]bool{credentialsRole: true, operatorName: false} {
		binding := n.CredentialsBinding()
		binding.Name, binding.RoleRef.Name = "by-beth-"+role, role
		if err := beth.Create(t.Context(), binding); (err == nil) != want {
			t.Errorf("binding %s: %v", role, err)
		}
	}
}

// The connection reports a lost right, and the operator can still revoke access through the
// open session.
func TestRightThatIsTakenAway(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	n.connect(t)
	create(t, n.Binding("cb", "user_0", "cust_1", false))
	sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, "cb") })
	// A RoleBinding in use stays when it is deleted, like a Secret; its subjects can be changed at any time.
	binding := n.CredentialsBinding()
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
		t.Fatal(err)
	}
	binding.Subjects = nil
	if err := kube.Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	asked := 0
	sandbox.Within(t, 20*time.Second, func() string {
		asked++
		n.Patch(t, n.connection(""), `{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.RequestedAtAnnotation, asked)
		return n.tells(t, v1alpha1.ReasonSecretUnreadable, "kubectl create rolebinding")
	})
	create(t, n.Binding("second", "user_1", "cust_1", false))
	sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, "second") })
	if err := kube.Delete(t.Context(), n.Binding("cb", "", "", false)); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 20*time.Second, func() string { return n.gone(t, "cb") })
	binding.Subjects = n.CredentialsBinding().Subjects
	if err := kube.Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 20*time.Second, func() string {
		found := &v1alpha1.APIConnection{}
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}, found); err != nil {
			return err.Error()
		}
		return sandbox.NotReady(found, found.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonLoggedIn)
	})
}
