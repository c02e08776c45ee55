package binaries

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

// Version returns the version of a Go module, without the leading "v", that the go.mod of a tool module requires.
func Version(ctx context.Context, run Runner, module, path string) (string, error) {
	out, err := run(ctx, Command{Args: []string{"go", "mod", "edit", "-json", filepath.Join(module, "go.mod")}})
	if err != nil {
		return "", err
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(out), &file); err != nil {
		return "", fmt.Errorf("reading %s/go.mod: %w", module, err)
	}
	for _, require := range file.Require {
		if require.Path == path {
			return strings.TrimPrefix(require.Version, "v"), nil
		}
	}
	return "", fmt.Errorf("%s/go.mod does not require %s", module, path)
}

// CacheDir names the directory, in the user's cache, for what is built of one version of something from a tool module.
// The go.mod and go.sum of the module are part of the name: another version of anything in them makes other programs.
func CacheDir(what, version, module string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache directory: %w", err)
	}
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		hash.Write(content)
	}
	key := fmt.Sprintf("%s-%s-%s-%.6x", version, runtime.GOOS, runtime.GOARCH, hash.Sum(nil))
	return filepath.Join(cache, "clientbinding-operator", what, key), nil
}

// Missing returns those of names that are no executable file in dir.
func Missing(dir string, names []string) []string {
	var lacking []string
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// RepositoryRoot is the top of the checkout, so that a tool works in every folder of it.
func RepositoryRoot(ctx context.Context, run Runner) (string, error) {
	file, err := run(ctx, Command{Args: []string{"go", "env", "GOMOD"}})
	return filepath.Dir(strings.TrimSpace(file)), err
}
