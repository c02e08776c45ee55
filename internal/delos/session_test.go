package delos

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// together makes calls at the same time and returns what came of each.
func together(calls int, call func() error) []error {
	results := make([]error, calls)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { results[i] = call() })
	}
	group.Wait()
	return results
}

func TestOneLoginServesAllWhoWait(t *testing.T) {
	p := startPlatform(t, delossim.Settings{}, withLogin)
	for _, err := range together(100, func() error { _, err := p.api.User(t.Context(), john); return err }) {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.expectCalls(t, "of a hundred at once", delossim.Summary{Login: 1, User: 100})
}

// TestCallerThatGivesUpLeavesTheOthersWaiting: neither the caller that caused the login, nor one that
// only waits for it, ends it for others.
func TestCallerThatGivesUpLeavesTheOthersWaiting(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	logins := 0
	api := newAPI(t, serve(t, func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodPost {
			logins++
			close(arrived)
			<-release
			_, _ = io.WriteString(w, `{"accessToken": "a", "accessTtl": 300}`)
			return
		}
		_, _ = io.WriteString(w, `{"item": {"uuid": "`+john+`"}}`)
	}), withLogin)
	call := func(ctx context.Context) <-chan error {
		result := make(chan error, 1)
		go func() { _, err := api.User(ctx, john); result <- err }()
		return result
	}
	impatient, cancelImpatient := context.WithCancel(t.Context())
	late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelLate()

	first := call(impatient)
	<-arrived
	patient := call(t.Context())

	const want = "login: API unreachable: given up by the caller"
	if err := <-call(late); !errors.Is(err, context.DeadlineExceeded) || textOf(t, err) != want {
		t.Errorf("the one who is late got %v", err)
	}
	cancelImpatient()
	if err := <-first; !errors.Is(err, context.Canceled) || textOf(t, err) != want {
		t.Errorf("the one who gave up got %v", err)
	}
	close(release)
	if err := <-patient; err != nil {
		t.Errorf("the one who waited got %v", err)
	}
	if logins != 1 {
		t.Errorf("%d logins", logins)
	}
}

func TestSessionIsRenewedAheadOfItsExpiry(t *testing.T) {
	p := startPlatform(t, delossim.Settings{AccessTTL: 400 * time.Second}, withLogin)
	p.user(t)
	p.expectCalls(t, "at first", delossim.Summary{Login: 1, User: 1})

	// The platform takes each refresh token once, so this shows that the new one is used each time.
	for range 50 {
		p.Advance(379 * time.Second)
		p.user(t)
		p.expectCalls(t, "just before the renewal", delossim.Summary{User: 1})
		p.Advance(6 * time.Second)
		for _, err := range together(20, func() error { _, err := p.api.User(t.Context(), john); return err }) {
			if err != nil {
				t.Fatal(err)
			}
		}
		p.expectCalls(t, "at the renewal", delossim.Summary{Refresh: 1, User: 20})
	}
}

