package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// packages says what each binary is built from.
var packages = map[string]string{
	"etcd":                    "go.etcd.io/etcd/server/v3",
	"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
	"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
	"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
}

// builder compiles binaries from the modules that hack/tools/kubernetes pins.
type builder struct {
	run     runner
	module  string
	release release
	report  reporter
}

// build compiles the named binaries into dir. Each appears there by a rename once it is whole, so
// that nobody ever sees half a file and an interrupted run has not worked in vain.
func (b *builder) build(ctx context.Context, dir string, names []string) (err error) {
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

	b.report.say("building %s for Kubernetes v%s from Go modules; with empty caches this takes minutes, once; kept in %s",
		strings.Join(names, ", "), b.release.kubernetes, dir)
	for i, name := range names {
		what := fmt.Sprintf("[%d/%d] go build %s", i+1, len(names), packages[name])
		if err := b.report.step(what, func() error {
			return b.compile(ctx, packages[name], filepath.Join(scratch, name))
		}); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(scratch, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) compile(ctx context.Context, pkg, output string) error {
	_, err := b.run(ctx, command{
		args: []string{"go", "build", "-C", b.module, "-mod=readonly", "-trimpath", "-ldflags", b.ldflags(), "-o", output, pkg},
		// Static binaries, from what the tool module pins and not from a workspace around it.
		env: []string{"CGO_ENABLED=0", "GOWORK=off"},
	})
	return err
}

// ldflags stamps the version as Kubernetes' own build does. Without it the binaries call themselves
// v0.0.0-master, and API server and kubectl disagree about what they support.
func (b *builder) ldflags() string {
	flags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=v%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
			pkg, b.release.kubernetes, b.release.major(), b.release.minor())
	}
	return flags
}
