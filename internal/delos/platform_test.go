package delos

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	john = "user_abc123def"
	cust = "cust_789xyz"
	doxd = "DoxdEEV-4IJq-zKeUYqrtqVDK"

	account  = "operator@example.com"
	password = "canary-password"
	token    = "canary-token"
)

// quiet takes what servers complain of when a client leaves.
var quiet = log.New(io.Discard, "", 0)

// start is when every test begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock stands still unless it is moved.
type clock = clockwork.FakeClock

// withLogin lets a client log in instead of using a token.
func withLogin(config *Config) {
	config.Credentials = Credentials{Login: account, Password: password}
}

// newAPI returns a client of the API at an address. It uses a token, and its clock stands still.
func newAPI(t testing.TB, address string, changes ...func(*Config)) *Client {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		BaseURL:     base,
		Credentials: Credentials{Token: token},
		Timeout:     10 * time.Second,
		UserAgent:   "clientbinding-operator/1.2.3",
		Now:         func() time.Time { return start },
	}
	for _, change := range changes {
		change(&config)
	}
	api := New(config)
	t.Cleanup(api.CloseIdleConnections)
	return api
}

// platform is the simulated platform behind real HTTP, and a client of it that shares its clock.
type platform struct {
	*delossim.Server
	*clock
	api *Client
}

// startPlatform starts a platform that knows one user, two clients and the client's account.
func startPlatform(t *testing.T, settings delossim.Settings, changes ...func(*Config)) *platform {
	t.Helper()
	clock := clockwork.NewFakeClockAt(start)
	sim := delossim.New(delossim.Config{
		Settings: settings,
		Accounts: []delossim.Account{{Login: account, Password: password}},
		Tokens:   []string{token},
		Users:    []delossim.User{{UUID: john, Username: "john.smith", Status: "ACCEPT"}},
		Clients:  []string{cust, doxd},
		Clock:    clock.Now,
	})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close)
	changes = append([]func(*Config){func(config *Config) { config.Now = clock.Now }}, changes...)
	return &platform{Server: sim, clock: clock, api: newAPI(t, server.URL, changes...)}
}

// user reads john, who has to be shown.
func (p *platform) user(t *testing.T) {
	t.Helper()
	if _, err := p.api.User(t.Context(), john); err != nil {
		t.Fatal(err)
	}
}

// expectCalls compares how many calls there were since it was last asked.
func (p *platform) expectCalls(t *testing.T, when string, want delossim.Summary) {
	t.Helper()
	if diff := cmp.Diff(want, p.Summary()); diff != "" {
		t.Errorf("calls %s (-want +got):\n%s", when, diff)
	}
	p.ResetCalls()
}

// answering is the address of a server that gives every call the same answer. Headers are written
// as in HTTP, "Name: value".
func answering(t testing.TB, status int, body string, headers ...string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// operations are all calls, as if a session were not due.
var operations = map[Operation]func(*testing.T, *Client) error{
	OperationUser:     func(t *testing.T, api *Client) error { _, err := api.User(t.Context(), john); return err },
	OperationRelate:   func(t *testing.T, api *Client) error { return failure(api.Relate(t.Context(), john, cust, true)) },
	OperationUnrelate: func(t *testing.T, api *Client) error { return failure(api.Unrelate(t.Context(), john, cust)) },
	OperationLogin:    func(t *testing.T, api *Client) error { _, err := api.login(t.Context()); return err },
	OperationRefresh:  func(t *testing.T, api *Client) error { _, err := api.refresh(t.Context(), token); return err },
}

// failureOf returns the *Error that a call has to fail with.
func failureOf(t *testing.T, err error) *Error {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %v, want a *delos.Error", err)
	}
	return failure
}

// textOf is the whole text of an error, with "ID" for the request's id.
func textOf(t *testing.T, err error) string {
	t.Helper()
	failure := failureOf(t, err)
	if failure.RequestID == "" {
		return failure.Error()
	}
	return strings.Replace(failure.Error(), failure.RequestID, "ID", 1)
}

// failure is what came of a write, without the request's id.
func failure(_ string, err error) error { return err }
