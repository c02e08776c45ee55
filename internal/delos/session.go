package delos

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// session holds the access token of one account. It logs in when there is none, renews the token
// ahead of its expiry, and does either once for all who wait.
type session struct {
	api    *Client
	now    func() time.Time
	flight singleflight.Group
	// probes has the probe that is under way.
	probes singleflight.Group

	mu sync.Mutex
	// fixed: the token was given and cannot be renewed.
	fixed   bool
	current tokens
	renewAt time.Time
	// refused is why no login is sent until forgive is called.
	refused error
	// unproven: the token replaced one that the API did not accept, and was itself not accepted yet.
	unproven bool
	// verdict is the result of the last probe.
	verdict tokenVerdict
}

// tokenVerdict is the result of a probe with a token: err is nil when the API accepted it.
type tokenVerdict struct {
	token string
	at    time.Time
	err   error
}

// tokens are the result of a login or a refresh.
type tokens struct {
	access         string
	issued         time.Time
	expires        time.Time
	refresh        string
	refreshExpires time.Time
}

// unprovenPeriod is the time in which a token that replaced a refused one, and was not accepted yet, is
// not replaced again. So an API that refuses every token is not asked for new ones without end.
const unprovenPeriod = time.Minute

// probePeriod is the time for which the result of a probe is used again. So the API may answer about many users that it does
// not accept the session, and they cost one probe in that time, and not one each.
const probePeriod = 10 * time.Second

func newSession(api *Client, config Config) *session {
	s := &session{api: api, now: config.Now}
	if config.Credentials.Token != "" {
		s.fixed, s.current = true, tokens{access: config.Credentials.Token}
	}
	return s
}

// token returns a token to call with, after a login or a renewal when one is due.
func (s *session) token(ctx context.Context) (string, error) {
	s.mu.Lock()
	token, err := s.current.access, s.refused
	usable := token != "" && (s.fixed || s.now().Before(s.renewAt))
	s.mu.Unlock()
	if err != nil || usable {
		return token, err
	}
	return s.renew(ctx)
}

// replace returns another token than the one that the API did not accept; "" when there is no use in
// asking for one.
func (s *session) replace(ctx context.Context, rejected string) (string, error) {
	s.mu.Lock()
	switch {
	case s.fixed:
		s.refused = &Error{Operation: OperationLogin, Kind: KindLoginRefused, Text: "the API does not accept the token", OtherForm: s.api.otherAuthorization()}
		defer s.mu.Unlock()
		return "", s.refused
	case !s.dropLocked(rejected):
		defer s.mu.Unlock()
		return "", nil
	}
	s.mu.Unlock()
	return s.token(ctx)
}

// doubt finds the meaning of an answer about one user that did not accept a token, by one probe for all that wait. If the
// probe is not accepted either, the answer is KindUnauthorized. If the probe is accepted, the account may not do this to
// this user. If the probe fails otherwise, the call fails as the probe does.
func (s *session) doubt(ctx context.Context, token string, failure Error) error {
	done := s.probes.DoChan(token, func() (any, error) {
		return nil, s.probe(context.WithoutCancel(ctx), token)
	})
	select {
	case result := <-done:
		if failure.Kind = KindOf(result.Err); failure.Kind == KindNone {
			failure.Kind = KindForbidden
		}
		failure.RetryAfter = max(failure.RetryAfter, RetryAfterOf(result.Err))
		failure.tokenRefused = tokenRefused(result.Err)
	case <-ctx.Done():
		failure.Kind, failure.canceled = KindUnreachable, ctx.Err()
	}
	return &failure
}

