package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

const (
	modulePath = "github.com/argoproj/argo-cd/v3"
	// program is all of Argo CD: it does what the name says by which it is called.
	program = "argocd"
)

// aliases are the other names of the program.
var aliases = []string{"argocd-application-controller", "argocd-applicationset-controller", "argocd-repo-server", "argocd-server"}

// copies are the files and folders of the module that running it takes, and where they go.
var copies = map[string]string{
	// Called by the repo server, also where signatures are not checked.
	"hack/git-verify-wrapper.sh": "git-verify-wrapper.sh",
	"hack/gpg-wrapper.sh":        "gpg-wrapper.sh",
	"manifests/crds":             "manifests/crds",
	"manifests/base/config":      "manifests/config",
	// What the application controller may do: everything.
	"manifests/cluster-rbac/application-controller": "manifests/rbac",
}

// distribution is a directory with all that it takes to run Argo CD.
type distribution struct {
	dir     string
	module  string
	run     binaries.Runner
	builder *binaries.Builder
}

// complete makes what is missing of it.
func (d *distribution) complete(ctx context.Context) error {
	if err := d.builder.Build(ctx, d.dir, binaries.Missing(d.dir, []string{program})); err != nil {
		return err
	}
	for _, alias := range aliases {
		if err := os.Symlink(program, filepath.Join(d.dir, alias)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	var source string
	for from, to := range copies {
		to = filepath.Join(d.dir, to)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if source == "" {
			var err error
			if source, err = d.source(ctx); err != nil {
				return err
			}
		}
		if err := replicate(filepath.Join(source, from), to); err != nil {
			return err
		}
	}
	return nil
}

// source is where the module of Argo CD is on this machine.
func (d *distribution) source(ctx context.Context) (string, error) {
	out, err := d.run(ctx, binaries.Command{
		Args: []string{"go", "-C", d.module, "mod", "download", "-json", modulePath},
		Env:  []string{"GOTOOLCHAIN=auto", "GOWORK=off"},
	})
	if err != nil {
		return "", err
	}
	var found struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &found); err != nil || found.Dir == "" {
		return "", fmt.Errorf("go mod download tells no folder of %s: %w", modulePath, err)
	}
	return found.Dir, nil
}

// replicate copies a file or a folder. It appears whole or not at all.
func replicate(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	scratch := fmt.Sprintf("%s.%d", to, os.Getpid())
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		err = os.CopyFS(scratch, os.DirFS(from))
	default:
		var content []byte
		if content, err = os.ReadFile(from); err == nil {
			// A module's files have no run bit.
			err = os.WriteFile(scratch, content, 0o755)
		}
	}
	if err == nil {
		err = os.Rename(scratch, to)
	}
	return errors.Join(err, os.RemoveAll(scratch))
}
