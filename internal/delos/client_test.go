package delos

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// sent is a request as it arrived.
type sent struct {
	Method, Target, Body string
	Header               http.Header
}

// recorder keeps the requests that arrive, and answers them all with one user and a session.
type recorder struct {
	mu   sync.Mutex
	sent []sent
	ids  []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, request.Header.Get(requestIDHeader))
	request.Header.Del(requestIDHeader)
	r.sent = append(r.sent, sent{request.Method, request.RequestURI, string(body), request.Header})
	_, _ = io.WriteString(w, `{"item": {"uuid": "`+john+`"}, "accessToken": "a", "refreshToken": "r"}`)
}

func TestWhatIsSent(t *testing.T) {
	header := func(changes ...string) http.Header {
		header := http.Header{
			"Accept":          {"application/json"},
			"Accept-Encoding": {"gzip"},
			"User-Agent":      {"clientbinding-operator/1.2.3"},
		}
		for _, change := range changes {
			name, value, _ := strings.Cut(change, ": ")
			header.Set(name, value)
		}
		return header
	}
	const bearer = "Authorization: Bearer canary-token"
	for operation, want := range map[Operation]sent{
		OperationUser: {
			Method: "GET", Target: "/v2/user/user_abc123def",
			Header: header(bearer),
		},
		OperationRelate: {
			Method: "PUT", Target: "/v2/user/user_abc123def/relate-client",
			Header: header(bearer, "Content-Type: application/json", "Content-Length: 51"),
			Body:   `{"relation":{"cuid":"cust_789xyz","isOwner":true}}` + "\n",
		},
		OperationUnrelate: {
			Method: "DELETE", Target: "/v2/user/user_abc123def/relate-client/cust_789xyz",
			Header: header(bearer),
		},
		OperationLogin: {
			Method: "POST", Target: "/v2/auth/login",
			Header: header("Connection: close", "Content-Type: application/json", "Content-Length: 62"),
			Body:   `{"login":"operator@example.com","password":"canary-password"}` + "\n",
		},
		OperationRefresh: {
			Method: "GET", Target: "/v2/auth/refresh/canary-token",
			Header: header("Connection: close"),
		},
	} {
		t.Run(string(operation), func(t *testing.T) {
			var arrived recorder
			api := newAPI(t, serve(t, arrived.ServeHTTP), func(config *Config) {
				config.Credentials.Login, config.Credentials.Password = account, password
			})
			if err := operations[operation](t, api); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]sent{want}, arrived.sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStandardAccessIsSaidAloud: an isOwner that was left out would let the API choose.
func TestStandardAccessIsSaidAloud(t *testing.T) {
	var arrived recorder
	if _, err := newAPI(t, serve(t, arrived.ServeHTTP)).Relate(t.Context(), john, cust, false); err != nil {
		t.Fatal(err)
	}
	want := `{"relation":{"cuid":"cust_789xyz","isOwner":false}}` + "\n"
	if got := arrived.sent[0].Body; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestEveryRequestHasAnIDOfItsOwn(t *testing.T) {
	p := startPlatform(t, delossim.Settings{}, withLogin)
	p.user(t)
	p.RevokeAccessTokens()
	p.Inject(delossim.Fault{Op: delossim.OpUser, Skip: 1, Failure: delossim.Answer{Status: 500}})
	_, err := p.api.User(t.Context(), john)

	seen := map[string]bool{}
	calls := p.Calls()
	for _, call := range calls {
		seen[call.RequestID] = true
	}
	// login, user; user refused, list refused, refresh, user once more
	if len(calls) != 6 || len(seen) != 6 || seen[""] {
		t.Errorf("the calls are not told apart: %+v", calls)
	}
	if got, want := failureOf(t, err).RequestID, calls[5].RequestID; got != want {
		t.Errorf("the error names request %q, the one that failed is %q", got, want)
	}
}

// TestIDsStayInTheirPlace: an id of any content neither addresses another resource nor adds a
// header. What cannot be sent safely is not sent.
func TestIDsStayInTheirPlace(t *testing.T) {
	for id, want := range map[string]string{
		"plain-ID_9":       "plain-ID_9",
		"a/b":              "a%2Fb",
		"../admin":         "..%2Fadmin",
		"%2e%2e":           "%252e%252e",
		"a?x=1#y":          "a%3Fx=1%23y",
		"a;b,c":            "a%3Bb%2Cc",
		"user@host:1":      "user@host:1",
		"ä b":              "%C3%A4%20b",
		"a\r\nX-Evil: yes": "a%0D%0AX-Evil:%20yes",
		"a\x00\xff":        "a%00%FF",
		`a\b"<`:            "a%5Cb%22%3C",
		"...":              "...",
	} {
		t.Run(id, func(t *testing.T) {
			var arrived recorder
			api := newAPI(t, serve(t, arrived.ServeHTTP))
			_, _ = api.User(t.Context(), id)
			_, _ = api.Relate(t.Context(), id, cust, false)
			_, _ = api.Unrelate(t.Context(), id, id)
			_, _ = api.refresh(t.Context(), id)

			var got []string
			for _, request := range arrived.sent {
				got = append(got, request.Target)
				if request.Header.Get("X-Evil") != "" {
					t.Errorf("%s has a header that it should not have", request.Method)
				}
			}
			if diff := cmp.Diff([]string{
				"/v2/user/" + want,
				"/v2/user/" + want + "/relate-client",
				"/v2/user/" + want + "/relate-client/" + want,
				"/v2/auth/refresh/" + want,
			}, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
	for _, id := range []string{"", ".", ".."} {
		t.Run("nothing for "+id, func(t *testing.T) {
			var arrived recorder
			api := newAPI(t, serve(t, arrived.ServeHTTP))
			_, err := api.User(t.Context(), id)
			const want = "get-user: invalid request: an id in the request's path is empty or consists of dots [request ID]"
			if got := textOf(t, err); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if KindOf(failure(api.Unrelate(t.Context(), john, id))) != KindInvalid || len(arrived.sent) != 0 {
				t.Errorf("sent %+v", arrived.sent)
			}
		})
	}
}

// TestNoRedirectIsFollowed also counts what arrives at the other end, which must not get the token.
func TestNoRedirectIsFollowed(t *testing.T) {
	var elsewhere recorder
	other := serve(t, elsewhere.ServeHTTP)
	for _, test := range []struct {
		reason, location string
		status           int
	}{
		{"to another host", other + "/v2/user/" + john, http.StatusFound},
		{"to another host, keeping method and body", other, http.StatusTemporaryRedirect},
		{"for good", other, http.StatusPermanentRedirect},
		{"to the same host", "/v2/user/" + john, http.StatusMovedPermanently},
		{"to nowhere", "", http.StatusSeeOther},
		{"to what is no address", "http://%zz/", http.StatusFound},
	} {
		for operation, call := range operations {
			t.Run(test.reason+"/"+string(operation), func(t *testing.T) {
				calls := 0
				api := newAPI(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
					calls++
					w.Header().Set("Location", test.location)
					w.WriteHeader(test.status)
				}))
				failure := failureOf(t, call(t, api))
				if failure.Kind != KindUnexpected || failure.Status != test.status {
					t.Errorf("got %v", failure)
				}
				if calls != 1 {
					t.Errorf("%d calls", calls)
				}
			})
		}
	}
	if len(elsewhere.sent) != 0 {
		t.Errorf("followed: %+v", elsewhere.sent)
	}
}

func TestRelateAndUnrelateShowInGetUser(t *testing.T) {
	for name, settings := range map[string]delossim.Settings{
		"as documented":    {},
		"the other names":  {NameUserID: true, NameCUID: true, ClientsAtTop: true},
		"empty is omitted": {EmptyClients: delossim.EmptyOmitted},
		"empty is null":    {EmptyClients: delossim.EmptyNull, ClientsAtTop: true},
		"bare token":       {BareToken: true},
		"flat relation":    {FlatRelation: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t, settings, func(c *Config) { c.Dialect = Dialect{settings.BareToken, settings.FlatRelation} })
			relation := func() (isOwner, related bool) {
				t.Helper()
				user, err := p.api.User(t.Context(), john)
				if err != nil {
					t.Fatal(err)
				}
				isOwner, related, err = user.Relation(cust)
				if err != nil {
					t.Fatal(err)
				}
				return isOwner, related
			}
			for _, wanted := range []bool{true, false} {
				if _, err := p.api.Relate(t.Context(), john, cust, wanted); err != nil {
					t.Fatal(err)
				}
				if isOwner, related := relation(); !related || isOwner != wanted {
					t.Errorf("related %t as owner %t, want owner %t", related, isOwner, wanted)
				}
			}
			if _, err := p.api.Unrelate(t.Context(), john, cust); err != nil {
				t.Fatal(err)
			}
			if _, related := relation(); related {
				t.Error("still related")
			}
		})
	}
}

func TestCanceledCallsSaySo(t *testing.T) {
	arrived := make(chan struct{}, 1)
	address := serve(t, func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body) // until then, a server does not notice that the caller is gone
		arrived <- struct{}{}
		<-request.Context().Done()
	})
	for operation, call := range map[Operation]func(context.Context, *Client) error{
		OperationUser:     func(ctx context.Context, api *Client) error { _, err := api.User(ctx, john); return err },
		OperationRelate:   func(ctx context.Context, api *Client) error { return failure(api.Relate(ctx, john, cust, true)) },
		OperationUnrelate: func(ctx context.Context, api *Client) error { return failure(api.Unrelate(ctx, john, cust)) },
	} {
		t.Run(string(operation), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-arrived
				cancel()
			}()
			err := call(ctx, newAPI(t, address))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v is not context.Canceled", err)
			}
			if got, want := textOf(t, err), string(operation)+": API unreachable: given up by the caller [request ID]"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHTTP2(t *testing.T) {
	versions := make(chan int, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		versions <- request.ProtoMajor
		_, _ = io.WriteString(w, `{"item": {"uuid": "`+john+`"}}`)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)

	api := newAPI(t, server.URL, trusting(server))
	if _, err := api.User(t.Context(), john); err != nil {
		t.Fatal(err)
	}
	if version := <-versions; version != 2 {
		t.Errorf("HTTP/%d", version)
	}
}
