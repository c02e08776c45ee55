package delos

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestProbe shows which answers prove that the API is there and takes the session.
func TestProbe(t *testing.T) {
	for _, test := range []struct {
		reason string
		status int
		body   string
		want   Kind
	}{
		{"a list", 200, `{"items": []}`, KindNone},
		{"the account may not list", 403, "", KindNone},
		{"a query that it does not understand", 400, "", KindNone},
		{"a call that it does not have", 501, `{"code": 12, "message": "Method Not Allowed"}`, KindNone},
		{"a path that it does not know", 404, `{"code": 5, "message": "Not Found"}`, KindNone},
		{"something else's 404", 404, page, KindUnexpected},
		{"a redirect", 302, "", KindUnexpected},
		{"an error under a 200", 200, `{"error": "boom"}`, KindUnexpected},
		{"a failure", 500, "", KindUnavailable},
		{"a request for patience", 429, "", KindRateLimited},
		{"a token that is refused", 401, "", KindLoginRefused},
	} {
		t.Run(test.reason, func(t *testing.T) {
			err := newAPI(t, answering(t, test.status, test.body)).Probe(t.Context())
			if KindOf(err) != test.want || (err == nil) != (test.want == KindNone) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestWhatAProbeSends(t *testing.T) {
	var arrived recorder
	if err := newAPI(t, serve(t, arrived.ServeHTTP)).Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := arrived.sent[0].Method+" "+arrived.sent[0].Target, "GET /v2/user?meta.page=0&meta.pageSize=1"; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// TestGuard: no connection is made to an address that is refused, and the reason is told.
func TestGuard(t *testing.T) {
	var arrived recorder
	asked := ""
	api := newAPI(t, serve(t, arrived.ServeHTTP), func(config *Config) {
		config.Guard = func(address string) error {
			asked = address
			return errors.New("no API is there")
		}
	})
	for operation, call := range operations {
		if got, want := textOf(t, call(t, api)), string(operation)+": API unreachable: no API is there [request ID]"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if asked != api.config.BaseURL.Host || len(arrived.sent) != 0 {
		t.Errorf("asked for %q, sent %+v", asked, arrived.sent)
	}
}

// TestWhatIsToldOfCalls: each request is told of once it begins and once it is done, and each new session.
func TestWhatIsToldOfCalls(t *testing.T) {
	var told []string
	p := startPlatform(t, delossim.Settings{}, withLogin, func(config *Config) {
		now := config.Now
		config.Began = func(operation Operation) func(int, time.Duration) {
			told = append(told, "began "+string(operation))
			return func(status int, took time.Duration) {
				told = append(told, fmt.Sprint("status ", status, " after ", took))
			}
		}
		config.Renewed = func(expires time.Time) { told = append(told, fmt.Sprint("session for ", expires.Sub(now()))) }
	})
	p.Inject(delossim.Fault{Op: delossim.OpUser, Times: 1, Failure: delossim.Answer{Status: http.StatusBadGateway}})
	p.Inject(delossim.Fault{Op: delossim.OpUser, Times: 1, Failure: delossim.Truncate{}})
	for range 3 {
		_, _ = p.api.User(t.Context(), john)
	}
	want := []string{
		"began login", "status 200 after 0s", "session for 5m0s",
		"began get-user", "status 502 after 0s",
		"began get-user", "status 0 after 0s",
		"began get-user", "status 200 after 0s",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestRetryAfterOf(t *testing.T) {
	failure := &Error{RetryAfter: time.Minute}
	for _, test := range []struct {
		err  error
		want time.Duration
	}{{nil, 0}, {failure, time.Minute}, {fmt.Errorf("reading: %w", failure), time.Minute}, {http.ErrServerClosed, 0}} {
		if got := RetryAfterOf(test.err); got != test.want {
			t.Errorf("%v asks for %s, want %s", test.err, got, test.want)
		}
	}
}
