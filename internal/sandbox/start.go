package sandbox

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Options are the differences from the usual sandbox.
type Options struct {
	// Assets is the directory of the control plane's binaries; empty to find them, see [Assets].
	Assets string
	// Controllers also starts the controllers of [Sandbox.StartControllers].
	Controllers bool
	// Before is called when the API server runs, before the installation.
	Before func(*Sandbox)
	// Kustomization is installed instead of config/default.
	Kustomization string
	// BuildFlags of go build are added to those that the operator needs.
	BuildFlags []string
	// Report prints each step.
	Report *Report
}

// Start starts a control plane, installs config/default without its Deployment, and builds the operator, but does not
// start it. All of it ends with the test or the program. If that has failed, the operator's log is shown.
func Start(t T, o Options) *Sandbox {
	t.Helper()
	ctx := t.Context()
	s, err := New()
	Must(t, err)
	t.Cleanup(func() {
		if s.Operator != nil && t.Failed() {
			fmt.Fprintf(os.Stderr, "\nThe operator's log ends with\n%s\n", s.Operator.LogEnd())
		}
		o.Report.Step("Stopping everything, removing "+s.dir, func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	})
	step := func(what string, do func() error) {
		t.Helper()
		o.Report.Step(what, func() { Must(t, do()) })
	}
	if o.Kustomization == "" {
		o.Kustomization = "config/default"
	}
	if o.Assets == "" {
		step("Finding etcd, kube-apiserver and kubectl", func() error {
			var extra []string
			if o.Controllers {
				extra = []string{ControllerManager}
			}
			o.Assets, err = Assets(ctx, o.Report, extra...)
			return err
		})
	}
	step("Starting etcd and kube-apiserver", func() error {
		if s.Cluster, err = s.StartControlPlane(ctx, o.Assets); err != nil {
			return err
		}
		s.Kube, err = newKube(s.Cluster)
		return err
	})
	if o.Controllers {
		step("Starting "+ControllerManager, func() error { return s.StartControllers(ctx, s.Cluster) })
	}
	if o.Before != nil {
		o.Before(s)
	}
	step("Installing "+o.Kustomization+": CRDs, ServiceAccount, roles", func() error {
		s.Deployment, err = s.Cluster.Install(ctx, o.Kustomization)
		return err
	})
	step("Building the operator", func() error {
		s.Operator, err = s.BuildOperator(ctx, s.Cluster, s.Deployment, o.BuildFlags...)
		return err
	})
	return s
}

// newKube is an administrator's client without a rate limit.
func newKube(cluster *ControlPlane) (client.Client, error) {
	cluster.Config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(cluster.Config, client.Options{Scheme: scheme})
}
