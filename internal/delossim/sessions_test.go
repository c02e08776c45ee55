package delossim_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	unauthorized = `{"error":"Unauthorized"}`
	credentials  = `{"login": "operator@example.com", "password": "correct horse"}`
)

// session is what Login and Refresh answer.
type session struct {
	AccessToken, RefreshToken, UserId, Guid string //nolint:revive // spelt as in the API
	AccessTtl, RefreshTtl                   int    //nolint:revive // spelt as in the API
}

func (p *platform) login(t *testing.T, body string) (session, reply) {
	t.Helper()
	req := p.request(t, http.MethodPost, "/v2/auth/login", body)
	req.Header.Del("Authorization")
	return p.session(t, req)
}

func (p *platform) refresh(t *testing.T, refreshToken string) (session, reply) {
	t.Helper()
	req := p.request(t, http.MethodGet, "/v2/auth/refresh/"+refreshToken, "")
	req.Header.Del("Authorization")
	return p.session(t, req)
}

func (p *platform) session(t *testing.T, req *http.Request) (session, reply) {
	t.Helper()
	got := p.send(t, req)
	var s session
	if err := json.Unmarshal([]byte(got.Body), &s); err != nil {
		t.Fatal(err)
	}
	return s, got
}

// as asks for a user with the Authorization header.
func (p *platform) as(t *testing.T, authorization string) reply {
	t.Helper()
	req := p.request(t, http.MethodGet, johnURL, "")
	req.Header.Set("Authorization", authorization)
	return p.send(t, req)
}

func TestLogin(t *testing.T) {
	p := start(t, delossim.Settings{})
	s, got := p.login(t, credentials)
	names := map[string]any{"accessToken": s.AccessToken, "refreshToken": s.RefreshToken, "UserId": "user_operator",
		"accessTtl": 300.0, "refreshTtl": 2592000.0}
	if diff := cmp.Diff(names, object(t, got.Body)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if got := p.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusOK {
		t.Errorf("token not accepted: %+v", got)
	}

	parts := strings.Split(s.AccessToken, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %d parts", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if exp := object(t, string(payload))["exp"]; exp != float64(p.Now().Add(5*time.Minute).Unix()) {
		t.Errorf("exp %v", exp)
	}
}

func TestLoginRefused(t *testing.T) {
	for name, test := range map[string]struct {
		settings delossim.Settings
		body     string
		status   int
	}{
		"wrong password":    {body: `{"login": "operator@example.com", "password": "wrong"}`, status: http.StatusUnauthorized},
		"no password":       {body: `{"login": "operator@example.com"}`, status: http.StatusUnauthorized},
		"unknown account":   {body: `{"login": "nobody", "password": "correct horse"}`, status: http.StatusUnauthorized},
		"with a 403":        {settings: delossim.Settings{UnauthorizedStatus: 403}, body: `{}`, status: http.StatusForbidden},
		"no JSON":           {body: `login=operator`, status: http.StatusBadRequest},
		"a misspelt field":  {body: `{"username": "operator@example.com"}`, status: http.StatusBadRequest},
		"something follows": {body: credentials + "!", status: http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			if _, got := p.login(t, test.body); got.Status != test.status {
				t.Errorf("got %+v, want status %d", got, test.status)
			}
		})
	}
	t.Run("no content type", func(t *testing.T) {
		p := start(t, delossim.Settings{})
		req := p.request(t, http.MethodPost, "/v2/auth/login", credentials)
		req.Header.Del("Content-Type")
		if got := p.send(t, req); got.Status != http.StatusBadRequest {
			t.Errorf("got %+v", got)
		}
	})
}

func TestLoginWithCode(t *testing.T) {
	const withCode = `{"login": "operator@example.com", "password": "correct horse", "code": "`
	p := startWith(t, func(config *delossim.Config) {
		config.Accounts[0].TOTPSeed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // RFC 6238's, as are the codes
	})
	for _, step := range []struct {
		why    string
		wait   time.Duration
		body   string
		status int
	}{
		{why: "no code", body: credentials, status: http.StatusUnauthorized},
		{why: "wrong code", body: withCode + `000000"}`, status: http.StatusUnauthorized},
		{why: "right code", body: withCode + `081804"}`, status: http.StatusOK},
		{why: "used code", body: withCode + `081804"}`, status: http.StatusUnauthorized},
		{why: "used code, still within tolerance", wait: 2 * time.Second, body: withCode + `081804"}`, status: http.StatusUnauthorized},
		{why: "next code", body: withCode + `050471"}`, status: http.StatusOK},
	} {
		p.Advance(step.wait)
		if _, got := p.login(t, step.body); got.Status != step.status {
			t.Errorf("%s: got %+v, want status %d", step.why, got, step.status)
		}
	}
	p.AddAccount(delossim.Account{Login: login, Password: pass, TOTPSeed: "not-base32!"})
	if _, got := p.login(t, withCode+`081804"}`); got.Status != http.StatusInternalServerError {
		t.Errorf("an account that can never log in: %+v", got)
	}
}

