package binaries

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBuildKeepsOnlyWholeBinaries(t *testing.T) {
	dir := t.TempDir()
	b := &Builder{Report: Reporter{Out: io.Discard}}
	b.Run = func(_ context.Context, c Command) (string, error) {
		output := c.Args[slices.Index(c.Args, "-o")+1]
		if filepath.Dir(output) == dir {
			t.Errorf("compiles in place: %s", output)
		}
		fill(t, filepath.Dir(output), filepath.Base(output))
		if filepath.Base(output) == "kube-apiserver" {
			return "", errors.New("compiler says no")
		}
		return "", nil
	}

	err := b.Build(t.Context(), dir, required)
	if err == nil || !strings.Contains(err.Error(), "compiler says no") {
		t.Errorf("got error %v, want the compiler's", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "etcd" {
		t.Errorf("left %v (%v), want etcd alone", entries, err)
	}
}
