package connection

import (
	"container/heap"
	"fmt"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// comeback is somebody who was told to come back.
type comeback struct {
	at  time.Time
	key string
}

type comebacks []comeback

func (c comebacks) Len() int           { return len(c) }
func (c comebacks) Less(i, j int) bool { return c[i].at.Before(c[j].at) }
func (c comebacks) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *comebacks) Push(x any)        { *c = append(*c, x.(comeback)) }
func (c *comebacks) Pop() any {
	old := *c
	last := old[len(old)-1]
	*c = old[:len(old)-1]
	return last
}

// rush lets many ask for entry at once and come back when they are told to, each making some calls when it
// is let in. It returns when each call was made and how often anybody asked.
func rush(g *gate, bindings, callsEach int) (calls []time.Time, asked int) {
	waiting := comebacks{}
	for i := range bindings {
		waiting = append(waiting, comeback{noon, fmt.Sprint(i)})
	}
	heap.Init(&waiting)
	for len(waiting) > 0 {
		next := heap.Pop(&waiting).(comeback)
		asked++
		if wait := g.enter(next.key, next.at); wait > 0 {
			heap.Push(&waiting, comeback{next.at.Add(wait), next.key})
			continue
		}
		for range callsEach {
			if wait := g.charge(next.at); wait > 0 {
				heap.Push(&waiting, comeback{next.at.Add(wait), next.key})
				break
			}
			calls = append(calls, next.at)
		}
	}
	return calls, asked
}

// TestGateUsesTheRateAndKeepsIt shows that a rush of bindings uses the rate to the full, keeps it, and does
// not spend its time with asking.
func TestGateUsesTheRateAndKeepsIt(t *testing.T) {
	for _, callsEach := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d calls each", callsEach), func(t *testing.T) {
			const bindings, perSecond, burst = 2000, 50, 100
			calls, asked := rush(newGate(perSecond, burst), bindings, callsEach)

			if len(calls) != bindings*callsEach {
				t.Fatalf("%d calls, want %d", len(calls), bindings*callsEach)
			}
			took := calls[len(calls)-1].Sub(noon).Seconds()
			ideal := float64(len(calls)-burst) / perSecond
			if took > ideal/0.95 {
				t.Errorf("took %.1fs where %.1fs were allowed: the rate is used to %.0f%%", took, ideal, 100*ideal/took)
			}
			for i := range calls {
				// One run may have begun with the last token and makes its other calls on top.
				allowed := burst + callsEach - 1 + int(calls[i].Sub(noon).Seconds()*perSecond)
				if i+1 > allowed+1 {
					t.Fatalf("call %d comes %s after the first, %d are allowed until then", i+1, calls[i].Sub(noon), allowed)
				}
			}
			if asked > 12*bindings {
				t.Errorf("%d bindings asked %d times", bindings, asked)
			}
		})
	}
}

func TestGateLeavesAnAPIAloneThatAsksForIt(t *testing.T) {
	g := newGate(50, 100)
	g.pause(noon, 5*time.Second)

	calls, _ := rush(g, 500, 1)

	if first := calls[0].Sub(noon); first < 5*time.Second {
		t.Errorf("the first call comes after %s, want 5s", first)
	}
	if last := calls[len(calls)-1].Sub(noon); last < 10*time.Second || last > 15*time.Second {
		t.Errorf("the last call comes after %s: the bindings should come back spread over 10s", last)
	}
}

func TestGatePausesLongerWhereTheAPIDoesNotSay(t *testing.T) {
	g := newGate(50, 100)
	now := noon
	var pauses []time.Duration
	for range 8 {
		g.pause(now, 0)
		wait := g.charge(now)
		pauses = append(pauses, wait)
		now = now.Add(wait)
	}
	g.calm()
	g.pause(now, 0)
	pauses = append(pauses, g.charge(now))

	want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 1}
	for i := range want {
		if pauses[i] != want[i]*time.Second {
			t.Fatalf("pauses are %v, want %v seconds", pauses, want)
		}
	}
}

func TestGateForgetsWhoLeaves(t *testing.T) {
	g := newGate(1, 1)
	g.charge(noon)
	for i := range 100 {
		g.enter(fmt.Sprint(i), noon)
	}
	for i := range 99 {
		g.leave(fmt.Sprint(i))
	}

	if wait := g.enter("99", noon); wait > time.Second {
		t.Errorf("the only one left is told to come back in %s, want 1s at most", wait)
	}
}
