package binaries

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestExecute(t *testing.T) {
	out, err := Execute(t.Context(), Command{Args: []string{"sh", "-c", "echo $WHAT; echo aside >&2"}, Env: []string{"WHAT=this"}})
	if out != "this\n" || err != nil {
		t.Errorf("got %q, %v; want standard output alone", out, err)
	}
	if _, err = Execute(t.Context(), Command{Args: []string{"sh", "-c", "echo why >&2; exit 3"}}); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("got %v, want what the command said", err)
	}
	_, err = Execute(t.Context(), Command{Args: []string{"sleep", "60"}, Timeout: 10 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the timeout", err)
	}
}
