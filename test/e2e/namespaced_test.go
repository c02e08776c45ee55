package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// restricted is an operator that serves some namespaces only, on its own control plane, so that it has only the rights of
// config/namespaced.
type restricted struct {
	*sandbox.Sandbox

	platform *sandbox.Simulator
}

// newRestricted starts the operator for the namespaces team-a and platform. There is also a namespace elsewhere.
func newRestricted(t *testing.T) *restricted {
	t.Helper()
	r := &restricted{Sandbox: sandbox.Start(t, sandbox.Options{
		Assets: cluster.Assets,
		Before: func(own *sandbox.Sandbox) {
			for _, name := range []string{"team-a", "platform", "elsewhere"} {
				own.Create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"division": "bank"}}})
			}
		},
		Kustomization: "config/namespaced",
		BuildFlags:    []string{"-race"},
	})}
	// The content of the directory of a second namespace.
	rights, err := sandbox.Render(t.Context(), "config/namespaced/tenant")
	sandbox.Must(t, err)
	for _, right := range rights {
		right.SetNamespace("platform")
	}
	sandbox.Must(t, r.Cluster.Apply(t.Context(), rights))
	r.platform = r.NewPlatform(t, delossim.Config{
		Users:   []delossim.User{{UUID: "john"}, {UUID: "maria"}, {UUID: "vera"}},
		Clients: []string{"acme"},
	})
	sandbox.Must(t, r.Operator.Start(t.Context(), verbose, "--namespaces=team-a,platform"))
	return r
}

// connect makes a connection for the division "bank", with its Secret.
func (r *restricted) connect(t *testing.T, namespace string) {
	t.Helper()
	n := &tenant{&sandbox.Tenant{Namespace: namespace}}
	r.Create(t, n.Secret(secretName, account))
	connection := n.connection(r.platform.URL)
	connection.Spec.Allowed = &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{
		From:     v1alpha1.NamespacesSelector,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"division": "bank"}},
	}}
	r.Create(t, connection)
}

// bind declares that a user is related to Acme through the connection of a namespace.
func (r *restricted) bind(t *testing.T, namespace, user, through string) {
	t.Helper()
	binding := (&sandbox.Tenant{Namespace: namespace}).Binding(user, user, "acme", false)
	binding.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: v1alpha1.DefaultConnectionName, Namespace: through}
	r.Create(t, binding)
}

// is describes the difference between a binding's Ready and the wanted reason; "" if there is none.
func (r *restricted) is(t *testing.T, user string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := r.Kube.Get(t.Context(), client.ObjectKey{Namespace: "team-a", Name: user}, binding); err != nil {
		t.Fatal(err)
	}
	return sandbox.NotReady(binding, binding.Status.Conditions, status, reason)
}

// With rights in two namespaces the operator serves these, finds nothing in others, and reads the labels of its
// namespaces. Without this right a selector matches nothing.
func TestNamespacedInstallation(t *testing.T) {
	r := newRestricted(t)
	for _, namespace := range []string{"platform", "elsewhere"} {
		r.connect(t, namespace)
	}
	r.bind(t, "elsewhere", "vera", "elsewhere")
	r.bind(t, "team-a", "john", "platform")
	r.bind(t, "team-a", "maria", "elsewhere")

	sandbox.Within(t, 30*time.Second, func() string {
		return sandbox.First(
			r.is(t, "john", metav1.ConditionTrue, v1alpha1.ReasonBound),
			r.is(t, "maria", metav1.ConditionFalse, v1alpha1.ReasonNotAllowed),
		)
	})

	r.mayNot(t)
	log, err := r.Operator.Log()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"is forbidden", "unknown namespace", "DATA RACE"} {
		// It may not look at the admission policies, and says so.
		if line := lineWith(withoutLines(log, "the admission policies are not known"), text); line != "" {
			t.Errorf("the operator's log: %s", line)
		}
	}
	unseen := &v1alpha1.ClientBinding{}
	if err := r.Kube.Get(t.Context(), client.ObjectKey{Namespace: "elsewhere", Name: "vera"}, unseen); err != nil {
		t.Fatal(err)
	}
	if unseen.Status.Conditions != nil || unseen.Finalizers != nil {
		t.Errorf("the operator looked at a binding elsewhere: %+v", unseen)
	}

	r.withoutLabels(t)

	if err := r.Kube.DeleteAllOf(t.Context(), &v1alpha1.ClientBinding{}, client.InNamespace("team-a")); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 30*time.Second, func() string {
		left := &v1alpha1.ClientBindingList{}
		if err := r.Kube.List(t.Context(), left, client.InNamespace("team-a")); err != nil {
			t.Fatal(err)
		}
		if len(left.Items) > 0 {
			return left.Items[0].Name + ": still there: " + sandbox.Describe(sandbox.Ready(left.Items[0].Status.Conditions))
		}
		return ""
	})
	if relations := r.platform.Relations("john"); len(relations) > 0 {
		t.Errorf("john still has %v", relations)
	}
}

