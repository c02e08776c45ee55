package connection

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// Relation is one user and one client at one API. It is the unit of the controller's work, and the unit that waits for a turn.
type Relation struct {
	// Host of the API, see Session.Host; empty while it is not known.
	Host string
	// UserUUID and CUID are the ids of the user and of the client.
	UserUUID, CUID string
}

// Urgent is the priority of a revocation. From it on, a run waits neither for the rate nor for slow runs of lower priorities.
const Urgent = 100

const (
	// fewestSlots and mostSlots bound the number of runs that may use one connection at once. The calls of a run are sequential, so they also
	// bound the calls under way. The default rate of 50 calls a second is used to the full while a call takes less than 0.3 s.
	fewestSlots, mostSlots = 16, 64
	// callsPerSlot is the rate, in calls a second, that adds one slot. A slot could make more calls, but a run also writes to the API server
	// between its calls.
	callsPerSlot = 6
	// urgentSlots come on top for urgent runs: slow grants cannot hold all slots against a revocation.
	urgentSlots = 4
	// heldFor is the time for which a turn is held for a relation that was called back. A work queue takes milliseconds
	// as a rule.
	heldFor = 5 * time.Second
	// The pause after an answer that asks for patience and does not say how much, doubling.
	firstPause = time.Second
	lastPause  = time.Minute
)

// gate bounds the runs that use one connection at once, keeps their calls within its rate, and keeps them away from
// an API that asks for patience. No run waits in it: a relation that gets no turn is put on the list, and is called
// back when its turn has come. That turn is held for it.
//
// A turn pays for its first call. A run makes its further calls without asking again, so that it is never stopped between
// a write and its confirmation; those calls are charged to the runs that come after it.
type gate struct {
	// slots is the number of runs that may use the connection at once.
	slots     int
	now       func() time.Time
	afterFunc AfterFunc
	callBack  func(relation Relation, priority int)

	mu sync.Mutex
	// turns counts those that were begun and those that are held; paid counts the tokens that they have taken for calls
	// that were not made yet.
	turns, paid int
	bucket      bucket
	// closedUntil is the time from which the API may be called again.
	closedUntil time.Time
	// refusals counts in a row the answers that asked for patience without saying how much.
	refusals int

	// places has all relations that have not begun since they asked: those that are waiting, those for which a turn is
	// held, and those that did not come in time. waiting and held are in the order of rank.
	places        map[Relation]*place
	waiting, held []*place
	arrivals      int
	stopTimer     func() bool
}

// place is the place of a relation in the order in which relations begin.
type place struct {
	relation Relation
	priority int
	// arrival counts up. A relation keeps it until it begins, so that it is overtaken by higher priorities only.
	arrival int
	// held says that a turn is held, and until says for how long; until is zero before the relation is called back.
	held  bool
	until time.Time
}

func byRank(a, b *place) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.arrival, b.arrival))
}

func with(places []*place, added *place) []*place {
	i, _ := slices.BinarySearchFunc(places, added, byRank)
	return slices.Insert(places, i, added)
}

func without(places []*place, removed *place) []*place {
	if i, found := slices.BinarySearchFunc(places, removed, byRank); found {
		return slices.Delete(places, i, i+1)
	}
	return places
}

func newGate(wanted settings, options Options, callBack func(Relation, int)) *gate {
	return &gate{
		slots:     min(max(wanted.perSecond/callsPerSlot, fewestSlots), mostSlots),
		now:       options.Now,
		afterFunc: options.AfterFunc,
		callBack:  callBack,
		bucket:    newBucket(wanted.perSecond, wanted.burst),
		places:    map[Relation]*place{},
	}
}

// Turn lets one run make calls, one at a time.
type Turn struct {
	gate *gate
	done bool
}

// Done ends the turn, so that the next one may begin. Only the first Done counts.
func (t *Turn) Done() {
	t.gate.change(func(time.Time) {
		if !t.done {
			t.done = true
			t.gate.end()
		}
	})
}

// enter gives a relation its turn, or puts it on the list and returns nil.
func (g *gate) enter(relation Relation, priority int) (turn *Turn) {
	g.change(func(now time.Time) {
		p := g.places[relation]
		if p == nil {
			g.arrivals++
			p = &place{relation: relation, priority: priority, arrival: g.arrivals}
			g.places[relation] = p
		}
		if !p.held {
			g.waiting = without(g.waiting, p)
			p.priority = max(p.priority, priority)
			g.waiting = with(g.waiting, p)
			g.hold(now)
			g.overtake(p)
		}
		if p.held {
			g.held = without(g.held, p)
			delete(g.places, relation)
			turn = &Turn{gate: g}
		}
	})
	return turn
}

// change makes a change, and calls back the relations whose turn has come by it.
func (g *gate) change(change func(now time.Time)) {
	g.mu.Lock()
	now := g.now()
	change(now)
	g.hold(now)
	var called []place
	for _, p := range g.held {
		if p.until.IsZero() {
			p.until = now.Add(heldFor)
			called = append(called, *p)
		}
	}
	g.setTimer(now)
	g.mu.Unlock()
	for _, p := range called {
		g.callBack(p.relation, p.priority)
	}
}

