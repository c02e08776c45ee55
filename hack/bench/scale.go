package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// scaleLatency is how long each call of the platform takes.
	scaleLatency = 20 * time.Millisecond
	// mostOfSafe and mostOfBare are how much longer the operator may take than the two loops.
	mostOfSafe, mostOfBare = 1.3, 2
	// mostConnections is how many connections to the platform may be opened: one for each of the 68 runs that use one APIConnection at the
	// same time (internal/connection/gate.go), and two for its session.
	mostConnections = 70
	// mostWrites is how many writes to Kubernetes a fresh binding may cost, beside its creation.
	mostWrites = 2
	// curvePoints is how many points of a curve are kept.
	curvePoints = 200
)

// population is how many bindings there are, and how many of them each user has.
type population struct {
	Bindings int `json:"bindings"`
	PerUser  int `json:"perUser"`
}

// round is what was measured of a crowd that was made at once.
type round struct {
	population

	Figures figures `json:"figures"`
	// Curves say when each part of the crowd was done, in seconds, by whom it was.
	Curves map[string][]float64 `json:"curves"`
}

// The names of what is measured, which are also the rows of the table, in this order.
const (
	bareSeconds     = "bare loop, s"
	safeSeconds     = "crash-safe loop, s"
	operatorSeconds = "operator, s"
	ofBare          = "operator ÷ bare loop"
	ofSafe          = "operator ÷ crash-safe loop"
	waitMedian      = "created → Ready, median, s"
	waitP99         = "created → Ready, p99, s"
	callsOfEach     = "API calls each"
	writesOfEach    = "writes to Kubernetes each"
	connections     = "connections opened"
	operatorCPU     = "operator's CPU each, ms"
	serverCPU       = "API server's CPU each, ms"
	etcdCPU         = "etcd's CPU each, ms"
	peakMemory      = "operator's memory, peak, MiB"
	settledMemory   = "operator's memory, settled, MiB"
	storedBytes     = "bytes in etcd each"
)

var roundFigures = []string{
	bareSeconds, safeSeconds, operatorSeconds, ofBare, ofSafe, waitMedian, waitP99, callsOfEach, writesOfEach, connections,
	operatorCPU, serverCPU, etcdCPU, peakMemory, settledMemory, storedBytes,
}

// limits are the most that a figure of a round may be.
func (r round) limits() map[string]float64 {
	return map[string]float64{
		ofBare: mostOfBare, ofSafe: mostOfSafe, callsOfEach: 2 + 1/float64(r.PerUser), writesOfEach: mostWrites, settledMemory: mostMemory,
		connections: mostConnections,
	}
}

// scaleParts are the rounds, each with a namespace, a platform and a process of the operator to itself.
func scaleParts(size sizes) (parts []scenario) {
	for range size.runs {
		for _, c := range size.scale {
			about := fmt.Sprintf("%d bindings at once, %d of each user", c.Bindings, c.PerUser)
			parts = append(parts, scenario{name: "scale", about: about, play: func(t *trial) { t.playRound(c) }})
		}
	}
	return parts
}

