package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// The operator may die at any moment: whatever it was doing, its successor brings about what is declared.
//
// While bindings come, change and go, the process is killed when the platform has carried out a certain call and
// has not answered it yet, or a few milliseconds after the answer, when it is about to be written down.
func TestKilledAtAnyMoment(t *testing.T) {
	const seed = 20260731
	random := rand.New(rand.NewPCG(seed, 0))
	a := newAssassin(random)
	n := newTenant(t, delossim.Config{
		Settings: delossim.Settings{Lag: 100 * time.Millisecond},
		Users:    []delossim.User{{UUID: "user_0"}, {UUID: "user_1"}, {UUID: "user_2"}, {UUID: "user_3"}},
		Clients:  []string{"cust_0", "cust_1"},
		OnCall:   a.onCall,
	})
	run := func() {
		// No process is to wait for the lease of a dead one.
		if err := operator.Start(t.Context(), verbose, "--leader-elect=false"); err != nil {
			t.Fatal(err)
		}
	}
	run()
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})
	n.connect(t)

	d := newDirector(n, random)
	deadline := time.Now().Add(2 * time.Minute)
	for turn := 0; !a.done(); turn++ {
		if time.Now().After(deadline) {
			t.Fatalf("not done: %s; the platform was asked %s", a, n.platform.Summary())
		}
		d.act(t)
		select {
		case k := <-a.killed:
			t.Logf("turn %d: killed %s after %s %s", turn, k.after, k.call.Method, k.call.Path)
			if k.err != nil {
				t.Fatal(k.err)
			}
			// What it was working on changes before its successor sees it.
			d.actOn(t, k.call)
			run()
			a.next()
		case <-time.After(100 * time.Millisecond):
		}
	}
	within(t, time.Minute, func() string { return d.unsettled(t) })
	for user, want := range d.declared() {
		if got := n.platform.Relations(user); !maps.Equal(got, want) {
			t.Errorf("%s has %v, declared is %v", user, got, want)
		}
	}
}

// assassin kills the operator at chosen calls, one after the other.
type assassin struct {
	killed chan kill

	mu      sync.Mutex
	targets []target
	// waits: the operator is being killed or not yet started again.
	waits bool
}

// target is a moment to kill at: the call of an operation after skip others, or some time after it.
type target struct {
	op    delossim.Operation
	skip  int
	after time.Duration
}

// kill is what became of a target.
type kill struct {
	target
	call delossim.Call
	err  error
}

func newAssassin(random *rand.Rand) *assassin {
	a := &assassin{killed: make(chan kill, 1)}
	for _, op := range []delossim.Operation{delossim.OpRelate, delossim.OpUser, delossim.OpUnrelate} {
		for range 2 {
			a.targets = append(a.targets,
				target{op: op, skip: random.IntN(2)},
				target{op: op, skip: random.IntN(2), after: time.Duration(random.IntN(20)) * time.Millisecond})
		}
	}
	a.targets = append(a.targets, target{op: delossim.OpLogin})
	random.Shuffle(len(a.targets), func(i, j int) { a.targets[i], a.targets[j] = a.targets[j], a.targets[i] })
	return a
}

func (a *assassin) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprintf("still to be killed at %v", a.targets)
}

// done reports whether it has killed at all its targets, and everybody knows.
func (a *assassin) done() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.targets) == 0 && !a.waits
}

// next lets it look out for its next target.
func (a *assassin) next() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waits = false
}

// onCall is told of every call before its answer goes out, and holds up the answer while it kills.
func (a *assassin) onCall(call delossim.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waits || len(a.targets) == 0 || a.targets[0].op != call.Op {
		return
	}
	if a.targets[0].skip > 0 {
		a.targets[0].skip--
		return
	}
	now := a.targets[0]
	a.targets, a.waits = a.targets[1:], true
	strike := func() { a.killed <- kill{target: now, call: call, err: operator.Kill()} }
	if now.after == 0 {
		strike()
		return
	}
	time.AfterFunc(now.after, strike)
}
