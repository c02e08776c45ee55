package delos

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Kind is the meaning of a failed call for the caller.
type Kind int

// The kinds of failure. The zero Kind is that of no error.
const (
	KindNone Kind = iota
	// KindUserNotFound: the API says in its own words that it knows no such user. See ProvesUserGone.
	KindUserNotFound
	// KindClientNotFound: the API says in its own words that it knows no such client ("customer").
	KindClientNotFound
	// KindAlreadyRelated: the API does not overwrite the existing relation. Get user shows it.
	KindAlreadyRelated
	// KindUnauthorized: the API does not accept the token.
	KindUnauthorized
	// KindLoginRefused: the API does not accept the credentials. No further login is sent until
	// Probe is called.
	KindLoginRefused
	// KindSessionEnded: the API does not accept the refresh token. The client logs in again by
	// itself; callers do not see this kind.
	KindSessionEnded
	// KindForbidden: the account may not do this.
	KindForbidden
	// KindInvalid: the API calls the request invalid, or it could not be sent as it is.
	KindInvalid
	// KindRefused: the platform refuses the call, for a reason that its words give.
	KindRefused
	// KindRateLimited: the API asks for patience, by 429 or by Retry-After. See RetryAfter.
	KindRateLimited
	// KindAwaitingCode: the login waits for the account's next one-time code, and nothing was sent. RetryAfter is
	// the time until then.
	KindAwaitingCode
	// KindUnavailable: the API fails.
	KindUnavailable
	// KindUnreachable: there was no whole answer. The call may have been carried out.
	KindUnreachable
	// KindTooLarge: the answer is larger than the client reads, and proves nothing.
	KindTooLarge
	// KindUnexpected: the answer is not in the contract, and proves nothing.
	KindUnexpected
)

var kindNames = [...]string{
	KindNone:           "no error",
	KindUserNotFound:   "user not found",
	KindClientNotFound: "client not found",
	KindAlreadyRelated: "already related",
	KindUnauthorized:   "unauthorized",
	KindLoginRefused:   "login refused",
	KindSessionEnded:   "session ended",
	KindForbidden:      "forbidden",
	KindInvalid:        "invalid request",
	KindRefused:        "refused",
	KindRateLimited:    "rate limited",
	KindAwaitingCode:   "awaiting a one-time code",
	KindUnavailable:    "API unavailable",
	KindUnreachable:    "API unreachable",
	KindTooLarge:       "answer too large",
	KindUnexpected:     "unexpected answer",
}

// String returns the kind in words.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Error is a call that failed. Its text carries no secret, no URL and no answer body beyond the
// API's own error text.
type Error struct {
	// Operation that failed.
	Operation Operation
	// Kind of the failure.
	Kind Kind
	// Status of the HTTP answer; 0 when there was none.
	Status int
	// Text is the API's own error text, cut at 256 characters, or the client's words for the problem
	// of the answer.
	Text string
	// RequestID was sent with the call in the header X-Request-Id.
	RequestID string
	// RetryAfter is the pause that the API asks for; 0 when it asks for none.
	RetryAfter time.Duration
	// OtherForm is the form of the request that the API may take instead of the one that was sent. It is FormNone where the
	// failure says nothing of the form, or the API has accepted the form before.
	OtherForm Form
	// OtherCase is an id in the answer that differs only in its case from the id of the user or of the client in the call; ""
	// where there is none.
	OtherCase string

	// inWords: the answer has words of the API's own.
	inWords bool
	// tokenRefused: the API asks for patience, but seems not to accept the token that was sent either.
	tokenRefused bool
	// canceled is the error of the caller's context when the caller gave up, so that errors.Is finds it.
	canceled error
}

// Error describes the failure for logs.
func (e *Error) Error() string {
	text := string(e.Operation) + ": " + e.Kind.String()
	if e.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Text != "" {
		text += ": " + e.Text
	}
	if e.RequestID != "" {
		text += " [request " + e.RequestID + "]"
	}
	return text
}

// Unwrap returns why the caller gave up the call, else nil: the error of a transport may contain a URL,
// and with it a refresh token.
func (e *Error) Unwrap() error { return e.canceled }

// ProvesUserGone reports whether the answer proves that the API knows no such user. Only the API's
// own words prove it. With a 5xx they do not, since the API fails. With a 401 or a 403 they do not, since the
// user that it does not find may be the account's.
func (e *Error) ProvesUserGone() bool {
	switch {
	case e.Kind != KindUserNotFound, e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return false
	default:
		return e.Status >= 200 && e.Status < 300 || e.Status >= 400 && e.Status < 500
	}
}

