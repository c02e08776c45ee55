package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const (
	group = "access.delos.financial"
	// requester is the role of a person who may write ClientBindings, but not give access.
	requester = "clientbinding-operator-requester"
)

// newNamespace creates a namespace for one test. Nothing deletes its content, because tests do not read the namespaces of others.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-"}}
	if err := kube.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	return namespace.Name
}

// user is a person with rights in namespaces.
type user struct {
	name string
	// Client acts as the user.
	client.Client
}

// newUser is a user without any rights.
func newUser(t *testing.T, name string) user {
	t.Helper()
	return user{name, impersonate(t, name, nil)}
}

func impersonate(t *testing.T, name string, warnings rest.WarningHandler) client.Client {
	t.Helper()
	config := rest.CopyConfig(cluster)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	config.WarningHandler = warnings
	as, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(as, "Strict")
}

// newRequester is a user who may write ClientBindings in a namespace, and has the rights of the additional rules.
func newRequester(t *testing.T, namespace, name string, rules ...rbacv1.PolicyRule) user {
	t.Helper()
	who := newUser(t, name)
	who.bind(t, namespace, requester)
	who.allow(t, namespace, rules...)
	return who
}

// bind gives the user one of the shipped ClusterRoles in a namespace.
func (u user) bind(t *testing.T, namespace, role string) {
	t.Helper()
	found := &rbacv1.ClusterRole{}
	if err := kube.Get(t.Context(), client.ObjectKey{Name: role}, found); err != nil {
		t.Fatal(err)
	}
	u.give(t, namespace, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, found.Rules)
}

// allow gives the user a Role of their own in a namespace.
func (u user) allow(t *testing.T, namespace string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	if len(rules) == 0 {
		return
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace}, Rules: rules}
	if err := kube.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	u.give(t, namespace, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}, rules)
}

func (u user) give(t *testing.T, namespace string, role rbacv1.RoleRef, rules []rbacv1.PolicyRule) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Namespace: namespace},
		RoleRef:    role,
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: u.name}},
	}
	if account, is := strings.CutPrefix(u.name, "system:serviceaccount:"); is {
		of, name, _ := strings.Cut(account, ":")
		binding.Subjects = []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: of, Name: name}}
	}
	if err := kube.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		u.waitForRight(t, namespace, rule)
	}
}

// waitForRight waits until the API server knows a rule. It watches roles.
func (u user) waitForRight(t *testing.T, namespace string, rule rbacv1.PolicyRule) {
	t.Helper()
	resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
	asked := authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: subresource,
	}
	if len(rule.ResourceNames) > 0 {
		asked.Name = rule.ResourceNames[0]
	}
	eventually(t, func() string {
		review := &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{User: u.name, ResourceAttributes: &asked},
		}
		if err := kube.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		if !review.Status.Allowed {
			return u.name + " does not have the right yet to " + asked.Verb + " " + rule.Resources[0]
		}
		return ""
	})
}

// may is a rule for a resource of our group, or one of its subresources; names limit it.
func may(verb, resource string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: slices.Clone(names), Verbs: []string{verb},
	}
}

// eventually repeats a look until it finds no problem, and fails with the last one.
func eventually(t *testing.T, problem func() string) {
	t.Helper()
	if err := poll(t.Context(), problem); err != nil {
		t.Fatal(err)
	}
}

const (
	pollEvery = 50 * time.Millisecond
	pollLimit = time.Minute
)

// binding is a ClientBinding as a requester would write it.
func binding(namespace, name, cuid string, isOwner bool) *v1alpha1.ClientBinding {
	return &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: "user_abc123def", CUID: cuid, IsOwner: isOwner},
	}
}
