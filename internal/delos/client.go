// Package delos is a client of the Delos Financial platform API (v2), as far as that API is
// known: docs/delos-api.md is the contract, and names what is documented, contradictory and
// unknown. The package knows nothing of Kubernetes, and it does not retry: its caller
// decides when to call again. The one exception is a session that the API no longer accepts,
// which is renewed once and the call repeated once.
package delos

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Operation names a call of the API in errors and records.
type Operation string

// The operations that the client uses.
const (
	OperationLogin     Operation = "login"
	OperationRefresh   Operation = "refresh"
	OperationUser      Operation = "get-user"
	OperationRelate    Operation = "relate-client"
	OperationUnrelate  Operation = "remove-relate-client"
	OperationList      Operation = "list-users"
	OperationCustomers Operation = "list-customers"
)

// Credentials of an account: Login and Password, or a Token that was issued elsewhere. Printing
// them shows none of them.
type Credentials struct {
	Login    string
	Password string
	// TOTPSeed is the seed of the account's time-based one-time codes (RFC 6238) in base32; empty for an
	// account without a second factor.
	TOTPSeed string
	// Token is an access token that is used as it is and cannot be renewed.
	Token string
}

// Format writes no credential, for any verb.
func (Credentials) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, "[credentials]") }

// Config is the configuration of a Client.
type Config struct {
	// BaseURL has a scheme and a host; its path is not used.
	BaseURL *url.URL
	// Credentials of the account that the client acts with.
	Credentials Credentials
	// Dialect is the form of requests that the API takes.
	Dialect Dialect
	// Timeout of one call, from its start to the last byte of its answer.
	Timeout time.Duration
	// RootCAs are the authorities to trust; nil for those of the system.
	RootCAs *x509.CertPool
	// UserAgent names the program and its version to the API.
	UserAgent string
	// Now is the clock by which sessions expire.
	Now func() time.Time
	// Proxy tells the proxy for a request; nil for none at all. See http.Transport.
	Proxy func(*http.Request) (*url.URL, error)
	// Guard, if set, checks an address (host and port) to which the base URL's host resolves, before a connection
	// is made to it. Its error ends the call and is shown.
	Guard func(address string) error
	// Pace, if set, is called before every request and returns when it may be sent. Its error is that of the context.
	Pace func(context.Context) error
	// Began, if set, is called when a request begins. The function that it returns is called when the request is done, with
	// the HTTP status, 0 when there was no whole answer, and the duration.
	Began func(operation Operation) func(status int, took time.Duration)
	// Admit, if set, is called before the client sends a probe by itself, and returns the time for which the API must not be
	// called.
	Admit func() time.Duration
	// Tracer, if set, makes a span of each request, whose context is sent as the header traceparent (W3C Trace Context).
	Tracer trace.Tracer
	// Renewed, if set, is called with the expiry of each new access token.
	Renewed func(expires time.Time)
}

// Client calls the API with one account. It is safe for concurrent use.
type Client struct {
	config  Config
	calls   *http.Transport
	renewal *http.Transport
	session *session
	codes   *codes
	taken   *taken
}

// New returns a client that has not called the API yet.
func New(config Config) *Client {
	c := &Client{
		config:  config,
		calls:   newTransport(config, true),
		renewal: newTransport(config, false),
		codes:   newCodes(config.Credentials.TOTPSeed, config.Now()),
		taken:   &taken{},
	}
	c.session = newSession(c, config)
	return c
}

// CloseIdleConnections releases the connections that wait for further calls.
func (c *Client) CloseIdleConnections() {
	c.calls.CloseIdleConnections()
	c.renewal.CloseIdleConnections()
}

// Probe is Check, but tries a login again that was refused before.
func (c *Client) Probe(ctx context.Context) error {
	c.session.forgive()
	return c.Check(ctx)
}

// Check proves that the API answers and takes the credentials: it logs in, or renews the session when that is due, and
// then lists one user. Whether the account may list users does not matter, as long as the answer is the API's. Once a
// login was refused, Check sends none.
func (c *Client) Check(ctx context.Context) error {
	_, err := c.send(ctx, listOne)
	return probed(err)
}

// listOne is a call that is about no single user.
var listOne = call{
	operation: OperationList,
	method:    http.MethodGet,
	path:      []string{"v2", "user"},
	query:     url.Values{"meta.page": {"0"}, "meta.pageSize": {"1"}},
}

// probed is the result of listOne as a probe: nil when the API answers and takes the session.
func probed(err error) error {
	var failure *Error
	if errors.As(err, &failure) && failure.Operation == OperationList && failure.answersProbe() {
		return nil
	}
	return err
}

const (
	dialTimeout = 5 * time.Second
	idleTimeout = 90 * time.Second
	// idleConnections is the largest number of calls under way, which internal/connection bounds.
	idleConnections  = 68
	maxHeaderBytes   = 64 << 10
	maxAnswerBytes   = 1 << 20
	requestIDHeader  = "X-Request-Id"
	contentTypeJSON  = "application/json"
	authorizationKey = "Authorization"
)

// newTransport returns the transport of requests. It is used without an http.Client, which would follow
// redirects: they are not part of the contract, and could carry credentials elsewhere.
//
// Without reuse every request gets a connection of its own. net/http repeats a GET by itself when a
// reused connection breaks, and a refresh is a GET that must not be sent twice, since the refresh
// token is used up by the first.
func newTransport(config Config, reuse bool) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	if config.Guard != nil {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if err := config.Guard(address); err != nil {
				return guardError{err}
			}
			return nil
		}
	}
	return &http.Transport{
		Proxy:                  config.Proxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.RootCAs},
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleTimeout,
		ForceAttemptHTTP2:      reuse,
		DisableKeepAlives:      !reuse,
	}
}

