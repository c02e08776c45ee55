//go:build argocd

// Package argocd tests the work of teams with Argo CD on this machine: a Git repository on disk, the real Argo CD, a real
// Kubernetes control plane, the operator as a process with the shipped rights, and the simulated Delos platform.
// It checks every outcome in Argo CD, in Kubernetes and on the platform:
//
//	go test -tags argocd ./test/argocd -v -run TestRemoval
//
// Each test has its own team. The steps of a test depend on one another, so use -run with whole tests. No process and no file
// stays after them, except built programs in the user's cache.
package argocd

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

var (
	logs = flag.String("logs", "", "keep what the programs wrote in this `directory`, also when all is well")
	show = flag.Bool("show", false, "show what Argo CD's command line prints at each step")
)

const (
	// root of the repository.
	root = "../.."
	// stallAfter is the operator's --stall-after; ten minutes by default.
	stallAfter = 20 * time.Second
	// ownNetwork is the variable that says that this process has a network of its own.
	ownNetwork = "CLIENTBINDING_OWN_NETWORK"
)

// Shared by all tests. Platforms live as long as the package, because Argo CD needs time to remove a team.
var (
	everything sandbox.T
	box        *sandbox.Sandbox
	argo       *argoCD
)

func TestMain(m *testing.M) {
	flag.Parse()
	sandbox.Main("argocd", func(c *sandbox.Command) {
		report := &sandbox.Report{Out: os.Stdout}
		if os.Getenv(ownNetwork) == "" {
			prepare(c, report)
			isolated, err := isolate(c.Context())
			if isolated {
				sandbox.Must(c, err)
				return
			}
			fmt.Printf("No network of its own (%v). Argo CD's application controller cannot be told where to serve its metrics: "+
				"for as long as this lasts, the network can read them at a port of this machine\n", err)
		} else {
			sandbox.Must(c, loopbackUp())
		}
		everything = c
		start(c, report)
		c.RunTests(m)
	})
}

// prepare finds or builds all programs, and downloads the modules of the operator, because later there may be no network. It puts
// their paths into the environment.
func prepare(c *sandbox.Command, report *sandbox.Report) {
	for _, program := range []string{"redis-server", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			c.Fatal(fmt.Sprintf("%s is missing, which Argo CD needs: install it, on Debian by `apt-get install %s`", program, program))
		}
	}
	report.Step("Finding etcd, kube-apiserver, kube-controller-manager and kubectl", func() {
		dir, err := sandbox.Assets(c.Context(), report, sandbox.ControllerManager)
		sandbox.Must(c, errors.Join(err, os.Setenv("KUBEBUILDER_ASSETS", dir)))
	})
	report.Step("Finding Argo CD", func() {
		dir, err := sandbox.Go(c.Context(), report, "run", "./hack/argocd")
		sandbox.Must(c, errors.Join(err, os.Setenv("ARGOCD_ASSETS", dir)))
	})
	report.Step("Building kustomize and the operator", func() {
		_, err := kustomize(c)
		sandbox.Must(c, err)
		_, err = sandbox.Go(c.Context(), report, "build", "-buildvcs=false", "-o", os.DevNull, ".")
		sandbox.Must(c, err)
	})
}

// kustomize builds kustomize, if it is missing, and returns its path.
func kustomize(c *sandbox.Command) (string, error) {
	return sandbox.Go(c.Context(), nil, "tool", "-n", "-modfile=hack/tools/generate/go.mod", "kustomize")
}

// start starts everything that the tests share, one part after the other.
func start(c *sandbox.Command, report *sandbox.Report) {
	box = sandbox.Start(c, sandbox.Options{Assets: os.Getenv("KUBEBUILDER_ASSETS"), Controllers: true, Report: report})
	c.Cleanup(func() {
		if argo != nil && c.Failed() {
			fmt.Printf("\nThe log of Argo CD's application controller ends with\n%s\n", argo.controller.LogEnd())
		}
		if *logs != "" {
			keepLogs(c, *logs)
		}
	})
	report.Step("Starting the operator", func() {
		sandbox.Must(c, box.Operator.Start(c.Context(), "--stall-after="+stallAfter.String()))
	})
	report.Step("Installing Argo CD with config/argocd", func() { installArgo(c) })
	report.Step("Starting Argo CD and redis", func() { startArgo(c) })
}

func keepLogs(c *sandbox.Command, dir string) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.Error(err)
	}
	paths, err := filepath.Glob(filepath.Join(box.Dir(), "*.log"))
	if err != nil {
		c.Error(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err = errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600)); err != nil {
			c.Error(err)
		}
	}
}

// step is a part of a test. Later steps depend on it.
func step(t *testing.T, what string, do func(t *testing.T)) {
	t.Helper()
	if !t.Run(what, do) {
		t.FailNow()
	}
}
