//go:build unix

package binaries

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockExcludesUntilItIsGivenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not-yet", "lock")
	unlock, err := Lock(t.Context(), path, Reporter{Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	var said bytes.Buffer
	if _, err := Lock(cancelled, path, Reporter{Out: &said}); !errors.Is(err, context.Canceled) {
		t.Errorf("second lock: got %v, want to wait until cancelled", err)
	}
	if !strings.Contains(said.String(), "another run") {
		t.Errorf("said %q, want what it waits for", said.String())
	}

	unlock()
	again, err := Lock(t.Context(), path, Reporter{Out: io.Discard})
	if err != nil {
		t.Fatalf("after the unlock: %v", err)
	}
	again()
}
