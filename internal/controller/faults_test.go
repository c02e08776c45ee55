package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestFaultMatrix lets every fault hit every call and compares what people see of it with the tables in
// faults_table_test.go. Every cell keeps the promises in (state).check, and it heals. What
// was seen is docs/faults.md.
func TestFaultMatrix(t *testing.T) {
	seen := newDocument()
	t.Run("cells", func(t *testing.T) {
		for _, s := range situations {
			t.Run(s.name, func(t *testing.T) {
				want := parseTable(t, s.table)
				for _, f := range faults {
					t.Run(f.name, func(t *testing.T) {
						t.Parallel()
						got := newCell(t, s, f).observe().only(want.columns)
						seen.add(s, f, got)
						expectEqual(t, "what is seen", want.lines[f.name], got)
					})
				}
			})
		}
	})
	seen.compare(t)
}

// cell is one fault in one situation, with a platform and a namespace of its own. Nothing in it runs by
// itself, but it looks at its two objects in the order and at the times at which the operator would.
type cell struct {
	*world
	fault *delossim.Injection
	// When the objects are due; zero for never.
	connectionDue, bindingDue time.Time
}

// newCell is about to run into the fault.
func newCell(t *testing.T, s situation, f fault) *cell {
	t.Helper()
	c := &cell{world: newWorld(t), connectionDue: start}
	// Ends the calls that hang, so that the HTTP server can close.
	t.Cleanup(c.platform.Close)
	c.createSecret(map[string]string{"login": login, "password": password})
	c.createConnection(func(connection *v1alpha1.APIConnection) {
		if f.slow {
			connection.Spec.Timeout = duration(time.Second)
		}
	})
	s.arrange(c)
	c.calls()
	c.fault = c.platform.Inject(delossim.Fault{Op: s.call, Skip: s.skip, Times: f.times, Apply: f.applied, Failure: f.failure(s.call)})
	return c
}

// declare declares that John is related to Acme, as Maria is already: code that takes an answer about her
// for one about him believes that all is done.
func (c *cell) declare() {
	c.platform.SetRelation(maria, acme, false)
	c.bind(nil)
	c.reconcileUsage() // Or the connection would change under the first look at the binding.
	c.bindingDue = c.clock.Now()
}

// withdraw deletes the declaration, in a platform in which Maria is no longer related to Acme.
func (c *cell) withdraw() {
	c.platform.RemoveRelation(maria, acme)
	c.delete()
	c.bindingDue = c.clock.Now()
}

// observe runs into the fault, and then lets time pass without it until all is well.
func (c *cell) observe() line {
	c.t.Helper()
	now := c.turn()
	if c.fault.Hits() == 0 {
		c.t.Error("the fault hit no call")
	}
	seen := c.describe(now)
	c.fault.Remove()
	seen["and after"] = c.heal(now)
	return seen
}

// turn looks at each object that is due, until none is, and returns how things are then.
func (c *cell) turn() state {
	c.t.Helper()
	now := c.state()
	for {
		select {
		case <-c.pool.Troubled():
			c.connectionDue = c.clock.Now()
		default:
		}
		switch {
		case c.due(c.connectionDue):
			c.connectionDue = c.after(c.reconcileConnection())
		case c.due(c.bindingDue):
			c.bindingDue = c.after(c.reconcile())
		default:
			return now
		}
		before := now
		now = c.state()
		if now.binding != nil && usabilityChanged().Update(event.UpdateEvent{ObjectOld: before.connection, ObjectNew: now.connection}) {
			c.bindingDue = c.clock.Now()
		}
		now.check(c.t)
	}
}

func (c *cell) due(at time.Time) bool { return !at.IsZero() && !at.After(c.clock.Now()) }

func (c *cell) after(wait time.Duration) time.Time {
	if wait == 0 {
		return time.Time{}
	}
	return c.clock.Now().Add(wait)
}

// heal lets time pass, from one look to the next, until all is well, and says when that is and by which calls.
func (c *cell) heal(now state) string {
	c.t.Helper()
	if now.well() {
		return none
	}
	const looks = 20
	began := c.clock.Now()
	for range looks {
		next := slices.MinFunc([]time.Time{c.connectionDue, c.bindingDue}, time.Time.Compare)
		c.clock.Advance(next.Sub(c.clock.Now()))
		if now = c.turn(); now.well() {
			return now.reason() + " after " + lengthInWords(c.clock.Now().Sub(began)) + ": " + c.callsMade()
		}
	}
	c.t.Errorf("not well after %d looks in %s", looks, c.clock.Now().Sub(began))
	return "never well"
}

