// Package binaries builds programs from the Go modules that hack/tools pins, once, and keeps them in the user's cache.
package binaries

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Binaries are programs that a tool module, such as hack/tools/kubernetes, builds.
type Binaries struct {
	// Packages says what each program is built from, and Ldflags stamp its version.
	Packages map[string]string
	Ldflags  string
	// Dir is where they are kept. The version, and go.mod and go.sum of the module, are part of its name.
	Dir string
	// Module is the directory of the tool module, seen from the top of the repository.
	Module string
	// Go runs the go command there, as [sandbox.Go] does.
	Go func(ctx context.Context, progress io.Writer, args ...string) (string, error)
}

// Of returns what is kept, under a name, of what is built from a tool module, with the version that this requires of another module.
func Of(ctx context.Context, name, module, path string) (b *Binaries, version string, err error) {
	// Static binaries, from what the tool module pins and not from a workspace around it. A tool may need a newer Go than the one that is
	// installed; it is then fetched like a module.
	for _, variable := range [][2]string{{"CGO_ENABLED", "0"}, {"GOWORK", "off"}, {"GOTOOLCHAIN", "auto"}} {
		if err := os.Setenv(variable[0], variable[1]); err != nil {
			return nil, "", err
		}
	}
	b = &Binaries{Module: module, Go: sandbox.Go}
	if version, err = b.Go(ctx, nil, "-C", module, "list", "-m", "-f", "{{.Version}}", path); err != nil {
		return nil, "", err
	}
	version = strings.TrimPrefix(version, "v")
	root, err := sandbox.ModuleRoot(ctx)
	if err != nil {
		return nil, "", err
	}
	hash := sha256.New()
	for _, file := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(root, module, file))
		if err != nil {
			return nil, "", err
		}
		hash.Write(content)
	}
	cache, err := os.UserCacheDir()
	b.Dir = filepath.Join(cache, "clientbinding-operator", name, fmt.Sprintf("%s-%s-%s-%.6x", version, runtime.GOOS, runtime.GOARCH, hash.Sum(nil)))
	return b, version, err
}

// Missing returns those of names that are no executable file in dir.
func Missing(dir string, names []string) (missing []string) {
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}

// Build compiles the named programs that are missing, and tells of it on stderr. Two runs at once build once: the second waits.
func (b *Binaries) Build(ctx context.Context, names []string) (err error) {
	if len(Missing(b.Dir, names)) == 0 {
		return nil
	}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Create(b.Dir + ".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // gives the lock back
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Fprintln(os.Stderr, "Another run is building the same; waiting for it")
	}
	locked := make(chan error, 1)
	go func() { locked <- syscall.Flock(int(lock.Fd()), syscall.LOCK_EX) }()
	select {
	case err = <-locked:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	report := &sandbox.Report{Out: os.Stderr}
	for _, name := range Missing(b.Dir, names) {
		report.Step(fmt.Sprintf("Building %s into %s; with empty caches this takes minutes, once", name, b.Dir), func() { err = b.compile(ctx, name) })
		if err != nil {
			return err
		}
	}
	return nil
}

// compile builds a program, which appears once it is whole.
func (b *Binaries) compile(ctx context.Context, name string) error {
	scratch := filepath.Join(b.Dir, ".building-"+name)
	if _, err := b.Go(ctx, nil, "build", "-C", b.Module, "-mod=readonly", "-trimpath", "-ldflags", "-s -w "+b.Ldflags, "-o", scratch, b.Packages[name]); err != nil {
		return err
	}
	return os.Rename(scratch, filepath.Join(b.Dir, name))
}
