package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// stage is everything that runs, and what is played on it.
type stage struct {
	report    *progress.Report
	cluster   *sandbox.ControlPlane
	simulator *sandbox.Simulator
	operator  *sandbox.Operator
	kube      client.Client
	samples   samples
}

// build starts everything, one part after the other.
func build(ctx context.Context, box *sandbox.Sandbox, report *progress.Report) (*stage, error) {
	s := &stage{report: report}
	var (
		assets     string
		deployment sandbox.Deployment
		err        error
	)
	config := platform()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"Finding etcd, kube-apiserver and kubectl", func() error {
			assets, err = sandbox.Assets(ctx, report)
			return err
		}},
		{"Starting etcd and kube-apiserver", func() error {
			s.cluster, err = box.StartControlPlane(ctx, assets)
			return err
		}},
		{"Installing config/default: CRDs, ServiceAccount, roles", func() error {
			deployment, err = s.cluster.Install(ctx)
			return err
		}},
		{"Starting the simulated Delos platform", func() error {
			s.simulator, err = box.StartSimulator(ctx, config)
			return err
		}},
		{"Building the operator", func() error {
			s.operator, err = box.BuildOperator(ctx, s.cluster, deployment)
			return err
		}},
		{"Starting the operator", func() error { return s.operator.Start(ctx) }},
		{"Applying config/samples", func() error {
			s.samples, err = applySamples(ctx, s.cluster, s.simulator, config)
			return err
		}},
	} {
		if err := report.Step(step.what, step.do); err != nil {
			return s.started(), err
		}
	}
	fmt.Fprintf(report.Out, "The operator acts as ServiceAccount %s/%s; its log is %s\n",
		deployment.Namespace, deployment.ServiceAccount, s.operator.LogFile)
	s.kube, err = newKube(s.cluster)
	return s, err
}

// started returns the stage if there is anything to tell of it at the end.
func (s *stage) started() *stage {
	if s.simulator == nil {
		return nil
	}
	return s
}

// platform is the simulated platform: the documented users and clients, an account with a password that nobody
// knows beforehand, and what makes the reading back worth watching, a delay until writes show.
func platform() delossim.Config {
	config := delossim.Examples()
	config.Accounts[0].Password = rand.Text()
	config.Settings = delossim.Settings{Latency: latency, Lag: lag}
	return config
}

func newKube(cluster *sandbox.ControlPlane) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.New(cluster.Config, client.Options{Scheme: scheme})
}