// describe says what people see of a state, and what it took to get there.
func (c *cell) describe(now state) line {
	seen := line{
		"the connection says": readyConditionOf(now.connection.Status.Conditions).Reason,
		"the binding says":    now.reason(),
		"Ready":               none,
		"tries again":         none,
		"Stalled":             none,
		"calls":               c.callsMade(),
		"access":              yesOrNo(now.related),
		"finalizer":           none,
	}
	if now.binding != nil {
		seen["Ready"] = string(readyConditionOf(now.binding.Status.Conditions).Status)
		seen["finalizer"] = yesOrNo(controllerutil.ContainsFinalizer(now.binding, v1alpha1.RevokeFinalizer))
	}
	if now.well() {
		return seen
	}
	// Who fails is the connection, or else the binding.
	failing, due := now.connection.Status.Conditions, c.connectionDue
	if readyConditionOf(failing).Status == metav1.ConditionTrue {
		failing, due = now.binding.Status.Conditions, c.bindingDue
	}
	seen["tries again"] = lengthInWords(due.Sub(c.clock.Now()))
	seen["Stalled"] = yesOrNo(meta.IsStatusConditionTrue(failing, v1alpha1.ConditionStalled))
	return seen
}

// callsMade says which calls were made since it was last asked.
func (c *cell) callsMade() string {
	names := map[delossim.Operation]string{
		opUser: "GET", opRelate: "PUT", opUnrelate: "DELETE",
		delossim.OpLogin: "login", delossim.OpRefresh: "refresh", delossim.OpList: "list",
		delossim.OpOther: "(a call that the API does not have)",
	}
	var made []string
	for _, operation := range c.calls() {
		made = append(made, names[operation])
	}
	return strings.Join(made, " ")
}

// state is how things are, in Kubernetes and in the platform.
type state struct {
	connection *v1alpha1.APIConnection
	// binding is nil when there is none.
	binding *v1alpha1.ClientBinding
	// John's true relation to Acme.
	isOwner, related bool
}

func (c *cell) state() state {
	c.t.Helper()
	now := state{connection: c.connection(), binding: c.find()}
	now.isOwner, now.related = c.platform.Relations(john)[acme]
	return now
}

// check holds what must be true after every run, also after one that failed.
func (s state) check(t *testing.T) {
	t.Helper()
	checkConditions(t, s.connection.Status.Conditions)
	if s.binding == nil {
		if s.related {
			t.Error("the object is gone, and its access is not")
		}
		return
	}
	checkConditions(t, s.binding.Status.Conditions)
	held := s.binding.Status.Claim != nil && controllerutil.ContainsFinalizer(s.binding, v1alpha1.RevokeFinalizer)
	if s.related && !held {
		t.Error("the deletion of the object would not take its access away")
	}
	asDeclared := s.related && s.isOwner == s.binding.Spec.IsOwner && s.binding.DeletionTimestamp.IsZero()
	if readyConditionOf(s.binding.Status.Conditions).Status == metav1.ConditionTrue && !asDeclared {
		t.Error("Ready, and the relation is not as declared")
	}
}

// checkConditions makes sure that each object that is not ready says which it is: that the operator goes on by
// itself, or that it needs help.
func checkConditions(t *testing.T, conditions []condition) {
	t.Helper()
	said := 0
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.IsStatusConditionTrue(conditions, kind) {
			said++
		}
	}
	if len(conditions) > 0 && said != 1 {
		t.Errorf("%d of Ready, Reconciling and Stalled are true, want one: %+v", said, conditions)
	}
}

// well reports whether what was declared or withdrawn looks done; check makes sure that it then is.
func (s state) well() bool {
	return s.binding == nil || readyConditionOf(s.binding.Status.Conditions).Status == metav1.ConditionTrue
}

// reason is why the binding is ready or not.
func (s state) reason() string {
	if s.binding == nil {
		return "gone"
	}
	return readyConditionOf(s.binding.Status.Conditions).Reason
}

// readyConditionOf returns the condition Ready; an empty one before the first look.
func readyConditionOf(conditions []condition) condition {
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); ready != nil {
		return *ready
	}
	return condition{}
}

const none = "–"

func yesOrNo(value bool) string {
	if value {
		return "yes"
	}
	return "no"
}

// lengthInWords writes a duration as people do: 10m and not 10m0s.
func lengthInWords(wait time.Duration) string {
	return strings.Replace(wait.Round(time.Second).String(), "m0s", "m", 1)
}
