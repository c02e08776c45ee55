package connection

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

func TestParseURL(t *testing.T) {
	const (
		form  = "spec.url must be a scheme and a host with an optional port from 1 to 65535, as in https://stagep.tst-apidmndelss.com"
		plain = "spec.url is plain http, which would send the credentials in the clear: use https"
	)
	loopback := Options{AllowHTTPLoopback: true}
	for _, test := range []struct {
		reason, url string
		options     Options
		want        string
		refusal     string
	}{
		{"the staging platform", "https://stagep.tst-apidmndelss.com", Options{}, "https://stagep.tst-apidmndelss.com:443", ""},
		{"a trailing slash", "https://api.example/", Options{}, "https://api.example:443", ""},
		{"a port", "https://api.example:8443", Options{}, "https://api.example:8443", ""},
		{"capitals", "HTTPS://API.Example", Options{}, "https://api.example:443", ""},
		{"IPv6", "https://[2001:db8::7]:8443", Options{}, "https://[2001:db8::7]:8443", ""},
		{"http to this machine", "http://127.0.0.1:8080", loopback, "http://127.0.0.1:8080", ""},
		{"http to this machine by name", "http://localhost", loopback, "http://localhost:80", ""},
		{"http to this machine by IPv6", "http://[::1]:8080", loopback, "http://[::1]:8080", ""},
		{"http to this machine, not allowed", "http://127.0.0.1:8080", Options{}, "",
			"spec.url leads to the operator's own machine, which needs the operator's flag --allow-http-loopback: have it set, or name the address of the API"},
		{"http to elsewhere", "http://api.example", loopback, "", plain},
		{"http to what only looks like this machine", "http://127.0.0.1.example", loopback, "", plain},
		{"http to what only begins like this machine", "http://localhost.example", loopback, "", plain},
		{"http to all addresses", "http://0.0.0.0", loopback, "", plain},
		{"another scheme", "ftp://api.example", Options{}, "", `spec.url has the scheme "ftp": use https`},
		{"no scheme", "api.example", Options{}, "", form},
		{"no scheme, but a port", "api.example:443", Options{}, "", form},
		{"no host", "https://", Options{}, "", form},
		{"no host, but a port", "https://:443", Options{}, "", form},
		{"no host but a dot", "https://.", Options{}, "", form},
		{"a user and a password", "https://user:canary@api.example", Options{}, "", form},
		{"a password that makes it unreadable", "https://user:can ary@api.example", Options{}, "", form},
		{"a path", "https://api.example/v2", Options{}, "", form},
		{"a query", "https://api.example?token=canary", Options{}, "", form},
		{"a fragment", "https://api.example#canary", Options{}, "", form},
		{"no port that exists", "https://api.example:65536", Options{}, "", form},
		{"no port that can be called", "https://api.example:0", Options{}, "", form},
		{"an empty url", "", Options{}, "", form},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, err := parseURL(test.url, test.options)
			if test.refusal != "" {
				expectSettingsError(t, v1alpha1.ReasonInvalidSpec, test.refusal, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestHost: two bindings of one relation meet each other by the host. One API in two forms would let them
// pass, and the deletion of one would revoke what the other grants.
func TestHost(t *testing.T) {
	for want, urls := range map[string][]string{
		"api.example:443": {
			"https://api.example", "https://API.EXAMPLE", "https://api.example/", "https://api.example:443", "https://api.example:00443",
			"https://api.example.", "https://api.example:",
		},
		"api.example:8443":  {"https://api.example:8443", "https://api.example:08443"},
		"localhost:80":      {"http://localhost", "http://LOCALHOST:80/"},
		"127.0.0.1:443":     {"https://127.0.0.1", "https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]"},
		"[2001:db8::7]:443": {"https://[2001:db8::7]", "https://[2001:DB8:0:0::7]:443", "https://[2001:0db8:0000:0000:0000:0000:0000:0007]"},
		"":                  {"", "api.example", "https://", "https://.", "https://%zz", "https://api.example:65536", "https://api.example:0"},
	} {
		for _, url := range urls {
			t.Run(url, func(t *testing.T) {
				if got := Host(v1alpha1.APIConnectionSpec{URL: url}); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// TestDefaultPortIsNotSent: some gateways take a Host header with the default port for another host.
func TestDefaultPortIsNotSent(t *testing.T) {
	for of, want := range map[settings]string{
		{scheme: "https", host: "api.example:443"}:  "https://api.example",
		{scheme: "https", host: "api.example:80"}:   "https://api.example:80",
		{scheme: "https", host: "api.example:8443"}: "https://api.example:8443",
		{scheme: "https", host: "[::1]:443"}:        "https://[::1]",
		{scheme: "http", host: "localhost:80"}:      "http://localhost",
		{scheme: "http", host: "localhost:443"}:     "http://localhost:443",
	} {
		if got := of.url().String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	given := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	for _, test := range []struct {
		reason            string
		given             *metav1.Duration
		interval, timeout time.Duration
	}{
		{"absent", nil, time.Hour, 10 * time.Second},
		{"given", given(3 * time.Second), 3 * time.Second, 3 * time.Second},
		{"zero, which would leave no time at all", given(0), time.Hour, 10 * time.Second},
		{"negative", given(-time.Second), time.Hour, 10 * time.Second},
	} {
		t.Run(test.reason, func(t *testing.T) {
			spec := v1alpha1.APIConnectionSpec{Interval: test.given, Timeout: test.given}
			if got := Interval(spec); got != test.interval {
				t.Errorf("interval %s, want %s", got, test.interval)
			}
			if got := Timeout(spec); got != test.timeout {
				t.Errorf("timeout %s, want %s", got, test.timeout)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	connection := connectionTo("https://API.example")
	connection.Spec.CABundle = "bundle"
	connection.Spec.Timeout = &metav1.Duration{Duration: 3 * time.Second}
	limited := connection.DeepCopy()
	limited.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 7, Burst: 9}

	want := settings{scheme: "https", host: "api.example:443", caBundle: "bundle", timeout: 3 * time.Second, perSecond: 50, burst: 100}
	want.credentials.Token = token
	for _, test := range []struct {
		of               *v1alpha1.APIConnection
		perSecond, burst int
	}{{connection, 50, 100}, {limited, 7, 9}} {
		want.perSecond, want.burst = test.perSecond, test.burst
		got, err := settingsOf(test.of, secretOf(map[string]string{"token": token}), Options{AllowedHosts: []string{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" {
			t.Errorf("settings (-want +got):\n%s", diff)
		}
	}
}

func TestDialect(t *testing.T) {
	bearer, token := v1alpha1.AuthorizationBearer, v1alpha1.AuthorizationToken
	nested, flat := v1alpha1.RelationBodyNested, v1alpha1.RelationBodyFlat
	for _, test := range []struct {
		given   *v1alpha1.Dialect
		want    delos.Dialect
		refusal string
	}{
		{nil, delos.Dialect{}, ""},
		{&v1alpha1.Dialect{}, delos.Dialect{}, ""},
		{&v1alpha1.Dialect{Authorization: bearer, RelationBody: nested}, delos.Dialect{}, ""},
		{&v1alpha1.Dialect{Authorization: token}, delos.Dialect{BareToken: true}, ""},
		{&v1alpha1.Dialect{RelationBody: flat}, delos.Dialect{FlatRelation: true}, ""},
		{&v1alpha1.Dialect{Authorization: "Basic"}, delos.Dialect{}, "spec.dialect.authorization must be Bearer or Token"},
		{&v1alpha1.Dialect{RelationBody: "List"}, delos.Dialect{}, "spec.dialect.relationBody must be Nested or Flat"},
	} {
		connection := connectionTo("https://api.example")
		connection.Spec.Dialect = test.given
		got, err := settingsOf(connection, loginSecret(), Options{AllowedHosts: []string{"*"}})
		if test.refusal != "" {
			expectSettingsError(t, v1alpha1.ReasonInvalidSpec, test.refusal, err)
			continue
		}
		if err != nil || got.dialect != test.want {
			t.Errorf("%+v: got %+v (%v), want %+v", test.given, got.dialect, err, test.want)
		}
	}
}

// TestCABundle: an authority of one's own is trusted instead of the system's, and nothing else is.
func TestCABundle(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of a caller who does not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	probe := func(bundle string) error {
		connection := connectionTo(server.URL)
		connection.Spec.CABundle = bundle
		session, err := newPool(clockwork.NewRealClock()).Prepare(connection, secretOf(map[string]string{"token": token}))
		if err != nil {
			return err
		}
		return session.Probe(t.Context())
	}

	if err := probe(bundle); err != nil {
		t.Errorf("with the server's authority: %v", err)
	}
	if err := probe("a comment\n" + bundle + "another"); err != nil {
		t.Errorf("with text around it: %v", err)
	}
	for _, bad := range []string{"nothing", strings.ReplaceAll(bundle, "CERTIFICATE", "PRIVATE KEY")} {
		expectSettingsError(t, v1alpha1.ReasonInvalidSpec,
			"spec.caBundle holds no certificate that can be read: it must be one or more PEM blocks of type CERTIFICATE", probe(bad))
	}
	if err := probe(""); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("with the system's authorities: %v", err)
	}
}
