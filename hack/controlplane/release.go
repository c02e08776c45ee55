package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// release is the pinned version of what gets downloaded or built, without the leading "v".
type release struct {
	kubernetes string
}

// major and minor are the parts of the version that an API server reports on their own.
func (r release) major() string { return strings.Split(r.kubernetes, ".")[0] }
func (r release) minor() string { return strings.Split(r.kubernetes, ".")[1] }

// readRelease reads the version of Kubernetes from the go.mod of the tool module that builds it.
func readRelease(ctx context.Context, run runner, module string) (release, error) {
	out, err := run(ctx, command{args: []string{"go", "mod", "edit", "-json", filepath.Join(module, "go.mod")}})
	if err != nil {
		return release{}, err
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(out), &file); err != nil {
		return release{}, fmt.Errorf("reading %s/go.mod: %w", module, err)
	}
	for _, require := range file.Require {
		if require.Path != "k8s.io/kubernetes" {
			continue
		}
		version := strings.TrimPrefix(require.Version, "v")
		if strings.Count(version, ".") < 2 {
			return release{}, fmt.Errorf("%s/go.mod: %q is no version of k8s.io/kubernetes", module, require.Version)
		}
		return release{kubernetes: version}, nil
	}
	return release{}, fmt.Errorf("%s/go.mod does not require k8s.io/kubernetes", module)
}

// cacheDir names the directory for what is built from the given tool module. Its go.mod and go.sum
// are part of the name: another version of anything in them is another control plane.
func cacheDir(parent string, r release, module string) (string, error) {
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		hash.Write(content)
	}
	key := fmt.Sprintf("%s-%s-%s-%.6x", r.kubernetes, runtime.GOOS, runtime.GOARCH, hash.Sum(nil))
	return filepath.Join(parent, key), nil
}
