package binaries

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Builder compiles programs from the modules that a tool module, such as hack/tools/kubernetes, pins.
type Builder struct {
	Run Runner
	// Module is the directory of the tool module.
	Module string
	// What is built, with its version, for people.
	What string
	// Packages says what each program is built from.
	Packages map[string]string
	// Ldflags stamp the version.
	Ldflags string
	Report  Reporter
}

// Build compiles the named programs into dir. Each appears there by a rename once it is whole, so
// that nobody ever sees half a file and an interrupted run has not worked in vain.
func (b *Builder) Build(ctx context.Context, dir string, names []string) (err error) {
	if len(names) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Beside the destination: a rename does not cross file systems.
	scratch, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	b.Report.Say("building %s for %s from Go modules; with empty caches this takes minutes, once; kept in %s",
		strings.Join(names, ", "), b.What, dir)
	for i, name := range names {
		what := fmt.Sprintf("[%d/%d] go build %s", i+1, len(names), b.Packages[name])
		if err := b.Report.Step(what, func() error {
			return b.compile(ctx, b.Packages[name], filepath.Join(scratch, name))
		}); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(scratch, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) compile(ctx context.Context, pkg, output string) error {
	_, err := b.Run(ctx, Command{
		Args: []string{"go", "build", "-C", b.Module, "-mod=readonly", "-trimpath", "-ldflags", "-s -w " + b.Ldflags, "-o", output, pkg},
		// Static binaries, from what the tool module pins and not from a workspace around it. A tool may need a newer
		// Go than the one that is installed; it is then fetched like a module.
		Env: []string{"CGO_ENABLED=0", "GOWORK=off", "GOTOOLCHAIN=auto"},
	})
	return err
}
