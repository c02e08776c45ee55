package delossim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestAnswerInsteadOfTheCall(t *testing.T) {
	for name, test := range map[string]struct {
		answer delossim.Answer
		want   reply
		header http.Header
	}{
		"too many requests": {
			answer: delossim.Answer{Status: 429, Header: http.Header{"retry-after": {"7"}}, Body: `{"error":"slow down"}`},
			want:   reply{429, `{"error":"slow down"}`},
			header: http.Header{"Retry-After": {"7"}, "Content-Type": {"application/json"}},
		},
		"a proxy's page": {
			answer: delossim.Answer{Status: 502, Body: "<html><body>Bad Gateway</body></html>"},
			want:   reply{502, "<html><body>Bad Gateway</body></html>"},
			header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		},
		"a redirect": {
			answer: delossim.Answer{Status: 307, Header: http.Header{"Location": {"https://elsewhere.example"}}},
			want:   reply{307, ""},
			header: http.Header{"Location": {"https://elsewhere.example"}},
		},
		"nothing":               {answer: delossim.Answer{Status: 503}, want: reply{503, ""}},
		"an error under a 200":  {answer: delossim.Answer{Body: unauthorized}, want: reply{200, unauthorized}},
		"an answer with no 200": {answer: delossim.Answer{Status: 204}, want: reply{204, ""}},
	} {
		for _, apply := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				p := start(t, delossim.Settings{})
				p.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				p.Inject(delossim.Fault{Op: delossim.OpRelate, Apply: apply, Failure: test.answer})

				resp, err := p.http.Do(p.request(t, http.MethodPut, bindURL, bindOwner))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, reply{resp.StatusCode, string(body)}); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				for header := range test.header {
					if diff := cmp.Diff(test.header.Get(header), resp.Header.Get(header)); diff != "" {
						t.Errorf("%s (-want +got):\n%s", header, diff)
					}
				}
				p.wantApplied(t, apply, test.want.Status)
			})
		}
	}
}

// wantApplied checks that the one call, a bindOwner, was carried out or not, and recorded as answered so.
func (p *platform) wantApplied(t *testing.T, applied bool, status int) {
	t.Helper()
	if _, related := p.Relations(john)[cust]; related != applied {
		t.Errorf("related: %v, want %v", related, applied)
	}
	calls := p.Calls()
	if len(calls) != 1 || calls[0].Applied != applied || calls[0].Status != status {
		t.Errorf("recorded %+v, want one call with status %d, applied %v", calls, status, applied)
	}
}

func TestReset(t *testing.T) {
	for _, apply := range []bool{false, true} {
		p := start(t, delossim.Settings{})
		p.Inject(delossim.Fault{Apply: apply, Failure: delossim.Reset{}})
		got, err := p.try(p.request(t, http.MethodPut, bindURL, bindOwner))
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %+v, %v, want a connection reset", got, err)
		}
		p.wantApplied(t, apply, 0)
	}
}

func TestResetBelowTLS(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			sim := delossim.New(delossim.Config{})
			server := httptest.NewUnstartedServer(sim)
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			sim.Inject(delossim.Fault{Failure: delossim.Reset{}})

			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(req)
			if err == nil {
				resp.Body.Close()
				t.Fatalf("answered: %s", resp.Status)
			}
			if !http2 && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a connection reset", err)
			}
		})
	}
}

// A client's transport sends a GET again on its own if a reused connection ends: the reason why a refresh,
// which must not be sent twice, needs a connection of its own.
func TestResetOnReusedConnectionIsSentAgain(t *testing.T) {
	p := start(t, delossim.Settings{})
	s, _ := p.login(t, credentials)
	p.Inject(delossim.Fault{Op: delossim.OpRefresh, Times: 1, Apply: true, Failure: delossim.Reset{}})
	_, got := p.refresh(t, s.RefreshToken)
	if got.Body != `{"error":"Token revoked. Please log in again"}` || p.Count(delossim.OpRefresh) != 2 {
		t.Errorf("got %+v after %d calls", got, p.Count(delossim.OpRefresh))
	}
}

