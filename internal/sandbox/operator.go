package sandbox

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
)

// Operator is the operator as a process. It can be stopped, killed and started again.
type Operator struct {
	process

	args []string
}

// BuildOperator builds the operator from source, and prepares it to run as its ServiceAccount with the flags of
// its Deployment. The flags of go build, such as -race, are added to those it needs.
func (s *Sandbox) BuildOperator(ctx context.Context, cluster *ControlPlane, deployment Deployment, flags ...string) (*Operator, error) {
	o := &Operator{
		process: process{
			LogFile:    filepath.Join(s.dir, "operator.log"),
			name:       "the operator",
			binary:     filepath.Join(s.dir, "clientbinding-operator"),
			kubeconfig: filepath.Join(s.dir, "operator.kubeconfig"),
		},
		args: append(slices.Clone(deployment.Args), "--leader-election-namespace="+deployment.Namespace, "--allow-http-loopback", "--allowed-api-hosts=127.0.0.1"),
	}
	if _, err := Go(ctx, nil, append(append([]string{"build", "-buildvcs=false", "-o", o.binary}, flags...), ".")...); err != nil {
		return nil, err
	}
	s.onClose(o.Stop)
	return o, cluster.ServiceAccountKubeconfig(ctx, deployment.Namespace, deployment.ServiceAccount, o.kubeconfig)
}

// Start starts a process and returns when it is ready. Its flags have precedence over those of the Deployment.
func (o *Operator) Start(ctx context.Context, flags ...string) error {
	_, err := o.startUntil(ctx, "/readyz", flags)
	return err
}

// StartAlive starts a process and returns when it is alive, with the address of its probes, as http://127.0.0.1:port.
func (o *Operator) StartAlive(ctx context.Context, flags ...string) (probes string, err error) {
	return o.startUntil(ctx, "/healthz", flags)
}

func (o *Operator) startUntil(ctx context.Context, probe string, flags []string) (probes string, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return "", err
	}
	probes = "http://" + address
	args := append(slices.Concat(o.args, []string{"--health-probe-bind-address=" + address, "--metrics-bind-address=0"}), flags...)
	return probes, o.start(ctx, args, func(ctx context.Context) bool {
		return answers(ctx, http.DefaultClient, probes+probe)
	})
}

// Aside is another operator with the same rights and flags, its own log file, and additional environment
// variables. The caller stops it.
func (o *Operator) Aside(logFile string, variables ...string) *Operator {
	return &Operator{
		process: process{LogFile: logFile, name: o.name, binary: o.binary, kubeconfig: o.kubeconfig, variables: variables},
		args:    o.args,
	}
}