// playRound makes many bindings at once. Where each has a user of its own, it compares with a loop that does the same without a controller:
// bare (creation, call, read, one status), and crash-safe (the claim as well, before the call).
func (t *trial) playRound(c population) {
	r := round{population: c, Figures: figures{}, Curves: map[string][]float64{}}
	t.Platform.Adjust(func(s *delossim.Settings) { s.Latency = scaleLatency })
	t.perUser = c.PerUser
	sandbox.Must(t, t.Operator.Stop())
	if c.PerUser == 1 {
		r.Figures[bareSeconds] = r.curve("bare loop", t.loop(c.Bindings, false))
		r.Figures[safeSeconds] = r.curve("crash-safe loop", t.loop(c.Bindings, true))
	}
	sandbox.Must(t, t.Operator.Start(t.Context()))
	t.connect()

	before, work, opened := t.used(), len(t.work()), t.Platform.Connections()
	began := time.Now()
	t.bind(c.Bindings, t.Platform, nil)
	t.awaitReady(10 * settleLimit)
	r.Figures[operatorSeconds] = r.curve("operator", t.bindings.waits(func(string, *history) (time.Time, bool) { return began, true }))
	after := t.used()
	each := func(sum float64) float64 { return sum / float64(c.Bindings) }
	milliseconds := func(sum float64) float64 { return each(1000 * sum) }
	if c.PerUser == 1 {
		r.Figures[ofBare], r.Figures[ofSafe] = r.Figures[operatorSeconds]/r.Figures[bareSeconds], r.Figures[operatorSeconds]/r.Figures[safeSeconds]
	}
	waits := t.bindings.waits(func(_ string, h *history) (time.Time, bool) { return h.created, true })
	r.Figures[waitMedian], r.Figures[waitP99] = waits[len(waits)/2].Seconds(), waits[len(waits)*99/100].Seconds()
	r.Figures[callsOfEach] = each(float64(len(t.work()) - work))
	r.Figures[connections] = float64(t.Platform.Connections() - opened)
	r.Figures[operatorCPU] = milliseconds((after.operator.CPU - before.operator.CPU).Seconds())
	r.Figures[serverCPU] = milliseconds(after.serverCPU - before.serverCPU)
	r.Figures[etcdCPU] = milliseconds(after.etcdCPU - before.etcdCPU)
	sandbox.Pause(t, t.rests)
	settled := t.used()
	r.Figures[writesOfEach] = each(settled.writesOf("clientbindings", "events") - before.writesOf("clientbindings", "events"))
	r.Figures[peakMemory] = float64(settled.operator.Peak) / mebibyte
	r.Figures[settledMemory] = float64(settled.operator.Memory) / mebibyte
	r.Figures[storedBytes] = t.stage.stored()
	t.stage.results.Rounds = append(t.stage.results.Rounds, r)
	same := slices.DeleteFunc(slices.Clone(t.stage.results.Rounds), func(other round) bool { return other.population != c })
	r.tell(t, t.runs == 1)
	if t.runs > 1 && len(same) == t.runs {
		fmt.Printf("        the medians of %d runs:\n", t.runs)
		medians(same)[0].tell(t, true)
	}
	if c.PerUser == 1 {
		t.keep(planStored, r.Figures[storedBytes])
		t.keep(planFreshCalls, r.Figures[callsOfEach])
		t.keep(planFreshServer, r.Figures[serverCPU]/1000)
	}
}

// tell tells the figures. Where they are to be checked, those that have a limit are.
func (r round) tell(t *trial, checks bool) {
	limits := r.limits()
	for _, name := range roundFigures {
		value, measured := r.Figures[name]
		limit, limited := limits[name]
		switch {
		case !measured:
		case limited && checks:
			atMost(t, name, ratio(value).rounded(), ratio(limit).rounded())
		default:
			t.measured(name, ratio(value))
		}
	}
}

// curve keeps when each part was done, and returns when all were.
func (r round) curve(by string, done []time.Duration) (seconds float64) {
	last := done[len(done)-1].Seconds()
	step := max(len(done)/curvePoints, 1)
	for i := step - 1; i < len(done); i += step {
		r.Curves[by] = append(r.Curves[by], done[i].Seconds())
	}
	return last
}

// medians are the rounds of each crowd as one, with the median of each figure, and the curves of the run whose time is the median.
func medians(rounds []round) (of []round) {
	rounds = slices.SortedStableFunc(slices.Values(rounds), func(a, b round) int {
		return cmp.Or(cmp.Compare(a.PerUser, b.PerUser), cmp.Compare(a.Bindings, b.Bindings))
	})
	for len(rounds) > 0 {
		same := 0
		for same < len(rounds) && rounds[same].population == rounds[0].population {
			same++
		}
		runs := slices.Clone(rounds[:same])
		rounds = rounds[same:]
		median := func(name string) int {
			slices.SortStableFunc(runs, func(a, b round) int { return cmp.Compare(a.Figures[name], b.Figures[name]) })
			return (len(runs) - 1) / 2
		}
		one := round{population: runs[0].population, Figures: figures{}}
		for name := range runs[0].Figures {
			one.Figures[name] = runs[median(name)].Figures[name]
		}
		one.Curves = runs[median(operatorSeconds)].Curves
		of = append(of, one)
	}
	return of
}
