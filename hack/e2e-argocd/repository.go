package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// repository is what Argo CD delivers from, and a working copy of it.
type repository struct {
	url, work string
}

const branch = "main"

func newRepository(ctx context.Context, dir string) (*repository, error) {
	bare, work := filepath.Join(dir, "delivered.git"), filepath.Join(dir, "delivered")
	r := &repository{url: "file://" + bare, work: work}
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=" + branch, bare},
		{"init", "--quiet", "--initial-branch=" + branch},
		{"remote", "add", "origin", bare},
	} {
		if _, err := r.git(ctx, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// write puts files into the working copy.
func (r *repository) write(files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(r.work, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// replace changes a text in a file of the working copy. It must be there.
func (r *repository) replace(name, from, to string) error {
	path := filepath.Join(r.work, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), from) {
		return fmt.Errorf("%s has no %q", name, from)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600)
}

// commit publishes the working copy as it is, and returns the revision.
func (r *repository) commit(ctx context.Context, message string) (string, error) {
	for _, args := range [][]string{
		{"add", "--all"},
		{"-c", "user.name=team-a", "-c", "user.email=team-a@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", message},
		{"push", "--quiet", "origin", branch},
	} {
		if _, err := r.git(ctx, args...); err != nil {
			return "", err
		}
	}
	return r.git(ctx, "rev-parse", "HEAD")
}

func (r *repository) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.work
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), ctx.Err()
}
