package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	login         = "operator@example.com"
	password      = "correct-horse-battery"
	wrongPassword = "incorrect-horse-battery"
	secretName    = "delos-credentials"
)

// tenant is a namespace with a platform of its own.
type tenant struct {
	namespace string
	platform  *sandbox.Simulator
}

// account is the one that may log in to every platform.
var account = delossim.Account{Login: login, Password: password}

// newTenant makes a namespace whose Secrets the operator may use, a platform of what config says, and nothing else.
func newTenant(t *testing.T, config delossim.Config) *tenant {
	t.Helper()
	config.Accounts = []delossim.Account{account}
	platform, err := box.StartSimulator(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = platform.Stop() })
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	create(t, namespace)
	n := &tenant{namespace: namespace.Name, platform: platform}
	create(t, n.credentialsBinding())
	return n
}

// credentialsBinding lets the operator use the Secrets of the namespace.
func (n *tenant) credentialsBinding() *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: n.meta(credentialsRole),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: credentialsRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: systemNamespace, Name: operatorName}},
	}
}

// connect creates a Secret and the connection that is used when a binding names none.
func (n *tenant) connect(t *testing.T) {
	t.Helper()
	create(t, n.secret(map[string]string{"login": login, "password": password}))
	create(t, n.connection(n.platform.URL))
}

func (n *tenant) secret(data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: n.meta(secretName), StringData: data}
}

func (n *tenant) connection(url string) *v1alpha1.APIConnection {
	return &v1alpha1.APIConnection{
		ObjectMeta: n.meta(v1alpha1.DefaultConnectionName),
		Spec: v1alpha1.APIConnectionSpec{
			URL:         url,
			Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: secretName}},
			// A grant whose answer was lost is waited for two timeouts before its removal counts.
			Timeout: &metav1.Duration{Duration: time.Second},
		},
	}
}

func (n *tenant) binding(name, user, cuid string, isOwner bool) *v1alpha1.ClientBinding {
	return &v1alpha1.ClientBinding{
		ObjectMeta: n.meta(name),
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: user, CUID: cuid, IsOwner: isOwner},
	}
}

func (n *tenant) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: n.namespace, Name: name}
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// bound says what keeps a binding from being as it declares, in Kubernetes and on the platform; "" when it is.
func (n *tenant) bound(t *testing.T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	if problem := condition(binding, binding.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonBound); problem != "" {
		return name + ": " + problem
	}
	spec := binding.Spec
	isOwner, related := n.platform.Relations(spec.UserUUID)[spec.CUID]
	if !related || isOwner != spec.IsOwner {
		return fmt.Sprintf("%s: Ready, but on the platform related=%t isOwner=%t, declared isOwner=%t", name, related, isOwner, spec.IsOwner)
	}
	return ""
}

// gone says whether a binding is still there; "" when it is not.
func (n *tenant) gone(t *testing.T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	err := kube.Get(t.Context(), client.ObjectKey{Namespace: n.namespace, Name: name}, binding)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s: still there: %s", name, describe(readyOf(binding.Status.Conditions)))
}

// readyOf is the condition Ready; empty when there is none.
func readyOf(conditions []metav1.Condition) metav1.Condition {
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// condition says in which way the object's Ready, for its present generation, is not as wanted.
func condition(object client.Object, conditions []metav1.Condition, status metav1.ConditionStatus, reason string) string {
	ready := readyOf(conditions)
	if ready.Status == status && ready.Reason == reason && ready.ObservedGeneration == object.GetGeneration() {
		return ""
	}
	return fmt.Sprintf("generation %d, want %s/%s: %s", object.GetGeneration(), status, reason, describe(ready))
}

func describe(ready metav1.Condition) string {
	return fmt.Sprintf("%s/%s of generation %d: %s", ready.Status, ready.Reason, ready.ObservedGeneration, ready.Message)
}
