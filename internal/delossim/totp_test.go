package delossim

import (
	"math"
	"testing"
	"time"
)

func TestTOTPCode(t *testing.T) {
	// RFC 6238, appendix B, the last six of its eight digits.
	for at, want := range map[int64]string{
		59:          "287082",
		1111111109:  "081804",
		1111111111:  "050471",
		1234567890:  "005924",
		2000000000:  "279037",
		20000000000: "353130",
	} {
		if got := totpCode([]byte("12345678901234567890"), totpStep(time.Unix(at, 0))); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

func TestAcceptCode(t *testing.T) {
	key, now := []byte("12345678901234567890"), time.Unix(1111111111, 0)
	current := totpStep(now)
	for name, test := range map[string]struct {
		step     int64
		lastUsed int64
		want     bool
	}{
		"current":                    {step: current, want: true},
		"a client's clock is behind": {step: current - 1, want: true},
		"a client's clock is ahead":  {step: current + 1, want: true},
		"too old":                    {step: current - 2},
		"too new":                    {step: current + 2},
		"used":                       {step: current, lastUsed: current},
		"older than the one used":    {step: current - 1, lastUsed: current},
		"newer than the one used":    {step: current, lastUsed: current - 1, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			lastUsed := test.lastUsed
			if lastUsed == 0 {
				lastUsed = math.MinInt64
			}
			step, ok := acceptCode(key, totpCode(key, test.step), now, lastUsed)
			if ok != test.want || ok && step != test.step {
				t.Errorf("step %d, accepted %v", step, ok)
			}
		})
	}
}

func TestDecodeSeed(t *testing.T) {
	for _, seed := range []string{"MZXW6YTB", "mzxw 6ytb"} {
		if key, err := decodeSeed(seed); err != nil || string(key) != "fooba" {
			t.Errorf("%q: %q, %v", seed, key, err)
		}
	}
	if key, err := decodeSeed("MZXW6==="); err != nil || string(key) != "foo" {
		t.Errorf("padded: %q, %v", key, err)
	}
	for _, seed := range []string{"", "===", "0189", "MZXW6YT!"} {
		if key, err := decodeSeed(seed); err == nil {
			t.Errorf("%q: accepted as %q", seed, key)
		}
	}
}
