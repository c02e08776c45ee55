package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// stage is what all scenarios share: a control plane, and an operator that runs during each of them.
type stage struct {
	out      io.Writer
	box      *sandbox.Sandbox
	cluster  *sandbox.ControlPlane
	operator *sandbox.Operator
	// deployment is how the operator is deployed.
	deployment sandbox.Deployment
	config     *rest.Config
	scheme     *runtime.Scheme
	kube       client.Client
	// former is the trial whose objects are still there.
	former *trial
}

// build starts the control plane and builds the operator.
func build(ctx context.Context, box *sandbox.Sandbox, out io.Writer) (*stage, error) {
	assets, err := sandbox.Assets(ctx, out)
	if err != nil {
		return nil, err
	}
	cluster, err := box.StartControlPlane(ctx, assets)
	if err != nil {
		return nil, err
	}
	deployment, err := cluster.Install(ctx)
	if err != nil {
		return nil, err
	}
	s := &stage{out: out, box: box, cluster: cluster, deployment: deployment, config: rest.CopyConfig(cluster.Config), scheme: runtime.NewScheme()}
	s.config.QPS = -1 // the crowd is to arrive as fast as the API server takes it
	if s.operator, err = box.BuildOperator(ctx, cluster, deployment); err != nil {
		return nil, err
	}
	if err := errors.Join(corev1.AddToScheme(s.scheme), v1alpha1.AddToScheme(s.scheme)); err != nil {
		return nil, err
	}
	s.kube, err = client.New(s.config, client.Options{Scheme: s.scheme})
	return s, err
}

// play plays one scenario with a namespace, a platform and a process of the operator to itself. It reports
// whether all checks passed; an error is what kept it from being played.
func (s *stage) play(ctx context.Context, scenario scenario, size sizes) (passed bool, err error) {
	if err := s.clear(ctx); err != nil {
		return false, fmt.Errorf("removing the bindings of the scenario before: %w", err)
	}
	t, err := s.newTrial(ctx, size)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := s.operator.Start(ctx); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.operator.Stop()) }()
	t.heading(scenario.name + ": " + scenario.about)
	began := time.Now()
	err = scenario.play(ctx, t)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(s.out, "The operator's log ends with\n%s\n", s.operator.LogEnd())
	}
	if err != nil && !errors.Is(err, errAbandoned) {
		return false, err
	}
	t.measured("it took", seconds(time.Since(began)))
	t.measured("the platform was asked", t.platform.Summary())
	return !t.failed, nil
}

// clear removes what the trial before has left, so that the operator has nothing to do but the next one. The
// platform of the former is gone: there is nothing to revoke, and no operator runs that would.
func (s *stage) clear(ctx context.Context) error {
	if s.former == nil {
		return nil
	}
	t := s.former
	err := t.each(ctx, 0, t.created, func(ctx context.Context, i int) error { return s.remove(ctx, t.binding(i)) })
	s.former = nil
	connections := &v1alpha1.APIConnectionList{}
	err = errors.Join(err, s.kube.List(ctx, connections, client.InNamespace(t.namespace)))
	for i := range connections.Items {
		err = errors.Join(err, s.remove(ctx, &connections.Items[i]))
	}
	return err
}

// remove deletes an object, if it is there, whoever wants to keep it.
func (s *stage) remove(ctx context.Context, object client.Object) error {
	letGo := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	return errors.Join(
		client.IgnoreNotFound(s.kube.Patch(ctx, object, letGo)),
		client.IgnoreNotFound(s.kube.Delete(ctx, object)))
}

// newTrial makes a namespace and a platform, and begins to watch the bindings there.
func (s *stage) newTrial(ctx context.Context, size sizes) (*trial, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := s.kube.Create(ctx, namespace); err != nil {
		return nil, err
	}
	if err := s.cluster.AllowSecrets(ctx, namespace.Name, s.deployment); err != nil {
		return nil, err
	}
	platform, err := s.box.StartSimulator(ctx, delossim.Config{Accounts: []delossim.Account{account}, Clients: []string{cuid}})
	if err != nil {
		return nil, err
	}
	t := &trial{
		report:    &report{out: s.out},
		sizes:     size,
		box:       s.box,
		kube:      s.kube,
		operator:  s.operator,
		platform:  platform,
		namespace: namespace.Name,
	}
	s.former = t
	if t.earlierLog, err = t.logLength(); err != nil {
		return nil, err
	}
	t.bindings, err = observe(ctx, s.config, s.scheme, namespace.Name)
	return t, err
}
