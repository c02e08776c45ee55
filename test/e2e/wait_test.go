package e2e

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// within waits until there is no problem any more, and fails the test if there still is one when the time is up.
func within(t *testing.T, limit time.Duration, problem func() string) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, limit, true, func(context.Context) (bool, error) {
		last = problem()
		return last == "", nil
	})
	if err != nil {
		t.Fatalf("after %s: %s (%v)", limit, last, err)
	}
}

// first returns the first problem that there is.
func first(problems ...string) string {
	for _, problem := range problems {
		if problem != "" {
			return problem
		}
	}
	return ""
}