// hold ends the turns that were held for long enough, and holds turns for the first on the list, as many as may begin.
// A relation that comes too late finds its place again.
func (g *gate) hold(now time.Time) {
	for _, p := range slices.Clone(g.held) {
		if !p.until.IsZero() && !p.until.After(now) {
			g.withdraw(p)
		}
	}
	for len(g.waiting) > 0 && g.slotFree(g.waiting[0].priority) && g.wait(g.waiting[0].priority, now) <= 0 {
		first := g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
		first.held, first.until = true, time.Time{}
		g.held = with(g.held, first)
		g.turns++
		if first.priority < Urgent {
			g.bucket.take(now)
			g.paid++
		}
	}
}

// overtake gives a relation that asks now the turn that is held for one of lower rank, which has not come yet. So a relation
// that came too late is not too late again and again.
func (g *gate) overtake(p *place) {
	if p.held || len(g.held) == 0 {
		return
	}
	if last := g.held[len(g.held)-1]; byRank(p, last) < 0 {
		g.held = with(without(g.held, last), p)
		g.waiting = with(without(g.waiting, p), last)
		p.held, last.held = true, false
	}
}

// withdraw takes the turn from a place that has one, and else its position on the list.
func (g *gate) withdraw(p *place) {
	g.waiting = without(g.waiting, p)
	if p.held {
		g.held, p.held = without(g.held, p), false
		if g.paid > 0 {
			g.refund()
		}
		g.end()
	}
}

// end ends a turn. If more tokens are paid than turns are left, the turn has made no call, and its token is refunded.
func (g *gate) end() {
	g.turns--
	if g.paid > g.turns {
		g.refund()
	}
}

func (g *gate) refund() {
	g.paid--
	g.bucket.giveBack()
}

func (g *gate) slotFree(priority int) bool {
	if priority >= Urgent {
		return g.turns < g.slots+urgentSlots
	}
	return g.turns < g.slots
}

// wait is the time for which a pause, or the rate, keeps a run from beginning; zero or less when neither does.
func (g *gate) wait(priority int, now time.Time) time.Duration {
	wait := g.closedUntil.Sub(now)
	if priority < Urgent {
		wait = max(wait, g.bucket.wait(now))
	}
	return wait
}

// setTimer has change called when the next held turn lapses, or when the first on the list may begin.
func (g *gate) setTimer(now time.Time) {
	if g.stopTimer != nil {
		g.stopTimer()
		g.stopTimer = nil
	}
	var waits []time.Duration
	for _, p := range g.held {
		waits = append(waits, p.until.Sub(now))
	}
	if len(g.waiting) > 0 && g.slotFree(g.waiting[0].priority) {
		waits = append(waits, g.wait(g.waiting[0].priority, now))
	}
	if len(waits) > 0 {
		g.stopTimer = g.afterFunc(slices.Min(waits), func() { g.change(func(time.Time) {}) })
	}
}

// leave gives up the place of a relation.
func (g *gate) leave(relation Relation) {
	g.change(func(time.Time) {
		if p := g.places[relation]; p != nil {
			g.withdraw(p)
			delete(g.places, relation)
		}
	})
}

// dismiss calls back all relations on the list, and drops all places: it makes no sense to wait here any longer.
func (g *gate) dismiss() {
	var dismissed []place
	g.change(func(time.Time) {
		for _, p := range g.waiting {
			dismissed = append(dismissed, *p)
		}
		for _, p := range g.places {
			g.withdraw(p)
		}
		clear(g.places)
	})
	for _, p := range dismissed {
		g.callBack(p.relation, p.priority)
	}
}

// charge accounts for a call, or returns the time for which the API must not be called at all.
func (g *gate) charge() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if wait := g.closedUntil.Sub(now); wait > 0 {
		return wait
	}
	if g.paid > 0 {
		g.paid--
	} else {
		g.bucket.take(now)
	}
	return 0
}

// closedFor is the time for which the API must not be called at all.
func (g *gate) closedFor() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.closedUntil.Sub(g.now()), 0)
}

// pause closes the gate for as long as the API asks for. If the API does not say how long, each pause is longer than the last.
// Relations that were called back and have not begun are called back again after it.
func (g *gate) pause(asked time.Duration) {
	g.change(func(now time.Time) {
		if asked <= 0 {
			asked = min(firstPause<<min(g.refusals, 6), lastPause)
			g.refusals++
		}
		if until := now.Add(asked); until.After(g.closedUntil) {
			g.closedUntil = until
		}
		for _, p := range slices.Clone(g.held) {
			g.withdraw(p)
			g.waiting = with(g.waiting, p)
		}
	})
}

// heed closes the gate when an answer asks for patience, also if the answer has another kind.
func (g *gate) heed(err error) {
	switch wait, kind := delos.RetryAfterOf(err), delos.KindOf(err); {
	case err == nil:
		g.calm()
	case kind == delos.KindAwaitingCode: // No call was sent.
	case wait > 0, kind == delos.KindRateLimited:
		g.pause(wait)
	}
}

// calm forgets that the API asked for patience.
func (g *gate) calm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals = 0
}
