package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
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
func playNeighbours(t *trial) {
	t.Platform.Adjust(func(s *delossim.Settings) { s.Latency = healthyLatency })
	t.connect(longInterval, ample)
	for _, neighbour := range []struct {
		name  string
		fault delossim.Fault
	}{
		{"slow", delossim.Fault{Delay: 4 * time.Second}},
		{"dead", delossim.Fault{Failure: delossim.Hang{}}},
		{"impatient", delossim.Fault{Failure: delossim.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}}}}},
	} {
		t.trouble(neighbour.name, neighbour.fault)
		from := t.created
		t.created += t.prompt
		begun := t.paced(from, func(binding *v1alpha1.ClientBinding) {
			t.Platform.AddUser(delossim.User{UUID: binding.Spec.UserUUID})
			t.Create(t, binding)
		})
		t.checkPrompt("a grant beside a connection that is "+neighbour.name, t.Platform, delossim.OpRelate, begun, promptly)
		begun = t.paced(from, func(binding *v1alpha1.ClientBinding) { t.Delete(t, binding) })
		t.checkPrompt("a revocation beside it", t.Platform, delossim.OpUnrelate, begun, promptly)
	}
}

// trouble makes a connection whose platform fails all calls of bindings, and many bindings that use it.
func (t *trial) trouble(name string, fault delossim.Fault) {
	platform := t.NewPlatform(t, delossim.Config{Clients: []string{cuid}})
	for _, op := range []delossim.Operation{delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate} {
		fault.Op = op
		platform.Inject(fault)
	}
	t.Create(t, t.connection(name, platform, longInterval, ample))
	t.bindThrough(t.waiting, platform, &v1alpha1.ConnectionReference{Name: name})
	t.await("calls through the connection that is "+name, settleLimit, func() string {
		if platform.Count(delossim.OpUser) == 0 {
			return "none"
		}
		return ""
	})
}

// paced makes one change after the other, and returns for each user when.
func (t *trial) paced(from int, change func(*v1alpha1.ClientBinding)) map[string]time.Time {
	begun := map[string]time.Time{}
	for i := from; i < from+t.prompt; i++ {
		begun[t.binding(i).Spec.UserUUID] = time.Now()
		change(t.binding(i))
		sandbox.Pause(t, pace)
	}
	return begun
}

// checkPrompt looks how long after each change a platform has carried it out.
func (t *trial) checkPrompt(what string, platform *sandbox.Simulator, op delossim.Operation, begun map[string]time.Time, limit time.Duration) {
	var took []time.Duration
	t.await(what, settleLimit, func() string {
		took = took[:0]
		for _, call := range platform.Calls(op) {
			if at, concerned := begun[call.User]; concerned && call.Applied {
				took = append(took, call.Time.Sub(at))
			}
		}
		if len(took) < len(begun) {
			return fmt.Sprintf("%d of %d", len(took), len(begun))
		}
		return ""
	})
	slices.Sort(took)
	t.measured(what+", median", precise(took[len(took)/2]))
	atMost(t, what+", p99", precise(took[len(took)*99/100]), precise(limit))
}
