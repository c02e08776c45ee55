package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	cuid = "cust_bench"
	// mostPerUser is how many bindings a user has at most.
	mostPerUser = 100
	// longInterval keeps checks for drift out of a scenario.
	longInterval = time.Hour
	// hands is how many requests are made of the API server at the same time.
	hands = 8
	// followUps is how many calls a run may make once it was let in: it is not stopped between a write and its
	// confirmation.
	followUps = 2
	// settleLimit is how long anything may take that is only a matter of the machine's speed.
	settleLimit = 2 * time.Minute
)

// trial is a scenario under way, or several of the same crowd.
type trial struct {
	sandbox.T
	stage *stage
	*sandbox.Tenant
	*report
	sizes

	bindings *observer
	// created is how many bindings there are, and perUser how many of them each user has.
	created, perUser int
	// foreign is an annotation of others that each binding is created with.
	foreign string
	// gathered: the crowd is there. It was not before gatheredAt.
	gathered   bool
	gatheredAt time.Time
	// earlierLog is how much of the operator's log is from scenarios before, in bytes.
	earlierLog int
}

// abandon ends the scenario.
func (t *trial) abandon() { panic(errAbandoned) }

// binding is the one with a number, as it is created.
func (t *trial) binding(i int) *v1alpha1.ClientBinding {
	binding := t.Binding(fmt.Sprintf("binding-%04d", i), fmt.Sprintf("user-%04d", i/t.perUser), clients()[i%t.perUser], i%2 == 0)
	if t.foreign != "" {
		binding.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: t.foreign}
	}
	return binding
}

// clients are those that users of the platform can be related to.
func clients() []string {
	of := []string{cuid}
	for i := 1; i < mostPerUser; i++ {
		of = append(of, fmt.Sprintf("%s-%02d", cuid, i))
	}
	return of
}

// connect creates the connection that all bindings use, with the account's credentials unless there is a Secret.
func (t *trial) connect(interval time.Duration, limit rateLimit) {
	sandbox.Must(t, client.IgnoreAlreadyExists(t.Kube.Create(t.Context(), t.Secret(sandbox.CredentialsName, sandbox.Account))))
	t.Create(t, t.connection(v1alpha1.DefaultConnectionName, t.Platform, interval, limit))
}

func (t *trial) connection(name string, to *sandbox.Simulator, interval time.Duration, limit rateLimit) *v1alpha1.APIConnection {
	connection := t.Connection(name, to.URL, sandbox.CredentialsName)
	connection.Spec.Interval = &metav1.Duration{Duration: interval}
	connection.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: limit.perSecond, Burst: limit.burst}
	return connection
}

// connected reads the connection as it is now.
func (t *trial) connected() *v1alpha1.APIConnection {
	found := &v1alpha1.APIConnection{ObjectMeta: t.Meta(v1alpha1.DefaultConnectionName)}
	sandbox.Must(t, t.Kube.Get(t.Context(), client.ObjectKeyFromObject(found), found))
	return found
}

// bind creates that many more bindings, each for a user of its own.
func (t *trial) bind(count int) { t.bindThrough(count, t.Platform, nil) }

// bindThrough creates bindings for users of a platform, through a connection or the default one.
func (t *trial) bindThrough(count int, platform *sandbox.Simulator, through *v1alpha1.ConnectionReference) {
	from := t.created
	t.created += count
	t.each(from, t.created, func(ctx context.Context, i int) error {
		binding := t.binding(i)
		binding.Spec.ConnectionRef = through
		platform.AddUser(delossim.User{UUID: binding.Spec.UserUUID})
		return t.Kube.Create(ctx, binding)
	})
}

// each does something with the numbers from (including) to (not including), several at the same time.
func (t *trial) each(from, to int, do func(context.Context, int) error) {
	t.with(hands, from, to, do)
}

// with is each, with that many at the same time.
func (t *trial) with(hands, from, to int, do func(context.Context, int) error) {
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(hands)
	for i := from; i < to && ctx.Err() == nil; i++ {
		group.Go(func() error { return do(ctx, i) })
	}
	sandbox.Must(t, group.Wait())
}

// await waits until there is no problem any more, and returns how long that took. It is a failed check, and the
// end of the scenario, if there still is one when the time is up.
func (t *trial) await(what string, limit time.Duration, problem func() string) time.Duration {
	began := time.Now()
	last, err := sandbox.Await(t.Context(), limit, problem)
	sandbox.Must(t, t.Context().Err())
	if err != nil {
		t.check(false, what, last, "none of that after "+seconds(limit))
		t.abandon()
	}
	return time.Since(began)
}

// awaitBindings waits until that many bindings have a status and a reason, as for [observer.count].
func (t *trial) awaitBindings(what string, count int, status metav1.ConditionStatus, reason string) {
	took := t.await(what, settleLimit, func() string {
		if now := t.bindings.count(status, reason); now < count {
			return fmt.Sprintf("%d of %d", now, count)
		}
		return ""
	})
	t.measured(what, "after "+seconds(took))
}

// awaitReady waits until all bindings are Ready, and checks that the platform has what they declare.
func (t *trial) awaitReady(what string) {
	t.awaitBindings(what, t.created, metav1.ConditionTrue, "")
	wrong := 0
	for i := range t.created {
		spec := t.binding(i).Spec
		if isOwner, related := t.Platform.Relations(spec.UserUUID)[spec.CUID]; !related || isOwner != spec.IsOwner {
			wrong++
		}
	}
	if wrong > 0 {
		t.exactly("Ready without the relation", wrong, 0)
	}
}

func (t *trial) awaitBound() { t.awaitReady(fmt.Sprintf("%d bindings Ready", t.created)) }

// work are the calls that bindings make: all but those that keep the session.
func (t *trial) work() calls {
	return t.Platform.Calls(delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate)
}

// failuresSeen counts the failed calls that a run was told of: it logs each. A call that the session repeated by
// itself, and with success, is none.
func (t *trial) failuresSeen() int {
	log, err := t.Operator.Log()
	sandbox.Must(t, err)
	return strings.Count(log[t.earlierLog:], "the Delos API did not do as asked")
}
