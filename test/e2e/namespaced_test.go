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

// restricted is an operator that serves some namespaces only, on a control plane of its own: there is nothing but
// config/namespaced from which it could have rights.
type restricted struct {
	box      *sandbox.Sandbox
	kube     client.Client
	cluster  *sandbox.ControlPlane
	operator *sandbox.Operator
	platform *sandbox.Simulator
}

// newRestricted starts the operator for the namespaces team-a and platform. There is also a namespace elsewhere.
func newRestricted(t *testing.T) *restricted {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	own, err := sandbox.New()
	must(err)
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &restricted{box: own}
	r.cluster, err = own.StartControlPlane(t.Context(), cluster.Assets)
	must(err)
	r.kube, err = client.New(r.cluster.Config, client.Options{Scheme: kube.Scheme()})
	must(err)
	for _, name := range []string{"team-a", "platform", "elsewhere"} {
		must(r.kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"division": "bank"}}}))
	}
	deployment, err := r.cluster.InstallFrom(t.Context(), "config/namespaced")
	must(err)
	// What the directory of a second namespace would say.
	rights, err := sandbox.Render(t.Context(), "config/namespaced/tenant")
	must(err)
	for _, right := range rights {
		right.SetNamespace("platform")
	}
	must(r.cluster.Apply(t.Context(), rights))
	r.platform, err = own.StartSimulator(t.Context(), delossim.Config{
		Accounts: []delossim.Account{account},
		Users:    []delossim.User{{UUID: "john"}, {UUID: "maria"}, {UUID: "vera"}},
		Clients:  []string{"acme"},
	})
	must(err)
	r.operator, err = own.BuildOperator(t.Context(), r.cluster, deployment, "-race")
	must(err)
	must(r.operator.Start(t.Context(), verbose, "--namespaces=team-a,platform"))
	return r
}

func (r *restricted) create(t *testing.T, object client.Object) {
	t.Helper()
	if err := r.kube.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// connect makes a connection for the division "bank", with its Secret.
func (r *restricted) connect(t *testing.T, namespace string) {
	t.Helper()
	n := &tenant{namespace: namespace}
	r.create(t, n.secret(map[string]string{"login": login, "password": password}))
	connection := n.connection(r.platform.URL)
	connection.Spec.Allowed = &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{
		From:     v1alpha1.NamespacesSelector,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"division": "bank"}},
	}}
	r.create(t, connection)
}

// bind declares that a user is related to Acme through the connection of a namespace.
func (r *restricted) bind(t *testing.T, namespace, user, through string) {
	t.Helper()
	binding := (&tenant{namespace: namespace}).binding(user, user, "acme", false)
	binding.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: v1alpha1.DefaultConnectionName, Namespace: through}
	r.create(t, binding)
}

// is says in which way a binding's Ready is not for the reason that is wanted; "" when it is.
func (r *restricted) is(t *testing.T, user string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := r.kube.Get(t.Context(), client.ObjectKey{Namespace: "team-a", Name: user}, binding); err != nil {
		t.Fatal(err)
	}
	return condition(binding, binding.Status.Conditions, status, reason)
}

// Under rights in two namespaces the operator serves these, finds nothing in others, and reads the labels of its
// namespaces; without that right a selector matches nothing.
func TestNamespacedInstallation(t *testing.T) {
	r := newRestricted(t)
	for _, namespace := range []string{"platform", "elsewhere"} {
		r.connect(t, namespace)
	}
	r.bind(t, "elsewhere", "vera", "elsewhere")
	r.bind(t, "team-a", "john", "platform")
	r.bind(t, "team-a", "maria", "elsewhere")

	within(t, 30*time.Second, func() string {
		return first(
			r.is(t, "john", metav1.ConditionTrue, v1alpha1.ReasonBound),
			r.is(t, "maria", metav1.ConditionFalse, v1alpha1.ReasonNotAllowed),
		)
	})

	r.mayNot(t)
	log, err := r.operator.Log()
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
	if err := r.kube.Get(t.Context(), client.ObjectKey{Namespace: "elsewhere", Name: "vera"}, unseen); err != nil {
		t.Fatal(err)
	}
	if unseen.Status.Conditions != nil || unseen.Finalizers != nil {
		t.Errorf("the operator looked at a binding elsewhere: %+v", unseen)
	}

	r.withoutLabels(t)

	if err := r.kube.DeleteAllOf(t.Context(), &v1alpha1.ClientBinding{}, client.InNamespace("team-a")); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, func() string {
		left := &v1alpha1.ClientBindingList{}
		if err := r.kube.List(t.Context(), left, client.InNamespace("team-a")); err != nil {
			t.Fatal(err)
		}
		if len(left.Items) > 0 {
			return left.Items[0].Name + ": still there: " + describe(readyOf(left.Items[0].Status.Conditions))
		}
		return ""
	})
	if relations := r.platform.Relations("john"); len(relations) > 0 {
		t.Errorf("john still has %v", relations)
	}
}

// mayNot asks the API server what the operator may do where it has no business.
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
	r.create(t, review)
	return review.Status.Allowed
}

// withoutLabels takes the right to read the labels of team-a away, and has a binding looked at.
func (r *restricted) withoutLabels(t *testing.T) {
	t.Helper()
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "clientbinding-operator-labels"}}
	if err := r.kube.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	// The API server goes by the deletion a moment later only.
	asked := 0
	within(t, 30*time.Second, func() string {
		asked++
		ask := client.RawPatch("application/merge-patch+json",
			fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.RequestedAtAnnotation, asked))
		if err := r.kube.Patch(t.Context(), (&tenant{namespace: "team-a"}).binding("john", "john", "acme", false), ask); err != nil {
			t.Fatal(err)
		}
		return r.is(t, "john", metav1.ConditionFalse, v1alpha1.ReasonNotAllowed)
	})
	log, err := r.operator.Log()
	if err != nil {
		t.Fatal(err)
	}
	if line := lineWith(log, "since labels cannot be read"); !strings.Contains(line, `cannot get resource \"namespaces\"`) {
		t.Errorf("the log does not say why: %s", line)
	}
}

// A namespace is deleted, and of its objects the operator's rights go first: it hangs, since nobody may release the
// bindings. The way out of docs/operations.md, rights for the whole cluster, lets the operator finish, without a restart.
func TestNamespaceThatLostItsRightsFirst(t *testing.T) {
	r := newRestricted(t)
	if err := r.box.StartControllers(t.Context(), r.cluster); err != nil {
		t.Fatal(err)
	}
	r.connect(t, "team-a")
	r.bind(t, "team-a", "john", "team-a")
	within(t, 30*time.Second, func() string { return r.is(t, "john", metav1.ConditionTrue, v1alpha1.ReasonBound) })

	// Which goes first is chance in a deleted namespace, and here it is not.
	rights := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "clientbinding-operator"}}
	if err := r.kube.Delete(t.Context(), rights); err != nil {
		t.Fatal(err)
	}
	release := authorizationv1.ResourceAttributes{Namespace: "team-a", Verb: "patch", Group: v1alpha1.GroupVersion.Group, Resource: "clientbindings"}
	within(t, 30*time.Second, func() string {
		if r.may(t, release) {
			return "the operator still may release bindings"
		}
		return ""
	})
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}
	if err := r.kube.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, func() string {
		if err := r.kube.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
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
		if _, err := r.cluster.Kubectl(t.Context(), "", "apply", "-f", filepath.Join("..", "..", "config", "rbac", file)); err != nil {
			t.Fatal(err)
		}
	}
	within(t, time.Minute, func() string {
		err := r.kube.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace)
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
