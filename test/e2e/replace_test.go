package e2e

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// secretManager acts as an account that may only write the Secrets of the namespace.
func (n *tenant) secretManager(t *testing.T) client.Client {
	t.Helper()
	const name = "secret-manager"
	create(t, &rbacv1.Role{ObjectMeta: n.Meta(name), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"},
	}}})
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: n.Meta(name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: n.Namespace, Name: name}},
	})
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + n.Namespace + ":" + name, Groups: []string{"system:authenticated"}}
	as, err := client.New(config, client.Options{Scheme: kube.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 10*time.Second, func() string {
		if err := as.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: secretName}, &corev1.Secret{}); err != nil {
			return err.Error()
		}
		return ""
	})
	return as
}

// A secret manager replaces the whole Secret. The operator uses the new credentials, and the Secret stays protected.
// If no policy adds the finalizers again in the same request (here: for an administrator, who may release), the
// operator does.
func TestObjectsAreWrittenAsAWhole(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	user, cuid := crowd().Users[0].UUID, crowd().Clients[0]
	n.connect(t)
	manager := n.secretManager(t)
	create(t, n.Binding("cb", user, cuid, false))
	sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, "cb") })
	secret := func(of delossim.Account) *corev1.Secret {
		return n.Secret(secretName, of)
	}

	n.Platform.AddAccount(successor)
	written := secret(successor)
	if err := manager.Update(t.Context(), written); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{v1alpha1.InUseFinalizer}, written.Finalizers); diff != "" {
		t.Errorf("finalizers: -want +got:\n%s", diff)
	}
	sandbox.Within(t, 20*time.Second, func() string { return n.uses(t, written) })

	written = secret(account)
	connection, binding := n.connection(n.Platform.URL), n.Binding("cb", user, cuid, true)
	for _, object := range []client.Object{written, connection, binding} {
		present := object.DeepCopyObject().(client.Object)
		var wanted []string
		if err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { // the operator writes, too
			if err := kube.Get(t.Context(), client.ObjectKeyFromObject(object), present); err != nil {
				return err
			}
			wanted = present.GetFinalizers()
			object.SetResourceVersion(present.GetResourceVersion())
			return kube.Update(t.Context(), object)
		}); err != nil {
			t.Fatal(err)
		}
		if len(wanted) != 1 || len(object.GetFinalizers()) != 0 {
			t.Errorf("%T: the finalizers were %v, and are %v after the writing", object, wanted, object.GetFinalizers())
		}
		sandbox.Within(t, 20*time.Second, func() string {
			if err := kube.Get(t.Context(), client.ObjectKeyFromObject(object), present); err != nil {
				return err.Error()
			}
			return cmp.Diff(wanted, present.GetFinalizers())
		})
	}
	sandbox.Within(t, 20*time.Second, func() string { return n.Unbound(t, "cb") })
	if got := n.Platform.Count(delossim.OpLogin); got != 3 {
		t.Errorf("%d logins, want 3", got)
	}
}

// uses says that the connection does not use the new Secret yet; "" when it does.
func (n *tenant) uses(t *testing.T, written *corev1.Secret) string {
	t.Helper()
	found := &v1alpha1.APIConnection{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: v1alpha1.DefaultConnectionName}, found); err != nil {
		t.Fatal(err)
	}
	version := string(written.UID) + "/" + written.ResourceVersion
	return sandbox.First(
		sandbox.NotReady(found, found.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonLoggedIn),
		cmp.Diff(version, found.Status.CredentialsVersion),
	)
}
