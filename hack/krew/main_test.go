package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// run runs a command in the root of the repository.
func run(t *testing.T, environment []string, name string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Dir, command.Env = "../..", append(os.Environ(), environment...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
	return string(out)
}

// pack makes an archive as a release has it.
func pack(t *testing.T, directory string) (path, sum string) {
	t.Helper()
	plugin := filepath.Join(directory, binary)
	run(t, nil, "go", "build", "-buildvcs=false", "-ldflags", "-X main.version=v1.2.3", "-o", plugin, "./cmd/kubectl-clientbindings")
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	packed := tar.NewWriter(zipped)
	for name, source := range map[string]string{binary: plugin, "LICENSE": "../../LICENSE"} {
		content, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if err := packed.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := packed.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, closing := range []func() error{packed.Close, zipped.Close} {
		if err := closing(); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(directory, fmt.Sprintf("%s_%s_%s.tar.gz", binary, runtime.GOOS, runtime.GOARCH))
	if err := os.WriteFile(path, archive.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, fmt.Sprintf("%x", sha256.Sum256(archive.Bytes()))
}

// TestManifest: Krew itself finds the manifest valid, and installs the plugin by it, which then runs.
func TestManifest(t *testing.T) {
	directory := t.TempDir()
	tools := filepath.Join(directory, "tools") + string(filepath.Separator)
	run(t, nil, "go", "build", "-modfile=hack/tools/krew/go.mod", "-buildvcs=false", "-o", tools,
		"sigs.k8s.io/krew/cmd/krew", "sigs.k8s.io/krew/cmd/validate-krew-manifest")
	archive, sum := pack(t, directory)
	checksums := fmt.Sprintf("%064d  image.tar\n%s  %s\n", 0, sum, filepath.Base(archive))
	for _, other := range []string{"darwin_amd64.tar.gz", "darwin_arm64.tar.gz", "linux_amd64.tar.gz", "linux_arm64.tar.gz", "windows_amd64.zip", "windows_arm64.zip"} {
		if !strings.HasPrefix(other, runtime.GOOS+"_"+runtime.GOARCH+".") {
			checksums += fmt.Sprintf("%064d  %s_%s\n", 1, binary, other)
		}
	}
	text, err := manifest("v1.2.3", []byte(checksums))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "clientbindings.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, tools+"validate-krew-manifest", "-manifest", path, "-skip-install")
	home := []string{"KREW_ROOT=" + filepath.Join(directory, "krew"), "HOME=" + directory}
	run(t, home, tools+"krew", "install", "--manifest="+path, "--archive="+archive)
	installed := filepath.Join(directory, "krew", "bin", binary)
	if got, want := run(t, home, installed, "--version"), "kubectl clientbindings version v1.2.3\n"; got != want {
		t.Errorf("the installed plugin says %q, want %q", got, want)
	}
}

func TestManifestRefuses(t *testing.T) {
	for reason, test := range map[string]struct{ version, checksums string }{
		"no version":  {"latest", fmt.Sprintf("%064d  %s_linux_amd64.tar.gz\n", 1, binary)},
		"no archives": {"v1.2.3", fmt.Sprintf("%064d  image.tar\n", 1)},
	} {
		if text, err := manifest(test.version, []byte(test.checksums)); err == nil {
			t.Errorf("%s: %s", reason, text)
		}
	}
}