// probe asks the API whether it accepts a token, or returns the verdict of a moment ago.
func (s *session) probe(ctx context.Context, token string) error {
	now := s.now()
	s.mu.Lock()
	last := s.verdict
	s.mu.Unlock()
	if last.token == token && now.Sub(last.at) < probePeriod {
		return last.err
	}
	if s.api.config.Admit != nil {
		if wait := s.api.config.Admit(); wait > 0 {
			return &Error{Operation: OperationList, Kind: KindRateLimited, RetryAfter: wait}
		}
	}
	_, err := s.api.exchange(ctx, s.api.calls, listOne, token)
	err = probed(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verdict = tokenVerdict{token, now, err}
	return err
}

// drop has the next call use another token than the one that the API did not accept.
func (s *session) drop(rejected string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fixed {
		s.dropLocked(rejected)
	}
}

// dropLocked reports false when there is no use in asking for another token.
func (s *session) dropLocked(rejected string) bool {
	if s.current.access != rejected {
		return true
	}
	if s.unproven && s.now().Sub(s.current.issued) < unprovenPeriod {
		return false
	}
	s.current.access, s.unproven = "", true
	return true
}

// accepted notes that the API accepted a token.
func (s *session) accepted(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.access == token {
		s.unproven = false
	}
	if s.verdict.token == token && s.verdict.err != nil {
		s.verdict = tokenVerdict{}
	}
}

// forgive lets a refused login be tried again.
func (s *session) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = nil
}

// renew gets a new token, once for all callers. A caller that gives up leaves the others waiting, and
// the renewal under way.
func (s *session) renew(ctx context.Context) (string, error) {
	givenUp := &Error{Operation: OperationLogin, Kind: KindUnreachable, Text: "given up by the caller"}
	if givenUp.canceled = ctx.Err(); givenUp.canceled != nil {
		return "", givenUp // Nobody would wait for the renewal.
	}
	done := s.flight.DoChan("", func() (any, error) {
		return s.renewNow(context.WithoutCancel(ctx))
	})
	select {
	case result := <-done:
		token, _ := result.Val.(string)
		return token, result.Err
	case <-ctx.Done():
		givenUp.canceled = ctx.Err()
		return "", givenUp
	}
}

func (s *session) renewNow(ctx context.Context) (string, error) {
	s.mu.Lock()
	old, refused := s.current, s.refused
	fresh := old.access != "" && s.now().Before(s.renewAt)
	s.mu.Unlock()
	// Another caller may have renewed the token since this one looked.
	if refused != nil || fresh {
		return old.access, refused
	}
	got, err := s.acquire(ctx, old)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch {
	case err == nil:
		s.current, s.renewAt = got, renewalTime(got)
		if s.api.config.Renewed != nil {
			s.api.config.Renewed(got.expires)
		}
		return got.access, nil
	case KindOf(err) == KindLoginRefused:
		s.current, s.refused = tokens{}, err
		return "", err
	case s.current.access != "" && now.Before(old.expires) && !asksForPatience(err):
		// The present token still works; the next attempt comes after half of its remaining life.
		s.renewAt = now.Add(old.expires.Sub(now) / 2)
		return old.access, nil
	case KindOf(err) != KindRateLimited, tokenRefused(err):
		// The refresh token may be used up, and a refresh may never work again. So the next attempt is
		// a login.
		s.current = tokens{}
		return "", err
	default:
		return "", err
	}
}

// asksForPatience reports whether the API said when it may be called again, which holds for all calls.
func asksForPatience(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Kind == KindRateLimited && failure.RetryAfter > 0
}

// acquire refreshes a session if it can, and logs in if not.
func (s *session) acquire(ctx context.Context, old tokens) (tokens, error) {
	if old.refresh == "" || !s.now().Before(old.refreshExpires) {
		return s.api.login(ctx)
	}
	got, err := s.api.refresh(ctx, old.refresh)
	switch KindOf(err) {
	case KindUnreachable, KindUnavailable, KindRateLimited:
		return tokens{}, err
	case KindNone:
		return got, nil
	default:
		return s.api.login(ctx)
	}
}

// renewalTime is shortly before the end of a token's life. It is late, since each renewal uses up a refresh token, and
// early enough for a slow renewal: with a token of five minutes at least twelve seconds. It is spread so that the
// sessions of many connections are not renewed together.
func renewalTime(of tokens) time.Time {
	life := of.expires.Sub(of.issued)
	return of.issued.Add(life*95/100 + rand.N(life/100+1))
}
