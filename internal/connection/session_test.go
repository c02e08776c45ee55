package connection

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestSessionCarriesOutCalls(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	relation := func() (isOwner, related bool) {
		t.Helper()
		user, err := session.User(t.Context(), john)
		if err == nil {
			isOwner, related, err = user.Relation(cust)
		}
		if err != nil {
			t.Fatal(err)
		}
		return isOwner, related
	}
	if _, err := session.Relate(t.Context(), john, cust, true); err != nil {
		t.Fatal(err)
	}
	if isOwner, related := relation(); !related || !isOwner {
		t.Errorf("related %t as owner %t after Relate", related, isOwner)
	}
	if _, err := session.Unrelate(t.Context(), john, cust); err != nil {
		t.Fatal(err)
	}
	if _, related := relation(); related {
		t.Error("related after Unrelate")
	}
	if diff := cmp.Diff(delossim.Summary{Relate: 1, User: 2, Unrelate: 1}, p.Summary()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestRefusedCredentialsCloseTheSession: all bindings learn of it, and one login is all it costs.
func TestRefusedCredentialsCloseTheSession(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	p.SetPassword(account, "changed")
	p.RevokeSessions()

	calls := map[string]func() error{
		"User":     func() error { _, err := session.User(t.Context(), john); return err },
		"Relate":   func() error { return failure(session.Relate(t.Context(), john, cust, true)) },
		"Unrelate": func() error { return failure(session.Unrelate(t.Context(), john, cust)) },
	}
	for _, call := range calls {
		for _, err := range together(50, call) {
			if delos.KindOf(err) != delos.KindLoginRefused {
				t.Fatalf("got %v", err)
			}
		}
	}
	if logins := p.Summary().Login; logins != 1 {
		t.Errorf("%d logins", logins)
	}
	if p.pool.Session(connectionTo(p.url)) != nil {
		t.Error("the session is still in use")
	}
	if diff := cmp.Diff([]types.NamespacedName{name}, p.troubled()); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
	if trouble := session.TakeTrouble(); delos.KindOf(trouble) != delos.KindLoginRefused {
		t.Errorf("trouble is %v", trouble)
	}

	// Those who took the session before it was closed find nothing new.
	for _, call := range calls {
		_ = call()
	}
	if told, trouble := p.troubled(), session.TakeTrouble(); told != nil || trouble != nil {
		t.Errorf("told again of %v, trouble %v", told, trouble)
	}

	p.SetPassword(account, password)
	if err := session.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.pool.Open(session)
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s after the session was opened again: %v", name, err)
		}
	}
}

func TestRefusedTokenClosesTheSession(t *testing.T) {
	p := startPlatform(t)
	session := p.prepare(t, secretOf(map[string]string{"token": token}))
	p.pool.Open(session)
	p.RemoveToken(token)

	_, err := session.Relate(t.Context(), john, cust, false)
	if delos.KindOf(err) != delos.KindLoginRefused {
		t.Errorf("got %v", err)
	}
	if trouble := session.TakeTrouble(); !errors.Is(trouble, err) {
		t.Errorf("trouble is %v, want %v", trouble, err)
	}
	if diff := cmp.Diff([]types.NamespacedName{name}, p.troubled()); diff != "" {
		t.Errorf("told of (-want +got):\n%s", diff)
	}
}

// TestFormerSessionTroublesNobody: a session that was replaced may still be in use.
func TestFormerSessionTroublesNobody(t *testing.T) {
	p := startPlatform(t)
	former := p.open(t)
	next := p.prepare(t, secretOf(map[string]string{"token": token}))
	p.pool.Open(next)
	p.SetPassword(account, "changed")
	p.RevokeSessions()

	if _, err := former.Unrelate(t.Context(), john, cust); delos.KindOf(err) != delos.KindLoginRefused {
		t.Errorf("got %v", err)
	}
	if told := p.troubled(); told != nil {
		t.Errorf("told of %v", told)
	}
	if p.pool.Session(connectionTo(p.url)) != next {
		t.Error("the next session is not in use")
	}
}

