package delos

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzUser: for any answer of an API, a user is the one who was asked for, and is fit to be shown.
func FuzzUser(f *testing.F) {
	for _, body := range []string{
		`{"item": {"uuid": "user_abc123def", "username": "john.smith", "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}}`,
		`{"item": {"userId": "user_abc123def", "isDeleted": true}, "clients": [{"cuid": "cust_789xyz"}]}`,
		`{"item": {"uuid": "user_abc123def", "clients": null}, "clients": []}`,
		`{"item": {"uuid": "user_abc123def"}, "item": {"userId": "x", "clients": [null]}}`,
		`{"item": {"uuid": 12345, "username": {}, "status": 7, "clients": [{"customerId": null}, 7, "cust_789xyz", [{}], {"cuid": {}}, {"cuid": "CUST_789XYZ", "CUID": 1}]}}`,
		`{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": "true"}]}, "clients": [{"cuid": "cust_789xyz", "isOwner": 1}]}`,
		byteOrderMark + `{"item": {"uuid": "user_abc123def", "clients": []}} {}`,
		`{"item": null}`, `{"item": {}}`, `[]`, `null`, `"`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		read, err := readShown(bytes.NewReader(body))
		if whole := json.Valid(bytes.TrimPrefix(body, []byte(byteOrderMark))); err == nil && !whole {
			t.Error("what is no JSON was read")
		}
		user, err := read.user(john)
		if err != nil {
			if user != nil {
				t.Errorf("a user and an error: %v", err)
			}
			return
		}
		if user.UUID != john {
			t.Errorf("user %q", user.UUID)
		}
		if _, related, _ := user.Relation(""); related {
			t.Error("related to a client without an id")
		}
		if user.lists == 0 && (user.Complete || user.Foreign || len(user.relations) > 0) {
			t.Error("relations without a list")
		}
		if isOwner, related, err := user.Relation(cust); err == nil && isOwner && !related {
			t.Error("an owner without a relation")
		}
		expectFit(t, user.Username)
		expectFit(t, user.Status)
	})
}

// FuzzJudge: no answer but a plain success passes for one, none proves by accident that a user is gone,
// and what is shown of it is short, without control characters and without what was secret.
func FuzzJudge(f *testing.F) {
	for _, seed := range []struct {
		status int
		body   string
	}{
		{404, `{"error": "User not found: user_abc123def"}`},
		{200, `{"error": "User not found: user_other"}`},
		{404, `{"code": 5, "message": "Not Found", "details": []}`},
		{401, `{"error": "Unauthorized"}`},
		{409, `{"error": "User already related to this customer"}`},
		{400, `{"error": "Bearer canary-token\u0000\u202e"}`},
		{500, `{"error": "can\u200bary-token"}`},
		{200, `{"error": {"code": 1}}`},
		{200, `{"code": 0, "message": "OK"}`},
		{503, `<html>`},
		{302, ``},
	} {
		f.Add(seed.status, []byte(seed.body))
	}
	api := New(Config{Now: func() time.Time { return start }})
	about := call{operation: OperationUser, user: john, cuid: cust}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		got := answer{status: status, header: http.Header{}}
		if err := got.read(bytes.NewReader(body), about); err != nil {
			t.Fatal(err)
		}
		err := api.judge(about, token, got)
		if err == nil {
			if _, reported := got.errorText(); reported || status < 200 || status > 299 {
				t.Errorf("status %d passes for a success", status)
			}
			return
		}
		failure := failureOf(t, err)
		expectFit(t, failure.Text)
		if strings.Contains(failure.Text, token) {
			t.Errorf("shows the token: %q", failure.Text)
		}
		if failure.ProvesUserGone() {
			if _, reported := got.errorText(); !reported || status >= 300 && status < 400 || status >= 500 || status == 401 {
				t.Errorf("status %d proves that the user is gone", status)
			}
		}
	})
}

// FuzzList: every page is either a list of ids, each of them there, or refused.
func FuzzList(f *testing.F) {
	for _, body := range []string{
		`{"items": [{"uuid": "a", "userId": "a"}], "meta": {"total": "1"}}`, `{"items": null}`, `{}`, `{"users": []}`, `[]`, `{"items": [1]}`,
		`{"items": [{"uuid": "a"}`, `{"meta": {"total": -1}}`, `{"meta": []}`, `{"items": [], "items": [{"uuid": 7}]}`, `{"items": {}} x`,
	} {
		f.Add([]byte(body))
	}
	list := New(Config{Now: func() time.Time { return start }}).Users(UserFilter{})
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := list.decode(body)
		if err != nil {
			return
		}
		if page.total < -1 || slices.Contains(page.ids, "") || len(page.ids) != len(page.entries) || !json.Valid(body) {
			t.Errorf("%q is read as %+v", body, page)
		}
	})
}

func expectFit(t *testing.T, text string) {
	t.Helper()
	if utf8.RuneCountInString(text) > 256 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("not fit to be shown: %q", text)
	}
}

// FuzzRetryAfter: no header makes the operator wait for longer than an hour, or for less than nothing.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "0", "7", " 7 ", "-1", "1.5", "+7", "4294967295", "4294967296", "99999999999999999999",
		"Sun, 01 Mar 2026 12:01:30 GMT", "Sunday, 01-Mar-26 12:01:30 GMT", "Sun Mar  1 12:01:30 2026", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if wait := retryAfter(value, start); wait < 0 || wait > time.Hour {
			t.Errorf("%q: %s", value, wait)
		}
	})
}

// FuzzTokenExpiry: for all that a token claims, a session of it is used at first and renewed at last.
func FuzzTokenExpiry(f *testing.F) {
	for _, claims := range []string{`{"exp": 1772366700}`, `{"exp": "1772366700"}`, `{"exp": 1e18}`, `{"exp": -1}`, `{"exp": 1772366700.5}`, `{}`, `[]`, ``} {
		f.Add("e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln")
	}
	f.Add("a.b")
	f.Fuzz(func(t *testing.T, token string) {
		expires := accessExpiry(wireTokens{AccessToken: token}, start)
		renewed := renewalTime(tokens{issued: start, expires: expires})
		if !renewed.After(start) || renewed.After(expires) || expires.After(start.Add(maxLife)) {
			t.Errorf("expires at %s, renewed at %s", expires, renewed)
		}
	})
}
