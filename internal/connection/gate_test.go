package connection

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// relation is one that a test tells by a name.
func relation(name string) Relation { return Relation{CUID: name} }

// gateTest is a gate whose time stands still unless it is moved. It keeps the names of those who were called back.
type gateTest struct {
	*gate
	now    time.Time
	timer  func()
	due    time.Time
	called []string
	turns  map[string]*Turn
}

func newGateTest(perSecond, burst int) *gateTest {
	g := &gateTest{now: noon, turns: map[string]*Turn{}}
	options := Options{
		Now: func() time.Time { return g.now },
		// The gate has one timer at a time.
		AfterFunc: func(wait time.Duration, f func()) func() bool {
			g.timer, g.due = f, g.now.Add(wait)
			return func() bool { g.timer = nil; return true }
		},
	}
	g.gate = newGate(settings{perSecond: perSecond, burst: burst}, options, func(relation Relation, _ int) {
		g.called = append(g.called, relation.CUID)
	})
	return g
}

// advance moves time, and fires the timers on the way.
func (g *gateTest) advance(by time.Duration) {
	end := g.now.Add(by)
	for g.timer != nil && !g.due.After(end) {
		g.fire()
	}
	g.now = end
}

// fire moves time to the next timer.
func (g *gateTest) fire() {
	timer := g.timer
	g.timer, g.now = nil, g.due
	timer()
}

// ask asks for a turn, and reports whether there was one.
func (g *gateTest) ask(name string, priority int) bool {
	turn := g.enter(relation(name), priority)
	if turn != nil {
		g.turns[name] = turn
	}
	return turn != nil
}

// expect compares those who were called back since the last time, in this order.
func (g *gateTest) expect(t *testing.T, names ...string) {
	t.Helper()
	if diff := cmp.Diff(names, g.called); diff != "" {
		t.Errorf("called back (-want +got):\n%s", diff)
	}
	g.called = nil
}

// filled is a gate with all slots taken, by 0, 1, 2 and so on, and with tokens for all.
func filled(t *testing.T) *gateTest {
	t.Helper()
	g := newGateTest(1000, 1000)
	for i := range g.slots {
		if !g.ask(fmt.Sprint(i), 0) {
			t.Fatalf("only %d begin", i)
		}
	}
	return g
}

// TestGateUsesTheRateAndKeepsIt shows that a rush of relations uses the rate to the full, keeps it, and calls back each
// relation once.
func TestGateUsesTheRateAndKeepsIt(t *testing.T) {
	for _, test := range []struct{ perSecond, burst, callsEach int }{
		{50, 100, 1}, {50, 100, 3}, {1, 1, 1}, {1, 1, 3}, {7, 2, 2},
	} {
		t.Run(fmt.Sprintf("%d a second, burst %d, %d calls each", test.perSecond, test.burst, test.callsEach), func(t *testing.T) {
			const relations = 2000
			g := newGateTest(test.perSecond, test.burst)
			interval := time.Second / time.Duration(test.perSecond)
			calls, atOnce := 0, 0
			run := func(name string) bool {
				if !g.ask(name, 0) {
					return false
				}
				for range test.callsEach {
					g.charge()
					calls++
					// A run may have begun with the last token and makes its other calls on top.
					if allowed := test.burst + test.callsEach - 1 + int(g.now.Sub(noon)/interval); calls > allowed {
						t.Fatalf("call %d comes %s after the first, %d are allowed until then", calls, g.now.Sub(noon), allowed)
					}
				}
				g.turns[name].Done()
				return true
			}
			for i := range relations {
				if run(fmt.Sprint(i)) {
					atOnce++
				}
			}
			callbacks := 0
			for g.timer != nil {
				g.fire()
				for len(g.called) > 0 {
					next := g.called[0]
					g.called = g.called[1:]
					callbacks++
					if !run(next) {
						t.Fatalf("%s is called back before it can begin", next)
					}
				}
			}

			if want := relations * test.callsEach; calls != want {
				t.Fatalf("%d calls, want %d", calls, want)
			}
			// The last run begins with the first token that its predecessors left.
			tokens := (relations-1)*test.callsEach + 1 - test.burst
			if took, want := g.now.Sub(noon), time.Duration(tokens)*interval; took != want {
				t.Errorf("took %s where %s were allowed", took, want)
			}
			if want := relations - atOnce; callbacks != want {
				t.Errorf("%d are called back, want %d", callbacks, want)
			}
		})
	}
}

