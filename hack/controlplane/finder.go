package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

// finder knows where control planes may be and how to make one.
type finder struct {
	cache   string // what was built for this very set of versions
	envtest *envtest
	builder *binaries.Builder
	release release
	report  binaries.Reporter
}

// find returns a directory that holds the required binaries and the extra ones. assets is the
// value of KUBEBUILDER_ASSETS; a caller who sets it gets that control plane or an error, never another.
func (f *finder) find(ctx context.Context, assets string, extra []string) (string, error) {
	base, err := f.base(ctx, assets)
	if err != nil {
		return "", err
	}
	lacking := binaries.Missing(base, extra)
	if len(lacking) == 0 {
		return base, nil
	}
	if err := f.build(ctx, lacking); err != nil {
		return "", err
	}
	if base == f.cache {
		return base, nil
	}
	// A directory of another user is not ours to write to.
	dir := filepath.Join(f.cache, "with", fmt.Sprintf("%.6x", sha256.Sum256([]byte(base))))
	f.report.Say("adding %s of Kubernetes v%s to %s", strings.Join(lacking, ", "), f.release.kubernetes, base)
	return dir, combine(dir, base, f.cache, extra)
}

// base returns the nearest directory that holds the required binaries.
func (f *finder) base(ctx context.Context, assets string) (string, error) {
	if assets != "" {
		return given(assets)
	}
	if len(binaries.Missing(f.cache, required)) == 0 {
		return f.cache, nil
	}
	if dir := f.envtest.assets(ctx); dir != "" {
		return dir, nil
	}
	return f.cache, f.build(ctx, required)
}

// given checks the directory named by KUBEBUILDER_ASSETS. It returns an absolute path, because
// every test binary runs in the directory of its own package.
func given(assets string) (string, error) {
	if lacking := binaries.Missing(assets, required); len(lacking) > 0 {
		return "", fmt.Errorf("KUBEBUILDER_ASSETS=%s lacks the executable %s; unset it to have a control plane found or built",
			assets, strings.Join(lacking, ", "))
	}
	return filepath.Abs(assets)
}

// build makes the named binaries in the cache, unless another run did while this one waited.
func (f *finder) build(ctx context.Context, names []string) error {
	unlock, err := binaries.Lock(ctx, f.cache+".lock", f.report)
	if err != nil {
		return err
	}
	defer unlock()
	return f.builder.Build(ctx, f.cache, binaries.Missing(f.cache, names))
}