func TestHangUntilTheClientGivesUp(t *testing.T) {
	for name, test := range map[string]struct {
		fault    delossim.Fault
		settings delossim.Settings
		applied  bool
	}{
		"before the call":   {fault: delossim.Fault{Failure: delossim.Hang{}}},
		"after the call":    {fault: delossim.Fault{Apply: true, Failure: delossim.Hang{}}, applied: true},
		"up to a limit":     {fault: delossim.Fault{Failure: delossim.Hang{Limit: time.Hour}}},
		"a delay before it": {fault: delossim.Fault{Delay: time.Hour}},
		"latency":           {settings: delossim.Settings{Latency: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, giveUp := context.WithCancel(t.Context())
			recorded := make(chan struct{})
			p := startWith(t, func(config *delossim.Config) {
				config.Settings = test.settings
				config.OnCall = func(delossim.Call) { close(recorded) }
			})
			p.Inject(test.fault)
			defer giveUp()
			if test.fault.Failure != nil {
				// A call that hangs is recorded before it does.
				go func() { <-recorded; giveUp() }()
			} else {
				// One that waits is recorded only when it ends: give up on its arrival.
				p.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					giveUp()
					p.ServeHTTP(w, r)
				}))
			}
			if got, err := p.try(p.request(t, http.MethodPut, bindURL, bindOwner).WithContext(ctx)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v, %v", got, err)
			}
			<-recorded
			p.wantApplied(t, test.applied, 0)
		})
	}
}

func TestHangEnds(t *testing.T) {
	for name, test := range map[string]struct {
		limit   time.Duration
		release func(*platform)
	}{
		"at its limit":          {limit: time.Nanosecond, release: func(*platform) {}},
		"when the server does":  {release: func(p *platform) { p.Close() }},
		"even before its limit": {limit: time.Hour, release: func(p *platform) { p.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, delossim.Settings{})
			p.Inject(delossim.Fault{Failure: delossim.Hang{Limit: test.limit}})
			go test.release(p)
			if got, err := p.try(p.request(t, http.MethodPut, bindURL, bindOwner)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %+v, %v, want a connection reset", got, err)
			}
			p.wantApplied(t, false, 0)
		})
	}
}

func TestHangAfterHeaders(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.Inject(delossim.Fault{Apply: true, Failure: delossim.HangAfterHeaders{}})
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	resp, err := p.http.Do(p.request(t, http.MethodPut, bindURL, bindOwner).WithContext(ctx))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("no headers: %v, %v", resp, err)
	}
	defer resp.Body.Close()
	giveUp()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) || len(body) != 0 {
		t.Errorf("body %q, %v", body, err)
	}
	p.wantApplied(t, true, http.StatusOK)
}

func TestTruncate(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.Inject(delossim.Fault{Failure: delossim.Truncate{}})
	resp, err := p.http.Do(p.request(t, http.MethodPut, bindURL, bindOwner))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || int64(len(body)) != resp.ContentLength/2 {
		t.Errorf("%d of %d bytes, %v", len(body), resp.ContentLength, err)
	}
	p.wantApplied(t, true, http.StatusOK)
}

func TestCutJSON(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.Inject(delossim.Fault{Failure: delossim.CutJSON{}})
	got := p.put(t, bindURL, bindOwner)
	if got.Status != http.StatusOK || !strings.HasPrefix(got.Body, `{"item":{"uuid":`) || json.Valid([]byte(got.Body)) {
		t.Errorf("got %+v", got)
	}
	p.wantApplied(t, true, http.StatusOK)
}

func TestPad(t *testing.T) {
	for want, pad := range map[int]delossim.Pad{20 << 20: {}, 5000: {Bytes: 5000}} {
		p := start(t, delossim.Settings{})
		p.Inject(delossim.Fault{Failure: pad})
		got := p.put(t, bindURL, bindOwner)
		if len(got.Body) != want || !json.Valid([]byte(got.Body)) {
			t.Errorf("%d bytes, want %d", len(got.Body), want)
		}
		p.wantApplied(t, true, http.StatusOK)
	}
}