// TestGateBoundsTheRunsAtOnce: with many workers at once, each relation gets its turn.
func TestGateBoundsTheRunsAtOnce(t *testing.T) {
	const relations, workers = 2000, 64
	queue := make(chan Relation, relations)
	g := newGate(settings{perSecond: 1, burst: relations}, Options{
		Now:       func() time.Time { return noon },
		AfterFunc: func(time.Duration, func()) func() bool { return func() bool { return true } },
	}, func(relation Relation, _ int) { queue <- relation })
	for i := range relations {
		queue <- relation(fmt.Sprint(i))
	}
	var atOnce, most, done atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for next := range queue {
				turn := g.enter(next, 0)
				if turn == nil {
					continue
				}
				for now := atOnce.Add(1); ; {
					if before := most.Load(); now <= before || most.CompareAndSwap(before, now) {
						break
					}
				}
				g.charge()
				atOnce.Add(-1)
				turn.Done()
				turn.Done()
				if done.Add(1) == relations {
					close(queue)
				}
			}
		})
	}
	group.Wait()

	if int(most.Load()) > g.slots {
		t.Errorf("%d at once, want at most %d", most.Load(), g.slots)
	}
	if g.turns != 0 || g.paid != 0 || len(g.places) != 0 {
		t.Errorf("%d turns, %d tokens and %d places are left", g.turns, g.paid, len(g.places))
	}
}

// TestTurnsGoByPriorityAndThenByArrival: to ask again neither loses the place nor takes a second one, and to ask with a
// higher priority raises it.
func TestTurnsGoByPriorityAndThenByArrival(t *testing.T) {
	g := filled(t)
	for _, asks := range []struct {
		name     string
		priority int
	}{{"first", 0}, {"second", 0}, {"low", -50}, {"high", 50}, {"raised", 0}, {"third", 0}, {"first", 0}, {"second", -50}, {"raised", 50}} {
		if g.ask(asks.name, asks.priority) {
			t.Errorf("%s begins", asks.name)
		}
	}
	g.expect(t)
	for i := range 6 {
		g.turns[fmt.Sprint(i)].Done()
	}
	g.expect(t, "high", "raised", "first", "second", "third", "low")
}

// TestUrgentRuns do not wait for the rate, and slow runs cannot hold all slots against them.
func TestUrgentRuns(t *testing.T) {
	g := newGateTest(1, fewestSlots)
	for i := range fewestSlots {
		g.ask(fmt.Sprint(i), 0)
	}
	if g.ask("slow", Urgent-1) {
		t.Error("one begins beyond the slots")
	}
	for i := range urgentSlots {
		if !g.ask(fmt.Sprint("urgent ", i), Urgent) {
			t.Fatalf("only %d urgent ones begin", i)
		}
	}
	if g.ask("urgent", Urgent) {
		t.Error("an urgent one begins beyond all slots")
	}
	g.turns["0"].Done()
	g.expect(t, "urgent")
	g.advance(time.Hour)
	if !g.ask("urgent", Urgent) {
		t.Error("an urgent one does not begin when it comes")
	}
}

