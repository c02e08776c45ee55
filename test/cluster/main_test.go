//go:build e2e

// Package cluster tests the shipped image and chart, installed by Helm into a cluster that
// runs pods, with the simulated platform as a pod with its own certificate.
//
//	go test -tags e2e ./test/cluster -run TestUpgrade
//
// starts a cluster for the time of the tests (see internal/sandbox/node). CLUSTER=dev takes the one that
// `go run ./hack/cluster up` has started, and leaves the release there. Each test brings the release into the state that
// it needs.
package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	apiruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox/node"
)

const (
	// repository is the image's name on the node, which fetches it from nowhere.
	repository     = "localhost/clientbinding-operator"
	version        = "e2e-1"
	nextVersion    = "e2e-2"
	simulatorImage = "localhost/simulator:e2e"
)

// Shared by all tests.
var (
	root    string
	machine *node.Cluster
	config  *rest.Config
	kube    client.Client
	pods    kubernetes.Interface
)

func TestMain(m *testing.M) {
	sandbox.Main("e2e", func(c *sandbox.Command) {
		prepare(c)
		c.RunTests(m)
	})
}

// prepare starts the cluster, and loads all images into it.
func prepare(c *sandbox.Command) {
	ctx := c.Context()
	var err error
	root, err = sandbox.ModuleRoot(ctx)
	sandbox.Must(c, err)
	report := &sandbox.Report{Out: os.Stderr}
	report.Step("cluster", func() {
		if name := os.Getenv("CLUSTER"); name != "" {
			machine, err = node.Open(ctx, name)
			sandbox.Must(c, err)
			return
		}
		machine, err = node.Start(ctx, "e2e", report)
		sandbox.Must(c, err)
		c.Cleanup(func() {
			if err := machine.Stop(); err != nil {
				c.Error(err)
			}
		})
	})
	config, err = clientcmd.BuildConfigFromFlags("", machine.Kubeconfig)
	sandbox.Must(c, err)
	config.QPS, config.Burst = -1, -1
	pods, err = kubernetes.NewForConfig(config)
	sandbox.Must(c, err)
	scheme := apiruntime.NewScheme()
	sandbox.Must(c, clientgoscheme.AddToScheme(scheme))
	sandbox.Must(c, v1alpha1.AddToScheme(scheme))
	for _, tag := range []string{version, nextVersion} {
		report.Step("image "+tag, func() {
			run(c, "make", "image", "IMG="+repository+":"+tag, "VERSION="+tag, "PLATFORMS=linux/"+runtime.GOARCH)
			sandbox.Must(c, machine.LoadImage(ctx, filepath.Join(root, "dist", "image.tar")))
		})
	}
	report.Step("image of the simulator", func() {
		binary := filepath.Join(root, "bin", "node", "simulator")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./hack/simulator")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
		sandbox.Must(c, cmd.Run())
		sandbox.Must(c, machine.LoadBinary(ctx, simulatorImage, binary))
	})
	report.Step("Helm", func() { run(c, "make", "bin/helm") })
	kube, err = client.New(config, client.Options{Scheme: scheme})
	sandbox.Must(c, err)
}

// run runs a command of this repository and returns what it printed.
func run(t sandbox.T, args ...string) string {
	t.Helper()
	out, err := tryRun(t.Context(), args...)
	sandbox.Must(t, err)
	return out
}

func tryRun(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+machine.Kubeconfig, "MAKEFLAGS=--no-print-directory")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return string(out), nil
}
