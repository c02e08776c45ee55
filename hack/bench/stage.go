package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// stage is what all scenarios share: a control plane, and an operator that runs during each of them.
type stage struct {
	sandbox.T
	*sandbox.Sandbox

	// former is the trial whose objects are still there.
	former *trial
	// results are what is kept of all scenarios.
	results *results
}

// play plays one scenario, and reports whether all checks passed. One that is played with a crowd goes on with that of the scenario before.
func (s *stage) play(scenario scenario, size sizes) (passed bool) {
	t := s.former
	if t == nil || !scenario.crowd || !t.gathered {
		s.clear()
		t = s.newTrial(size)
	}
	t.report = &report{}
	sandbox.Must(s, s.Operator.Start(s.Context()))
	defer func() { sandbox.Must(s, s.Operator.Stop()) }()
	(&sandbox.Report{Out: os.Stdout}).Heading(scenario.name + ": " + scenario.about)
	began := time.Now()
	if !t.perform(scenario) {
		fmt.Printf("The operator's log ends with\n%s\n", s.Operator.LogEnd())
	}
	s.results.Checks[scenario.name] = t.checks
	t.measured("it took", seconds(time.Since(began)))
	t.measured("the platform was asked", t.Platform.Summary())
	return !t.failed
}

// errAbandoned is the panic that ends a scenario whose next part makes no sense, after a check that failed.
var errAbandoned = errors.New("abandoned")

// perform plays a scenario, and reports whether it came to its end.
func (t *trial) perform(scenario scenario) (ended bool) {
	defer func() {
		if cause := recover(); cause != nil && cause != any(errAbandoned) {
			panic(cause)
		}
	}()
	scenario.play(t)
	return true
}

// newTrial makes a namespace and a platform, and begins to watch the bindings there.
func (s *stage) newTrial(size sizes) *trial {
	t := &trial{
		T:       s,
		stage:   s,
		Tenant:  s.NewTenant(s, "bench-", delossim.Config{Clients: clients()}),
		sizes:   size,
		perUser: 1,
	}
	s.former = t
	var err error
	t.bindings, err = observe(s.Context(), s.Cluster.Config, s.Kube.Scheme(), t.Namespace)
	sandbox.Must(s, err)
	return t
}

// clear removes what the trial before has left, so that the operator has nothing to do but the next one. The
// platform of the former is gone: there is nothing to revoke, and no operator runs that would.
func (s *stage) clear() {
	if s.former == nil {
		return
	}
	t := s.former
	s.former = nil
	t.bindings.close()
	sandbox.Must(s, t.Platform.Stop())
	s.clearBindings()
	connections := &v1alpha1.APIConnectionList{}
	sandbox.Must(s, s.Kube.List(s.Context(), connections, client.InNamespace(t.Namespace)))
	for i := range connections.Items {
		sandbox.Must(s, remove(s.Context(), s.Kube, &connections.Items[i]))
	}
}

// remove deletes an object, if it is there, also against a finalizer.
func remove(ctx context.Context, kube client.Client, object client.Object) error {
	return errors.Join(
		client.IgnoreNotFound(kube.Patch(ctx, object, sandbox.MergePatch(`{"metadata":{"finalizers":null}}`))),
		client.IgnoreNotFound(kube.Delete(ctx, object)))
}