func TestEveryCallNeedsABearerToken(t *testing.T) {
	p := start(t, delossim.Settings{})
	for _, call := range []struct{ method, path, body string }{
		{http.MethodGet, johnURL, ""},
		{http.MethodGet, "/v2/user", ""},
		{http.MethodPut, bindURL, bindOwner},
		{http.MethodDelete, custURL, ""},
	} {
		for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer wrong", token, "bearer " + token, "Basic " + token} {
			req := p.request(t, call.method, call.path, call.body)
			req.Header.Set("Authorization", authorization)
			if diff := cmp.Diff(reply{http.StatusUnauthorized, unauthorized}, p.send(t, req)); diff != "" {
				t.Errorf("%s %s with %q (-want +got):\n%s", call.method, call.path, authorization, diff)
			}
		}
	}
	if got := p.as(t, "Bearer "+token); got.Status != http.StatusOK {
		t.Errorf("registered token not accepted: %+v", got)
	}
	p.Adjust(func(s *delossim.Settings) { s.BareToken = true })
	for authorization, want := range map[string]int{token: http.StatusOK, "Bearer " + token: http.StatusUnauthorized, "": http.StatusUnauthorized} {
		if got := p.as(t, authorization); got.Status != want {
			t.Errorf("%q where the bare token is taken: %+v", authorization, got)
		}
	}
	p.Adjust(func(s *delossim.Settings) { s.BareToken = false })
	p.RemoveToken(token)
	if got := p.as(t, "Bearer "+token); got.Status != http.StatusUnauthorized {
		t.Errorf("removed token accepted: %+v", got)
	}
	p.Adjust(func(s *delossim.Settings) { s.GatewayErrors = true })
	if got := p.as(t, ""); got.Body != `{"code":16,"message":"Unauthorized","details":[]}` {
		t.Errorf("in gateway form: %+v", got)
	}
}

func TestAccessTokenExpires(t *testing.T) {
	p := start(t, delossim.Settings{AccessTTL: time.Minute})
	s, _ := p.login(t, credentials)
	p.Advance(time.Minute - time.Nanosecond)
	if got := p.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusOK {
		t.Errorf("expired early: %+v", got)
	}
	p.Advance(time.Nanosecond)
	if got := p.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusUnauthorized {
		t.Errorf("did not expire: %+v", got)
	}
}

func TestRefreshRotates(t *testing.T) {
	const (
		revoked = `{"error":"Token revoked. Please log in again"}`
		expired = `{"error":"Invalid or expired refresh token"}`
	)
	p := start(t, delossim.Settings{RefreshTTL: time.Hour})
	first, _ := p.login(t, credentials)
	second, got := p.refresh(t, first.RefreshToken)
	names := map[string]any{"accessToken": second.AccessToken, "refreshToken": second.RefreshToken, "guid": "user_operator",
		"accessTtl": 300.0, "refreshTtl": 3600.0}
	if diff := cmp.Diff(names, object(t, got.Body)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Error("tokens did not change")
	}
	if got := p.as(t, "Bearer "+second.AccessToken); got.Status != http.StatusOK {
		t.Errorf("refreshed token not accepted: %+v", got)
	}
	for _, step := range []struct {
		why   string
		wait  time.Duration
		token string
		want  string
	}{
		{why: "used", token: first.RefreshToken, want: revoked},
		{why: "unknown", token: "unknown", want: expired},
		{why: "expired", wait: time.Hour, token: second.RefreshToken, want: expired},
		{why: "used and expired", token: first.RefreshToken, want: expired},
	} {
		p.Advance(step.wait)
		_, got := p.refresh(t, step.token)
		if diff := cmp.Diff(reply{http.StatusUnauthorized, step.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.why, diff)
		}
	}
}

