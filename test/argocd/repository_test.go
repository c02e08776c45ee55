//go:build argocd

package argocd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// repository is a Git repository for Argo CD, with a working copy.
type repository struct{ url, work string }

const branch = "main"

func newRepository(t *testing.T, name string) *repository {
	t.Helper()
	bare, work := filepath.Join(box.Dir(), name+".git"), filepath.Join(box.Dir(), name)
	r := &repository{url: "file://" + bare, work: work}
	sandbox.Must(t, os.Mkdir(work, 0o700))
	r.git(t, "init", "--quiet", "--bare", "--initial-branch="+branch, bare)
	r.git(t, "init", "--quiet", "--initial-branch="+branch)
	r.git(t, "remote", "add", "origin", bare)
	return r
}

// write puts files into the working copy.
func (r *repository) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(r.work, name)
		sandbox.Must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		sandbox.Must(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

// replace changes a text in a file of the working copy. The text must exist.
func (r *repository) replace(t *testing.T, name, from, to string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.work, name))
	sandbox.Must(t, err)
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s has no %q", name, from)
	}
	r.write(t, map[string]string{name: strings.Replace(string(text), from, to, 1)})
}

// commit publishes the working copy as it is, and returns the revision.
func (r *repository) commit(t *testing.T, message string) (revision string) {
	t.Helper()
	r.git(t, "add", "--all")
	r.git(t, "-c", "user.name=team-a", "-c", "user.email=team-a@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", message)
	r.git(t, "push", "--quiet", "origin", branch)
	return r.git(t, "rev-parse", "HEAD")
}

func (r *repository) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = r.work
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
