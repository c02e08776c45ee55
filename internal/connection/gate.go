package connection

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// gate keeps the calls of one connection within its rate, and away from an API that asks to be left
// alone. Nobody waits in it: whoever may not begin is told when to come back.
//
// A run that has begun makes its further calls without asking again, so that it is never stopped between
// a write and its confirmation; those calls are charged to the runs that come after it.
type gate struct {
	limiter *rate.Limiter

	mu sync.Mutex
	// closedUntil is when the API may be called again.
	closedUntil time.Time
	// refusals counts in a row the answers that asked for patience without saying how much.
	refusals int
	// queue has the ticket of everybody who was told to come back and has not begun yet. Tickets count up;
	// issued is the next one.
	queue  map[string]int
	issued int
	// callsEach is how many calls a run makes, on average of late.
	callsEach float64
}

const (
	// soonestReturn and latestReturn bound when somebody is told to come back. The later bound keeps an
	// estimate that was too careful from leaving the rate unused.
	soonestReturn = 20 * time.Millisecond
	latestReturn  = 10 * time.Second
	// remembered is over how many runs the calls of a run are averaged.
	remembered = 20
	// The pause after an answer that asks for patience and does not say how much, doubling.
	firstPause = time.Second
	lastPause  = time.Minute
)

func newGate(perSecond, burst int) *gate {
	return &gate{limiter: rate.NewLimiter(rate.Limit(perSecond), burst), queue: map[string]int{}, callsEach: 1}
}

// enter lets a run begin, or returns when to come back. The key tells who asks.
func (g *gate) enter(key string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.closedUntil.Sub(now); wait > 0 {
		// Those who wait for the API come back as fast as they may begin, not all at once.
		return wait + g.turn(key)
	}
	if g.limiter.TokensAt(now) >= 1 {
		delete(g.queue, key)
		g.callsEach -= g.callsEach / remembered
		return 0
	}
	return min(max(g.turn(key), g.untilToken(now), soonestReturn), latestReturn)
}

// turn is how long those who came before a key take to begin.
func (g *gate) turn(key string) time.Duration {
	ticket, queued := g.queue[key]
	if !queued {
		ticket = g.issued
		g.issued++
		g.queue[key] = ticket
	}
	// Those who began or left were mostly the first in the queue.
	before := max(ticket-(g.issued-len(g.queue)), 0)
	calls := float64(before) * max(g.callsEach, 1)
	return time.Duration(calls / float64(g.limiter.Limit()) * float64(time.Second))
}

func (g *gate) untilToken(now time.Time) time.Duration {
	missing := 1 - g.limiter.TokensAt(now)
	return time.Duration(missing / float64(g.limiter.Limit()) * float64(time.Second))
}

// charge accounts for a call, or returns how long the API must not be called at all.
func (g *gate) charge(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.closedUntil.Sub(now); wait > 0 {
		return wait
	}
	g.limiter.ReserveN(now, 1)
	g.callsEach += 1.0 / remembered
	return 0
}

// closedFor is how long the API must not be called at all.
func (g *gate) closedFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.closedUntil.Sub(now), 0)
}

// pause closes the gate for as long as the API asks for, or longer each time where it does not say.
func (g *gate) pause(now time.Time, asked time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if asked <= 0 {
		asked = min(firstPause<<min(g.refusals, 6), lastPause)
		g.refusals++
	}
	if until := now.Add(asked); until.After(g.closedUntil) {
		g.closedUntil = until
	}
}

// heed closes the gate when an answer asks to be left alone, whatever else it says.
func (g *gate) heed(now time.Time, err error) {
	switch wait, kind := delos.RetryAfterOf(err), delos.KindOf(err); {
	case err == nil:
		g.calm()
	case kind == delos.KindAwaitingCode: // The API was not asked.
	case wait > 0, kind == delos.KindRateLimited:
		g.pause(now, wait)
	}
}

// calm forgets that the API asked for patience.
func (g *gate) calm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refusals = 0
}

// leave forgets somebody who will not come back.
func (g *gate) leave(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.queue, key)
}
