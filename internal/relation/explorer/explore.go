package explorer

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
	"unsafe"

	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// Configuration bounds the world.
type Configuration struct {
	// Name, and a description.
	Name, About string
	// Bindings and Processes are their numbers.
	Bindings, Processes int
	// Timeout of a call, and Settle, the time after that in which it may arrive and show. Lag is the time in which a read may
	// show the former access. All are in ticks; Lag is not more than Settle.
	Timeout, Settle, Lag uint8

	// These allow events of a binding; edits are counted.
	Deletes, Expires                                        bool
	EditsAccess, EditsSuspend, EditsOrphan, EditsConnection bool
	// Stalls: failures last. Contests: corrections come to their limit.
	Stalls, Contests bool
	// StaleCaches: a cache may be behind. UnfencedWrites: a process that does not lead any more may still write to Kubernetes.
	StaleCaches, UnfencedWrites bool
	// KeepsRelations: the platform does not overwrite a relation. Witnesses: there is another user that both accounts see.
	KeepsRelations, Witnesses bool
	// LeavesOut: the platform leaves an empty list of clients out of its answer.
	LeavesOut bool
	// Brake: there is a limit on revocations. DryRun: the operator only says what it would do.
	Brake, DryRun bool
	// Outages are the events of connections and accounts.
	Outages []outageKind
	// Creates are the forms in which bindings may be created.
	Creates []binding

	// How many times each of these events may happen.
	Edits, Faults, Crashes, Drifts, OutageCount, Moves, UserEvents, Restores uint8

	start func(w *world)
}

// Result of an exploration.
type Result struct {
	States, Transitions, Depth int
	Took                       time.Duration
	// Violation of a promise, and the shortest path to it; empty if there is none.
	Violation string
	Trace     []string
}

type (
	hash    [2]uint64
	emitter func(*world, action)
	scratch struct {
		facts   facts
		members [maxBindings]relation.Member
		calls   [maxBindings][4]relation.Call
	}
)

type explorer struct {
	*Configuration
	scratch scratch
	seeds   [2]maphash.Seed
	seen    map[hash]struct{}
	good    map[hash]struct{}
	// parents and choices lead from each state back to the first one.
	parents   []uint32
	choices   []uint16
	violation string
}

type node struct {
	world world
	id    uint32
}

// Explore visits all states, up to a number of them; 0 is no limit.
func (c *Configuration) Explore(limit int) Result {
	began := time.Now()
	e := &explorer{Configuration: c, seen: map[hash]struct{}{}, good: map[hash]struct{}{}}
	e.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	first := e.first()
	e.seen[e.hash(&first)] = struct{}{}
	e.parents, e.choices = []uint32{0}, []uint16{0}
	level, next := []node{{world: first}}, []node(nil)
	result := Result{}
	found := func(n *node, choice int) Result {
		result.Violation, result.States = e.violation, len(e.parents)
		result.Trace = e.trace(n.id, choice)
		result.Took = time.Since(began)
		return result
	}
	for len(level) > 0 {
		for i := range level {
			n := &level[i]
			if n.world.quiet() {
				e.settles(n.world, nil)
				if e.violation != "" {
					result := found(n, -1)
					e.good, e.violation = map[hash]struct{}{}, ""
					e.settles(n.world, func(line string) { result.Trace = append(result.Trace, line) })
					return result
				}
			}
			choice, violated := 0, -1
			e.successors(&n.world, func(w *world, _ action) {
				result.Transitions++
				e.normalize(w)
				e.check(w)
				if e.violation != "" && violated < 0 {
					violated = choice
				}
				key := e.hash(w)
				if _, is := e.seen[key]; !is {
					e.seen[key] = struct{}{}
					next = append(next, node{*w, uint32(len(e.parents))})
					e.parents = append(e.parents, n.id)
					e.choices = append(e.choices, uint16(choice))
				}
				choice++
			})
			if e.violation != "" {
				return found(n, max(0, violated))
			}
			if limit > 0 && len(e.parents) > limit {
				result.States = len(e.parents)
				result.Took = time.Since(began)
				return result
			}
		}
		level, next = next, level[:0]
		result.Depth++
	}
	result.States = len(e.parents)
	result.Took = time.Since(began)
	return result
}

