package delossim

import (
	"net/http"
	"net/url"
	"strings"
)

// Operation names one of the platform's calls.
type Operation string

// The documented calls, and all others.
const (
	OpAny       Operation = ""          // matches every call, in a [Fault]
	OpLogin     Operation = "login"     // POST /v2/auth/login
	OpRefresh   Operation = "refresh"   // GET /v2/auth/refresh/{token}
	OpUser      Operation = "user"      // GET /v2/user/{uuid}
	OpRelate    Operation = "relate"    // PUT /v2/user/{uuid}/relate-client
	OpUnrelate  Operation = "unrelate"  // DELETE /v2/user/{uuid}/relate-client/{cuid}
	OpList      Operation = "list"      // GET /v2/user
	OpCustomers Operation = "customers" // GET /v2/customer
	OpOther     Operation = "other"     // anything else
)

// request is a call as the platform understood it.
type request struct {
	op          Operation
	wrongMethod bool // the path exists, with another method

	method, path string // path as recorded: without secrets
	user, cuid   string
	isOwner      *bool
	token        string // the refresh token
	query        url.Values
	header       http.Header
	body         []byte
}

// parse finds out which operation r asks for.
func parse(r *http.Request, body []byte) request {
	req := request{
		op:     OpOther,
		method: r.Method,
		path:   redacted(r.URL),
		query:  r.URL.Query(),
		header: r.Header,
		body:   body,
	}
	path := r.URL.EscapedPath()
	switch {
	case match(path, "/v2/auth/login"):
		req.accept(http.MethodPost, OpLogin)
	case match(path, "/v2/auth/refresh/*", &req.token):
		req.accept(http.MethodGet, OpRefresh)
	case match(path, "/v2/user"):
		req.accept(http.MethodGet, OpList)
	case match(path, "/v2/customer"):
		req.accept(http.MethodGet, OpCustomers)
	case match(path, "/v2/user/*", &req.user):
		req.accept(http.MethodGet, OpUser)
	case match(path, "/v2/user/*/relate-client", &req.user):
		req.accept(http.MethodPut, OpRelate)
	case match(path, "/v2/user/*/relate-client/*", &req.user, &req.cuid):
		req.accept(http.MethodDelete, OpUnrelate)
	}
	req.readRelation()
	return req
}

// accept makes the call op if it came with the method that op has.
func (r *request) accept(method string, op Operation) {
	if r.method != method {
		r.wrongMethod = true
		return
	}
	r.op = op
}

// match reports whether the escaped path has the pattern's form, and stores the part for each "*". It does
// not use http.ServeMux, which would redirect unclean paths.
func match(path, pattern string, wildcards ...*string) bool {
	got, want := strings.Split(path, "/"), strings.Split(pattern, "/")
	if len(got) != len(want) {
		return false
	}
	var values []string
	for i := range want {
		if want[i] != "*" {
			if got[i] != want[i] {
				return false
			}
			continue
		}
		value, err := url.PathUnescape(got[i])
		if err != nil || value == "" {
			return false
		}
		values = append(values, value)
	}
	for i := range wildcards {
		*wildcards[i] = values[i]
	}
	return true
}

// redacted is the path and query without secrets. Below /v2/auth only the known words are kept: the refresh
// token is part of that path (docs/delos-api.md, "Refresh").
func redacted(u *url.URL) string {
	path := u.EscapedPath()
	switch {
	case path == "/v2/auth/login":
		return path
	case strings.HasPrefix(path, "/v2/auth/refresh/"):
		return "/v2/auth/refresh/REDACTED"
	case strings.HasPrefix(path, "/v2/auth/"):
		return "/v2/auth/REDACTED"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}
