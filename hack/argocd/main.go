// Command argocd builds the real Argo CD for tests, and prints the directory that holds it: its programs, the scripts
// that they call, and in manifests what is installed in a cluster. Everything else it has to say goes to stderr.
//
// It is built once from the Go modules pinned in hack/tools/argocd, which takes minutes, and kept in the user's cache
// directory. The version is the one in that go.mod; it is written nowhere else.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

func main() { binaries.Main("argocd", run) }

func run(ctx context.Context) (string, error) {
	root, err := binaries.RepositoryRoot(ctx, binaries.Execute)
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "hack", "tools", "argocd")
	version, err := binaries.Version(ctx, binaries.Execute, module, modulePath)
	if err != nil {
		return "", err
	}
	cache, err := binaries.CacheDir("argocd", version, module)
	if err != nil {
		return "", err
	}
	report := binaries.Reporter{Out: os.Stderr, Name: "argocd"}
	unlock, err := binaries.Lock(ctx, cache+".lock", report)
	if err != nil {
		return "", err
	}
	defer unlock()
	d := &distribution{
		dir:    cache,
		module: module,
		run:    binaries.Execute,
		builder: &binaries.Builder{
			Run:      binaries.Execute,
			Module:   module,
			What:     "Argo CD v" + version,
			Packages: map[string]string{program: modulePath + "/cmd"},
			Ldflags:  "-X " + modulePath + "/common.version=" + version,
			Report:   report,
		},
	}
	return cache, d.complete(ctx)
}