func (e *explorer) first() world {
	w := world{}
	w.platform.access = relation.None
	w.conns[1].account = 1
	w.budget = [budgets]uint8{
		edits: e.Edits, faults: e.Faults, crashes: e.Crashes, drifts: e.Drifts, outages: e.OutageCount, moves: e.Moves,
		userEvents: e.UserEvents, restores: e.Restores,
	}
	if e.start != nil {
		e.start(&w)
	}
	if e.StaleCaches {
		for p := range e.Processes {
			w.procs[p].view = w.bindings
		}
	}
	return w
}

// successors emits each state that may follow by one step of a process, or of the environment.
func (e *explorer) successors(w *world, emit emitter) {
	for p := range e.Processes {
		switch {
		case w.procs[p].run.phase != idle:
			e.step(w, p, emit)
		case int(w.leader) == p:
			next := *w
			e.begin(&next, p)
			emit(&next, action{what: begins, proc: uint8(p)})
		}
	}
	e.environment(w, emit)
}

// normalize clears memory that no longer matters, so that states which behave alike are equal.
func (e *explorer) normalize(w *world) {
	for p := range w.procs {
		proc := &w.procs[p]
		if proc.run.phase != idle || e.StaleCaches {
			continue
		}
		proc.view, proc.behind = [maxBindings]binding{}, [maxBindings]bool{}
		for i := range proc.memory {
			for k := range proc.memory[i] {
				if w.bindings[i].calls[k] == 0 || proc.foreign[i]&(1<<k) != 0 {
					proc.memory[i][k] = 0
				}
			}
			proc.foreign[i] = 0
		}
	}
}

func (e *explorer) hash(w *world) hash {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(w)), unsafe.Sizeof(*w))
	return hash{maphash.Bytes(e.seeds[0], bytes), maphash.Bytes(e.seeds[1], bytes)}
}

// trace tells the path to a state, and one step beyond if choice is not negative.
func (e *explorer) trace(id uint32, choice int) []string {
	var path []int
	if choice >= 0 {
		path = append(path, choice)
	}
	for ; id != 0; id = e.parents[id] {
		path = append(path, int(e.choices[id]))
	}
	w := e.first()
	lines := []string{w.String()}
	for i := len(path) - 1; i >= 0; i-- {
		at, after := 0, w
		e.successors(&w, func(next *world, did action) {
			e.normalize(next)
			if at == path[i] {
				lines = append(lines, did.String())
				after = *next
			}
			at++
		})
		w = after
	}
	return append(lines, w.String())
}

// String describes a state in one line.
func (w *world) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "   = platform: %s", accessName(w.platform.access))
	if w.platform.user != userThere {
		fmt.Fprintf(&s, ", user %s", userNames[w.platform.user])
	}
	for _, t := range w.platform.transit {
		if t.left > 0 {
			fmt.Fprintf(&s, ", %s's %s in transit for %d", name(int(t.binding)), accessName(t.makes), t.left)
		}
	}
	for c := range w.conns {
		conn := &w.conns[c]
		if *conn != (firstConn(c)) {
			fmt.Fprintf(&s, "; connection %d: %+v", c, *conn)
		}
	}
	for i := range w.bindings {
		b := &w.bindings[i]
		switch b.phase {
		case deleted:
			fmt.Fprintf(&s, "; %s gone", name(i))
		case there:
			fmt.Fprintf(&s, "; %s %s", name(i), accessName(b.declares))
			for _, flag := range []struct {
				is   bool
				name string
			}{
				{b.suspended, "suspended"}, {b.orphan, "orphan"}, {b.leaving, "leaving"}, {b.expired, "expired"}, {b.finalizer, "finalizer"},
				{b.claimed, "claimed"}, {b.rests, "rests"}, {b.waitedLong, "waited long"}, {b.contested, "contested"},
			} {
				if flag.is {
					s.WriteString(" " + flag.name)
				}
			}
			for k := relation.None; k <= relation.Owner; k++ {
				if b.calls[k] != 0 {
					s.WriteString(" record:" + accessName(k))
				}
			}
			if b.calls[0] != 0 {
				s.WriteString(" accepted:" + accessName(relation.Access(b.calls[0])))
			}
			fmt.Fprintf(&s, " says:%s", statusNames[b.status])
		}
	}
	return s.String()
}

func firstConn(c int) conn { return conn{account: uint8(c)} }

func name(i int) string { return string(rune('A' + i)) }

func accessName(a relation.Access) string {
	return [...]string{"unknown", "none", "standard", "owner"}[a]
}

