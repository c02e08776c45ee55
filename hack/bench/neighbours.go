package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// healthyLatency is how long each call of the healthy connection takes: long beside what the machine takes.
	healthyLatency = 500 * time.Millisecond
	// pace is the time from one change through the healthy connection to the next: its turns are never all taken.
	pace = 150 * time.Millisecond
	// promptly is within how long the platform has to have carried out a change: three calls.
	promptly = 3 * healthyLatency
)

// playNeighbours gives and revokes access through a healthy connection while those of others are in trouble.
func playNeighbours(ctx context.Context, t *trial) error {
	t.platform.Adjust(func(s *delossim.Settings) { s.Latency = healthyLatency })
	limit := rateLimit{perSecond: 1000, burst: 1000}
	if err := t.connect(ctx, longInterval, limit); err != nil {
		return err
	}
	for _, neighbour := range []struct {
		name  string
		fault delossim.Fault
	}{
		{"slow", delossim.Fault{Delay: 4 * time.Second}},
		{"dead", delossim.Fault{Failure: delossim.Hang{}}},
		{"impatient", delossim.Fault{Failure: delossim.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}}}}},
	} {
		if err := t.trouble(ctx, neighbour.name, neighbour.fault, limit); err != nil {
			return err
		}
		from := t.created
		t.created += t.prompt
		begun, err := t.paced(ctx, from, func(ctx context.Context, i int) error {
			t.platform.AddUser(delossim.User{UUID: t.binding(i).Spec.UserUUID})
			return t.kube.Create(ctx, t.binding(i))
		})
		if err != nil {
			return err
		}
		if err := t.checkPrompt(ctx, "a grant beside a connection that is "+neighbour.name, delossim.OpRelate, begun); err != nil {
			return err
		}
		begun, err = t.paced(ctx, from, func(ctx context.Context, i int) error { return t.kube.Delete(ctx, t.binding(i)) })
		if err != nil {
			return err
		}
		if err := t.checkPrompt(ctx, "a revocation beside it", delossim.OpUnrelate, begun); err != nil {
			return err
		}
	}
	return nil
}

// trouble makes a connection whose platform fails all calls of bindings, and many bindings that use it.
func (t *trial) trouble(ctx context.Context, name string, fault delossim.Fault, limit rateLimit) error {
	platform, err := t.box.StartSimulator(ctx, delossim.Config{Accounts: []delossim.Account{account}, Clients: []string{cuid}})
	if err != nil {
		return err
	}
	for _, op := range []delossim.Operation{delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate} {
		fault.Op = op
		platform.Inject(fault)
	}
	if err := t.kube.Create(ctx, &v1alpha1.APIConnection{
		ObjectMeta: t.meta(name),
		Spec: v1alpha1.APIConnectionSpec{
			URL:         platform.URL,
			Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: secretName}},
			Interval:    &metav1.Duration{Duration: longInterval},
			RateLimit:   &v1alpha1.RateLimit{RequestsPerSecond: limit.perSecond, Burst: limit.burst},
		},
	}); err != nil {
		return err
	}
	from := t.created
	t.created += t.waiting
	if err := t.each(ctx, from, t.created, func(ctx context.Context, i int) error {
		binding := t.binding(i)
		platform.AddUser(delossim.User{UUID: binding.Spec.UserUUID})
		binding.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: name}
		return t.kube.Create(ctx, binding)
	}); err != nil {
		return err
	}
	_, err = t.await(ctx, "calls through the connection that is "+name, settleLimit, func() string {
		if platform.Count(delossim.OpUser) == 0 {
			return "none"
		}
		return ""
	})
	return err
}

// paced makes one change after the other, and returns for each user when.
func (t *trial) paced(ctx context.Context, from int, change func(context.Context, int) error) (map[string]time.Time, error) {
	begun := map[string]time.Time{}
	for i := from; i < from+t.prompt; i++ {
		begun[t.binding(i).Spec.UserUUID] = time.Now()
		if err := change(ctx, i); err != nil {
			return nil, err
		}
		if err := pause(ctx, pace); err != nil {
			return nil, err
		}
	}
	return begun, nil
}

// checkPrompt looks how long after each change the healthy platform has carried it out.
func (t *trial) checkPrompt(ctx context.Context, what string, op delossim.Operation, begun map[string]time.Time) error {
	var took []time.Duration
	if _, err := t.await(ctx, what, settleLimit, func() string {
		took = took[:0]
		for _, call := range t.platform.Calls(op) {
			if at, concerned := begun[call.User]; concerned && call.Applied {
				took = append(took, call.Time.Sub(at))
			}
		}
		if len(took) < len(begun) {
			return fmt.Sprintf("%d of %d", len(took), len(begun))
		}
		return ""
	}); err != nil {
		return err
	}
	slices.Sort(took)
	t.measured(what+", median", precise(took[len(took)/2]))
	atMost(t.report, what+", p99", precise(took[len(took)*99/100]), precise(promptly))
	return nil
}