// TestRenewal shows how a session goes on, or ends, when it cannot be refreshed.
func TestRenewal(t *testing.T) {
	fails := func(op delossim.Operation, status int) delossim.Fault {
		return delossim.Fault{Op: op, Failure: delossim.Answer{Status: status}}
	}
	// step is a call after some time, and the calls that it costs.
	type step struct {
		after time.Duration
		want  Kind
		calls delossim.Summary
	}
	for _, test := range []struct {
		reason   string
		settings delossim.Settings
		arrange  func(*platform)
		steps    []step
	}{
		{
			reason:  "the refresh token was revoked: log in once",
			arrange: func(p *platform) { p.RevokeSessions() },
			steps: []step{
				{0, KindNone, delossim.Summary{Refresh: 1, Login: 1, User: 2, List: 1}},
				{0, KindNone, delossim.Summary{User: 1}},
			},
		},
		{
			reason:   "the refresh token has expired: it is not tried",
			settings: delossim.Settings{RefreshTTL: 200 * time.Second},
			steps: []step{
				{288 * time.Second, KindNone, delossim.Summary{Login: 1, User: 1}},
			},
		},
		{
			reason:  "the refresh is refused in words that nobody documented: log in",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpRefresh, 404)) },
			steps: []step{
				{288 * time.Second, KindNone, delossim.Summary{Refresh: 1, Login: 1, User: 1}},
			},
		},
		{
			reason:  "the refresh fails, while the token is good: go on with it, and try again at half of its rest",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpRefresh, 503)) },
			steps: []step{
				{288 * time.Second, KindNone, delossim.Summary{Refresh: 1, User: 1}},
				{0, KindNone, delossim.Summary{User: 1}},
				{5 * time.Second, KindNone, delossim.Summary{User: 1}},
				{time.Second, KindNone, delossim.Summary{Refresh: 1, User: 1}},
			},
		},
		{
			reason:  "the refresh fails until the token has expired: log in the next time, for the refresh may never work again",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpRefresh, 500)) },
			steps: []step{
				{300 * time.Second, KindUnavailable, delossim.Summary{Refresh: 1}},
				{0, KindNone, delossim.Summary{Login: 1, User: 1}},
			},
		},
		{
			reason:  "the refresh has to wait: it is still the way to go on",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpRefresh, 429)) },
			steps: []step{
				{300 * time.Second, KindRateLimited, delossim.Summary{Refresh: 1}},
				{0, KindRateLimited, delossim.Summary{Refresh: 1}},
			},
		},
		{
			reason: "the answer to a refresh is lost: the call is not repeated, and the session goes on",
			arrange: func(p *platform) {
				p.Inject(delossim.Fault{Op: delossim.OpRefresh, Times: 1, Apply: true, Failure: delossim.Reset{}})
			},
			steps: []step{
				{288 * time.Second, KindNone, delossim.Summary{Refresh: 1, User: 1}},
				{6 * time.Second, KindNone, delossim.Summary{Refresh: 1, Login: 1, User: 1}},
			},
		},
		{
			reason:  "the access token was revoked: renew it and repeat the call",
			arrange: func(p *platform) { p.RevokeAccessTokens() },
			steps: []step{
				{0, KindNone, delossim.Summary{Refresh: 1, User: 2, List: 1}},
			},
		},
		{
			reason: "the access token was revoked, in the words of a refresh",
			arrange: func(p *platform) {
				p.Inject(delossim.Fault{Times: 2, Failure: delossim.Answer{Status: 401, Body: `{"error": "Token revoked. Please log in again"}`}})
			},
			steps: []step{
				{0, KindNone, delossim.Summary{Refresh: 1, User: 2, List: 1}},
			},
		},
		{
			reason: "the account of the session is not known: that is not about the user asked for",
			arrange: func(p *platform) {
				p.Inject(delossim.Fault{Times: 2, Failure: delossim.Answer{Status: 401, Body: `{"error": "User not found: user_operator"}`}})
			},
			steps: []step{
				{0, KindNone, delossim.Summary{Refresh: 1, User: 2, List: 1}},
			},
		},
		{
			reason:   "the token dies earlier than announced",
			settings: delossim.Settings{AnnouncedAccessTTL: time.Hour},
			steps: []step{
				{299 * time.Second, KindNone, delossim.Summary{User: 1}},
				{time.Second, KindNone, delossim.Summary{Refresh: 1, User: 2, List: 1}},
			},
		},
		{
			reason:   "no lifetime is announced: the token tells",
			settings: delossim.Settings{OmitTTL: true, AccessTTL: 400 * time.Second},
			steps: []step{
				{379 * time.Second, KindNone, delossim.Summary{User: 1}},
				{6 * time.Second, KindNone, delossim.Summary{Refresh: 1, User: 1}},
			},
		},
		{
			reason:  "no session is accepted: one renewal a minute, not one for each call",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpUser, 401)); p.Inject(fails(delossim.OpList, 401)) },
			steps: []step{
				{0, KindUnauthorized, delossim.Summary{Refresh: 1, User: 2, List: 2}},
				{0, KindUnauthorized, delossim.Summary{User: 1}},
				{59 * time.Second, KindUnauthorized, delossim.Summary{User: 1, List: 1}},
				{time.Second, KindUnauthorized, delossim.Summary{Refresh: 1, User: 2, List: 1}},
			},
		},
		{
			reason:  "one user is refused: the session goes on, and a probe speaks for ten seconds",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpUser, 401)) },
			steps: []step{
				{0, KindForbidden, delossim.Summary{User: 1, List: 1}},
				{9 * time.Second, KindForbidden, delossim.Summary{User: 1}},
				{time.Second, KindForbidden, delossim.Summary{User: 1, List: 1}},
			},
		},
		{
			reason:  "one user is refused and the probe fails: nothing is known, and nothing renewed",
			arrange: func(p *platform) { p.Inject(fails(delossim.OpUser, 401)); p.Inject(fails(delossim.OpList, 500)) },
			steps: []step{
				{0, KindUnavailable, delossim.Summary{User: 1, List: 1}},
				{0, KindUnavailable, delossim.Summary{User: 1}},
			},
		},
		{
			reason: "a login that fails is no refusal",
			arrange: func(p *platform) {
				p.RevokeSessions()
				fault := fails(delossim.OpLogin, 503)
				fault.Times = 1
				p.Inject(fault)
			},
			steps: []step{
				{0, KindUnavailable, delossim.Summary{Refresh: 1, Login: 1, User: 1, List: 1}},
				{0, KindNone, delossim.Summary{Login: 1, User: 1}},
			},
		},
		{
			reason: "a login that is refused is the last one",
			arrange: func(p *platform) {
				p.RevokeSessions()
				p.SetPassword(account, "changed")
			},
			steps: []step{
				{0, KindLoginRefused, delossim.Summary{Refresh: 1, Login: 1, User: 1, List: 1}},
				{24 * time.Hour, KindLoginRefused, delossim.Summary{}},
			},
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			p := startPlatform(t, test.settings, withLogin)
			p.user(t)
			p.ResetCalls()
			if test.arrange != nil {
				test.arrange(p)
			}
			for i, step := range test.steps {
				p.Advance(step.after)
				if _, err := p.api.User(t.Context(), john); KindOf(err) != step.want {
					t.Errorf("step %d: got %v, want %v", i+1, err, step.want)
				}
				p.expectCalls(t, fmt.Sprintf("of step %d", i+1), step.calls)
			}
		})
	}
}

