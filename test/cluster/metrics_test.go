//go:build e2e

package cluster

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Only accounts with the right in the API server can read the metrics.
func TestMetrics(t *testing.T) {
	install(t)
	namespace := newNamespace(t, "monitoring")
	url := "https://" + forward(t, leader(t), 8443) + "/metrics"
	stranger, prometheus := tokenOf(t, namespace, "stranger"), tokenOf(t, namespace, "prometheus")
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "prometheus-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: operatorName + "-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "prometheus"}},
	}
	sandbox.Must(t, kube.Create(t.Context(), binding))
	t.Cleanup(func() {
		_ = pods.RbacV1().ClusterRoleBindings().Delete(t.Context(), binding.Name, metav1.DeleteOptions{})
	})
	for _, test := range []struct {
		name, token string
		status      int
		text        string
	}{
		{name: "without a token", status: http.StatusUnauthorized},
		{name: "without the right", token: stranger, status: http.StatusForbidden},
		{name: "with the right", token: prometheus, status: http.StatusOK, text: "controller_runtime_reconcile_total"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, text := get(t, url, test.token)
			if status != test.status || !strings.Contains(text, test.text) {
				t.Errorf("status %d, want %d; %.200s", status, test.status, text)
			}
			if test.status != http.StatusOK && strings.Contains(text, "controller_runtime") {
				t.Errorf("it was told metrics: %.200s", text)
			}
		})
	}
}

// tokenOf makes a ServiceAccount and returns its token.
func tokenOf(t *testing.T, namespace, name string) string {
	t.Helper()
	sandbox.Must(t, kube.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
	request, err := pods.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	sandbox.Must(t, err)
	return request.Status.Token
}

// get is the answer of a server with a self-signed certificate.
func get(t *testing.T, url, token string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	sandbox.Must(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	sandbox.Must(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	sandbox.Must(t, err)
	return response.StatusCode, string(body)
}
