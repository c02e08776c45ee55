// Package connection turns APIConnections into sessions with the Delos API, and keeps one session
// for each of them.
package connection

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// The defaults of an APIConnection.
const (
	DefaultTimeout           = 10 * time.Second
	DefaultInterval          = time.Hour
	DefaultRequestsPerSecond = 50
	DefaultBurst             = 100
)

// Options are the operator's own settings, the same for all connections.
type Options struct {
	// AllowHTTPLoopback lets connections use plain http to the operator's own machine.
	AllowHTTPLoopback bool
	// UserAgent names the operator and its version to the API.
	UserAgent string
	// AllowedHosts are globs of the hosts, or hosts and ports, to which connections may lead; none when empty.
	AllowedHosts []string
	// Proxy tells the proxy for a request; nil for none at all. See http.Transport.
	Proxy func(*http.Request) (*url.URL, error)
	// Now is the clock by which sessions expire.
	Now func() time.Time
	// AfterFunc calls a function once a time has passed by that clock; time.AfterFunc when nil.
	AfterFunc AfterFunc
	// GatherReads is the time for which the read of a user waits for other callers that ask for the same user; 0 for none.
	GatherReads time.Duration
	// Tracer makes a span of each request; nil for none. See delos.Config.
	Tracer trace.Tracer
	// Metrics count calls, and show the state of sessions.
	Metrics *metrics.Metrics
}

// AfterFunc is time.AfterFunc for any clock: stop keeps f from being called.
type AfterFunc func(wait time.Duration, f func()) (stop func() bool)

// SettingsError says why an APIConnection cannot be used, before any call is sent: a person has to
// correct the object that the message names.
type SettingsError struct {
	// Reason is one of the reasons of an APIConnection's conditions.
	Reason string
	// Message says what is wrong and what to write instead. It holds no secret.
	Message string
}

// Error returns the message.
func (e *SettingsError) Error() string { return e.Message }

// Interval is the time between two checks of the bindings of a connection.
func Interval(spec v1alpha1.APIConnectionSpec) time.Duration {
	return durationOr(spec.Interval, DefaultInterval)
}

// Timeout of one call through a connection.
func Timeout(spec v1alpha1.APIConnectionSpec) time.Duration {
	return durationOr(spec.Timeout, DefaultTimeout)
}

func durationOr(value *metav1.Duration, fallback time.Duration) time.Duration {
	if value == nil || value.Duration <= 0 {
		return fallback
	}
	return value.Duration
}

// settings are all that a session depends on. Two sessions with equal settings are the same session.
type settings struct {
	scheme, host string
	credentials  delos.Credentials
	dialect      delos.Dialect
	caBundle     string
	timeout      time.Duration
	perSecond    int
	burst        int
}

// settingsOf reads a connection and its Secret. Its errors are of type *SettingsError.
func settingsOf(connection *v1alpha1.APIConnection, secret *corev1.Secret, options Options) (settings, error) {
	base, err := parseURL(connection.Spec.URL, options)
	if err != nil {
		return settings{}, err
	}
	if err := checkHost(base, options); err != nil {
		return settings{}, err
	}
	credentials, err := parseCredentials(secret)
	if err != nil {
		return settings{}, err
	}
	dialect, err := parseDialect(connection.Spec.Dialect)
	if err != nil {
		return settings{}, err
	}
	wanted := settings{
		scheme:      base.Scheme,
		host:        base.Host,
		credentials: credentials,
		dialect:     dialect,
		caBundle:    connection.Spec.CABundle,
		timeout:     Timeout(connection.Spec),
		perSecond:   DefaultRequestsPerSecond,
		burst:       DefaultBurst,
	}
	if limit := connection.Spec.RateLimit; limit != nil {
		wanted.perSecond = int(cmp.Or(limit.RequestsPerSecond, DefaultRequestsPerSecond))
		wanted.burst = int(cmp.Or(limit.Burst, DefaultBurst))
	}
	return wanted, nil
}

// url is the address of the API, without the port that its scheme implies: some gateways take a Host
// header with that port for another host.
func (s settings) url() *url.URL {
	return &url.URL{Scheme: s.scheme, Host: strings.TrimSuffix(s.host, ":"+impliedPort(s.scheme))}
}

// client returns a client for the settings. Probes that the client sends by itself are charged to the gate. The name of the connection is for
// its metrics.
func (s settings) client(name string, gate *gate, options Options) (*delos.Client, error) {
	config, err := s.config(options)
	if err != nil {
		return nil, err
	}
	counted := options.Metrics.Connection(name)
	config.Began = func(operation delos.Operation) func(int, time.Duration) {
		return counted.Began(string(operation))
	}
	config.Admit, config.Renewed = gate.charge, counted.Expires
	return delos.New(config), nil
}

