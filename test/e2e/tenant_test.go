package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	wrongPassword = "incorrect-horse-battery"
	secretName    = sandbox.CredentialsName
)

// account is the one that may log in to every platform.
var account = sandbox.Account

// tenant is a namespace with a platform of its own.
type tenant struct{ *sandbox.Tenant }

// newTenant makes a namespace whose Secrets the operator may use, a platform of what config says, and nothing else.
func newTenant(t *testing.T, config delossim.Config) *tenant {
	t.Helper()
	return &tenant{box.NewTenant(t, "e2e-", config)}
}

// newCluster starts another control plane, in which no operator runs yet.
func newCluster(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	return sandbox.Start(t, sandbox.Options{BuildFlags: []string{"-race"}})
}

// connect creates a Secret and the connection that is used when a binding names none.
func (n *tenant) connect(t *testing.T) {
	t.Helper()
	n.Create(t, n.Secret(secretName, account), n.connection(n.Platform.URL))
}

func (n *tenant) secret(data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: n.Meta(secretName), StringData: data}
}

func (n *tenant) connection(url string) *v1alpha1.APIConnection {
	connection := n.Connection(v1alpha1.DefaultConnectionName, url, secretName)
	// A grant whose answer was lost is waited for two timeouts before its removal counts.
	connection.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	return connection
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	box.Create(t, object)
}

// gone says whether a binding is still there; "" when it is not.
func (n *tenant) gone(t *testing.T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	err := n.Kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s: still there: %s", name, sandbox.Describe(sandbox.Ready(binding.Status.Conditions)))
}