// call is one request to the API.
type call struct {
	operation Operation
	method    string
	// path holds the segments after the host; each is escaped.
	path  []string
	query url.Values
	body  any
	// user and cuid are the ids that an error text about this call has to name.
	user, cuid string
	// requestID is the id under which the call is sent, also when it is repeated; a new one each time when empty.
	requestID string
	// secrets are the secrets that the call sends. No error text may repeat them.
	secrets []string
	// maxBytes bounds the answer; maxAnswerBytes when 0.
	maxBytes int
}

// send sends a call with the session's token. When the API no longer accepts the session, it is
// renewed once and the call repeated once.
func (c *Client) send(ctx context.Context, call call) (answer, error) {
	token, err := c.session.token(ctx)
	if err != nil {
		return answer{}, err
	}
	got, err := c.sendWith(ctx, call, token)
	if tokenRefused(err) {
		c.session.drop(token)
	}
	if KindOf(err) != KindUnauthorized {
		return got, err
	}
	renewed, renewErr := c.session.replace(ctx, token)
	if renewErr != nil {
		return answer{}, renewErr
	}
	if renewed == "" {
		return answer{}, err
	}
	return c.sendWith(ctx, call, renewed)
}

// sendWith sends a call with a token. If an answer about one user refuses the token, a probe tells whether that is about the session.
func (c *Client) sendWith(ctx context.Context, call call, token string) (answer, error) {
	got, err := c.exchange(ctx, c.calls, call, token)
	var failure *Error
	if call.operation != OperationList && errors.As(err, &failure) && failure.Kind == KindUnauthorized {
		err = c.session.doubt(ctx, token, *failure)
	}
	c.noteAccepted(token, err)
	c.suspectForm(err)
	return got, err
}

// noteAccepted notes that the API took the session's token, if the result of the call shows that.
func (c *Client) noteAccepted(token string, err error) {
	switch KindOf(err) {
	case KindNone, KindUserNotFound, KindClientNotFound, KindAlreadyRelated, KindForbidden, KindInvalid:
		c.session.accepted(token)
		c.taken.authorization.Store(true)
	}
}

// exchange sends one request and reads its whole answer, within a span if there is tracing.
func (c *Client) exchange(ctx context.Context, via *http.Transport, call call, token string) (answer, error) {
	call.requestID = cmp.Or(call.requestID, rand.Text())
	if c.config.Tracer == nil {
		return c.roundTrip(ctx, via, call, token)
	}
	ctx, span := c.beginSpan(ctx, call)
	got, err := c.roundTrip(ctx, via, call, token)
	endSpan(span, got, err)
	return got, err
}

// roundTrip is the only place that talks HTTP.
func (c *Client) roundTrip(ctx context.Context, via *http.Transport, call call, token string) (answer, error) {
	if c.config.Pace != nil {
		if err := c.config.Pace(ctx); err != nil {
			return answer{}, c.transportError(ctx, call.operation, "", err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	status := 0
	defer c.count(call.operation, &status)()
	failed := func(err error) error {
		return c.transportError(ctx, call.operation, call.requestID, err)
	}
	request, err := c.request(limited, call, token)
	if err != nil {
		return answer{}, &Error{Operation: call.operation, Kind: KindInvalid, Text: err.Error(), RequestID: call.requestID}
	}
	response, err := via.RoundTrip(request)
	if err != nil {
		return answer{}, failed(err)
	}
	defer response.Body.Close()
	got := answer{requestID: call.requestID, status: response.StatusCode, header: response.Header}
	if err := got.read(response.Body, call); err != nil {
		return answer{}, failed(err)
	}
	status = response.StatusCode
	return got, c.judge(call, token, got)
}

// count calls Began, and returns a function that reports the end of the request.
func (c *Client) count(operation Operation, status *int) func() {
	if c.config.Began == nil {
		return func() {}
	}
	began, done := c.config.Now(), c.config.Began(operation)
	return func() { done(*status, c.config.Now().Sub(began)) }
}

func (c *Client) request(ctx context.Context, call call, token string) (*http.Request, error) {
	target, err := resolve(c.config.BaseURL, call.path)
	if err != nil {
		return nil, err
	}
	target.RawQuery = call.query.Encode()
	var body bytes.Buffer
	if call.body != nil {
		if err := json.NewEncoder(&body).Encode(call.body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target.String(), &body)
	if err != nil {
		return nil, errors.New("the request's address is not valid")
	}
	request.Header.Set("Accept", contentTypeJSON)
	request.Header.Set("User-Agent", c.config.UserAgent)
	request.Header.Set(requestIDHeader, call.requestID)
	if c.config.Tracer != nil {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	}
	if call.body != nil {
		request.Header.Set("Content-Type", contentTypeJSON)
	}
	if token != "" {
		request.Header.Set(authorizationKey, c.config.Dialect.authorization(token))
	}
	return request, nil
}

// resolve builds an address below the base URL. A segment that would change which resource is
// addressed is refused rather than sent.
func resolve(base *url.URL, segments []string) (*url.URL, error) {
	escaped := make([]string, len(segments))
	for i, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return nil, errors.New("an id in the request's path is empty or consists of dots")
		}
		escaped[i] = url.PathEscape(segment)
	}
	return &url.URL{
		Scheme:  base.Scheme,
		Host:    base.Host,
		Path:    "/" + strings.Join(segments, "/"),
		RawPath: "/" + strings.Join(escaped, "/"),
	}, nil
}