func TestRewrite(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.Inject(delossim.Fault{Failure: delossim.Rewrite{Old: `"clients":[`, New: `"clients":[{"customerId":null},`}})
	p.put(t, bindURL, bindOwner)
	want := []any{map[string]any{"customerId": nil}, bound(cust, true)}
	if diff := cmp.Diff(want, clients(t, p.get(t, johnURL))); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestWrongUser(t *testing.T) {
	for name, test := range map[string]struct {
		uuid    string
		item    map[string]any
		clients any
	}{
		"one that exists": {uuid: maria, item: map[string]any{"uuid": maria, "username": "maria.garcia"}, clients: []any{bound(doxd, false)}},
		"nobody":          {uuid: "nobody", item: map[string]any{"uuid": "nobody", "username": "john.smith"}, clients: []any{bound(cust, true)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, delossim.Settings{})
			p.SetRelation(maria, doxd, false)
			injected := p.Inject(delossim.Fault{User: john, Failure: delossim.WrongUser{UUID: test.uuid}})

			written := p.put(t, bindURL, bindOwner)
			read := p.get(t, johnURL)
			for _, got := range []reply{written, read} {
				item := object(t, got.Body)["item"].(map[string]any)
				if diff := cmp.Diff(test.item, map[string]any{"uuid": item["uuid"], "username": item["username"]}); diff != "" {
					t.Errorf("user (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(test.clients, clients(t, read)); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]bool{cust: true}, p.Relations(john)); diff != "" {
				t.Errorf("the right user's relations (-want +got):\n%s", diff)
			}

			p.get(t, "/v2/user/"+maria)
			p.RemoveUser(john)
			if got := p.get(t, johnURL); got.Body != `{"error":"User not found: user_abc123def"}` {
				t.Errorf("an error became a user: %+v", got)
			}
			if hits := injected.Hits(); hits != 3 {
				t.Errorf("%d hits, want john's 3 calls", hits)
			}
		})
	}
}

func TestDrip(t *testing.T) {
	p := start(t, delossim.Settings{})
	want := p.put(t, bindURL, bindOwner)
	p.Inject(delossim.Fault{Times: 1, Failure: delossim.Drip{Interval: time.Nanosecond}})
	if diff := cmp.Diff(want, p.put(t, bindURL, bindOwner)); diff != "" {
		t.Errorf("dripped answer (-want +got):\n%s", diff)
	}

	p.Inject(delossim.Fault{Failure: delossim.Drip{Interval: time.Hour}})
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	resp, err := p.http.Do(p.request(t, http.MethodPut, bindURL, bindOwner).WithContext(ctx))
	if err != nil || resp.ContentLength != int64(len(want.Body)) {
		t.Fatalf("%v, %v, want the length of the whole answer", resp, err)
	}
	defer resp.Body.Close()
	giveUp()
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("body %q, %v", body, err)
	}
}

func TestDelayAlone(t *testing.T) {
	p := start(t, delossim.Settings{Latency: time.Nanosecond})
	p.Inject(delossim.Fault{Delay: time.Nanosecond})
	if got := p.put(t, bindURL, bindOwner); got.Status != http.StatusOK {
		t.Errorf("got %+v", got)
	}
	p.wantApplied(t, true, http.StatusOK)
}

func TestFaultsAreAScript(t *testing.T) {
	p := start(t, delossim.Settings{})
	answer := func(status int) delossim.Answer { return delossim.Answer{Status: status} }
	forever := p.Inject(delossim.Fault{Op: delossim.OpList, Failure: answer(599)})
	p.Inject(delossim.Fault{Op: delossim.OpUser, Skip: 1, Times: 1, Failure: answer(501)})
	p.Inject(delossim.Fault{Op: delossim.OpUser, User: maria, Failure: answer(502)})
	twice := p.Inject(delossim.Fault{Op: delossim.OpUser, User: john, Times: 2, Failure: answer(503)})

	var got []int
	for _, path := range []string{johnURL, johnURL, johnURL, johnURL, "/v2/user/" + maria, "/v2/user", "/v2/user"} {
		got = append(got, p.get(t, path).Status)
	}
	if diff := cmp.Diff([]int{503, 501, 503, 200, 502, 599, 599}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{2, 2}, []int{twice.Hits(), forever.Hits()}); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	forever.Remove()
	forever.Remove()
	twice.Remove()
	if got := p.get(t, "/v2/user"); got.Status != http.StatusOK {
		t.Errorf("a removed fault hits: %+v", got)
	}
	p.ClearFaults()
	if got := p.get(t, "/v2/user/"+maria); got.Status != http.StatusOK {
		t.Errorf("a cleared fault hits: %+v", got)
	}
}

func TestEveryOperationCanFail(t *testing.T) {
	for op, call := range map[delossim.Operation]struct{ method, path, body string }{
		delossim.OpLogin:     {http.MethodPost, "/v2/auth/login", credentials},
		delossim.OpRefresh:   {http.MethodGet, "/v2/auth/refresh/anything", ""},
		delossim.OpUser:      {http.MethodGet, johnURL, ""},
		delossim.OpRelate:    {http.MethodPut, bindURL, bindOwner},
		delossim.OpUnrelate:  {http.MethodDelete, custURL, ""},
		delossim.OpList:      {http.MethodGet, "/v2/user", ""},
		delossim.OpCustomers: {http.MethodGet, "/v2/customer", ""},
		delossim.OpOther:     {http.MethodGet, "/", ""},
	} {
		p := start(t, delossim.Settings{})
		p.Inject(delossim.Fault{Op: op, Failure: delossim.Answer{Status: 503}})
		if got := p.send(t, p.request(t, call.method, call.path, call.body)); got.Status != 503 {
			t.Errorf("%s: %+v", op, got)
		}
	}
}

func TestOversizedRequestIsCutOff(t *testing.T) {
	p := start(t, delossim.Settings{})
	huge := strings.Repeat(" ", 2<<20)
	if got, err := p.try(p.request(t, http.MethodPut, bindURL, huge)); err == nil {
		t.Errorf("answered %+v", got)
	}
	p.wantApplied(t, false, 0)
}