// mayNot asks the API server for rights that the operator should not have.
func (r *restricted) mayNot(t *testing.T) {
	t.Helper()
	for _, asked := range []struct {
		authorizationv1.ResourceAttributes
		want bool
	}{
		{authorizationv1.ResourceAttributes{Namespace: "team-a", Verb: "get", Resource: "secrets"}, true},
		{authorizationv1.ResourceAttributes{Namespace: "team-a", Name: "team-a", Verb: "get", Resource: "namespaces"}, true},
		{authorizationv1.ResourceAttributes{Namespace: "elsewhere", Verb: "get", Resource: "secrets"}, false},
		{authorizationv1.ResourceAttributes{Namespace: "elsewhere", Name: "elsewhere", Verb: "get", Resource: "namespaces"}, false},
		{authorizationv1.ResourceAttributes{Verb: "list", Resource: "namespaces"}, false},
		{authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets"}, false},
		{authorizationv1.ResourceAttributes{Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "clientbindings"}, false},
		{authorizationv1.ResourceAttributes{Namespace: "elsewhere", Verb: "patch", Group: v1alpha1.GroupVersion.Group, Resource: "clientbindings"}, false},
	} {
		if allowed := r.may(t, asked.ResourceAttributes); allowed != asked.want {
			t.Errorf("%s %s in %q: allowed is %t, want %t", asked.Verb, asked.Resource, asked.Namespace, allowed, asked.want)
		}
	}
}

// may asks the API server whether the operator may do something.
func (r *restricted) may(t *testing.T, asked authorizationv1.ResourceAttributes) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:clientbinding-system:clientbinding-operator",
		Groups:             []string{"system:serviceaccounts", "system:authenticated"},
		ResourceAttributes: &asked,
	}}
	r.Create(t, review)
	return review.Status.Allowed
}

// withoutLabels removes the right to read the labels of team-a, and asks for a look at a binding.
func (r *restricted) withoutLabels(t *testing.T) {
	t.Helper()
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "clientbinding-operator-labels"}}
	if err := r.Kube.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	// The deletion takes effect in the API server a moment later.
	asked := 0
	sandbox.Within(t, 30*time.Second, func() string {
		asked++
		john := (&sandbox.Tenant{Namespace: "team-a"}).Binding("john", "john", "acme", false)
		r.Patch(t, john, `{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.RequestedAtAnnotation, asked)
		return r.is(t, "john", metav1.ConditionFalse, v1alpha1.ReasonNotAllowed)
	})
	log, err := r.Operator.Log()
	if err != nil {
		t.Fatal(err)
	}
	if line := lineWith(log, "since labels cannot be read"); !strings.Contains(line, `cannot get resource \"namespaces\"`) {
		t.Errorf("the log does not say why: %s", line)
	}
}

// A namespace is deleted, and the operator's rights in it go first. The namespace stays, because the operator may not release the
// bindings. With rights for the whole cluster, as in docs/operations.md, the operator finishes without a restart.
func TestNamespaceThatLostItsRightsFirst(t *testing.T) {
	r := newRestricted(t)
	if err := r.StartControllers(t.Context(), r.Cluster); err != nil {
		t.Fatal(err)
	}
	r.connect(t, "team-a")
	r.bind(t, "team-a", "john", "team-a")
	sandbox.Within(t, 30*time.Second, func() string { return r.is(t, "john", metav1.ConditionTrue, v1alpha1.ReasonBound) })

	// Which goes first is chance in a deleted namespace, and here it is not.
	rights := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "clientbinding-operator"}}
	if err := r.Kube.Delete(t.Context(), rights); err != nil {
		t.Fatal(err)
	}
	release := authorizationv1.ResourceAttributes{Namespace: "team-a", Verb: "patch", Group: v1alpha1.GroupVersion.Group, Resource: "clientbindings"}
	sandbox.Within(t, 30*time.Second, func() string {
		if r.may(t, release) {
			return "the operator still may release bindings"
		}
		return ""
	})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}
	if err := r.Kube.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 30*time.Second, func() string {
		if err := r.Kube.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
			t.Fatal(err)
		}
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == corev1.NamespaceFinalizersRemaining && condition.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return "the namespace does not say yet what it waits for"
	})
	for _, file := range []string{"role.yaml", "role_binding.yaml"} {
		if _, err := r.Cluster.Kubectl(t.Context(), "", "apply", "-f", filepath.Join("..", "..", "config", "rbac", file)); err != nil {
			t.Fatal(err)
		}
	}
	sandbox.Within(t, time.Minute, func() string {
		err := r.Kube.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace)
		if apierrors.IsNotFound(err) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("the namespace is still there: %+v", namespace.Status.Conditions)
	})
	if relations := r.platform.Relations("john"); len(relations) > 0 {
		t.Errorf("john still has %v", relations)
	}
}
