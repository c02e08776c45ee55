package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

func TestReadRelease(t *testing.T) {
	for _, test := range []struct {
		name, mod, want string
	}{
		{name: "pinned", mod: "module m\nrequire (\n\tk8s.io/api v0.37.2\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\n", want: "1.37.2"},
		{name: "not required", mod: "module m\nrequire k8s.io/api v0.37.2\n"},
		{name: "no go.mod"},
	} {
		t.Run(test.name, func(t *testing.T) {
			module := t.TempDir()
			if test.mod != "" {
				write(t, filepath.Join(module, "go.mod"), test.mod)
			}
			got, err := readRelease(t.Context(), binaries.Execute, module)
			if got.kubernetes != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v; want %q", got.kubernetes, err, test.want)
			}
		})
	}
}

func TestLdflagsNameTheVersion(t *testing.T) {
	got := release{kubernetes: "1.37.2"}.ldflags()
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

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