// config is the configuration of each client for the settings.
func (s settings) config(options Options) (delos.Config, error) {
	var authorities *x509.CertPool
	if s.caBundle != "" {
		authorities = x509.NewCertPool()
		if !authorities.AppendCertsFromPEM([]byte(s.caBundle)) {
			return delos.Config{}, &SettingsError{v1alpha1.ReasonInvalidSpec, "spec.caBundle holds no certificate that can be read: it must be one or more PEM blocks of type CERTIFICATE"}
		}
	}
	return delos.Config{
		BaseURL:     s.url(),
		Credentials: s.credentials,
		Dialect:     s.dialect,
		Timeout:     s.timeout,
		RootCAs:     authorities,
		UserAgent:   options.UserAgent,
		Now:         options.Now,
		Proxy:       options.Proxy,
		Tracer:      options.Tracer,
		Guard:       guard(s, options),
	}, nil
}

// Configure returns the configuration of a client for an APIConnection and its Secret, and the rate limit: calls a second, and calls
// at once after a quiet time. It is for programs that have no Pool. The error is a *SettingsError.
func Configure(connection *v1alpha1.APIConnection, secret *corev1.Secret, options Options) (config delos.Config, perSecond, burst int, err error) {
	wanted, err := settingsOf(connection, secret, options)
	if err != nil {
		return delos.Config{}, 0, 0, err
	}
	config, err = wanted.config(options)
	return config, wanted.perSecond, wanted.burst, err
}

// parseURL repeats the checks of the CRD's rules, since another version of the CRD may be installed, and adds
// the checks that need the operator's flags.
func parseURL(text string, options Options) (*url.URL, error) {
	invalid := func(format string, args ...any) (*url.URL, error) {
		return nil, &SettingsError{v1alpha1.ReasonInvalidSpec, fmt.Sprintf(format, args...)}
	}
	parsed, host, err := splitURL(text)
	if err != nil || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" ||
		parsed.Path != "" && parsed.Path != "/" {
		return invalid("spec.url must be a scheme and a host with an optional port from 1 to 65535, as in https://stagep.tst-apidmndelss.com")
	}
	switch parsed.Scheme {
	case "https":
	case "http":
		if !isLoopback(parsed.Hostname()) {
			return invalid("spec.url is plain http, which would send the credentials in the clear: use https")
		}
		if !options.AllowHTTPLoopback {
			return invalid("spec.url leads to the operator's own machine, which needs the operator's flag --allow-http-loopback: have it set, or name the address of the API")
		}
	default:
		return invalid("spec.url has the scheme %q: use https", parsed.Scheme)
	}
	return &url.URL{Scheme: parsed.Scheme, Host: host}, nil
}

// parseDialect refuses an unknown form, which a newer version of the CRD may allow.
func parseDialect(given *v1alpha1.Dialect) (delos.Dialect, error) {
	if given == nil {
		return delos.Dialect{}, nil
	}
	switch given.Authorization {
	case "", v1alpha1.AuthorizationBearer, v1alpha1.AuthorizationToken:
	default:
		return delos.Dialect{}, &SettingsError{v1alpha1.ReasonInvalidSpec, "spec.dialect.authorization must be Bearer or Token"}
	}
	switch given.RelationBody {
	case "", v1alpha1.RelationBodyNested, v1alpha1.RelationBodyFlat:
	default:
		return delos.Dialect{}, &SettingsError{v1alpha1.ReasonInvalidSpec, "spec.dialect.relationBody must be Nested or Flat"}
	}
	return delos.Dialect{
		BareToken:    given.Authorization == v1alpha1.AuthorizationToken,
		FlatRelation: given.RelationBody == v1alpha1.RelationBodyFlat,
	}, nil
}

// Host returns the host and port of an APIConnection's API in one canonical form; "" when its URL
// cannot be read.
func Host(spec v1alpha1.APIConnectionSpec) string {
	_, host, _ := splitURL(spec.URL)
	return host
}

// splitURL reads a URL, and its host and port in one canonical form, so that two URLs of the same API
// have the same host.
func splitURL(text string) (parsed *url.URL, hostAndPort string, err error) {
	parsed, err = url.Parse(text)
	if err != nil {
		return nil, "", err
	}
	port, err := strconv.ParseUint(cmp.Or(parsed.Port(), impliedPort(parsed.Scheme)), 10, 16)
	if err != nil {
		return nil, "", err
	}
	host := strings.TrimSuffix(strings.ToLower(parsed.Hostname()), ".")
	if host == "" || port == 0 {
		return nil, "", errors.New("no host, or a port that cannot be called")
	}
	if address, err := netip.ParseAddr(host); err == nil {
		host = address.Unmap().String()
	}
	return parsed, net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

func impliedPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

func isLoopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}
