package connection

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

const (
	john     = "user_abc123def"
	cust     = "cust_789xyz"
	account  = "operator@example.com"
	password = "canary-password"
	token    = "canary-token"
)

// clock stands still unless it is moved.
type clock = clockwork.FakeClock

// platform is the simulated platform behind real HTTP, and a pool that shares its clock.
type platform struct {
	*delossim.Server
	*clock
	url  string
	pool *Pool
}

// startPlatform starts a platform that knows one user, one client and one account. Its calls pass through
// the handlers, if there are any, on their way.
func startPlatform(t *testing.T, around ...func(http.Handler) http.Handler) *platform {
	t.Helper()
	clock := clockwork.NewFakeClockAt(noon)
	sim := delossim.New(delossim.Config{
		Accounts: []delossim.Account{{Login: account, Password: password}},
		Tokens:   []string{token},
		Users:    []delossim.User{{UUID: john, Username: "john.smith", Status: "ACCEPT"}},
		Clients:  []string{cust},
		Clock:    clock.Now,
	})
	var handler http.Handler = sim
	for _, wrap := range around {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close)
	return &platform{Server: sim, clock: clock, url: server.URL, pool: newPool(clock)}
}

func newPool(clock clockwork.Clock) *Pool {
	return NewPool(Options{
		AllowHTTPLoopback: true,
		AllowedHosts:      []string{"127.0.0.1", "localhost", "*.example"},
		UserAgent:         "clientbinding-operator/1.2.3",
		Now:               clock.Now,
		AfterFunc:         func(wait time.Duration, f func()) func() bool { return clock.AfterFunc(wait, f).Stop },
		Metrics:           metrics.New(prometheus.NewRegistry()),
	})
}

// connectionTo is an APIConnection for the API at an address.
func connectionTo(address string) *v1alpha1.APIConnection {
	return &v1alpha1.APIConnection{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "default", UID: "uid-1"},
		Spec:       v1alpha1.APIConnectionSpec{URL: address},
	}
}

// name is that of the connections of connectionTo.
var name = types.NamespacedName{Namespace: "team-a", Name: "default"}

// secretOf is a Secret with keys and their values.
func secretOf(data map[string]string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "delos"}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	return secret
}

func loginSecret() *corev1.Secret {
	return secretOf(map[string]string{"login": account, "password": password})
}

// prepare returns the session for a connection to the platform.
func (p *platform) prepare(t *testing.T, secret *corev1.Secret) *Session {
	t.Helper()
	session, err := p.pool.Prepare(connectionTo(p.url), secret)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// open returns an open session that has logged in.
func (p *platform) open(t *testing.T) *Session {
	t.Helper()
	session := p.prepare(t, loginSecret())
	if err := session.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.pool.Open(session)
	p.ResetCalls()
	return session
}

// troubled returns the connections that the pool told of since it was last asked.
func (p *platform) troubled() (names []types.NamespacedName) {
	for {
		select {
		case event := <-p.pool.Troubled():
			names = append(names, event.Object)
		default:
			return names
		}
	}
}

// together makes calls at the same time and returns what came of each.
func together(calls int, call func() error) []error {
	results := make([]error, calls)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { results[i] = call() })
	}
	group.Wait()
	return results
}

// expectSettingsError compares an error with the whole *SettingsError that it should be.
func expectSettingsError(t *testing.T, reason, message string, err error) {
	t.Helper()
	var got *SettingsError
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want a *SettingsError", err)
	}
	if diff := cmp.Diff(&SettingsError{Reason: reason, Message: message}, got); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// failure is what came of a write, without the request's id.
func failure(_ string, err error) error { return err }