var (
	userNames   = [...]string{"there", "missing", "deleted"}
	statusNames = [...]string{"-", "Waiting", "Confirming", "Bound", "Revoking", "Gone"}
)

// action leads from one state to the next.
type action struct {
	what                verb
	proc, binding, x, y uint8
}

type verb uint8

const (
	timePasses verb = iota
	arrives
	creates
	deletes
	expires
	editsAccess
	editsSuspend
	editsOrphan
	editsConnection
	losesStatus
	comesDue
	stalls
	contests
	drifting
	userTurns
	outageHappens
	catchesUp
	crash
	leaderMoves
	begins
	readsUser
	readsOld
	readFails
	readsWitness
	asksBrake
	brakeHolds
	protects
	adopts
	records
	sends
	sendArrives
	sendTravels
	reports
	conflicts
	loses
	ends
)

var answers = [...]string{"no call", "accepted", "refused", "already related", "nothing there", "lost", "not sent"}

var states = [...]string{"Waiting", "Confirming", "Bound", "Revoking", "Gone"}

// String is a line of a trace.
func (a action) String() string {
	who, what := fmt.Sprintf("operator %d", a.proc), accessName(relation.Access(min(a.x, 3)))
	b := name(int(a.binding))
	switch a.what {
	case timePasses:
		return "a tick passes"
	case arrives:
		return fmt.Sprintf("the call of %s that makes %s arrives", b, what)
	case creates:
		return fmt.Sprintf("%s is created: %s", b, what)
	case deletes:
		return b + " is deleted"
	case expires:
		return b + " expires"
	case editsAccess:
		return fmt.Sprintf("%s is edited: %s", b, what)
	case editsSuspend:
		return b + " is suspended, or resumed"
	case editsOrphan:
		return b + " is made an orphan, or no orphan"
	case editsConnection:
		return fmt.Sprintf("%s names connection %d", b, a.y)
	case losesStatus:
		return b + " loses its status"
	case comesDue:
		return b + " comes due"
	case stalls:
		return b + " has waited for long"
	case contests:
		return b + " is contested"
	case drifting:
		return "the platform is changed: it is " + what
	case userTurns:
		return "the user is " + userNames[a.x]
	case outageHappens:
		return fmt.Sprintf("connection or account %d: %s", a.x, outageNames[a.y])
	case catchesUp:
		return fmt.Sprintf("%s: its cache shows %s as it is", who, b)
	case crash:
		return who + " crashes"
	case leaderMoves:
		return who + " leads"
	case begins:
		return who + ": begins a run"
	case readsUser:
		if relation.ReadState(a.y) == relation.NoUser {
			what = "no user"
		}
		return fmt.Sprintf("%s: reads for %s: %s", who, b, what)
	case readsOld:
		return fmt.Sprintf("%s: reads for %s what was before: %s", who, b, what)
	case readFails:
		return fmt.Sprintf("%s: reads for %s without an answer", who, b)
	case readsWitness:
		return fmt.Sprintf("%s: reads the witness for %s: %d", who, b, a.x)
	case asksBrake:
		return fmt.Sprintf("%s: the revocation of %s is let through", who, b)
	case brakeHolds:
		return fmt.Sprintf("%s: the revocation of %s is held", who, b)
	case protects:
		return fmt.Sprintf("%s: sets the finalizer of %s", who, b)
	case adopts:
		return fmt.Sprintf("%s: notes the claim of %s", who, b)
	case records:
		return fmt.Sprintf("%s: records for %s: %s", who, b, what)
	case sends:
		return fmt.Sprintf("%s: sends for %s: %s; %s", who, b, what, answers[a.y])
	case sendArrives:
		return fmt.Sprintf("%s: sends for %s: %s; no answer, but it arrived", who, b, what)
	case sendTravels:
		return fmt.Sprintf("%s: sends for %s: %s; no answer, it may still arrive", who, b, what)
	case reports:
		return fmt.Sprintf("%s: writes %s: %s (%d)", who, b, states[a.x], a.y)
	case conflicts:
		return fmt.Sprintf("%s: a write of %s conflicts", who, b)
	case loses:
		return who + " does not lead any more, and ends"
	default:
		return who + ": ends its run"
	}
}

var outageNames = [...]string{
	"missing", "not ready", "leads elsewhere", "starting", "not protected", "leaving", "denies all", "denies owners",
	"uses the other account", "sees nobody, or all again", "may only read, or write again",
}
