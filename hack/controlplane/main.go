// Command controlplane finds, downloads or builds a real Kubernetes control plane for tests and
// the demo, and prints the directory that holds it. Everything else it has to say goes to stderr,
// so that this works:
//
//	KUBEBUILDER_ASSETS=$(go run ./hack/controlplane) go test ./...
//
// It takes the nearest one that is complete:
//
//  1. $KUBEBUILDER_ASSETS, if set
//  2. what an earlier run built, in the user's cache directory
//  3. what setup-envtest has installed, or can download within a short time
//  4. a build from the Go modules pinned in hack/tools/kubernetes, which takes minutes, once
//
// The Kubernetes version is the one in hack/tools/kubernetes/go.mod; it is written nowhere else.
package main

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

func main() {
	binaries.Main("controlplane", func(ctx context.Context) (string, error) { return run(ctx, os.Args[1:], os.Stderr) })
}

func run(ctx context.Context, args []string, stderr io.Writer) (string, error) {
	flags := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	flags.SetOutput(stderr)
	with := flags.String("with", "", "comma-separated `binaries` wanted beside "+
		strings.Join(required, ", ")+": "+strings.Join(optional, ", "))
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	extra, err := parseExtra(*with)
	if err != nil {
		return "", err
	}

	f, err := newFinder(ctx, stderr)
	if err != nil {
		return "", err
	}
	return f.find(ctx, os.Getenv("KUBEBUILDER_ASSETS"), extra)
}

// newFinder wires the sources together for the checkout around the working directory.
func newFinder(ctx context.Context, stderr io.Writer) (*finder, error) {
	root, err := binaries.RepositoryRoot(ctx, binaries.Execute)
	if err != nil {
		return nil, err
	}
	tools := filepath.Join(root, "hack", "tools")
	module := filepath.Join(tools, "kubernetes")
	release, err := readRelease(ctx, binaries.Execute, module)
	if err != nil {
		return nil, err
	}
	cache, err := binaries.CacheDir("controlplane", release.kubernetes, module)
	if err != nil {
		return nil, err
	}
	report := binaries.Reporter{Out: stderr, Name: "controlplane"}
	return &finder{
		cache:   cache,
		envtest: &envtest{run: binaries.Execute, modfile: filepath.Join(tools, "generate", "go.mod"), release: release, report: report},
		builder: newBuilder(binaries.Execute, module, release, report),
		release: release,
		report:  report,
	}, nil
}

// newBuilder builds what can be built of a release.
func newBuilder(run binaries.Runner, module string, release release, report binaries.Reporter) *binaries.Builder {
	return &binaries.Builder{
		Run:      run,
		Module:   module,
		What:     "Kubernetes v" + release.kubernetes,
		Packages: packages,
		Ldflags:  release.ldflags(),
		Report:   report,
	}
}