func TestRevokedTokenIsRenewedOnceForAll(t *testing.T) {
	p := startPlatform(t, delossim.Settings{}, withLogin)
	p.user(t)
	p.RevokeAccessTokens()
	p.ResetCalls()
	for _, err := range together(100, func() error { return failure(p.api.Relate(t.Context(), john, cust, true)) }) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if refreshes, logins := p.Count(delossim.OpRefresh), p.Count(delossim.OpLogin); refreshes != 1 || logins != 0 {
		t.Errorf("%d refreshes and %d logins, want one refresh", refreshes, logins)
	}
}

// TestTokenIsNotUsedAgainOnceItWasRejected: a call is told that its token is not accepted while a
// renewal ahead of time is under way, which then fails. That token must not be taken for good.
func TestTokenIsNotUsedAgainOnceItWasRejected(t *testing.T) {
	refreshing, rejected := make(chan struct{}), make(chan struct{})
	var tokens []string
	clock := clockwork.NewFakeClockAt(start)
	api := newAPI(t, serve(t, func(w http.ResponseWriter, request *http.Request) {
		switch {
		case request.Method == http.MethodPost:
			_, _ = io.WriteString(w, `{"accessToken": "first", "refreshToken": "r", "accessTtl": 400}`)
		case strings.HasPrefix(request.URL.Path, "/v2/auth/refresh/"):
			close(refreshing)
			<-rejected
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			tokens = append(tokens, request.Header.Get("Authorization"))
			w.WriteHeader(http.StatusUnauthorized)
		}
	}), withLogin, func(config *Config) { config.Now = clock.Now })
	if _, err := api.session.token(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(390 * time.Second)

	ahead := make(chan error, 1)
	go func() { _, err := api.User(t.Context(), john); ahead <- err }()
	<-refreshing
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = api.session.replace(impatient, "first")
	close(rejected)
	if err := <-ahead; KindOf(err) != KindUnavailable {
		t.Errorf("got %v, want no token", err)
	}
	if len(tokens) != 0 {
		t.Errorf("sent %q", tokens)
	}
}

// TestRefusedLoginIsSentOnce counts logins: each one more could lock the account.
func TestRefusedLoginIsSentOnce(t *testing.T) {
	p := startPlatform(t, delossim.Settings{}, withLogin)
	p.SetPassword(account, "changed")
	const want = "login: login refused (HTTP 401): Unauthorized [request ID]"

	for _, err := range together(500, func() error { _, err := p.api.User(t.Context(), john); return err }) {
		if got := textOf(t, err); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	p.expectCalls(t, "of 500 at once", delossim.Summary{Login: 1})

	// One who looked before the refusal and acts after it.
	if _, err := p.api.session.renew(t.Context()); KindOf(err) != KindLoginRefused {
		t.Errorf("the one who came late got %v", err)
	}
	p.expectCalls(t, "of one who came late", delossim.Summary{})

	if err := p.api.Probe(t.Context()); KindOf(err) != KindLoginRefused {
		t.Errorf("a probe got %v", err)
	}
	p.expectCalls(t, "of a probe", delossim.Summary{Login: 1})

	p.SetPassword(account, password)
	if _, err := p.api.User(t.Context(), john); KindOf(err) != KindLoginRefused {
		t.Errorf("without a probe: got %v", err)
	}
	if err := p.api.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	p.expectCalls(t, "of a probe, once the password is right", delossim.Summary{Login: 1, List: 1})
}

func TestProbeUsesTheSessionThatIsThere(t *testing.T) {
	p := startPlatform(t, delossim.Settings{}, withLogin)
	for range 3 {
		if err := p.api.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.expectCalls(t, "of three probes", delossim.Summary{Login: 1, List: 3})
}

func TestFixedToken(t *testing.T) {
	p := startPlatform(t, delossim.Settings{})
	p.Advance(1000 * time.Hour)
	if err := p.api.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.user(t)
	p.expectCalls(t, "with a good token", delossim.Summary{List: 1, User: 1})

	p.RemoveToken(token)
	for range 3 {
		_, err := p.api.User(t.Context(), john)
		if got, want := textOf(t, err), "login: login refused: the API does not accept the token"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	p.expectCalls(t, "with one that was refused", delossim.Summary{User: 1, List: 1})

	p.AddToken(token)
	if err := p.api.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.user(t)
	p.expectCalls(t, "after a probe", delossim.Summary{List: 1, User: 1})
}

// TestUserWhoIsRefusedWithAFixedToken: an answer about one user is no verdict about the token, however many ask at once.
func TestUserWhoIsRefusedWithAFixedToken(t *testing.T) {
	for status, body := range map[int]string{401: "", 403: `{"error": "Unauthorized"}`} {
		p := startPlatform(t, delossim.Settings{})
		p.Inject(delossim.Fault{Op: delossim.OpUser, User: "user_hostile", Failure: delossim.Answer{Status: status, Body: body}})
		for _, err := range together(100, func() error { _, err := p.api.User(t.Context(), "user_hostile"); return err }) {
			if KindOf(err) != KindForbidden {
				t.Fatalf("the hostile user: got %v", err)
			}
		}
		p.user(t)
		p.expectCalls(t, "of a hundred about one user", delossim.Summary{User: 101, List: 1})
	}
}

// TestLifetimeOfAToken shows how long a session is taken to be good, for all that a login may say of it.
func TestLifetimeOfAToken(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	expires := func(in time.Duration) string { return jwt(fmt.Sprintf(`{"exp": %d}`, start.Add(in).Unix())) }
	const year = 365 * 24 * time.Hour
	for _, test := range []struct {
		reason, access, ttl string
		want                time.Duration
	}{
		{"in seconds", "a", `400`, 400 * time.Second},
		{"as a string, as a gateway writes it", "a", `"400"`, 400 * time.Second},
		{"with an exponent", "a", `4e2`, 400 * time.Second},
		{"beats the token's own", expires(time.Hour), `400`, 400 * time.Second},
		{"null: the token's own", expires(400 * time.Second), `null`, 400 * time.Second},
		{"zero: the token's own", expires(400 * time.Second), `0`, 400 * time.Second},
		{"negative: the token's own", expires(400 * time.Second), `-1`, 400 * time.Second},
		{"no number: the token's own", expires(400 * time.Second), `"400s"`, 400 * time.Second},
		{"no number at all: the token's own", expires(400 * time.Second), `{"seconds": 400}`, 400 * time.Second},
		{"an empty string: the token's own", expires(400 * time.Second), `""`, 400 * time.Second},
		{"the token's own has passed: five minutes", expires(-time.Second), `null`, 5 * time.Minute},
		{"a token without one: five minutes", jwt(`{"sub": "x"}`), `null`, 5 * time.Minute},
		{"a token with a bad one: five minutes", jwt(`{"exp": "soon"}`), `null`, 5 * time.Minute},
		{"a token with no possible one: five minutes", jwt(`{"exp": 1e300}`), `null`, 5 * time.Minute},
		{"a token that is no JWT: five minutes", "a.b", `null`, 5 * time.Minute},
		{"a token that only looks like one: five minutes", "a.!.c", `null`, 5 * time.Minute},
		{"a token with no claims: five minutes", "a.e30.c", `null`, 5 * time.Minute},
		{"beyond all reason: a year", "a", `1e300`, year},
		{"beyond all reason, in the token: a year", jwt(`{"exp": 1e12}`), `null`, year},
		{"less than can be counted: five minutes", "a", `1e-300`, 5 * time.Minute},
	} {
		t.Run(test.reason, func(t *testing.T) {
			answer := fmt.Sprintf(`{"accessToken": "%s", "accessTtl": %s, "refreshTtl": %[2]s}`, test.access, test.ttl)
			got, err := newAPI(t, answering(t, 200, answer), withLogin).login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if life := got.expires.Sub(start); life != test.want {
				t.Errorf("got %s, want %s", life, test.want)
			}
		})
	}
}

func TestLifetimeOfARefreshToken(t *testing.T) {
	const month = 30 * 24 * time.Hour
	for ttl, want := range map[string]time.Duration{
		`3600`: time.Hour, `"3600"`: time.Hour, `null`: month, `0`: month, `-1`: month, `"soon"`: month, `1e300`: 365 * 24 * time.Hour,
	} {
		t.Run(ttl, func(t *testing.T) {
			api := newAPI(t, answering(t, 200, `{"accessToken": "a", "refreshToken": "r", "refreshTtl": `+ttl+`}`))
			got, err := api.refresh(t.Context(), "former")
			if err != nil {
				t.Fatal(err)
			}
			want := tokens{access: "a", issued: start, expires: start.Add(5 * time.Minute), refresh: "r", refreshExpires: start.Add(want)}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(tokens{})); diff != "" {
				t.Errorf("session (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTokenThatIsRefusedByAnAPIThatAsksForPatience is replaced, but not before the next call.
func TestTokenThatIsRefusedByAnAPIThatAsksForPatience(t *testing.T) {
	p := startPlatform(t, delossim.Settings{}, withLogin)
	p.user(t)
	p.expectCalls(t, "at first", delossim.Summary{Login: 1, User: 1})
	later := http.Header{"Retry-After": {"30"}}
	p.Inject(delossim.Fault{Op: delossim.OpUser, Times: 1, Failure: delossim.Answer{Status: 401, Header: later}})
	p.Inject(delossim.Fault{Op: delossim.OpRefresh, Times: 1, Failure: delossim.Answer{Status: 401, Header: later, Body: `{"error": "Token revoked. Please log in again"}`}})
	for _, want := range []delossim.Summary{{User: 1}, {Refresh: 1}} {
		if _, err := p.api.User(t.Context(), john); KindOf(err) != KindRateLimited || RetryAfterOf(err) != 30*time.Second {
			t.Errorf("got %v", err)
		}
		p.expectCalls(t, "while it asks for patience", want)
	}
	p.user(t)
	p.expectCalls(t, "after that", delossim.Summary{Login: 1, User: 1})
}

// TestRefreshTokenOfNoForm does not make the access token worthless: the next session begins with a login.
func TestRefreshTokenOfNoForm(t *testing.T) {
	for _, token := range []string{"null", "7", `{"value": "r"}`} {
		api := newAPI(t, answering(t, 200, byteOrderMark+`{"accessToken": "a", "refreshToken": `+token+`}`), withLogin)
		got, err := api.login(t.Context())
		if err != nil || got.access != "a" || got.refresh != "" {
			t.Errorf("refresh token %s: access %q, refresh %q, %v", token, got.access, got.refresh, err)
		}
	}
}
