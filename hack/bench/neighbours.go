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
	// latecomer begins the names of the bindings that come and go, and of their users.
	latecomer = "late-"
)

// playNeighbours gives and revokes access through a healthy connection while those of others are in trouble.
func playNeighbours(t *trial) {
	t.Platform.Adjust(func(s *delossim.Settings) { s.Latency = healthyLatency })
	t.connect()
	for _, neighbour := range []struct {
		name  string
		fault delossim.Fault
	}{
		{"slow", delossim.Fault{Delay: 4 * time.Second}},
		{"dead", delossim.Fault{Failure: delossim.Hang{}}},
		{"impatient", delossim.Fault{Failure: delossim.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}}}}},
	} {
		t.trouble(neighbour.name, neighbour.fault)
		t.comeAndGo(pace, healthyLatency, []way{{about: "beside a connection that is " + neighbour.name, platform: t.Platform}})
	}
}

// trouble makes a connection whose platform fails all calls of bindings, and many bindings that use it.
func (t *trial) trouble(name string, fault delossim.Fault) {
	platform := t.NewPlatform(t, delossim.Config{Clients: []string{cuid}})
	for _, op := range []delossim.Operation{delossim.OpUser, delossim.OpRelate, delossim.OpUnrelate} {
		fault.Op = op
		platform.Inject(fault)
	}
	t.Create(t, t.connection(name, platform, ample))
	t.bind(t.waiting, platform, &v1alpha1.ConnectionReference{Name: name})
	t.await("calls through the connection that is "+name, settleLimit, func() string {
		if platform.Count(delossim.OpUser) == 0 {
			return "none"
		}
		return ""
	})
}

// way is a connection through which bindings come and go; the default one without a name.
type way struct {
	name, about string
	platform    *sandbox.Simulator
}

// comeAndGo makes bindings through each way in turn, one after the other, and deletes them. The platform has to carry each change out within the time of
// three calls. A new binding takes three by itself, so that it has to be Ready within the time of four.
func (t *trial) comeAndGo(pace, latency time.Duration, ways []way) {
	first := t.latecomers
	t.latecomers += len(ways) * t.prompt
	begun := make([]map[string]time.Time, len(ways))
	change := func(do func(way, *v1alpha1.ClientBinding)) {
		for i := range len(ways) * t.prompt {
			w := ways[i%len(ways)]
			name := fmt.Sprintf(latecomer+"%04d", first+i)
			binding := t.Binding(name, name, cuid, false)
			if w.name != "" {
				binding.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: w.name}
			}
			if i < len(ways) {
				begun[i] = map[string]time.Time{}
			}
			begun[i%len(ways)][name] = time.Now()
			do(w, binding)
			sandbox.Pause(t, pace)
		}
	}
	change(func(w way, binding *v1alpha1.ClientBinding) {
		w.platform.AddUser(delossim.User{UUID: binding.Spec.UserUUID})
		t.Create(t, binding)
	})
	for i, w := range ways {
		t.checkPrompt("a grant "+w.about, w.platform, delossim.OpRelate, begun[i], callsEach*latency)
		var waits []time.Duration
		t.await("new bindings Ready "+w.about, settleLimit, func() string {
			waits = t.bindings.waits(func(name string, _ *history) (time.Time, bool) { at, is := begun[i][name]; return at, is })
			if len(waits) < len(begun[i]) {
				return fmt.Sprintf("%d of %d", len(waits), len(begun[i]))
			}
			return ""
		})
		atMost(t, "until it is Ready, p99", precise(waits[len(waits)*99/100]), precise((callsEach+1)*latency))
	}
	change(func(_ way, binding *v1alpha1.ClientBinding) { t.Delete(t, binding) })
	for i, w := range ways {
		t.checkPrompt("a revocation "+w.about, w.platform, delossim.OpUnrelate, begun[i], callsEach*latency)
	}
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
