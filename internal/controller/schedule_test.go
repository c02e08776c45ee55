package controller

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestChecksOfUsersAreSpreadOverTheInterval(t *testing.T) {
	tenths := map[time.Duration]int{}
	for i := range 10000 {
		user := fmt.Sprint(i)
		first := due(user, at(0), time.Hour)
		tenths[first.Sub(start)/(6*time.Minute)]++
		expectEqual(t, "apart from what was confirmed later", time.Duration(0), due(user, at(20*time.Minute), time.Hour).Sub(first)%time.Hour)
		expectEqual(t, "due again, confirmed a moment later", first.Add(time.Hour), due(user, metav1.NewTime(first.Add(time.Second)), time.Hour))
	}
	for tenth := range time.Duration(10) {
		if got := tenths[tenth+1]; got < 900 || got > 1100 {
			t.Errorf("%d of 10000 users are due in the tenth %d of the interval", got, tenth+1)
		}
	}
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
