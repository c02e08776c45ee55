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

// account may log in to every platform.
var account = sandbox.Account

// tenant is a namespace with its own platform.
type tenant struct{ *sandbox.Tenant }

// newTenant creates a namespace whose Secrets the operator may use, and a platform from config.
func newTenant(t *testing.T, config delossim.Config) *tenant {
	t.Helper()
	return &tenant{box.NewTenant(t, "e2e-", config)}
}

// newCluster starts another control plane, in which no operator runs yet.
func newCluster(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	return sandbox.Start(t, sandbox.Options{BuildFlags: []string{"-race"}})
}

// connect creates a Secret and the default connection.
func (n *tenant) connect(t *testing.T) {
	t.Helper()
	n.Create(t, n.Secret(secretName, account), n.connection(n.Platform.URL))
}

func (n *tenant) secret(data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: n.Meta(secretName), StringData: data}
}

func (n *tenant) connection(url string) *v1alpha1.APIConnection {
	connection := n.Connection(v1alpha1.DefaultConnectionName, url, secretName)
	// After a grant with a lost answer the operator waits for two timeouts before a removal counts.
	connection.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	return connection
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	box.Create(t, object)
}

// gone says that a binding still exists; "" when it does not.
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
