package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// echo is a proxy before a platform. It answers every third call with an error that repeats all secrets of the
// request, as a bad or hostile API could do.
type echo struct {
	platform http.Handler

	mu      sync.Mutex
	calls   int
	secrets map[string]bool
	// over: it only passes calls on.
	over bool
}

// failures are the statuses of the answers that repeat secrets. A login gets only the last of them,
// because a refused login would end the run.
var failures = []int{400, 401, 403, 404, 409, 422, 200, 302, 500, 502}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	sent := sentSecrets(r, body)
	e.mu.Lock()
	e.remember(sent...)
	e.calls++
	spoil, status := !e.over && e.calls%3 == 0, failures[e.calls/3%len(failures)]
	e.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/login") {
		status = http.StatusBadGateway
	}
	if spoil {
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "refused " + strings.Join(sent, " and ")})
		return
	}
	answer := httptest.NewRecorder()
	e.platform.ServeHTTP(answer, r)
	var grant struct{ AccessToken, RefreshToken string }
	if json.Unmarshal(answer.Body.Bytes(), &grant) == nil {
		e.mu.Lock()
		e.remember(grant.AccessToken, grant.RefreshToken)
		e.mu.Unlock()
	}
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (e *echo) remember(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" {
			e.secrets[secret] = true
		}
	}
}

// sentSecrets are the secrets of a request.
func sentSecrets(r *http.Request, body []byte) []string {
	var secrets []string
	if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		secrets = append(secrets, token)
	}
	if _, token, found := strings.Cut(r.URL.Path, "/auth/refresh/"); found {
		secrets = append(secrets, token)
	}
	var login struct{ Password string }
	if json.Unmarshal(body, &login) == nil && login.Password != "" {
		secrets = append(secrets, login.Password)
	}
	return secrets
}

func (e *echo) seen() (calls, secrets int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls, len(e.secrets)
}

// For no answer of the API does a secret of the operator appear in an object, an event, a metric or the log.
func TestNoSecretIsShown(t *testing.T) {
	underDeployedOperator(t)
	config := crowd()
	config.Settings.AccessTTL = time.Second
	n := newTenant(t, config)
	front := &echo{platform: n.Platform, secrets: map[string]bool{}}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	create(t, n.Secret(secretName, account))
	connection := n.connection(server.URL)
	connection.Spec.Interval = &metav1.Duration{Duration: time.Second}
	create(t, connection)
	n.bindCrowd(t)
	sandbox.Within(t, 40*time.Second, func() string {
		if calls, secrets := front.seen(); calls < 60 || secrets < 10 {
			return fmt.Sprintf("%d calls with %d secrets so far", calls, secrets)
		}
		return ""
	})

	shown := n.shown(t)

	// The check can fail only if the repeated text reached these places.
	if !strings.Contains(shown["objects"]+shown["events"]+shown["log"], "[redacted]") {
		t.Error("no error text with a secret arrived anywhere")
	}
	front.mu.Lock()
	defer front.mu.Unlock()
	for place, text := range shown {
		if text == "" {
			t.Errorf("%s: nothing to look through", place)
		}
		for secret := range front.secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s: a secret is shown: %.12s…", place, secret)
			}
		}
	}
}

// shown are all visible texts of a tenant, by place.
func (n *tenant) shown(t *testing.T) map[string]string {
	t.Helper()
	log, err := operator.Log()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"log":     log,
		"metrics": n.metrics(t),
		"objects": n.listed(t, &v1alpha1.ClientBindingList{}) + n.listed(t, &v1alpha1.APIConnectionList{}),
		"events":  n.listed(t, &eventsv1.EventList{}) + n.listed(t, &corev1.EventList{}),
	}
}

func (n *tenant) listed(t *testing.T, list client.ObjectList) string {
	t.Helper()
	if err := kube.List(t.Context(), list, client.InNamespace(n.Namespace)); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
