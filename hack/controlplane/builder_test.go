package main

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
	b := &builder{release: release{kubernetes: "1.37.2"}, report: reporter{out: io.Discard}}
	b.run = func(_ context.Context, c command) (string, error) {
		output := c.args[slices.Index(c.args, "-o")+1]
		if filepath.Dir(output) == dir {
			t.Errorf("compiles in place: %s", output)
		}
		fill(t, filepath.Dir(output), filepath.Base(output))
		if filepath.Base(output) == "kube-apiserver" {
			return "", errors.New("compiler says no")
		}
		return "", nil
	}

	err := b.build(t.Context(), dir, required)
	if err == nil || !strings.Contains(err.Error(), "compiler says no") {
		t.Errorf("got error %v, want the compiler's", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "etcd" {
		t.Errorf("left %v (%v), want etcd alone", entries, err)
	}
}

func TestLdflagsNameTheVersion(t *testing.T) {
	got := (&builder{release: release{kubernetes: "1.37.2"}}).ldflags()
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.37.2 ",
		"-X k8s.io/component-base/version.gitMajor=1 ",
		"-X k8s.io/component-base/version.gitMinor=37 ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
