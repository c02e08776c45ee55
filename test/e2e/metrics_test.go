package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Only authenticated accounts with the shipped role can read the metrics.
func TestMetricsNeedALogin(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	// It creates a certificate first.
	sandbox.Within(t, 20*time.Second, func() string {
		connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", metricsAddress)
		if err != nil {
			return err.Error()
		}
		_ = connection.Close()
		return ""
	})
	for name, test := range map[string]struct {
		token string
		want  int
	}{
		"nobody":              {"", http.StatusUnauthorized},
		"a stranger":          {n.account(t, "stranger"), http.StatusForbidden},
		"a reader of metrics": {n.metricsReader(t), http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := scrape(t, test.token); got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}

// account creates a ServiceAccount and returns a token of it.
func (n *tenant) account(t *testing.T, name string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: n.Meta(name)}
	create(t, account)
	request := &authenticationv1.TokenRequest{}
	if err := kube.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// metricsReader returns a token of an account with the shipped role for Prometheus.
func (n *tenant) metricsReader(t *testing.T) string {
	t.Helper()
	token := n.account(t, "prometheus")
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: n.Namespace + "-prometheus"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "clientbinding-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: n.Namespace, Name: "prometheus"}},
	})
	return token
}

// scrape reads the operator's metrics as Prometheus does.
func scrape(t *testing.T, token string) (status int, text string) {
	t.Helper()
	status, text, err := tryScrape(t, token)
	if err != nil {
		t.Fatal(err)
	}
	return status, text
}

// tryScrape does so although the operator may not serve them yet.
func tryScrape(t *testing.T, token string) (status int, text string, err error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+metricsAddress+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The certificate is one that the operator made for itself.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// metrics is the text that the operator serves to Prometheus.
func (n *tenant) metrics(t *testing.T) string {
	t.Helper()
	status, text := scrape(t, n.metricsReader(t))
	if status != http.StatusOK || !strings.Contains(text, "clientbinding_api_calls_total{") {
		t.Errorf("the metrics have no calls of the API: %d\n%.500s", status, text)
	}
	return text
}

// The User-Agent, the log and a metric have the version and commit of the operator.
func TestBuildIsTold(t *testing.T) {
	underDeployedOperator(t)
	n := newTenant(t, crowd())
	n.connect(t)
	token := n.metricsReader(t)
	userAgent := "clientbinding-operator/dev (commit unknown; " + goruntime.Version() + ")"
	info := `clientbinding_build_info{commit="unknown",go="` + goruntime.Version() + `",version="dev"} 1`
	sandbox.Within(t, 20*time.Second, func() string {
		_, text, err := tryScrape(t, token)
		logins := n.Platform.Calls(delossim.OpLogin)
		if !strings.Contains(text, info) || len(logins) == 0 || logins[0].UserAgent != userAgent {
			return fmt.Sprintf("want %s and a login of %s, got %v, %+v and\n%s", info, userAgent, err, logins, text)
		}
		return ""
	})
}
