package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// The operator may be killed at any moment, and its successor makes the relations as declared.
//
// While bindings are created, changed and deleted, the process is killed when the platform has carried out a certain call and
// has not answered it yet, or a few milliseconds after the answer, before the status is written.
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
	runAlone(t)
	n.connect(t)

	d := newDirector(n, random)
	deadline := time.Now().Add(2 * time.Minute)
	for turn := 0; !a.done(); turn++ {
		if time.Now().After(deadline) {
			t.Fatalf("not done: %s; the platform was asked %s", a, n.Platform.Summary())
		}
		d.act(t)
		select {
		case k := <-a.killed:
			t.Logf("turn %d: killed %s after %s %s", turn, k.after, k.call.Method, k.call.Path)
			if k.err != nil {
				t.Fatal(k.err)
			}
			// The binding in work changes before the successor sees it.
			d.actOn(t, k.call)
			startAlone(t)
			a.next()
		case <-time.After(100 * time.Millisecond):
		}
	}
	sandbox.Within(t, time.Minute, func() string { return d.unsettled(t) })
	for user, want := range d.declared() {
		if got := n.Platform.Relations(user); !maps.Equal(got, want) {
			t.Errorf("%s has %v, declared is %v", user, got, want)
		}
	}
}

// Access with an end ends, also when the operator is killed during the revocation.
func TestKilledInTheMiddleOfAnExpiry(t *testing.T) {
	a := &assassin{killed: make(chan kill, 1)}
	n := newTenant(t, delossim.Config{
		Settings: delossim.Settings{Lag: 100 * time.Millisecond},
		Users:    []delossim.User{{UUID: "user_0"}, {UUID: "user_1"}, {UUID: "user_2"}, {UUID: "user_3"}},
		Clients:  []string{"cust_0"},
		OnCall:   a.onCall,
	})
	runAlone(t)
	n.connect(t)
	for i, moment := range []target{
		{op: delossim.OpUnrelate},
		{op: delossim.OpUnrelate, after: 10 * time.Millisecond},
		{op: delossim.OpUnrelate, then: delossim.OpUser},
		{op: delossim.OpUnrelate, then: delossim.OpUser, after: 10 * time.Millisecond},
	} {
		binding := n.Binding(fmt.Sprintf("temporary-%d", i), fmt.Sprintf("user_%d", i), "cust_0", true)
		create(t, binding)
		sandbox.Within(t, time.Minute, func() string { return n.Unbound(t, binding.Name) })
		a.aim(moment)
		end := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)
		n.Patch(t, binding, `{"spec":{"expiresAt":%q}}`, end)
		k := a.wait(t)
		t.Logf("killed %s after %s %s", k.after, k.call.Method, k.call.Path)
		startAlone(t)
		sandbox.Within(t, time.Minute, func() string { return n.expired(t, binding.Name) })
	}
}

// An operator that is killed during a write has written its audit line before.
func TestKilledBetweenIntentAndResult(t *testing.T) {
	a := &assassin{killed: make(chan kill, 1)}
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}}, Clients: []string{"cust_0"}, OnCall: a.onCall})
	runAlone(t)
	n.connect(t)
	a.aim(target{op: delossim.OpRelate})
	create(t, n.Binding("granted", "user_0", "cust_0", true))

	k := a.wait(t)

	log, err := operator.Log()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(log) {
		said := struct {
			Audit                      bool
			Action, Outcome, RequestID string
		}{}
		if json.Unmarshal([]byte(line), &said) == nil && said.Audit && said.RequestID == k.call.RequestID {
			got = append(got, said.Action+" "+said.Outcome)
		}
	}
	if diff := cmp.Diff([]string{"grant intended"}, got); diff != "" {
		t.Errorf("audit lines of request %s (-want +got):\n%s", k.call.RequestID, diff)
	}
}

// expired says that a binding's access has not ended yet; "" when it has.
func (n *tenant) expired(t *testing.T, name string) string {
	t.Helper()
	binding := &v1alpha1.ClientBinding{}
	if err := n.Kube.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, binding); err != nil {
		t.Fatal(err)
	}
	problem := sandbox.NotReady(binding, binding.Status.Conditions, metav1.ConditionTrue, v1alpha1.ReasonExpired)
	switch relations := n.Platform.Relations(binding.Spec.UserUUID); {
	case problem != "":
		return name + ": " + problem
	case len(relations) > 0:
		t.Fatalf("%s: Expired, and on the platform the user has %v", name, relations)
	case len(binding.Finalizers) > 0 || binding.Status.ExpiredTime == nil || binding.Status.Claim != nil:
		return fmt.Sprintf("%s: Expired, but kept by %v, with the claim %v, expired at %v", name, binding.Finalizers,
			binding.Status.Claim, binding.Status.ExpiredTime)
	}
	return ""
}

// runAlone runs the operator for one test.
func runAlone(t *testing.T) {
	t.Helper()
	startAlone(t)
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// startAlone starts a process that does not wait for the lease of a dead one.
func startAlone(t *testing.T) {
	t.Helper()
	if err := operator.Start(t.Context(), verbose, "--leader-elect=false"); err != nil {
		t.Fatal(err)
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

// target is a moment for a kill: the call of an operation after skip others, or the first call of another operation
// after it, or some time later.
type target struct {
	op, then delossim.Operation
	skip     int
	after    time.Duration
}

// kill is the outcome of a target.
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

// done reports whether it has killed at all its targets.
func (a *assassin) done() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.targets) == 0 && !a.waits
}

// next lets it wait for its next target.
func (a *assassin) next() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waits = false
}

// aim gives an assassin that is done its next target.
func (a *assassin) aim(at target) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.targets, a.waits = []target{at}, false
}

// wait waits for the next kill.
func (a *assassin) wait(t *testing.T) kill {
	t.Helper()
	select {
	case k := <-a.killed:
		if k.err != nil {
			t.Fatal(k.err)
		}
		return k
	case <-time.After(time.Minute):
		t.Fatal("nobody was killed in a minute:", a)
		panic("not reached")
	}
}

// onCall gets every call before its answer is sent, and delays the answer while it kills.
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
	if then := a.targets[0].then; then != "" {
		a.targets[0].op, a.targets[0].then = then, ""
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
