// Command controlplane finds, downloads or builds a real Kubernetes control plane for tests and
// the demo, and prints the directory that holds it. Everything else it has to say goes to stderr,
// so that this works:
//
//	KUBEBUILDER_ASSETS=$(go run ./hack/controlplane) go test ./...
//
// It takes the first one that is complete:
//
//  1. $KUBEBUILDER_ASSETS, if set
//  2. what an earlier run built, in the user's cache directory
//  3. what setup-envtest has installed, or can download; no download has what --with names
//  4. a build from the Go modules pinned in hack/tools/kubernetes, which takes minutes, once
//
// The Kubernetes version is the one in hack/tools/kubernetes/go.mod; it is written nowhere else.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// indexLimit bounds the question whether there is anything to download. It decides how long
	// a machine without access to GitHub waits before it builds instead.
	indexLimit = 10 * time.Second
	// downloadLimit bounds the download of some 80 MB over a slow line.
	downloadLimit = 5 * time.Minute
)

// required is what envtest starts or calls; a directory with less is no control plane.
var required = []string{"etcd", "kube-apiserver", "kubectl"}

// packages says what each binary is built from. The controller manager garbage-collects objects and ends
// terminating namespaces; scheduler, proxy and kubelet run pods.
var packages = map[string]string{
	"etcd":                    "go.etcd.io/etcd/server/v3",
	"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
	"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
	"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
	"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
	"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
	"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
}

func main() {
	with := flag.String("with", "", "comma-separated `binaries` wanted besides: kube-controller-manager, kube-scheduler, kube-proxy, kubelet")
	flag.Parse()
	sandbox.Main("controlplane", func(c *sandbox.Command) {
		built, version, err := binaries.Of(c.Context(), "controlplane", "hack/tools/kubernetes", "k8s.io/kubernetes")
		sandbox.Must(c, err)
		number := strings.Split(version, ".")
		// As Kubernetes' own build stamps them. Without it the binaries call themselves v0.0.0-master, and API server and kubectl
		// disagree about what they support.
		for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
			built.Ldflags += fmt.Sprintf(" -X %[1]s.gitVersion=v%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s", pkg, version, number[0], number[1])
		}
		built.Packages = packages
		dir, err := find(c.Context(), os.Getenv("KUBEBUILDER_ASSETS"), *with, built, func(ctx context.Context) string {
			// Any patch release will do; "x" prefers one that is on the disk.
			return download(ctx, number[0]+"."+number[1]+".x")
		})
		sandbox.Must(c, err)
		fmt.Println(dir)
	})
}

// find returns a directory that holds the required binaries and those of with. A caller who sets KUBEBUILDER_ASSETS, here assets, gets that control
// plane or an error, never another.
func find(ctx context.Context, assets, with string, built *binaries.Binaries, download func(context.Context) string) (string, error) {
	wanted := required
	if with != "" {
		wanted = slices.Concat(required, strings.Split(with, ","))
	}
	for _, name := range wanted {
		if built.Packages[name] == "" {
			return "", fmt.Errorf("--with=%s: there is no %s", with, name)
		}
	}
	if assets != "" && assets != built.Dir {
		if missing := binaries.Missing(assets, wanted); len(missing) > 0 {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS=%s lacks the executable %s; unset it to have a control plane found or built", assets, strings.Join(missing, ", "))
		}
		// Every test binary runs in the directory of its own package.
		return filepath.Abs(assets)
	}
	if with == "" && len(binaries.Missing(built.Dir, required)) > 0 {
		if dir := download(ctx); dir != "" && len(binaries.Missing(dir, required)) == 0 {
			return dir, nil
		}
	}
	return built.Dir, built.Build(ctx, wanted)
}

// download returns the directory of the control plane that controller-runtime publishes for tests, if it is installed already or could be downloaded,
// or "". Nothing here is an error: a build is always possible.
func download(ctx context.Context, version string) (dir string) {
	envtest := func(limit time.Duration, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return sandbox.Go(ctx, nil, append([]string{"tool", "-modfile=hack/tools/generate/go.mod", "setup-envtest"}, args...)...)
	}
	dir, err := envtest(downloadLimit, "use", "-i", "-p", "path", version)
	if err == nil {
		return dir
	}
	listed, err := envtest(indexLimit, "list", version)
	if err != nil || listed == "" {
		fmt.Fprintf(os.Stderr, "setup-envtest has no Kubernetes %s to download (%v)\n", version, err)
		return ""
	}
	(&sandbox.Report{Out: os.Stderr}).Step("Downloading Kubernetes "+version+" with setup-envtest", func() {
		if dir, err = envtest(downloadLimit, "use", "-p", "path", version); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	return dir
}
