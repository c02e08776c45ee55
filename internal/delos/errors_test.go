package delos

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// verdict is all that a caller learns from a failed call.
type verdict struct {
	// Text is that of Error, with "ID" for the request's id.
	Text       string
	Kind       Kind
	RetryAfter time.Duration
	UserGone   bool
	MaybeGone  bool
}

func verdictOf(t *testing.T, err error) verdict {
	t.Helper()
	failure := failureOf(t, err)
	return verdict{textOf(t, err), failure.Kind, failure.RetryAfter, failure.ProvesUserGone(), failure.MayMeanGone()}
}

const (
	userNotFound   = `{"error": "User not found: user_abc123def"}`
	clientNotFound = `{"error": "Customer not found: cust_789xyz"}`
	page           = "<html><body><h1>Not Found</h1></body></html>"
)

// TestDocumentedErrors: the API's own words decide, in either form of body and under any status.
func TestDocumentedErrors(t *testing.T) {
	for _, test := range []struct {
		reason    string
		operation Operation
		status    int
		body      string
		want      verdict
	}{
		{"no such user", OperationUser, 404, userNotFound, verdict{
			Text: "get-user: user not found (HTTP 404): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"no such user, in a gateway's form", OperationUser, 404, `{"code": 5, "message": "User not found: user_abc123def", "details": []}`, verdict{
			Text: "get-user: user not found (HTTP 404): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"both forms at once", OperationUser, 404, `{"error": "User not found: user_abc123def", "code": 2, "message": "unknown"}`, verdict{
			Text: "get-user: user not found (HTTP 404): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"no such user under a 200", OperationUser, 200, userNotFound, verdict{
			Text: "get-user: user not found (HTTP 200): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"no such user under a 400", OperationRelate, 400, userNotFound, verdict{
			Text: "relate-client: user not found (HTTP 400): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"no such user, without an id", OperationUser, 404, `{"error": "User not found"}`, verdict{
			Text: "get-user: user not found (HTTP 404): User not found [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"an API that fails proves nothing", OperationUser, 500, userNotFound, verdict{
			Text: "get-user: user not found (HTTP 500): User not found: user_abc123def [request ID]", Kind: KindUserNotFound}},
		{"nor does one that redirects", OperationUser, 302, userNotFound, verdict{
			Text: "get-user: user not found (HTTP 302): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, MaybeGone: true}},
		{"nor does one that refuses the session: the user may be the account's", OperationUser, 401, `{"error": "User not found"}`, verdict{
			Text: "get-user: user not found (HTTP 401): User not found [request ID]", Kind: KindUserNotFound, MaybeGone: true}},
		{"nor does one that refuses the right", OperationUser, 403, userNotFound, verdict{
			Text: "get-user: user not found (HTTP 403): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, MaybeGone: true}},
		{"another user than asked for", OperationUser, 404, `{"error": "User not found: user_abc123"}`, verdict{
			Text: "get-user: unexpected answer (HTTP 404): User not found: user_abc123 [request ID]", Kind: KindUnexpected, MaybeGone: true}},
		{"another user than asked for, under a 200", OperationUser, 200, `{"error": "User not found: user_abc123def "}`, verdict{
			Text: "get-user: unexpected answer (HTTP 200): User not found: user_abc123def  [request ID]", Kind: KindUnexpected}},
		{"words around the known ones", OperationUser, 404, `{"error": "Upstream said: User not found: user_abc123def"}`, verdict{
			Text: "get-user: unexpected answer (HTTP 404): Upstream said: User not found: user_abc123def [request ID]", Kind: KindUnexpected, MaybeGone: true}},
		{"no such client", OperationRelate, 404, clientNotFound, verdict{
			Text: "relate-client: client not found (HTTP 404): Customer not found: cust_789xyz [request ID]", Kind: KindClientNotFound, MaybeGone: true}},
		{"no such client to remove", OperationUnrelate, 400, `{"code": 5, "message": "Customer not found: cust_789xyz"}`, verdict{
			Text: "remove-relate-client: client not found (HTTP 400): Customer not found: cust_789xyz [request ID]", Kind: KindClientNotFound, MaybeGone: true}},
		{"no such client, from an API that fails", OperationUnrelate, 502, clientNotFound, verdict{
			Text: "remove-relate-client: client not found (HTTP 502): Customer not found: cust_789xyz [request ID]", Kind: KindClientNotFound}},
		{"another client than asked for", OperationRelate, 503, `{"error": "Customer not found: cust_other"}`, verdict{
			Text: "relate-client: API unavailable (HTTP 503): Customer not found: cust_other [request ID]", Kind: KindUnavailable}},
		{"a client, where none was asked for", OperationUser, 404, `{"error": "Customer not found"}`, verdict{
			Text: "get-user: unexpected answer (HTTP 404): Customer not found [request ID]", Kind: KindUnexpected, MaybeGone: true}},
		{"related already", OperationRelate, 409, `{"error": "User already related to this customer"}`, verdict{
			Text: "relate-client: already related (HTTP 409): User already related to this customer [request ID]", Kind: KindAlreadyRelated}},
		{"related already, under a 500", OperationRelate, 500, `{"code": 6, "message": "User already related to this customer"}`, verdict{
			Text: "relate-client: already related (HTTP 500): User already related to this customer [request ID]", Kind: KindAlreadyRelated}},
		{"a refresh token that is not known", OperationRefresh, 400, `{"error": "Invalid or expired refresh token"}`, verdict{
			Text: "refresh: session ended (HTTP 400): Invalid or expired refresh token [request ID]", Kind: KindSessionEnded}},
		{"a refresh token that was revoked", OperationRefresh, 200, `{"error": "Token revoked. Please log in again"}`, verdict{
			Text: "refresh: session ended (HTTP 200): Token revoked. Please log in again [request ID]", Kind: KindSessionEnded}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			err := operations[test.operation](t, newAPI(t, answering(t, test.status, test.body), withLoginIfNeeded(test.operation)))
			if diff := cmp.Diff(test.want, verdictOf(t, err)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// withLoginIfNeeded lets a test of a login have something to log in with.
func withLoginIfNeeded(operation Operation) func(*Config) {
	if operation == OperationLogin {
		return withLogin
	}
	return func(*Config) {}
}

// TestOtherErrors: without the documented words the status decides, and proves nothing.
func TestOtherErrors(t *testing.T) {
	for _, test := range []struct {
		reason  string
		status  int
		body    string
		headers []string
		want    verdict
	}{
		{"bad request", 400, "", nil, verdict{
			Text: "get-user: invalid request (HTTP 400) [request ID]", Kind: KindInvalid}},
		{"bad request, in words", 400, `{"error": "uuid is malformed"}`, nil, verdict{
			Text: "get-user: invalid request (HTTP 400): uuid is malformed [request ID]", Kind: KindInvalid}},
		{"unprocessable", 422, `{"code": 3, "message": "bad", "details": [{"x": 1}]}`, nil, verdict{
			Text: "get-user: invalid request (HTTP 422): bad [request ID]", Kind: KindInvalid}},
		{"forbidden", 403, page, nil, verdict{
			Text: "get-user: forbidden (HTTP 403) [request ID]", Kind: KindForbidden}},
		{"a router's 404", 404, `{"code": 5, "message": "Not Found", "details": []}`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404): Not Found [request ID]", Kind: KindUnexpected, MaybeGone: true}},
		{"a proxy's 404", 404, page, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"an empty 404", 404, "", nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"the words on a page", 404, "User not found: user_abc123def", nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"the words in a list", 404, `["User not found: user_abc123def"]`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"the words in a body that is cut off", 404, `{"error": "User not found: user_abc123def"`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"the words in a body that is too large", 404, userNotFound + strings.Repeat(" ", 1<<20), nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"the words in a field of another name", 404, `{"message": "User not found: user_abc123def"}`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 404) [request ID]", Kind: KindUnexpected}},
		{"gone", 410, "", nil, verdict{
			Text: "get-user: unexpected answer (HTTP 410) [request ID]", Kind: KindUnexpected}},
		{"conflict", 409, `{"error": "busy"}`, nil, verdict{
			Text: "get-user: refused (HTTP 409): busy [request ID]", Kind: KindRefused}},
		{"a precondition, in a gateway's form", 412, `{"code": 9, "message": "the user is locked"}`, nil, verdict{
			Text: "get-user: refused (HTTP 412): the user is locked [request ID]", Kind: KindRefused}},
		{"a proxy's 409", 409, page, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 409) [request ID]", Kind: KindUnexpected}},
		{"forbidden, for seconds", 403, page, []string{"Retry-After: 30"}, verdict{
			Text: "get-user: rate limited (HTTP 403) [request ID]", Kind: KindRateLimited, RetryAfter: 30 * time.Second}},
		{"forbidden, for no seconds", 403, page, []string{"Retry-After: 0"}, verdict{
			Text: "get-user: forbidden (HTTP 403) [request ID]", Kind: KindForbidden}},
		{"forbidden, until soon", 403, page, []string{"Retry-After: soon"}, verdict{
			Text: "get-user: forbidden (HTTP 403) [request ID]", Kind: KindForbidden}},
		{"forbidden, until a date that has passed", 403, "", []string{"Retry-After: Sun, 01 Mar 2026 11:59:59 GMT"}, verdict{
			Text: "get-user: forbidden (HTTP 403) [request ID]", Kind: KindForbidden}},
		{"a bad request, for seconds", 400, `{"error": "quota"}`, []string{"Retry-After: 7"}, verdict{
			Text: "get-user: rate limited (HTTP 400): quota [request ID]", Kind: KindRateLimited, RetryAfter: 7 * time.Second}},
		{"unauthorized, for seconds", 401, `{"error": "Unauthorized"}`, []string{"Retry-After: 7"}, verdict{
			Text: "get-user: rate limited (HTTP 401): Unauthorized [request ID]", Kind: KindRateLimited, RetryAfter: 7 * time.Second}},
		{"a failure, for seconds", 500, "", []string{"Retry-After: 7"}, verdict{
			Text: "get-user: rate limited (HTTP 500) [request ID]", Kind: KindRateLimited, RetryAfter: 7 * time.Second}},
		{"the documented words, for seconds", 404, userNotFound, []string{"Retry-After: 7"}, verdict{
			Text: "get-user: user not found (HTTP 404): User not found: user_abc123def [request ID]", Kind: KindUserNotFound,
			RetryAfter: 7 * time.Second, UserGone: true, MaybeGone: true}},
		{"a byte order mark before the words", 404, "\ufeff" + userNotFound, nil, verdict{
			Text: "get-user: user not found (HTTP 404): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"a byte order mark before the words under a 200", 200, "\ufeff" + userNotFound, nil, verdict{
			Text: "get-user: user not found (HTTP 200): User not found: user_abc123def [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"an error behind the user", 200, `{"item": {"uuid": "user_abc123def", "clients": []}, "error": "User not found"}`, nil, verdict{
			Text: "get-user: user not found (HTTP 200): User not found [request ID]", Kind: KindUserNotFound, UserGone: true, MaybeGone: true}},
		{"an error under a 200", 200, `{"error": "something broke", "item": {"uuid": "user_abc123def"}}`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 200): something broke [request ID]", Kind: KindUnexpected}},
		{"an error under a 200, in a gateway's form", 200, `{"code": 13, "message": "internal", "item": {"uuid": "user_abc123def"}}`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 200): internal [request ID]", Kind: KindUnexpected}},
		{"an error of no known form under a 200", 200, `{"error": {"reason": 7}, "item": {"uuid": "user_abc123def"}}`, nil, verdict{
			Text: "get-user: unexpected answer (HTTP 200) [request ID]", Kind: KindUnexpected}},
		{"a redirect", 302, page, []string{"Location: /login"}, verdict{
			Text: "get-user: unexpected answer (HTTP 302) [request ID]", Kind: KindUnexpected}},
		{"too many requests", 429, "", nil, verdict{
			Text: "get-user: rate limited (HTTP 429) [request ID]", Kind: KindRateLimited}},
		{"too many requests, for seconds", 429, `{"error": "slow down"}`, []string{"Retry-After: 7"}, verdict{
			Text: "get-user: rate limited (HTTP 429): slow down [request ID]", Kind: KindRateLimited, RetryAfter: 7 * time.Second}},
		{"too many requests, until a date", 429, "", []string{"Retry-After: Sun, 01 Mar 2026 12:01:30 GMT"}, verdict{
			Text: "get-user: rate limited (HTTP 429) [request ID]", Kind: KindRateLimited, RetryAfter: 90 * time.Second}},
		{"unavailable, for seconds", 503, page, []string{"Retry-After: 120"}, verdict{
			Text: "get-user: rate limited (HTTP 503) [request ID]", Kind: KindRateLimited, RetryAfter: 2 * time.Minute}},
		{"unavailable", 503, page, nil, verdict{
			Text: "get-user: API unavailable (HTTP 503) [request ID]", Kind: KindUnavailable}},
		{"unavailable, until a date that has passed", 503, "", []string{"Retry-After: Sun, 01 Mar 2026 11:59:59 GMT"}, verdict{
			Text: "get-user: API unavailable (HTTP 503) [request ID]", Kind: KindUnavailable}},
		{"a failure", 500, `{"error": "boom"}`, nil, verdict{
			Text: "get-user: API unavailable (HTTP 500): boom [request ID]", Kind: KindUnavailable}},
		{"a proxy's 502", 502, page, nil, verdict{
			Text: "get-user: API unavailable (HTTP 502) [request ID]", Kind: KindUnavailable}},
		{"what is shown is one short line", 500, `{"error": "a\u0000\u001b[31m\r\nb\u202e\u2028\ufeff ` + strings.Repeat("é", 300) + `"}`, nil, verdict{
			Text: "get-user: API unavailable (HTTP 500): a[31mb " + strings.Repeat("é", 248) + "… [request ID]", Kind: KindUnavailable}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			_, err := newAPI(t, answering(t, test.status, test.body, test.headers...)).User(t.Context(), john)
			if diff := cmp.Diff(test.want, verdictOf(t, err)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoginErrors shows what counts as a refusal, after which no login is sent: the documentation has
// no error texts for a login, and an account that was asked for too often may be locked.
func TestLoginErrors(t *testing.T) {
	for _, test := range []struct {
		reason string
		status int
		body   string
		want   string
		// retryAfter is the header's value.
		retryAfter string
	}{
		{"unauthorized", 401, `{"error": "Unauthorized"}`, "login: login refused (HTTP 401): Unauthorized [request ID]", ""},
		{"unauthorized without words", 401, page, "login: login refused (HTTP 401) [request ID]", ""},
		{"unauthorized under a 200", 200, `{"error": "Unauthorized"}`, "login: login refused (HTTP 200): Unauthorized [request ID]", ""},
		{"other words under a 200", 200, `{"error": "Wrong login or password"}`, "login: login refused (HTTP 200): Wrong login or password [request ID]", ""},
		{"no words that can be read under a 200", 200, `{"error": {"code": "WRONG_PASSWORD"}}`, "login: login refused (HTTP 200) [request ID]", ""},
		{"a bad request", 400, "", "login: login refused (HTTP 400) [request ID]", ""},
		{"forbidden", 403, page, "login: login refused (HTTP 403) [request ID]", ""},
		{"the account is not known", 404, `{"error": "User not found: operator@example.com"}`, "login: login refused (HTTP 404): User not found: operator@example.com [request ID]", ""},
		{"the account is not known, without an id", 404, `{"code": 5, "message": "User not found"}`, "login: login refused (HTTP 404): User not found [request ID]", ""},
		{"words that belong to a refresh", 401, `{"error": "Token revoked. Please log in again"}`, "login: login refused (HTTP 401): Token revoked. Please log in again [request ID]", ""},
		{"a proxy's 404 is no refusal", 404, page, "login: unexpected answer (HTTP 404) [request ID]", ""},
		{"nor is a redirect", 302, `{"error": "Found"}`, "login: unexpected answer (HTTP 302): Found [request ID]", ""},
		{"nor is a page under a 200", 200, page, "login: unexpected answer (HTTP 200): the answer holds no access token [request ID]", ""},
		{"nor is a session without a token", 200, `{"accessToken": "", "refreshToken": "r"}`, "login: unexpected answer (HTTP 200): the answer holds no access token [request ID]", ""},
		{"nor is a token that cannot be sent", 200, `{"accessToken": "a\r\nX-Evil: yes"}`, "login: unexpected answer (HTTP 200): the answer holds no access token [request ID]", ""},
		{"nor is too large an answer", 200, `{"accessToken": "a"}` + strings.Repeat(" ", 1<<20), "login: unexpected answer (HTTP 200): the answer is larger than 1 MiB [request ID]", ""},
		{"nor is a failure", 500, `{"error": "boom"}`, "login: API unavailable (HTTP 500): boom [request ID]", ""},
		{"nor is a request for patience", 429, `{"error": "Too many attempts"}`, "login: rate limited (HTTP 429): Too many attempts [request ID]", ""},
		{"nor is a request for patience that looks like another refusal", 403, page, "login: rate limited (HTTP 403) [request ID]", "30"},
		{"the API's own words are one, also with Retry-After", 403, `{"error": "Account locked"}`, "login: login refused (HTTP 403): Account locked [request ID]", "30"},
		{"as is unauthorized without words", 401, page, "login: login refused (HTTP 401) [request ID]", "30"},
		{"a byte order mark hides no refusal", 200, "\ufeff" + `{"error": "Wrong login or password"}`, "login: login refused (HTTP 200): Wrong login or password [request ID]", ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			_, err := newAPI(t, answering(t, test.status, test.body, "Retry-After: "+test.retryAfter), withLogin).login(t.Context())
			if got := textOf(t, err); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestTransportErrors shows what is said of calls without a whole answer.
func TestTransportErrors(t *testing.T) {
	const unreachable = "API unreachable: "
	fault := func(failure delossim.Failure) func(*testing.T) *Client {
		return func(t *testing.T) *Client {
			p := startPlatform(t, delossim.Settings{}, func(config *Config) { config.Timeout = 100 * time.Millisecond })
			p.Inject(delossim.Fault{Failure: failure})
			return p.api
		}
	}
	for _, test := range []struct {
		reason string
		api    func(*testing.T) *Client
		// want has HOST for the host and port.
		want string
	}{
		{"reset", fault(delossim.Reset{}), "HOST closed the connection before its answer was complete"},
		{"truncated", fault(delossim.Truncate{}), "HOST closed the connection before its answer was complete"},
		{"no answer in time", fault(delossim.Hang{}), "no whole answer from HOST within 100ms"},
		{"no body in time", fault(delossim.HangAfterHeaders{}), "no whole answer from HOST within 100ms"},
		{"too slow", fault(delossim.Drip{Interval: 20 * time.Millisecond}), "no whole answer from HOST within 100ms"},
		{"not HTTP", func(t *testing.T) *Client { return newAPI(t, "http://"+greeting(t, "SSH-2.0-OpenSSH_9.6\r\n")) }, "HOST gave no answer that can be read as HTTP"},
		{"not TLS", func(t *testing.T) *Client { return newAPI(t, "https://"+greeting(t, "SSH-2.0-OpenSSH_9.6\r\n")) }, "HOST does not speak TLS"},
		{"HTTP, not HTTPS", func(t *testing.T) *Client {
			return newAPI(t, strings.Replace(answering(t, 200, ""), "http:", "https:", 1))
		}, "HOST does not speak TLS"},
		{"refused", func(t *testing.T) *Client { return newAPI(t, "http://"+nobody(t)) }, "HOST refused the connection"},
		{"a name that does not exist", func(t *testing.T) *Client { return newAPI(t, "https://no..where") }, "the name HOST cannot be resolved"},
		{"an unknown authority", func(t *testing.T) *Client { return newAPI(t, secure(t, nil).URL) },
			"the certificate of HOST is not trusted: x509: certificate signed by unknown authority"},
		{"a certificate for another name", func(t *testing.T) *Client {
			server := secure(t, nil)
			return newAPI(t, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), trusting(server))
		}, "the certificate of HOST is not trusted: x509: certificate is valid for example.com, *.example.com, not localhost"},
		{"an expired certificate", func(t *testing.T) *Client {
			server := secure(t, func(config *tls.Config) { config.Certificates = []tls.Certificate{expired(t)} })
			return newAPI(t, server.URL, trusting(server))
		}, "the certificate of HOST is not trusted: it has expired or is not valid yet"},
		{"only old versions of TLS", func(t *testing.T) *Client {
			server := secure(t, func(config *tls.Config) { config.MaxVersion = tls.VersionTLS11 })
			return newAPI(t, server.URL, trusting(server))
		}, "HOST refused the TLS connection: tls: protocol version not supported"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			api := test.api(t)
			for operation, call := range operations {
				want := string(operation) + ": " + unreachable + strings.ReplaceAll(test.want, "HOST", api.config.BaseURL.Host) + " [request ID]"
				if got := textOf(t, call(t, api)); got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			}
		})
	}
}

// greeting is the address of a server that answers all who come with a line, and hangs up.
func greeting(t *testing.T, line string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte(line))
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// nobody is an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(nil)
	server.Close()
	return server.Listener.Addr().String()
}

// secure is a server with TLS that complains to nobody.
func secure(t *testing.T, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = quiet
	server.TLS = &tls.Config{}
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// trusting lets a client trust a server's certificate.
func trusting(server *httptest.Server) func(*Config) {
	return func(config *Config) {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AddCert(server.Certificate())
	}
}

// expired is a certificate for 127.0.0.1 that was good in 1970.
func expired(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "old"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(3600, 0),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}
}

// TestErrorsShowNoSecret lets an API repeat all that it was sent, in the forms in which it was sent.
func TestErrorsShowNoSecret(t *testing.T) {
	for name, secret := range map[string]string{
		"plain":                               "canary",
		"with characters that are escaped":    `canary"<&/ é+`,
		"with what is not shown":              "can\u200bary",
		"with both, and an escape at its end": "can\u200bary<\"",
	} {
		echo := serve(t, func(w http.ResponseWriter, request *http.Request) {
			var body bytes.Buffer
			_, _ = body.ReadFrom(request.Body)
			var sent struct{ Password string }
			_ = json.Unmarshal(body.Bytes(), &sent)
			text, _ := json.Marshal(strings.Join([]string{
				"echo", request.Header.Get("Authorization"), request.RequestURI, request.URL.Path, body.String(), sent.Password,
			}, " "))
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"error": %s}`, text)
		})
		calls := map[string]func(api *Client) error{
			"login":   func(api *Client) error { _, err := api.login(t.Context()); return err },
			"refresh": func(api *Client) error { _, err := api.refresh(t.Context(), secret); return err },
		}
		if secret == "canary" {
			calls["token"] = func(api *Client) error { _, err := api.User(t.Context(), john); return err }
		}
		for operation, call := range calls {
			t.Run(name+"/"+operation, func(t *testing.T) {
				err := call(newAPI(t, echo, func(config *Config) {
					config.Credentials = Credentials{Login: account, Password: secret, Token: "canary"}
				}))
				text := err.Error()
				if !strings.Contains(text, "echo") || !strings.Contains(text, "[redacted]") {
					t.Errorf("not what this is about: %s", text)
				}
				for _, bad := range []string{secret, url.PathEscape(secret), "canary", "can\u200bary"} {
					if strings.Contains(text, bad) {
						t.Errorf("shows %q: %s", bad, text)
					}
				}
			})
		}
	}
}

// TestTransportErrorsShowNoSecret: net/http puts the URL into its errors, and with it a refresh token.
func TestTransportErrorsShowNoSecret(t *testing.T) {
	for name, failure := range map[string]delossim.Failure{
		"reset":     delossim.Reset{},
		"truncated": delossim.Answer{Header: http.Header{"Content-Length": {"100"}}, Body: "canary"},
		"hang":      delossim.Hang{},
		"redirect":  delossim.Answer{Status: 302, Header: http.Header{"Location": {"http://%zz/canary"}}},
		"malformed": delossim.Answer{Header: http.Header{"Content-Encoding": {"gzip"}}, Body: "canary canary"},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t, delossim.Settings{}, func(config *Config) {
				config.Timeout = 100 * time.Millisecond
				config.Credentials = Credentials{Login: account, Password: "canary"}
			})
			p.Inject(delossim.Fault{Failure: failure})
			for _, try := range []func() error{
				func() error { _, err := p.api.refresh(t.Context(), "canary"); return err },
				func() error { _, err := p.api.login(t.Context()); return err },
				func() error {
					_, err := p.api.exchange(t.Context(), p.api.calls, call{path: []string{john}}, "canary")
					return err
				},
			} {
				for err := try(); err != nil; err = unwrap(err) {
					if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "canary") {
						t.Errorf("shows a secret: %s", text)
					}
				}
			}
		})
	}
}

func unwrap(err error) error {
	if wrapper, ok := err.(interface{ Unwrap() error }); ok {
		return wrapper.Unwrap()
	}
	return nil
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	config := Config{Credentials: Credentials{Login: account, Password: "canary", Token: "canary"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if text := fmt.Sprintf(verb, config.Credentials) + fmt.Sprintf(verb, config) + fmt.Sprintf(verb, &config); strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
			t.Errorf("%s shows a secret: %s", verb, text)
		}
	}
}

func TestKindNames(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindNone: "no error", KindUnexpected: "unexpected answer", KindUnexpected + 1: "kind 16", -1: "kind -1",
	} {
		if got := kind.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestKindOf(t *testing.T) {
	failure := &Error{Kind: KindForbidden}
	for _, test := range []struct {
		err  error
		want Kind
	}{
		{nil, KindNone},
		{failure, KindForbidden},
		{fmt.Errorf("reading the user: %w", failure), KindForbidden},
		{http.ErrServerClosed, KindNone},
	} {
		if got := KindOf(test.err); got != test.want {
			t.Errorf("%v is %v, want %v", test.err, got, test.want)
		}
	}
}