// TestOutageClosesTheSession: failures about five users in a row, or five calls in a row without an answer, and a probe
// that fails, too. Neither one user about whom all calls fail, nor many while a probe succeeds.
func TestOutageClosesTheSession(t *testing.T) {
	badGateway := delossim.Answer{Status: http.StatusBadGateway}
	for name, test := range map[string]struct {
		fault delossim.Fault
		// users is about how many users calls are made, one after the other.
		users, calls int
		closed       bool
		probes       int
	}{
		"four users":                           {fault: delossim.Fault{Failure: badGateway}, users: 4, calls: 4},
		"five users":                           {fault: delossim.Fault{Failure: badGateway}, users: 5, calls: 5, closed: true, probes: 1},
		"one user again and again":             {fault: delossim.Fault{Failure: badGateway}, users: 1, calls: 50},
		"many users, and the API is there":     {fault: delossim.Fault{Op: delossim.OpUser, Failure: badGateway}, users: 100, calls: 100, probes: 1},
		"no answer about one user":             {fault: delossim.Fault{Failure: delossim.HangAfterHeaders{Limit: time.Nanosecond}}, users: 1, calls: 5, closed: true, probes: 1},
		"no answer about one user, but others": {fault: delossim.Fault{Op: delossim.OpUser, Failure: delossim.HangAfterHeaders{Limit: time.Nanosecond}}, users: 1, calls: 50, probes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			session := p.open(t)
			p.Inject(test.fault)
			for i := range test.calls {
				if _, err := session.User(t.Context(), fmt.Sprint("user_", i%test.users)); err == nil {
					t.Fatal("a call succeeded")
				}
			}
			if closed := p.pool.Session(connectionTo(p.url)) == nil; closed != test.closed {
				t.Errorf("closed %t, want %t", closed, test.closed)
			}
			if probes := p.Summary().List; probes != test.probes {
				t.Errorf("%d probes, want %d", probes, test.probes)
			}
			if told := p.troubled() != nil; told != test.closed {
				t.Errorf("told of it %t, want %t", told, test.closed)
			}
			if trouble := session.TakeTrouble(); (trouble != nil) != test.closed {
				t.Errorf("trouble is %v", trouble)
			}
		})
	}
}

// TestFailuresBeforeASuccessDoNotCount: nor do those of before an outage that is over.
func TestFailuresBeforeASuccessDoNotCount(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	fail := func(calls int) {
		fault := p.Inject(delossim.Fault{Failure: delossim.Answer{Status: http.StatusBadGateway}})
		defer fault.Remove()
		for i := range calls {
			_, _ = session.User(t.Context(), fmt.Sprint("user_", i))
		}
	}
	open := func() bool { return p.pool.Session(connectionTo(p.url)) == session }
	fail(4)
	if _, err := session.User(t.Context(), john); err != nil {
		t.Fatal(err)
	}
	fail(4)
	if !open() {
		t.Fatal("closed too early")
	}
	fail(5)
	if open() {
		t.Fatal("the session is still in use")
	}
	if err := session.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.pool.Open(session)
	fail(4)
	if !open() {
		t.Error("what failed before the outage still counts after it")
	}
}

// TestNoProbeWhileTheAPIAsksForRest: nor more often than now and then.
func TestNoProbeWhileTheAPIAsksForRest(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	p.Inject(delossim.Fault{Op: delossim.OpUser, Failure: delossim.Answer{Status: http.StatusBadGateway}})
	p.Inject(delossim.Fault{Op: delossim.OpList, Times: 1, Failure: delossim.Answer{Status: 429, Header: http.Header{"Retry-After": {"60"}}}})
	fail := func() {
		for i := range 10 {
			_, _ = session.User(t.Context(), fmt.Sprint("user_", i))
		}
	}
	for _, test := range []struct {
		after time.Duration
		calls delossim.Summary
	}{
		{0, delossim.Summary{User: 5, List: 1}},
		{59 * time.Second, delossim.Summary{}},
		{time.Second, delossim.Summary{User: 10, List: 1}},
		{9 * time.Second, delossim.Summary{User: 10}},
		{time.Second, delossim.Summary{User: 10, List: 1}},
	} {
		p.Advance(test.after)
		fail()
		if diff := cmp.Diff(test.calls, p.Summary()); diff != "" {
			t.Errorf("calls after %s more (-want +got):\n%s", test.after, diff)
		}
		p.ResetCalls()
	}
	if p.pool.Session(connectionTo(p.url)) != session {
		t.Error("the session is not in use")
	}
}

