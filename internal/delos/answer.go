package delos

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// answer is a whole HTTP answer.
type answer struct {
	requestID string
	status    int
	header    http.Header
	body      []byte
	tooLarge  bool
}

var errTooLarge = errors.New("the answer is larger than 1 MiB")

// readBody reads a body up to maxAnswerBytes; past that it returns errTooLarge.
func readBody(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, maxAnswerBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswerBytes {
		return nil, errTooLarge
	}
	return body, nil
}

// errorText returns the API's own words for a failure, and whether the body reports one at all. It
// reads both forms that the API may use: the documented {"error": "…"}, and that of a gRPC gateway,
// {"code": 5, "message": "…", "details": []}.
func errorText(body []byte) (text string, reported bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return "", false
	}
	if json.Unmarshal(fields["error"], &text) == nil && text != "" {
		return text, true
	}
	if code, coded := fields["code"]; coded && string(code) != "0" && json.Unmarshal(fields["message"], &text) == nil && text != "" {
		return text, true
	}
	other, reported := fields["error"]
	return "", reported && string(other) != "null" && string(other) != `""`
}

// documented holds the error texts that the API documents. They decide what an answer means, in
// either body form and under any status; nothing else in this program looks at error texts.
var documented = []struct {
	text string
	kind Kind
	// id returns the id that the API names behind the text; nil where it names none.
	id func(call) string
}{
	{"User not found", KindUserNotFound, func(c call) string { return c.user }},
	{"Customer not found", KindClientNotFound, func(c call) string { return c.cuid }},
	{"Unauthorized", KindUnauthorized, nil},
	{"User already related to this customer", KindAlreadyRelated, nil},
	{"Invalid or expired refresh token", KindSessionEnded, nil},
	{"Token revoked. Please log in again", KindSessionEnded, nil},
}

// kindOfText returns what one of the documented texts means; KindNone for any other text. A text that
// names another id than the call was about has no meaning for it.
func kindOfText(text string, about call) Kind {
	for _, known := range documented {
		if text == known.text {
			return known.kind
		}
		if id, found := strings.CutPrefix(text, known.text+": "); found && known.id != nil {
			if id != known.id(about) {
				return KindUnexpected
			}
			return known.kind
		}
	}
	return KindNone
}

// judge turns an answer into an error unless it is a success. It never takes an unclear answer for
// proof of anything.
func (c *Client) judge(about call, token string, got answer) error {
	failure := &Error{
		Operation:  about.operation,
		Status:     got.status,
		RequestID:  got.requestID,
		RetryAfter: retryAfter(got.header.Get("Retry-After"), c.config.Now()),
	}
	text, reported := errorText(got.body)
	failure.Kind = kindOfText(text, about)
	if failure.Kind == KindNone {
		failure.Kind = kindOfStatus(got.status, failure.RetryAfter)
	}
	if failure.Kind == KindNone && reported {
		failure.Kind = KindUnexpected
	}
	if failure.Kind == KindNone && got.tooLarge {
		failure.Kind, text = KindUnexpected, errTooLarge.Error()
	}
	if about.operation == OperationLogin {
		failure.Kind = kindOfLogin(failure.Kind, got.status, text)
	}
	if failure.Kind == KindNone {
		return nil
	}
	failure.Text = clean(redact(text, append(about.secrets, token)))
	return failure
}

// redact takes what the call sent as a secret out of what came back.
func redact(text string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return text
}

// kindOfStatus says what a status means where the body has none of the documented texts.
func kindOfStatus(status int, wait time.Duration) Kind {
	switch {
	case status >= 200 && status < 300:
		return KindNone
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return KindInvalid
	case status == http.StatusUnauthorized:
		return KindUnauthorized
	case status == http.StatusForbidden:
		return KindForbidden
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && wait > 0:
		return KindRateLimited
	case status >= 500:
		return KindUnavailable
	default:
		return KindUnexpected
	}
}

// kindOfLogin says what the answer to a login means. Its error texts are not documented, so the
// words that come with a client error count as a refusal: one login too few is better than an
// account that is locked.
func kindOfLogin(kind Kind, status int, text string) Kind {
	switch kind {
	case KindNone, KindRateLimited, KindUnavailable:
		return kind
	case KindUnexpected:
		if text == "" || status >= 300 && status < 400 {
			return kind
		}
	}
	return KindLoginRefused
}

const maxTextLength = 256

// clean makes a text of the API fit to be shown: no control characters, 256 characters at most.
func clean(text string) string {
	kept := []rune(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text))
	if len(kept) > maxTextLength {
		kept = append(kept[:maxTextLength-1], '…')
	}
	return string(kept)
}

// maxRetryAfter bounds what one answer can ask for, so that a mistaken one does not stop the
// operator for days.
const maxRetryAfter = time.Hour

// retryAfter reads a Retry-After header, which holds seconds or an HTTP date (RFC 9110, 10.2.3).
// It returns 0 when there is none, or none that makes sense.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
