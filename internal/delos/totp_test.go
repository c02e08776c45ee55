package delos

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestOneTimeCodes: the platform refuses a code that it has seen, so each login has to have one of its own,
// also after a restart. Until there is one, no login is sent.
func TestOneTimeCodes(t *testing.T) {
	const seed = "JBSWY3DPEHPK3PXP"
	p := startPlatform(t, delossim.Settings{}, withLogin, func(config *Config) { config.Credentials.TOTPSeed = seed })
	p.AddAccount(delossim.Account{Login: account, Password: password, TOTPSeed: seed})
	p.Advance(10 * time.Second) // into a period of 30 seconds that began at noon

	for _, test := range []struct {
		reason string
		after  time.Duration
		// wait is how long the login has to wait; 0 for one that is sent.
		wait time.Duration
	}{
		{"the code of the period in which the program began may have been used by the one before", 0, 20 * time.Second},
		{"the next code", 20 * time.Second, 0},
		{"the same code", 0, 30 * time.Second},
		{"the same code, at the end of its period", 29 * time.Second, time.Second},
		{"a code later on", time.Hour, 0},
		{"a clock that was set back", -time.Minute, 61 * time.Second},
	} {
		p.Advance(test.after)
		_, err := p.api.login(t.Context())
		if test.wait == 0 {
			if err != nil {
				t.Errorf("%s: %v", test.reason, err)
			}
			continue
		}
		want := verdict{
			Text: "login: awaiting a one-time code", Kind: KindAwaitingCode, RetryAfter: test.wait,
		}
		if diff := cmp.Diff(want, verdictOf(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.reason, diff)
		}
	}
	if logins := p.Count(delossim.OpLogin); logins != 2 {
		t.Errorf("%d logins were sent, want 2", logins)
	}
}

func TestSeedThatIsNone(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	api := newAPI(t, answering(t, 200, ""), withLogin, func(config *Config) {
		config.Credentials.TOTPSeed, config.Now = "canary-1", clock.Now
	})
	clock.Advance(time.Minute)
	_, err := api.login(t.Context())
	if got, want := textOf(t, err), "login: invalid request: the seed of the one-time codes is not base32"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
