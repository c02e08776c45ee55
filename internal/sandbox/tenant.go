package sandbox

import (
	"crypto/rand"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// CredentialsName is the name of the Secret of a tenant's connection, as in config/samples.
const CredentialsName = "delos-credentials"

// Account may log in to every platform. Its password is random.
var Account = delossim.Account{Login: "operator@example.com", Password: rand.Text()}

// NewPlatform starts a platform from config, with [Account]. It ends with the test or the program.
func (s *Sandbox) NewPlatform(t T, config delossim.Config) *Simulator {
	t.Helper()
	config.Accounts = []delossim.Account{Account}
	platform, err := s.StartSimulator(t.Context(), config)
	Must(t, err)
	t.Cleanup(func() { _ = platform.Stop() })
	return platform
}

// Tenant is a namespace with its own platform.
type Tenant struct {
	*Sandbox

	Namespace string
	Platform  *Simulator
}

// NewTenant creates a namespace whose Secrets the operator may use, and a platform from config. A name
// that ends with a hyphen is a prefix.
func (s *Sandbox) NewTenant(t T, name string, config delossim.Config) *Tenant {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if strings.HasSuffix(name, "-") {
		namespace.ObjectMeta = metav1.ObjectMeta{GenerateName: name}
	}
	n := &Tenant{Sandbox: s, Platform: s.NewPlatform(t, config)}
	n.Create(t, namespace)
	n.Namespace = namespace.Name
	n.Create(t, n.CredentialsBinding())
	return n
}

// CredentialsBinding lets the operator use the Secrets of the namespace, as in config/samples.
func (n *Tenant) CredentialsBinding() *rbacv1.RoleBinding {
	const role = "clientbinding-operator-credentials"
	return &rbacv1.RoleBinding{
		ObjectMeta: n.Meta(role),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: n.Deployment.Namespace, Name: n.Deployment.ServiceAccount}},
	}
}

// Create creates objects.
func (s *Sandbox) Create(t T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		Must(t, s.Kube.Create(t.Context(), object))
	}
}

// Delete deletes objects, and does not wait until they are gone.
func (s *Sandbox) Delete(t T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		Must(t, s.Kube.Delete(t.Context(), object))
	}
}

// Patch changes an object by a JSON merge patch.
func (s *Sandbox) Patch(t T, object client.Object, format string, args ...any) {
	t.Helper()
	Must(t, s.Kube.Patch(t.Context(), object, MergePatch(format, args...)))
}

// MergePatch is a JSON merge patch.
func MergePatch(format string, args ...any) client.Patch {
	return client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, format, args...))
}

// Meta names an object of the tenant.
func (n *Tenant) Meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: n.Namespace, Name: name}
}

// Secret is a Secret for a connection, not created yet.
func (n *Tenant) Secret(name string, account delossim.Account) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: n.Meta(name), StringData: map[string]string{
		v1alpha1.SecretKeyLogin: account.Login, v1alpha1.SecretKeyPassword: account.Password,
	}}
}

// Connection is an APIConnection with the credentials of a Secret, not created yet.
func (n *Tenant) Connection(name, url, secret string) *v1alpha1.APIConnection {
	return &v1alpha1.APIConnection{ObjectMeta: n.Meta(name), Spec: v1alpha1.APIConnectionSpec{
		URL:         url,
		Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: secret}},
	}}
}

// Binding is a ClientBinding through the default connection, not created yet.
func (n *Tenant) Binding(name, user, cuid string, isOwner bool) *v1alpha1.ClientBinding {
	return &v1alpha1.ClientBinding{
		ObjectMeta: n.Meta(name),
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: user, CUID: cuid, IsOwner: isOwner},
	}
}

// Samples are the objects of config/samples, in this tenant's namespace and for its platform.
func (n *Tenant) Samples(t T) Manifests {
	t.Helper()
	samples, err := Render(t.Context(), "config/samples")
	Must(t, err)
	for _, object := range samples {
		set := func(value string, path ...string) {
			Must(t, unstructured.SetNestedField(object.Object, value, path...))
		}
		if object.GetKind() == "Namespace" {
			object.SetName(n.Namespace)
			continue
		}
		object.SetNamespace(n.Namespace)
		switch object.GetKind() {
		case "APIConnection":
			set(n.Platform.URL, "spec", "url")
		case "Secret":
			set(Account.Login, "stringData", v1alpha1.SecretKeyLogin)
			set(Account.Password, "stringData", v1alpha1.SecretKeyPassword)
		}
		if _, refers, _ := unstructured.NestedString(object.Object, "spec", "connectionRef", "namespace"); refers {
			set(n.Namespace, "spec", "connectionRef", "namespace")
		}
	}
	return samples
}

// Unbound describes the first difference between a binding's declaration and its state, in Kubernetes and on the platform;
// "" if there is none.
func (n *Tenant) Unbound(t T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{ObjectMeta: n.Meta(name)}
	Must(t, n.Kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding))
	if problem := NotReady(binding, binding.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonBound); problem != "" {
		return name + ": " + problem
	}
	spec := binding.Spec
	for what, relations := range map[string]map[string]bool{
		"has":   n.Platform.Relations(spec.UserUUID),
		"shows": n.Platform.Shown(spec.UserUUID),
	} {
		if isOwner, related := relations[spec.CUID]; !related || isOwner != spec.IsOwner {
			return fmt.Sprintf("%s: Ready, and the platform %s user %s with client %s: related %t, owner %t, declared owner %t",
				name, what, spec.UserUUID, spec.CUID, related, isOwner, spec.IsOwner)
		}
	}
	return ""
}

// Ready is the condition Ready; empty when there is none.
func Ready(conditions []metav1.Condition) metav1.Condition {
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// NotReady describes the difference between an object's Ready, for its current generation, and the wanted one; "" if there is none.
func NotReady(object client.Object, conditions []metav1.Condition, status metav1.ConditionStatus, reason string) string {
	ready := Ready(conditions)
	if ready.Status == status && ready.Reason == reason && ready.ObservedGeneration == object.GetGeneration() {
		return ""
	}
	return fmt.Sprintf("generation %d, want %s/%s: %s", object.GetGeneration(), status, reason, Describe(ready))
}

// Describe formats a condition.
func Describe(ready metav1.Condition) string {
	return fmt.Sprintf("%s/%s of generation %d: %s", ready.Status, ready.Reason, ready.ObservedGeneration, ready.Message)
}

// operatorManager is the operator's field manager.
const operatorManager = "clientbinding-operator"

// SpecWritten describes a change of an object's spec since it was applied, or a field of the spec that the operator owns;
// "" if there is none. The operator must have written the object.
func SpecWritten(object *unstructured.Unstructured) string {
	what := object.GetKind() + " " + object.GetName()
	if object.GetGeneration() != 1 {
		return fmt.Sprintf("%s has generation %d", what, object.GetGeneration())
	}
	problem := what + " was not written by the operator"
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != operatorManager {
			continue
		}
		if strings.Contains(entry.FieldsV1.GetRawString(), `"f:spec"`) {
			return fmt.Sprintf("%s: the operator owns %s", what, entry.FieldsV1.GetRawString())
		}
		problem = ""
	}
	return problem
}

// RelationCount is the number of relations of all users.
func (s *Simulator) RelationCount() int {
	count := 0
	for _, user := range s.Users() {
		count += len(user.Relations)
	}
	return count
}
