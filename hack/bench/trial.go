package main

import (
	"context"
	"fmt"
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
	// hands is how many objects are created, or worked on by a loop, at the same time.
	hands = 32
	// callsEach is how many calls a new binding takes: read, relate, read back.
	callsEach = 3
	mebibyte  = 1 << 20
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
	// latecomers are how many bindings have come and gone.
	latecomers int
	// foreign is an annotation of others that each binding is created with.
	foreign string
	// gathered: the crowd is there. It was not before gatheredAt.
	gathered   bool
	gatheredAt time.Time
}

// rateLimit is that of a connection.
type rateLimit struct{ perSecond, burst int32 }

// ample is in nobody's way.
var ample = rateLimit{perSecond: 1000, burst: 1000}

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

// connect creates the connection that all bindings use, and waits until it is ready.
func (t *trial) connect() {
	t.Create(t, t.Secret(sandbox.CredentialsName, sandbox.Account), t.connection(v1alpha1.DefaultConnectionName, t.Platform, ample))
	t.await("connection ready", settleLimit, func() string {
		if ready := sandbox.Ready(t.connected().Status.Conditions); ready.Status != metav1.ConditionTrue {
			return sandbox.Describe(ready)
		}
		return ""
	})
}

func (t *trial) connection(name string, to *sandbox.Simulator, limit rateLimit) *v1alpha1.APIConnection {
	connection := t.Connection(name, to.URL, sandbox.CredentialsName)
	connection.Spec.Interval = &metav1.Duration{Duration: longInterval}
	connection.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: limit.perSecond, Burst: limit.burst}
	return connection
}

// connected reads the connection as it is now.
func (t *trial) connected() *v1alpha1.APIConnection {
	found := &v1alpha1.APIConnection{ObjectMeta: t.Meta(v1alpha1.DefaultConnectionName)}
	sandbox.Must(t, t.Kube.Get(t.Context(), client.ObjectKeyFromObject(found), found))
	return found
}

// bind creates that many more bindings, as fast as the API server takes them, for users of a platform, through a connection or the default one.
func (t *trial) bind(count int, platform *sandbox.Simulator, through *v1alpha1.ConnectionReference) {
	from := t.created
	t.created += count
	for i := from; i < t.created; i++ {
		platform.AddUser(delossim.User{UUID: t.binding(i).Spec.UserUUID})
	}
	t.each(from, t.created, func(ctx context.Context, i int) error {
		binding := t.binding(i)
		binding.Spec.ConnectionRef = through
		return t.Kube.Create(ctx, binding)
	})
}

// each does something with the numbers from (including) to (not including), several at the same time.
func (t *trial) each(from, to int, do func(context.Context, int) error) {
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

// awaitReady waits until all bindings are Ready, and checks that the platform has what they declare.
func (t *trial) awaitReady(limit time.Duration) (took time.Duration) {
	took = t.await("all Ready", limit, func() string {
		if now := t.bindings.ready(); now < t.created {
			return fmt.Sprintf("%d of %d", now, t.created)
		}
		return ""
	})
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
	return took
}

// work are the calls that bindings make: all but those that keep the session.
func (t *trial) work() calls {
	return t.Platform.Calls(delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate)
}
