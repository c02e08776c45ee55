package binaries

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var required = []string{"etcd", "kube-apiserver", "kubectl"}

// fill writes an executable file for each name and returns the directory.
func fill(t *testing.T, dir string, names ...string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMissing(t *testing.T) {
	notExecutable := fill(t, t.TempDir(), "etcd", "kubectl")
	if err := os.WriteFile(filepath.Join(notExecutable, "kube-apiserver"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		dir  string
		want string
	}{
		{name: "complete", dir: fill(t, t.TempDir(), required...)},
		{name: "one absent", dir: fill(t, t.TempDir(), "etcd", "kubectl"), want: "kube-apiserver"},
		{name: "one not executable", dir: notExecutable, want: "kube-apiserver"},
		{name: "a directory by that name", dir: filepath.Dir(fill(t, filepath.Join(t.TempDir(), "etcd"))), want: "etcd kube-apiserver kubectl"},
		{name: "no such directory", dir: filepath.Join(t.TempDir(), "none"), want: "etcd kube-apiserver kubectl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(Missing(test.dir, required), " "); got != test.want {
				t.Errorf("missing %q, want %q", got, test.want)
			}
		})
	}
}

func TestCacheDirChangesWithTheModule(t *testing.T) {
	module := t.TempDir()
	name := func(mod, sum string) string {
		write(t, filepath.Join(module, "go.mod"), mod)
		write(t, filepath.Join(module, "go.sum"), sum)
		dir, err := CacheDir("controlplane", "1.37.2", module)
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
