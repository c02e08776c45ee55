package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	cuid       = "cust_bench"
	secretName = "account"
	// hands is how many requests are made of the API server at the same time.
	hands = 8
	// turns is how many runs use one connection at the same time, at most: see internal/connection/gate.go.
	turns = 20
	// followUps is how many calls a run may make once it was let in: it is not stopped between a write and its
	// confirmation.
	followUps = 2
	// settleLimit is how long anything may take that is only a matter of the machine's speed.
	settleLimit = 2 * time.Minute
	// pollEvery is how often something that is waited for is looked at.
	pollEvery = 50 * time.Millisecond
)

var account = delossim.Account{Login: "operator@example.com", Password: "correct-horse-battery"}

// errAbandoned ends a scenario whose next part makes no sense, after a check that failed.
var errAbandoned = errors.New("abandoned")

// trial is a scenario under way.
type trial struct {
	*report
	sizes

	box       *sandbox.Sandbox
	kube      client.Client
	operator  *sandbox.Operator
	platform  *sandbox.Simulator
	namespace string
	bindings  *observer
	// created is how many bindings there are.
	created int
	// earlierLog is how much of the operator's log is from scenarios before, in bytes.
	earlierLog int
}

func (t *trial) close() error {
	if t.bindings != nil {
		t.bindings.close()
	}
	return t.platform.Stop()
}

func (t *trial) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: t.namespace, Name: name}
}

// binding is the one with a number, as it is created.
func (t *trial) binding(i int) *v1alpha1.ClientBinding {
	return &v1alpha1.ClientBinding{
		ObjectMeta: t.meta(fmt.Sprintf("binding-%04d", i)),
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: fmt.Sprintf("user-%04d", i), CUID: cuid, IsOwner: i%2 == 0},
	}
}

// connect creates the connection that all bindings use, with the account's credentials unless there is a Secret.
func (t *trial) connect(ctx context.Context, interval time.Duration, limit rateLimit) error {
	secret := t.secret(account)
	if err := client.IgnoreAlreadyExists(t.kube.Create(ctx, secret)); err != nil {
		return err
	}
	return t.kube.Create(ctx, &v1alpha1.APIConnection{
		ObjectMeta: t.meta(v1alpha1.DefaultConnectionName),
		Spec: v1alpha1.APIConnectionSpec{
			URL:         t.platform.URL,
			Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: secretName}},
			Interval:    &metav1.Duration{Duration: interval},
			RateLimit:   &v1alpha1.RateLimit{RequestsPerSecond: limit.perSecond, Burst: limit.burst},
		},
	})
}

func (t *trial) secret(of delossim.Account) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: t.meta(secretName), StringData: map[string]string{
		v1alpha1.SecretKeyLogin:    of.Login,
		v1alpha1.SecretKeyPassword: of.Password,
	}}
}

// bind creates that many more bindings, each for a user of its own.
func (t *trial) bind(ctx context.Context, count int) error {
	from := t.created
	t.created += count
	return t.each(ctx, from, t.created, func(ctx context.Context, i int) error {
		binding := t.binding(i)
		t.platform.AddUser(delossim.User{UUID: binding.Spec.UserUUID})
		return t.kube.Create(ctx, binding)
	})
}

// askForRuns asks for a look at every binding.
func (t *trial) askForRuns(ctx context.Context) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.RequestedAtAnnotation, time.Now().UTC().Format(time.RFC3339Nano))
	return t.each(ctx, 0, t.created, func(ctx context.Context, i int) error {
		return t.kube.Patch(ctx, t.binding(i), client.RawPatch("application/merge-patch+json", []byte(patch)))
	})
}

// each does something with the numbers from (including) to (not including), several at the same time.
func (t *trial) each(ctx context.Context, from, to int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(hands)
	for i := from; i < to && ctx.Err() == nil; i++ {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// await waits until there is no problem any more, and returns how long that took. It is a failed check, and the
// end of the scenario, if there still is one when the time is up.
func (t *trial) await(ctx context.Context, what string, limit time.Duration, problem func() string) (time.Duration, error) {
	began, last := time.Now(), ""
	err := wait.PollUntilContextTimeout(ctx, pollEvery, limit, true, func(context.Context) (bool, error) {
		last = problem()
		return last == "", nil
	})
	took := time.Since(began)
	switch {
	case err == nil:
		return took, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	default:
		t.check(false, what, last, "none of that after "+seconds(limit))
		return 0, errAbandoned
	}
}

// awaitReady waits until all bindings are Ready, and checks that the platform has what they declare.
func (t *trial) awaitReady(ctx context.Context, what string) error {
	took, err := t.await(ctx, what, settleLimit, func() string {
		if ready := t.bindings.ready(); ready < t.created {
			return fmt.Sprintf("%d of %d Ready", ready, t.created)
		}
		return ""
	})
	if err != nil {
		return err
	}
	t.measured(what, "after "+seconds(took))
	wrong := 0
	for i := range t.created {
		spec := t.binding(i).Spec
		if isOwner, related := t.platform.Relations(spec.UserUUID)[spec.CUID]; !related || isOwner != spec.IsOwner {
			wrong++
		}
	}
	if wrong > 0 {
		t.exactly("Ready without the relation", wrong, 0)
	}
	return nil
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failuresSeen counts the failed calls that a run was told of: it logs each. A call that the session repeated by
// itself, and with success, is none.
func (t *trial) failuresSeen() (int, error) {
	log, err := t.operator.Log()
	if err != nil {
		return 0, err
	}
	return strings.Count(log[t.earlierLog:], "the Delos API did not do as asked"), nil
}

func (t *trial) logLength() (int, error) {
	info, err := os.Stat(t.operator.LogFile)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int(info.Size()), nil
}

// connection reads the connection as it is now.
func (t *trial) connection(ctx context.Context) (*v1alpha1.APIConnection, error) {
	found := &v1alpha1.APIConnection{ObjectMeta: t.meta(v1alpha1.DefaultConnectionName)}
	return found, t.kube.Get(ctx, client.ObjectKeyFromObject(found), found)
}
