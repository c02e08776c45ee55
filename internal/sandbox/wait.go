package sandbox

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// pollEvery is the time between two checks of a wait.
const pollEvery = 50 * time.Millisecond

// Await waits until there is no problem. It returns the last problem, and an error if there still is one when the
// time is up.
func Await(ctx context.Context, limit time.Duration, problem func() string) (last string, err error) {
	return last, wait.PollUntilContextTimeout(ctx, pollEvery, limit, true, func(context.Context) (bool, error) {
		last = problem()
		return last == "", nil
	})
}

// Within waits until there is no problem, and ends a test or a program if there still is one when the time is up.
func Within(t T, limit time.Duration, problem func() string) {
	t.Helper()
	if last, err := Await(t.Context(), limit, problem); err != nil {
		t.Fatal(fmt.Sprintf("after %s: %s (%v)", limit, last, err))
	}
}

// First returns the first problem, or "".
func First(problems ...string) string {
	for _, problem := range problems {
		if problem != "" {
			return problem
		}
	}
	return ""
}

// Pause lets time pass.
func Pause(t T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
