package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const (
	// policyPoll is the time between two checks whether the policies are in force.
	policyPoll = 100 * time.Millisecond
	// policyLimit is the time until they have to be in force.
	policyLimit = 30 * time.Second
)

// ControlPlane is etcd and kube-apiserver. It has no nodes, and no controllers unless
// [Sandbox.StartControllers] starts some.
type ControlPlane struct {
	// Config is an administrator's.
	Config *rest.Config
	// Kubeconfig is a file for an administrator, for people and for kubectl.
	Kubeconfig string
	// Assets is the directory that holds the binaries, kubectl among them.
	Assets string
	// Etcd is the address of etcd, as http://127.0.0.1:port.
	Etcd string

	dir string
	// control are the two processes.
	control *envtest.ControlPlane
}

// StartControlPlane starts the binaries of assets; see [Assets].
func (s *Sandbox) StartControlPlane(ctx context.Context, assets string) (*ControlPlane, error) {
	environment := &envtest.Environment{UseExistingCluster: ptr.To(false)}
	etcd, server := &envtest.Etcd{}, environment.ControlPlane.GetAPIServer()
	environment.ControlPlane.Etcd = etcd
	etcd.Path, server.Path = filepath.Join(assets, "etcd"), filepath.Join(assets, "kube-apiserver")
	// An address for documentation (RFC 5737). Nothing uses it, and without a network the API server would find no address
	// of the machine.
	server.Configure().Set("advertise-address", "192.0.2.1")
	// Enough for a scenario with many large Secrets. The default is 2 GiB.
	etcd.Configure().Set("quota-backend-bytes", "8589934592")
	etcd.DataDir, server.CertDir = filepath.Join(s.dir, "etcd"), filepath.Join(s.dir, "kube-apiserver")
	for _, dir := range []string{etcd.DataDir, server.CertDir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	s.onClose(environment.Stop)
	config, err := environment.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the control plane of %s: %w", assets, err)
	}
	// The start itself cannot be interrupted; it takes seconds.
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c := &ControlPlane{
		Config: config, Kubeconfig: filepath.Join(s.dir, "admin.kubeconfig"), Assets: assets, Etcd: etcd.URL.String(),
		dir: s.dir, control: &environment.ControlPlane,
	}
	return c, os.WriteFile(c.Kubeconfig, environment.KubeConfig, 0o600)
}

// Restart stops both processes, has change work on the directory of etcd's data, and starts them again as they were.
func (c *ControlPlane) Restart(change func(data string) error) error {
	etcd, server := c.control.Etcd, c.control.GetAPIServer()
	if err := errors.Join(server.Stop(), etcd.Stop()); err != nil {
		return err
	}
	if err := change(etcd.DataDir); err != nil {
		return err
	}
	if err := etcd.Start(); err != nil {
		return err
	}
	return server.Start()
}

// Kubectl runs kubectl as an administrator, with input as its standard input, and returns its output.
func (c *ControlPlane) Kubectl(ctx context.Context, input string, args ...string) (string, error) {
	cmd := command(ctx, filepath.Join(c.Assets, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	return run(ctx, cmd)
}

// Apply applies manifests by `kubectl apply --server-side`, as `make deploy` does.
func (c *ControlPlane) Apply(ctx context.Context, manifests Manifests) error {
	document, err := manifests.document()
	if err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, document, "apply", "--server-side", "-f", "-")
	return err
}

// Install applies a kustomization without the Deployment, because the operator runs as a process here. It
// returns the flags and the identity of the Deployment.
func (c *ControlPlane) Install(ctx context.Context, directory string) (Deployment, error) {
	manifests, err := Render(ctx, directory)
	if err != nil {
		return Deployment{}, err
	}
	deployment, rest, err := splitDeployment(manifests)
	if err != nil {
		return Deployment{}, err
	}
	if err := c.Apply(ctx, rest); err != nil {
		return Deployment{}, err
	}
	if err := c.WaitForCRDs(ctx); err != nil {
		return deployment, err
	}
	return deployment, c.waitForPolicies(ctx)
}

// WaitForCRDs returns when objects of all kinds can be created. `kubectl wait` fails at once if a CRD has no conditions
// yet, so it is tried again.
func (c *ControlPlane) WaitForCRDs(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, policyPoll, policyLimit, true, func(ctx context.Context) (bool, error) {
		_, last = c.Kubectl(ctx, "", "wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
		return last == nil, nil
	})
	return errors.Join(err, last)
}

// trial is a ClientBinding that is never made.
const trial = `
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata: {name: trial, namespace: default}
spec: {userUUID: trial, cuid: trial, isOwner: false}
`

// waitForPolicies waits until a new ClientBinding would get the annotation of its requester. For some seconds, until the API server knows
// the CRD, a mutating policy that is in force refuses everything.
func (c *ControlPlane) waitForPolicies(ctx context.Context) error {
	var said string
	err := wait.PollUntilContextTimeout(ctx, policyPoll, policyLimit, true, func(ctx context.Context) (bool, error) {
		out, err := c.Kubectl(ctx, trial, "create", "--dry-run=server", "--output=json", "-f", "-")
		if said = out; err != nil {
			said = err.Error()
		}
		return err == nil && strings.Contains(out, v1alpha1.RequestedByAnnotation), nil
	})
	if err != nil {
		return fmt.Errorf("the admission policies did not come into force: %w: %s", err, said)
	}
	return nil
}
