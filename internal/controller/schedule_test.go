package controller

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestDueIsSpreadOverATenthOfTheInterval(t *testing.T) {
	confirmed := at(0)
	earliest, latest := time.Hour*2, time.Duration(0)
	for i := range 10000 {
		after := due(types.UID(fmt.Sprint(i)), confirmed, time.Hour).Sub(confirmed.Time)
		earliest, latest = min(earliest, after), max(latest, after)
	}
	// Ten thousand objects come within a second of either end.
	expectEqual(t, "earliest", 54*time.Minute, earliest.Truncate(10*time.Second))
	expectEqual(t, "latest", 66*time.Minute, latest.Round(10*time.Second))
}

func TestDueDoesNotMove(t *testing.T) {
	expectEqual(t, "due", due("uid", at(0), time.Hour), due("uid", at(0), time.Hour))
}

func TestJitterOnlyLengthens(t *testing.T) {
	for range 1000 {
		if got := Jitter(time.Minute); got < time.Minute || got > 66*time.Second {
			t.Fatalf("Jitter(1m) is %s, want 1m to 1m6s", got)
		}
	}
}

func TestLoginRetry(t *testing.T) {
	for attempts, want := range map[int32]time.Duration{
		1: 15 * time.Minute, 2: 30 * time.Minute, 3: time.Hour, 4: time.Hour, 1 << 30: time.Hour,
	} {
		expectEqual(t, fmt.Sprintf("wait after %d refusals", attempts), want, loginRetry(attempts))
	}
}
