package delos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
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
	// body of the answer, without a byte order mark. A Get user that succeeded has no body here, but shown: its content,
	// nil if that is no user.
	body     []byte
	shown    *shown
	tooLarge bool
}

// read reads the body up to its bound. The error is that of the connection.
func (a *answer) read(from io.Reader, about call) (err error) {
	if about.operation == OperationUser && succeeded(a.status) {
		a.shown, err = readShown(&bounded{from, maxUserBytes})
	} else {
		a.body, err = io.ReadAll(&bounded{from, cmp.Or(about.maxBytes, maxAnswerBytes)})
		a.body = bytes.TrimPrefix(a.body, []byte(byteOrderMark))
	}
	switch {
	case errors.Is(err, errBound):
		a.body, a.tooLarge = nil, true
		return nil
	case errors.Is(err, errNotUser):
		return nil
	default:
		return err
	}
}

func succeeded(status int) bool { return status >= 200 && status < 300 }

// errorText returns the API's own words for a failure, and whether the body reports one at all. It
// reads both forms that the API may use: the documented {"error": "…"}, and that of a gRPC gateway,
// {"code": 5, "message": "…", "details": []}.
func (a *answer) errorText() (text string, reported bool) {
	fields := map[string]json.RawMessage{}
	if a.shown != nil {
		fields = a.shown.fields
	} else if json.Unmarshal(a.body, &fields) != nil {
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
	// id returns the id that the API names behind the text; nil where it names none. For a call that is
	// about no such id, the text means nothing.
	id func(call) string
}{
	{"User not found", KindUserNotFound, func(c call) string { return c.user }},
	{"Customer not found", KindClientNotFound, func(c call) string { return c.cuid }},
	{"Unauthorized", KindUnauthorized, nil},
	{"User already related to this customer", KindAlreadyRelated, nil},
	{"Invalid or expired refresh token", KindSessionEnded, nil},
	{"Token revoked. Please log in again", KindSessionEnded, nil},
}

// kindOfText returns the meaning of a documented text; KindNone for any other text, and for a text that
// names another id than the call.
func kindOfText(text string, about call) Kind {
	for _, known := range documented {
		if known.id != nil {
			id := known.id(about)
			if id != "" && (text == known.text || text == known.text+": "+id) {
				return known.kind
			}
			continue
		}
		if text != known.text {
			continue
		}
		if known.kind == KindSessionEnded && about.operation != OperationRefresh {
			return KindUnauthorized // these words are about a refresh token, but an access token was sent
		}
		return known.kind
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
	text, reported := got.errorText()
	failure.inWords = text != ""
	failure.Kind = kindOfText(text, about)
	if failure.Kind == KindNone {
		failure.Kind = kindOfStatus(got.status)
	}
	if failure.Kind == KindUnexpected && text != "" && refusesInWords(about, got.status, text) {
		failure.Kind = KindRefused
	}
	if failure.Kind == KindNone && reported {
		failure.Kind = KindUnexpected
	}
	if failure.Kind == KindNone && got.tooLarge {
		failure.Kind, text = kindOfTooLarge(about)
	}
	if about.operation == OperationLogin {
		failure.Kind = kindOfLogin(failure.Kind, got.status, reported)
	}
	if failure.RetryAfter > 0 && got.status >= http.StatusBadRequest && mayBePatience(failure.Kind, got.status, reported) {
		failure.tokenRefused = failure.Kind == KindUnauthorized || failure.Kind == KindSessionEnded
		failure.Kind = KindRateLimited
	}
	if failure.Kind == KindNone {
		return nil
	}
	failure.Text = shorten(redact(visible(text), append(about.secrets, token)))
	return failure
}

// redact removes the secrets that the call sent from a text of its answer, in every form in which they were sent. The
// text has no invisible characters, which could hide a secret from redact.
func redact(text string, secrets []string) string {
	for _, secret := range secrets {
		inJSON, _ := json.Marshal(secret) //nolint:errchkjson // a string has no way to fail
		for _, form := range []string{secret, url.PathEscape(secret), string(inJSON[1 : len(inJSON)-1])} {
			if form = visible(form); form != "" {
				text = strings.ReplaceAll(text, form, "[redacted]")
			}
		}
	}
	return text
}

// kindOfStatus is the meaning of a status if the body has none of the documented texts.
func kindOfStatus(status int) Kind {
	switch {
	case succeeded(status):
		return KindNone
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return KindInvalid
	case status == http.StatusUnauthorized:
		return KindUnauthorized
	case status == http.StatusForbidden:
		return KindForbidden
	case status == http.StatusTooManyRequests:
		return KindRateLimited
	case status >= 500:
		return KindUnavailable
	default:
		return KindUnexpected
	}
}

// refusesInWords reports whether the words of an answer are the reason why the platform refuses the call. The words of a 404 are
// that only for a write of a relation, where more can be missing than the user and the client. The words of a gateway that has no
// such path are no reason.
func refusesInWords(about call, status int, text string) bool {
	if status == http.StatusNotFound {
		write := about.operation == OperationRelate || about.operation == OperationUnrelate
		return write && !strings.EqualFold(text, http.StatusText(status)) && !names(text)
	}
	return status > http.StatusNotFound && status < http.StatusInternalServerError
}

// names reports whether a text is a documented one, of any id.
func names(text string) bool {
	for _, known := range documented {
		if strings.HasPrefix(text, known.text) {
			return true
		}
	}
	return false
}

// mayBePatience reports whether an answer with Retry-After only asks for patience. The documented words about a user, a
// client and a relation keep their meaning. So does the API's own refusal of a login, since another login could lock the
// account.
func mayBePatience(kind Kind, status int, reported bool) bool {
	switch kind {
	case KindUserNotFound, KindClientNotFound, KindAlreadyRelated:
		return false
	case KindLoginRefused:
		return !reported && status != http.StatusUnauthorized
	default:
		return true
	}
}

// kindOfTooLarge is the meaning of an answer that is larger than the client reads. An answer about a user, and a list, may be
// valid: the user may have more clients than was thought possible.
func kindOfTooLarge(about call) (kind Kind, text string) {
	if about.operation == OperationUser || about.maxBytes > maxAnswerBytes {
		return KindTooLarge, "the answer is larger than 16 MiB"
	}
	return KindUnexpected, "the answer is larger than 1 MiB"
}

// kindOfLogin is the meaning of the answer to a login. Its error texts are not documented, so each error
// that the API reports counts as a refusal: one login too few is better than an account that is locked.
func kindOfLogin(kind Kind, status int, reported bool) Kind {
	switch kind {
	case KindNone, KindRateLimited, KindUnavailable:
		return kind
	case KindUnexpected:
		if !reported || status >= 300 && status < 400 {
			return kind
		}
	}
	return KindLoginRefused
}

const maxTextLength = 256

// clean makes a text of the API fit to be shown: one line, no control characters, 256 characters at most.
func clean(text string) string { return shorten(visible(text)) }

// visible drops control and format characters, and those that separate lines.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, text)
}

func shorten(text string) string {
	runes := []rune(text)
	if len(runes) <= maxTextLength {
		return text
	}
	return string(runes[:maxTextLength-1]) + "…"
}

// maxRetryAfter bounds what one answer can ask for, so that a mistaken one does not stop the
// operator for days.
const maxRetryAfter = time.Hour

// retryAfter reads a Retry-After header, which holds seconds or an HTTP date (RFC 9110, 10.2.3).
// It returns 0 when there is none, or none that makes sense.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(date.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
