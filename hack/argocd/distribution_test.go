package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

func TestCompleteMakesWhatIsMissingOnce(t *testing.T) {
	source, dir := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	for _, file := range []string{"hack/git-verify-wrapper.sh", "hack/gpg-wrapper.sh", "manifests/crds/a.yaml", "manifests/base/config/b.yaml", "manifests/cluster-rbac/application-controller/c.yaml"} {
		path := filepath.Join(source, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	builds, downloads := 0, 0
	run := func(_ context.Context, c binaries.Command) (string, error) {
		if at := slices.Index(c.Args, "-o"); at > 0 {
			builds++
			return "", os.WriteFile(c.Args[at+1], nil, 0o755)
		}
		downloads++
		return fmt.Sprintf(`{"Dir": %q}`, source), nil
	}
	d := &distribution{dir: dir, module: ".", run: run, builder: &binaries.Builder{Run: run, Report: binaries.Reporter{Out: io.Discard}}}
	for range 2 {
		if err := d.complete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if builds != 1 || downloads != 1 {
		t.Errorf("built %d times and downloaded %d times, want once each", builds, downloads)
	}
	executables := append([]string{program, "git-verify-wrapper.sh", "gpg-wrapper.sh"}, aliases...)
	if lacking := binaries.Missing(dir, executables); len(lacking) > 0 {
		t.Errorf("missing %v", lacking)
	}
	for _, file := range []string{"manifests/crds/a.yaml", "manifests/config/b.yaml", "manifests/rbac/c.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}
