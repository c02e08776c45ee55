package main

import (
	"os"
	"path/filepath"
	"testing"
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
			got, err := readRelease(t.Context(), execute, module)
			if got.kubernetes != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v; want %q", got.kubernetes, err, test.want)
			}
		})
	}
}

func TestCacheDirChangesWithTheModule(t *testing.T) {
	module := t.TempDir()
	name := func(mod, sum string) string {
		write(t, filepath.Join(module, "go.mod"), mod)
		write(t, filepath.Join(module, "go.sum"), sum)
		dir, err := cacheDir("/cache", release{kubernetes: "1.37.2"}, module)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	first := name("a", "b")
	if again := name("a", "b"); again != first {
		t.Errorf("%s became %s without a change", first, again)
	}
	if name("c", "b") == first || name("a", "c") == first {
		t.Error("a change in the module did not change the directory")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
