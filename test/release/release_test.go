//go:build release

// Package release tests the files of `make release` in dist/. `make release` runs it at its end.
package release

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const (
	plugin = "kubectl-clientbindings"
	dist   = "../../dist"
	// manifest is the manifest by which Krew installs the plugin.
	manifest = dist + "/release/krew/clientbindings.yaml"
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

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// first is the first match of a pattern's group in a text.
func first(t *testing.T, pattern, text string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing matches %s in\n%s", pattern, text)
	}
	return found[1]
}

// archive is the plugin's archive for a platform.
func archive(system, architecture string) string {
	ending := ".tar.gz"
	if system == "windows" {
		ending = ".zip"
	}
	return plugin + "_" + system + "_" + architecture + ending
}

// one returns the file that is in dist/ under a pattern.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return filepath.Base(found[0])
}

// TestChecksums: the checksums cover all files of a release.
func TestChecksums(t *testing.T) {
	want := map[string]string{}
	for _, name := range []string{
		"image.tar", "image.txt", "install.yaml", "licences.txt", "clientbinding-operator.cdx.json", plugin + ".cdx.json", one(t, "clientbinding-operator-*.tgz"),
	} {
		want[name] = dist
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, architecture := range []string{"amd64", "arm64"} {
			want[archive(system, architecture)] = dist + "/release"
		}
	}
	for name, directory := range want {
		want[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(read(t, filepath.Join(directory, name)))))
	}
	got := map[string]string{}
	for line := range strings.Lines(read(t, dist+"/release/checksums.txt")) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got[name] = sum
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checksums (-want +got):\n%s", diff)
	}
}

// TestKrew: Krew validates the manifest and installs the plugin from it. The plugin has the version of chart and image.
func TestKrew(t *testing.T) {
	directory := t.TempDir()
	tools := filepath.Join(directory, "tools") + string(filepath.Separator)
	run(t, nil, "go", "build", "-modfile=hack/tools/krew/go.mod", "-buildvcs=false", "-o", tools,
		"sigs.k8s.io/krew/cmd/krew", "sigs.k8s.io/krew/cmd/validate-krew-manifest")
	path, err := filepath.Abs(manifest)
	if err != nil {
		t.Fatal(err)
	}
	run(t, nil, tools+"validate-krew-manifest", "-manifest", path, "-skip-install")

	home := []string{"KREW_ROOT=" + filepath.Join(directory, "krew"), "HOME=" + directory}
	run(t, home, tools+"krew", "install", "--manifest="+path, "--archive=dist/release/"+archive(runtime.GOOS, runtime.GOARCH))
	type versions struct{ plugin, image, chart string }
	version := first(t, `version (\S+)`, run(t, home, filepath.Join(directory, "krew", "bin", plugin), "--version"))
	got := versions{
		version,
		first(t, `image: \S+/clientbinding-operator:(\S+)`, read(t, dist+"/install.yaml")),
		first(t, `(?m)^appVersion: (\S+)`, run(t, nil, "bin/helm", "show", "chart", "dist/"+one(t, "clientbinding-operator-*.tgz"))),
	}
	if diff := cmp.Diff(versions{version, version, version}, got, cmp.AllowUnexported(versions{})); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

// TestKrewPlatforms: the manifest names the archives on the page of the release, each for its platform.
func TestKrewPlatforms(t *testing.T) {
	type platform struct {
		URI      string `json:"uri"`
		Bin      string `json:"bin"`
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
	}
	var is struct {
		Spec struct {
			Platforms []platform `json:"platforms"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, manifest)), &is); err != nil {
		t.Fatal(err)
	}
	type found struct{ archive, bin string }
	want, got := map[string]found{}, map[string]found{}
	page := regexp.MustCompile(`^https://github\.com/delos-financial/clientbinding-operator/releases/download/v[^/]+/([^/]+)$`)
	for _, p := range is.Spec.Platforms {
		got[p.Selector.MatchLabels["os"]+"/"+p.Selector.MatchLabels["arch"]] = found{page.ReplaceAllString(p.URI, "$1"), p.Bin}
	}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, architecture := range []string{"amd64", "arm64"} {
			want[system+"/"+architecture] = found{archive(system, architecture), plugin + map[bool]string{true: ".exe"}[system == "windows"]}
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(found{})); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
}