// TestNewSessionsAreTold: of each once.
func TestNewSessionsAreTold(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	p.pool.Open(session)
	p.pool.Close(name)
	p.pool.Open(session)
	p.pool.Open(p.prepare(t, secretOf(map[string]string{"token": token})))
	if told := len(p.pool.Opened()); told != 3 {
		t.Errorf("told %d times, want 3: of the first, the one that was opened again, and the next one", told)
	}
}

// TestAPIThatAsksForPatienceIsLeftAlone: the other calls are not even sent until then.
func TestAPIThatAsksForPatienceIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		answer delossim.Answer
		want   delos.Kind
	}{
		"429":                  {delossim.Answer{Status: 429}, delos.KindRateLimited},
		"403":                  {delossim.Answer{Status: 403, Body: "<html>"}, delos.KindRateLimited},
		"the documented words": {delossim.Answer{Status: 404, Body: `{"error": "Customer not found"}`}, delos.KindClientNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			test.answer.Header = http.Header{"Retry-After": {"5"}}
			leavesAlone(t, test.answer, test.want)
		})
	}
}

func leavesAlone(t *testing.T, answer delossim.Answer, want delos.Kind) {
	t.Helper()
	p := startPlatform(t)
	session := p.open(t)
	p.Inject(delossim.Fault{Times: 1, Failure: answer})
	relate := func() error { return failure(session.Relate(t.Context(), john, cust, true)) }

	if err := relate(); delos.KindOf(err) != want {
		t.Fatalf("got %v", err)
	}
	p.Advance(2 * time.Second)
	_, err := session.Unrelate(t.Context(), john, cust)
	if delos.KindOf(err) != delos.KindRateLimited || delos.RetryAfterOf(err) != 3*time.Second {
		t.Errorf("got %v, which says to wait for %s", err, delos.RetryAfterOf(err))
	}
	if paused := session.Paused(); paused != 3*time.Second {
		t.Errorf("paused for %s", paused)
	}
	p.Advance(3 * time.Second)
	if err := relate(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(delossim.Summary{Relate: 2}, p.Summary()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestEnter: a relation that gets no turn is called back when the rate, or the API, lets it begin.
func TestEnter(t *testing.T) {
	p := startPlatform(t)
	called := make(chan Relation)
	p.pool.OnTurn(func(relation Relation, _ int) { called <- relation })
	connection := connectionTo(p.url)
	connection.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 1, Burst: 1}
	session, err := p.pool.Prepare(connection, loginSecret())
	if err != nil {
		t.Fatal(err)
	}
	p.pool.Open(session)

	enter(t, session, relation("first"), 0, true)
	if _, err := session.User(t.Context(), john); err != nil {
		t.Fatal(err)
	}
	enter(t, session, relation("second"), 0, false)
	enter(t, session, relation("urgent"), Urgent, true)
	p.Advance(time.Second)
	if got := <-called; got != relation("second") {
		t.Errorf("called back: %v", got)
	}
	enter(t, session, relation("second"), 0, true)

	p.Inject(delossim.Fault{Failure: delossim.Answer{Status: 503, Header: http.Header{"Retry-After": {"30"}}}})
	_, _ = session.User(t.Context(), john)
	enter(t, session, relation("urgent"), Urgent, false)
	p.Advance(30 * time.Second)
	if got := <-called; got != relation("urgent") {
		t.Errorf("called back: %v", got)
	}
}

// enter asks for a turn, and expects to get one or not.
func enter(t *testing.T, session *Session, relation Relation, priority int, want bool) *Turn {
	t.Helper()
	turn, entered := session.Enter(relation, priority)
	if entered != want || (turn != nil) != want {
		t.Fatalf("%v entered: %t, want %t", relation, entered, want)
	}
	return turn
}

// TestNobodyIsLeftOnTheListOfASessionThatIsNotUsed: those who wait are called back, each once, and a session that is opened again
// has all its turns.
func TestNobodyIsLeftOnTheListOfASessionThatIsNotUsed(t *testing.T) {
	const waiting = 3
	for name, end := range map[string]func(*testing.T, *platform, *Session){
		"closed":  func(_ *testing.T, p *platform, _ *Session) { p.pool.Close(name) },
		"dropped": func(_ *testing.T, p *platform, _ *Session) { p.pool.Drop(name) },
		"replaced": func(t *testing.T, p *platform, _ *Session) {
			p.pool.Open(p.prepare(t, secretOf(map[string]string{"token": token})))
		},
		"closed by itself": func(t *testing.T, p *platform, session *Session) {
			p.SetPassword(account, "changed")
			p.RevokeSessions()
			if _, err := session.User(t.Context(), john); delos.KindOf(err) != delos.KindLoginRefused {
				t.Errorf("got %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t)
			session := p.open(t)
			called := map[Relation]int{}
			// A callback may use the session and the pool: no lock is held.
			p.pool.OnTurn(func(relation Relation, _ int) {
				p.pool.Leave(relation)
				called[relation]++
			})
			want := map[Relation]int{}
			var turns []*Turn
			for i := range fewestSlots {
				turns = append(turns, enter(t, session, relation(fmt.Sprint("begun ", i)), 0, true))
			}
			for i := range waiting {
				enter(t, session, relation(fmt.Sprint(i)), 0, false)
				want[relation(fmt.Sprint(i))] = 1
			}

			end(t, p, session)
			if diff := cmp.Diff(want, called); diff != "" {
				t.Errorf("called back (-want +got):\n%s", diff)
			}
			for _, turn := range turns {
				turn.Done()
			}
			if diff := cmp.Diff(want, called); diff != "" {
				t.Errorf("called back, with those of turns that end later (-want +got):\n%s", diff)
			}
			for i := range fewestSlots {
				enter(t, session, relation(fmt.Sprint("again ", i)), 0, true)
			}
		})
	}
}

// TestConnectionsDoNotWaitForEachOther: nor for one of which all turns are taken and that the API asked for patience.
func TestConnectionsDoNotWaitForEachOther(t *testing.T) {
	p := startPlatform(t)
	slow := p.open(t)
	connection := connectionTo(p.url)
	connection.Name = "healthy"
	healthy, err := p.pool.Prepare(connection, loginSecret())
	if err != nil {
		t.Fatal(err)
	}
	for i := range fewestSlots {
		enter(t, slow, relation(fmt.Sprint(i)), 0, true)
	}
	slow.gate.pause(time.Minute)
	enter(t, slow, relation("next"), Urgent, false)

	for i := range fewestSlots {
		enter(t, healthy, relation(fmt.Sprint(i)), 0, true)
	}
}

// TestReadOfBeforeAWriteIsNotUsedAfterIt is TestReadBeganAfterTheAsking over HTTP: a read that was answered before a write, and
// arrives after it, is not given to a caller who asked after the write.
func TestReadOfBeforeAWriteIsNotUsedAfterIt(t *testing.T) {
	answered, deliver := make(chan struct{}), make(chan struct{})
	first := true
	p := startPlatform(t, func(sim http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !first || r.URL.Path != "/v2/user/"+john {
				sim.ServeHTTP(w, r)
				return
			}
			first = false
			sim.ServeHTTP(w, r) // the answer is buffered until this returns
			close(answered)
			<-deliver
		})
	})
	session := p.open(t)
	early := make(chan *delos.User, 1)
	go func() { user, _ := session.User(t.Context(), john); early <- user }()
	<-answered

	if _, err := session.Relate(t.Context(), john, cust, true); err != nil {
		t.Fatal(err)
	}
	late := make(chan *delos.User, 1)
	go func() { user, _ := session.User(t.Context(), john); late <- user }()
	close(deliver)

	if _, related, _ := (<-early).Relation(cust); related {
		t.Error("the read of before the write shows it: this is not what the test is about")
	}
	if _, related, _ := (<-late).Relation(cust); !related {
		t.Error("who asked after the write does not see it")
	}
}

// TestTolerates shows which failures of a probe leave a session in use.
func TestTolerates(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	tolerated := func(kind delos.Kind) bool {
		return session.Tolerates(&delos.Error{Kind: kind, RetryAfter: 7 * time.Second})
	}
	var got []bool
	for range 5 {
		got = append(got, tolerated(delos.KindUnavailable))
	}
	if diff := cmp.Diff([]bool{true, true, true, true, false}, got); diff != "" {
		t.Errorf("failures in a row (-want +got):\n%s", diff)
	}
	if tolerated(delos.KindLoginRefused) || tolerated(delos.KindUnexpected) {
		t.Error("credentials that are refused, or an answer that is not the API's, are tolerated")
	}
	if !tolerated(delos.KindRateLimited) || session.Paused() != 7*time.Second {
		t.Errorf("paused for %s by an API that asks for 7s", session.Paused())
	}
	p.pool.Close(name)
	if tolerated(delos.KindUnavailable) {
		t.Error("a session that is not in use stays so")
	}
}