// Names reports whether the API's own words name an id.
func (e *Error) Names(id string) bool {
	return slices.Contains(strings.FieldsFunc(e.Text, func(r rune) bool {
		return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), id)
}

// MayMeanGone reports whether the answer to a removal may mean that there is nothing to remove: the
// API's own words, documented or not, with a 404. Only Get user can tell whether it is so.
func (e *Error) MayMeanGone() bool {
	switch e.Kind {
	case KindUserNotFound, KindClientNotFound:
		return e.Status < 500
	case KindUnexpected, KindRefused:
		return e.Status == http.StatusNotFound && e.Text != ""
	default:
		return false
	}
}

// Refused reports whether the API answered that it does not carry out the call, for any reason. Neither the words nor the
// status for the removal of a missing relation are documented.
func (e *Error) Refused() bool {
	switch e.Kind {
	case KindInvalid, KindUnexpected, KindRefused:
		return e.Status < 500 && e.Text != ""
	default:
		return false
	}
}

// Answered reports whether the API itself says that it did not carry out the call. A page, a gateway's status without words, and an API
// that fails are no answer: the call may have been carried out, or may still be.
func (e *Error) Answered() bool {
	return e.Kind == KindAlreadyRelated || e.inWords && e.Status < http.StatusInternalServerError
}

// Succeeded reports whether the status says that the call succeeded, although the answer is not what it should be.
func (e *Error) Succeeded() bool { return succeeded(e.Status) }

// Declined reports whether the status of the answer (4xx) says that the API did nothing. An API that fails may have carried
// out the call.
func (e *Error) Declined() bool {
	return e.Status >= http.StatusBadRequest && e.Status < http.StatusInternalServerError
}

// answersProbe reports whether an answer shows that the API is there and takes the session, although it
// does not do what a probe asks for.
func (e *Error) answersProbe() bool {
	switch e.Kind {
	case KindForbidden, KindInvalid, KindUserNotFound, KindClientNotFound:
		return e.Status < 500
	case KindUnavailable:
		return e.Status == http.StatusNotImplemented
	case KindUnexpected:
		return e.Status == http.StatusNotFound && e.Text != ""
	default:
		return false
	}
}

// guardError says why an address must not be called.
type guardError struct{ error }

// tokenRefused reports whether the API seems not to accept a token, and asks for patience at the same time: another
// token is to be sent, but not now.
func tokenRefused(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.tokenRefused
}

// RetryAfterOf returns the pause that the API asks for; 0 when it asks for none.
func RetryAfterOf(err error) time.Duration {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.RetryAfter
	}
	return 0
}

// KindOf returns the kind of an error of this package, however it is wrapped; KindNone for nil and
// for errors of others.
func KindOf(err error) Kind {
	var failure *Error
	if errors.As(err, &failure) {
		return failure.Kind
	}
	return KindNone
}

// transportError describes a call without a whole answer. It has words of its own, since those of net/http
// may repeat the URL or data of the other side.
func (c *Client) transportError(ctx context.Context, operation Operation, requestID string, err error) error {
	failure := &Error{Operation: operation, Kind: KindUnreachable, RequestID: requestID}
	if failure.canceled = ctx.Err(); failure.canceled != nil {
		failure.Text = "given up by the caller"
		return failure
	}
	failure.Text = c.describe(err)
	return failure
}

func (c *Client) describe(err error) string {
	var (
		timeout    net.Error
		dns        *net.DNSError
		verify     *tls.CertificateVerificationError
		record     tls.RecordHeaderError
		connection *net.OpError
		forbidden  guardError
	)
	switch {
	case errors.As(err, &forbidden):
		return forbidden.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no whole answer from %s within %s", c.config.BaseURL.Host, c.config.Timeout)
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s cannot be resolved", c.config.BaseURL.Hostname())
	case errors.As(err, &verify):
		return fmt.Sprintf("the certificate of %s is not trusted: %s", c.config.BaseURL.Host, describeDistrust(verify.Err))
	case errors.As(err, &record):
		return c.config.BaseURL.Host + " does not speak TLS"
	case errors.As(err, &connection) && connection.Op == "remote error":
		return fmt.Sprintf("%s refused the TLS connection: %s", c.config.BaseURL.Host, connection.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return c.config.BaseURL.Host + " refused the connection"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return c.config.BaseURL.Host + " closed the connection before its answer was complete"
	case errors.As(err, &connection) && connection.Op == "dial":
		return c.config.BaseURL.Host + " cannot be reached"
	default:
		return c.config.BaseURL.Host + " gave no answer that can be read as HTTP"
	}
}

// describeDistrust says what is wrong with a certificate, without the time of day, which would make each
// message a new one.
func describeDistrust(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return "it has expired or is not valid yet"
	}
	return clean(err.Error())
}
