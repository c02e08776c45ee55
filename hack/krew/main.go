// Command krew writes the manifest by which Krew installs the kubectl plugin, from the checksums of the archives of a release:
//
//	go run ./hack/krew v1.2.3 dist/release/checksums.txt > clientbindings.yaml
package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	repository = "https://github.com/delos-financial/clientbinding-operator"
	binary     = "kubectl-clientbindings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: krew VERSION CHECKSUMS")
		os.Exit(2)
	}
	checksums, err := os.ReadFile(os.Args[2])
	if err == nil {
		var text []byte
		if text, err = manifest(os.Args[1], checksums); err == nil {
			_, err = os.Stdout.Write(text)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}

// platform is where an archive is for.
type platform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Files  []file `json:"files"`
	Bin    string `json:"bin"`
}

// file is one that is taken from the archive.
type file struct {
	From string `json:"from"`
	To   string `json:"to"`
}

var (
	release  = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
	checksum = regexp.MustCompile(`^([0-9a-f]{64})  (` + binary + `_([a-z]+)_([a-z0-9]+)\.(?:tar\.gz|zip))$`)
)

// manifest is that of a version whose archives have these checksums, as sha256sum writes them. Other files are left out.
func manifest(version string, checksums []byte) ([]byte, error) {
	if !release.MatchString(version) {
		return nil, fmt.Errorf("%q is no version as in v1.2.3", version)
	}
	var platforms []platform
	for line := range strings.Lines(string(checksums)) {
		found := checksum.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if found == nil {
			continue
		}
		name := binary
		if found[3] == "windows" {
			name += ".exe"
		}
		one := platform{
			URI:    repository + "/releases/download/" + version + "/" + found[2],
			SHA256: found[1],
			Files:  []file{{name, "."}, {"LICENSE", "."}},
			Bin:    name,
		}
		one.Selector.MatchLabels = map[string]string{"os": found[3], "arch": found[4]}
		platforms = append(platforms, one)
	}
	if len(platforms) == 0 {
		return nil, fmt.Errorf("the checksums have no archive of %s", binary)
	}
	slices.SortFunc(platforms, func(a, b platform) int { return strings.Compare(a.URI, b.URI) })
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
		"kind":       "Plugin",
		"metadata":   map[string]any{"name": "clientbindings"},
		"spec": map[string]any{
			"version":          version,
			"homepage":         repository,
			"shortDescription": "Who has access on the Delos platform",
			"description": "Brings access on the Delos Financial platform under Git, and shows who has\n" +
				"it and who declared it: import, report, who, what, diff, check and status.\n" +
				"For clusters that run the ClientBinding operator.\n",
			"platforms": platforms,
		},
	})
	return bytes.TrimSpace(text), err
}
