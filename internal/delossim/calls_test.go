package delossim_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestCalls(t *testing.T) {
	p := start(t, delossim.Settings{})
	s, _ := p.login(t, credentials)
	p.refresh(t, s.RefreshToken)
	req := p.request(t, http.MethodPut, bindURL, bindOwner)
	req.Header.Set("User-Agent", "operator/1")
	req.Header.Set("X-Request-Id", "7")
	p.send(t, req)
	p.put(t, bindURL, `{}`)
	p.put(t, bindURL, bindOwnerFlat)
	p.get(t, johnURL)
	p.delete(t, custURL+"?relation.isOwner=false")
	p.delete(t, custURL)
	p.get(t, "/v2/user?cuid="+cust)
	p.get(t, "/v2/auth/refresh/"+s.RefreshToken+"/more")
	p.get(t, "/v2/auth/"+s.RefreshToken)

	owner, standard := true, false
	at := p.Now()
	want := []delossim.Call{
		{Op: delossim.OpLogin, Method: "POST", Path: "/v2/auth/login", Status: 200, Applied: true},
		{Op: delossim.OpRefresh, Method: "GET", Path: "/v2/auth/refresh/REDACTED", Status: 200, Applied: true},
		{
			Op: delossim.OpRelate, Method: "PUT", Path: bindURL, User: john, CUID: cust, IsOwner: &owner,
			Status: 200, Applied: true, UserAgent: "operator/1", RequestID: "7",
		},
		{Op: delossim.OpRelate, Method: "PUT", Path: bindURL, User: john, Status: 400},
		{Op: delossim.OpRelate, Method: "PUT", Path: bindURL, User: john, CUID: cust, IsOwner: &owner, Status: 400},
		{Op: delossim.OpUser, Method: "GET", Path: johnURL, User: john, Status: 200, Applied: true},
		{
			Op: delossim.OpUnrelate, Method: "DELETE", Path: custURL + "?relation.isOwner=false", User: john, CUID: cust,
			IsOwner: &standard, Status: 200, Applied: true,
		},
		{Op: delossim.OpUnrelate, Method: "DELETE", Path: custURL, User: john, CUID: cust, Status: 200, Applied: true},
		{Op: delossim.OpList, Method: "GET", Path: "/v2/user?cuid=" + cust, Status: 200, Applied: true},
		{Op: delossim.OpOther, Method: "GET", Path: "/v2/auth/refresh/REDACTED", Status: 404},
		{Op: delossim.OpOther, Method: "GET", Path: "/v2/auth/REDACTED", Status: 404},
	}
	for i := range want {
		want[i].Time = at
		if want[i].UserAgent == "" {
			want[i].UserAgent = "Go-http-client/1.1"
		}
	}
	if diff := cmp.Diff(want, p.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[2:6], p.Calls(delossim.OpRelate, delossim.OpUser)); diff != "" {
		t.Errorf("calls of two operations (-want +got):\n%s", diff)
	}
	summary := delossim.Summary{Relate: 3, User: 1, Unrelate: 2, Login: 1, Refresh: 1, List: 1, Other: 2}
	if diff := cmp.Diff(summary, p.Summary()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if got := p.Count(delossim.OpAny); got != len(want) {
		t.Errorf("counted %d calls, want %d", got, len(want))
	}

	p.ResetCalls()
	if calls, count := p.Calls(), p.Count(delossim.OpRelate); len(calls) != 0 || count != 0 {
		t.Errorf("after a reset: %d calls, count %d", len(calls), count)
	}
}

func TestRecordHoldsNoSecret(t *testing.T) {
	p := start(t, delossim.Settings{})
	s, _ := p.login(t, credentials)
	s, _ = p.refresh(t, s.RefreshToken)
	p.as(t, "Bearer "+s.AccessToken)
	for _, path := range []string{
		"/v2/auth/refresh/" + s.RefreshToken, // with the wrong method
		"/v2/auth/refresh/" + s.RefreshToken + "/",
		"/v2/auth/refresh%2F" + s.RefreshToken,
		"/v2/auth/login?password=" + pass[:7],
	} {
		p.delete(t, path)
	}
	for _, call := range p.Calls() {
		for _, secret := range []string{s.RefreshToken, s.AccessToken, pass[:7], token} {
			if strings.Contains(call.Path+call.User+call.CUID, secret) {
				t.Errorf("%q in %+v", secret, call)
			}
		}
	}
}

func TestSummaryString(t *testing.T) {
	for want, summary := range map[string]delossim.Summary{
		"PUT relate-client 4, GET user 12, DELETE relate-client 1, logins 1, refreshes 0": {Relate: 4, User: 12, Unrelate: 1, Login: 1},
		"PUT relate-client 0, GET user 0, DELETE relate-client 0, logins 0, refreshes 2, user lists 3, client lists 1, others 5": {
			Refresh: 2, List: 3, Customers: 1, Other: 5,
		},
	} {
		if got := summary.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// The answer of each call proves that it was recorded before, and the race detector that all may happen at once.
func TestConcurrentUse(t *testing.T) {
	const workers, rounds = 8, 20
	p := start(t, delossim.Settings{LagReads: 1})
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range rounds {
				fault := p.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.CutJSON{}})
				for _, req := range []*http.Request{
					p.request(t, http.MethodPut, bindURL, bindOwner),
					p.request(t, http.MethodGet, johnURL, ""),
					p.request(t, http.MethodGet, "/v2/user", ""),
					p.request(t, http.MethodPost, "/v2/auth/login", credentials),
				} {
					if got, err := p.try(req); err != nil || got.Status != http.StatusOK {
						t.Errorf("got %+v, %v", got, err)
					}
				}
				fault.Remove()
				p.SetRelation(maria, cust, true)
				p.Adjust(func(s *delossim.Settings) { s.NameCUID = !s.NameCUID })
				p.RevokeSessions()
				p.Users()
				p.Calls()
			}
		})
	}
	group.Wait()
	const each = workers * rounds
	if diff := cmp.Diff(delossim.Summary{Relate: each, User: each, List: each, Login: each}, p.Summary()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}
