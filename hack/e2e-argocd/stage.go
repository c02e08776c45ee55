package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// stallAfter is the grace after which a failure that lasts counts as stalled; ten minutes as shipped.
const stallAfter = 20 * time.Second

// stage is everything that runs, and what is played on it.
type stage struct {
	box    *sandbox.Sandbox
	report *progress.Report
	parts  parts
	show   bool

	cluster  *sandbox.ControlPlane
	platform *sandbox.Simulator
	account  delossim.Account
	operator *sandbox.Operator
	kube     client.Client
	argo     *argo
	git      *repository
}

// build starts everything, one part after the other.
func (s *stage) build(ctx context.Context) (err error) {
	var deployment sandbox.Deployment
	return s.steps(
		step{"Starting etcd, kube-apiserver and kube-controller-manager", func() error {
			if s.cluster, err = s.box.StartControlPlane(ctx, s.parts.controlPlane); err != nil {
				return err
			}
			if s.kube, err = newKube(s.cluster); err != nil {
				return err
			}
			return s.box.StartControllers(ctx, s.cluster)
		}},
		step{"Installing config/default: CRDs, ServiceAccount, roles", func() error {
			deployment, err = s.cluster.Install(ctx)
			return err
		}},
		step{"Starting the simulated Delos platform", func() error {
			config := delossim.Examples()
			config.Accounts[0].Password = rand.Text()
			config.Settings = delossim.Settings{Latency: 10 * time.Millisecond, Lag: 200 * time.Millisecond}
			s.account = config.Accounts[0]
			s.platform, err = s.box.StartSimulator(ctx, config)
			return err
		}},
		step{"Starting the operator", func() error {
			if s.operator, err = s.box.BuildOperator(ctx, s.cluster, deployment); err != nil {
				return err
			}
			return s.operator.Start(ctx, "--stall-after="+stallAfter.String())
		}},
		step{"Installing Argo CD with config/argocd", func() error { return s.installArgo(ctx) }},
		step{"Starting Argo CD and redis", func() error { return s.startArgo(ctx) }},
		step{"Making a Git repository", func() error {
			s.git, err = newRepository(ctx, s.box.Dir())
			return err
		}},
	)
}

// step is something that is announced, done and timed.
type step struct {
	what string
	do   func() error
}

func (s *stage) steps(steps ...step) error {
	for _, step := range steps {
		if err := s.report.Step(step.what, step.do); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func newKube(cluster *sandbox.ControlPlane) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(cluster.Config, client.Options{Scheme: scheme})
}

// tellLogs shows the ends of the logs that are likely to say why it failed. All of them can be kept.
func (s *stage) tellLogs(out io.Writer) {
	for _, name := range []string{"operator.log", argoAccount + ".log"} {
		path := filepath.Join(s.box.Dir(), name)
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fmt.Fprintf(out, "\n%s ends with\n%s\n", filepath.Base(path), text[max(0, len(text)-3000):])
	}
}

func (s *stage) keepLogs(dir string) error {
	errs := []error{os.MkdirAll(dir, 0o755)}
	for _, path := range s.logs() {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(path)), text, 0o600)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *stage) logs() []string {
	paths, err := filepath.Glob(filepath.Join(s.box.Dir(), "*.log"))
	if err != nil {
		return nil
	}
	return paths
}
