// Command argocd builds the real Argo CD for tests, and prints the directory that holds it: its program, which does what the variable
// ARGOCD_BINARY_NAME names, and, as source, a link to the module with its manifests. Everything else it has to say goes to stderr.
//
// It is built once from the Go modules pinned in hack/tools/argocd, which takes minutes, and kept in the user's cache
// directory. The version is the one in that go.mod; it is written nowhere else.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const path = "github.com/argoproj/argo-cd/v3"

func main() {
	sandbox.Main("argocd", func(c *sandbox.Command) {
		built, version, err := binaries.Of(c.Context(), "argocd", "hack/tools/argocd", path)
		sandbox.Must(c, err)
		built.Packages, built.Ldflags = map[string]string{"argocd": path + "/cmd"}, "-X "+path+"/common.version="+version
		sandbox.Must(c, built.Build(c.Context(), []string{"argocd"}))
		found, err := built.Go(c.Context(), nil, "-C", built.Module, "mod", "download", "-json", path)
		sandbox.Must(c, err)
		var module struct{ Dir string }
		sandbox.Must(c, json.Unmarshal([]byte(found), &module))
		link := filepath.Join(built.Dir, "source")
		if now, err := os.Readlink(link); err != nil || now != module.Dir {
			if err := os.Remove(link); !errors.Is(err, fs.ErrNotExist) {
				sandbox.Must(c, err)
			}
			sandbox.Must(c, os.Symlink(module.Dir, link))
		}
		fmt.Println(built.Dir)
	})
}