// TestHeldTurn shows who gets a turn that is held for a relation that was called back.
func TestHeldTurn(t *testing.T) {
	called := func(t *testing.T) *gateTest {
		g := filled(t)
		g.ask("called", 0)
		g.ask("next", 0)
		g.turns["0"].Done()
		g.expect(t, "called")
		return g
	}
	t.Run("the one that was called", func(t *testing.T) {
		g := called(t)
		if g.ask("newcomer", 0) || g.ask("next", 0) {
			t.Error("another one begins")
		}
		if !g.ask("called", 0) {
			t.Error("the one that was called does not begin")
		}
		g.expect(t)
	})
	t.Run("the next when it leaves", func(t *testing.T) {
		g := called(t)
		g.leave(relation("called"))
		g.expect(t, "next")
		if !g.ask("next", 0) {
			t.Error("the next does not begin")
		}
	})
	t.Run("one of higher priority that is there", func(t *testing.T) {
		g := called(t)
		if !g.ask("high", 50) {
			t.Error("the one of higher priority does not begin")
		}
		if g.ask("called", 0) {
			t.Error("the one that was called begins, too")
		}
		g.turns["1"].Done()
		g.expect(t, "called")
	})
	t.Run("the next when it does not come in time", func(t *testing.T) {
		g := called(t)
		g.advance(heldFor - 1)
		g.expect(t)
		g.advance(1)
		g.expect(t, "next")
	})
	t.Run("the one that comes too late, before the next one comes", func(t *testing.T) {
		g := called(t)
		g.advance(heldFor)
		g.expect(t, "next")
		if !g.ask("called", 0) {
			t.Error("the one that comes too late loses its rank")
		}
		if g.ask("next", 0) {
			t.Error("the next begins, too")
		}
		g.turns["1"].Done()
		g.expect(t, "next")
	})
}

// TestTokensThatAreNotUsedAreThereAgain: those of a turn without a call, and of one that was held in vain.
func TestTokensThatAreNotUsedAreThereAgain(t *testing.T) {
	for name, giveUp := range map[string]func(*gateTest){
		"a turn without a call": func(g *gateTest) { g.turns["first"].Done() },
		"a turn held in vain": func(g *gateTest) {
			g.charge()
			g.advance(time.Second)
			g.leave(relation("next"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateTest(1, 1)
			if !g.ask("first", 0) || g.ask("next", 0) {
				t.Fatal("not one begins, or both")
			}
			giveUp(g)
			g.expect(t, "next")
			g.leave(relation("next"))
			if !g.ask("another", 0) {
				t.Error("another one does not begin")
			}
		})
	}
}

// TestGateLeavesAnAPIAloneThatAsksForIt: nobody begins until then, also of those who were called back; then no more are called
// back at once than can begin.
func TestGateLeavesAnAPIAloneThatAsksForIt(t *testing.T) {
	g := filled(t)
	g.ask("called", 0)
	g.turns["0"].Done()
	g.expect(t, "called")
	g.pause(5 * time.Second)
	for i := range g.slots {
		g.turns[fmt.Sprint(i)].Done()
	}
	if g.ask("called", 0) || g.ask("urgent", Urgent) {
		t.Error("one begins while the API asks to be left alone")
	}
	want := []string{"urgent", "called"}
	for i := range 2 * g.slots {
		name := fmt.Sprint("waiting ", i)
		g.ask(name, 0)
		if len(want) < g.slots {
			want = append(want, name)
		}
	}
	g.advance(5*time.Second - 1)
	g.expect(t)
	g.advance(1)
	g.expect(t, want...)
}

func TestGatePausesLongerWhereTheAPIDoesNotSay(t *testing.T) {
	g := newGateTest(50, 100)
	var pauses []time.Duration
	for range 8 {
		g.pause(0)
		wait := g.charge()
		pauses = append(pauses, wait)
		g.advance(wait)
	}
	g.calm()
	g.pause(0)
	pauses = append(pauses, g.charge())

	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 1}
	for i := range want {
		if pauses[i] != want[i]*time.Second {
			t.Fatalf("pauses are %v, want %v seconds", pauses, want)
		}
	}
}

// TestSlotsFollowTheRate: a fast API is not kept waiting by runs that write to the API server between their calls.
func TestSlotsFollowTheRate(t *testing.T) {
	got := map[int]int{}
	for _, perSecond := range []int{1, 50, 100, 200, 1000} {
		got[perSecond] = newGateTest(perSecond, 1).slots
	}
	if diff := cmp.Diff(map[int]int{1: 16, 50: 16, 100: 16, 200: 33, 1000: 64}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