func TestRevoking(t *testing.T) {
	p := start(t, delossim.Settings{})
	s, _ := p.login(t, credentials)

	p.RevokeAccessTokens()
	if got := p.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusUnauthorized {
		t.Errorf("revoked token accepted: %+v", got)
	}
	s, got := p.refresh(t, s.RefreshToken)
	if got.Status != http.StatusOK {
		t.Fatalf("session gone with its access token: %+v", got)
	}

	p.RevokeSessions()
	if got := p.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusUnauthorized {
		t.Errorf("token of a revoked session accepted: %+v", got)
	}
	if _, got := p.refresh(t, s.RefreshToken); got.Body != `{"error":"Token revoked. Please log in again"}` {
		t.Errorf("revoked session refreshed: %+v", got)
	}
	if got := p.as(t, "Bearer "+token); got.Status != http.StatusOK {
		t.Errorf("a registered token is no session: %+v", got)
	}
}

func TestChangedPassword(t *testing.T) {
	p := start(t, delossim.Settings{})
	s, _ := p.login(t, credentials)
	if !p.SetPassword(login, "battery staple") || p.SetPassword("nobody", "") {
		t.Error("SetPassword tells wrongly whether there is such an account")
	}
	if _, got := p.login(t, credentials); got.Status != http.StatusUnauthorized {
		t.Errorf("old password accepted: %+v", got)
	}
	if got := p.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusOK {
		t.Errorf("session ended with the password: %+v", got)
	}
	if _, got := p.login(t, `{"login": "operator@example.com", "password": "battery staple"}`); got.Status != http.StatusOK {
		t.Errorf("new password refused: %+v", got)
	}
}

func TestStatedLifetimes(t *testing.T) {
	for name, test := range map[string]struct {
		settings delossim.Settings
		access   int
		refresh  int
	}{
		"the truth":    {settings: delossim.Settings{AccessTTL: time.Minute}, access: 60, refresh: 2592000},
		"the sample's": {settings: delossim.Settings{AnnouncedAccessTTL: time.Hour}, access: 3600, refresh: 2592000},
		"none":         {settings: delossim.Settings{OmitTTL: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			s, got := p.login(t, credentials)
			if s.AccessTtl != test.access || s.RefreshTtl != test.refresh {
				t.Errorf("got %+v", got)
			}
			if _, stated := object(t, got.Body)["accessTtl"]; stated == test.settings.OmitTTL {
				t.Errorf("stated: %v", stated)
			}
		})
	}
}

func TestAccountValidate(t *testing.T) {
	for name, test := range map[string]struct {
		account delossim.Account
		valid   bool
	}{
		"complete":    {account: delossim.Account{Login: "a", Password: "b", TOTPSeed: "MZXW6YTB"}, valid: true},
		"no login":    {account: delossim.Account{Password: "b"}},
		"no password": {account: delossim.Account{Login: "a"}},
		"bad seed":    {account: delossim.Account{Login: "a", Password: "b", TOTPSeed: "1"}},
	} {
		if err := test.account.Validate(); (err == nil) != test.valid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRightsOfAccounts shows what an account with fewer rights may do, and that its sessions learn of it.
func TestRightsOfAccounts(t *testing.T) {
	for name, test := range map[string]struct {
		account delossim.Account
		want    []int // of Get user, PUT, DELETE and the list, in this order
	}{
		"all":         {delossim.Account{}, []int{200, 200, 200, 200}},
		"read only":   {delossim.Account{ReadOnly: true}, []int{200, 403, 403, 200}},
		"sees nobody": {delossim.Account{SeesNobody: true}, []int{404, 404, 404, 200}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, delossim.Settings{})
			s, _ := p.login(t, credentials)
			test.account.Login, test.account.Password = "operator@example.com", "correct horse"
			p.AddAccount(test.account)
			var got []int
			for _, call := range [][3]string{
				{http.MethodGet, johnURL, ""},
				{http.MethodPut, johnURL + "/relate-client", `{"relation": {"cuid": "cust_789xyz", "isOwner": true}}`},
				{http.MethodDelete, johnURL + "/relate-client/cust_789xyz", ""},
				{http.MethodGet, "/v2/user", ""},
			} {
				req := p.request(t, call[0], call[1], call[2])
				req.Header.Set("Authorization", "Bearer "+s.AccessToken)
				got = append(got, p.send(t, req).Status)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}
