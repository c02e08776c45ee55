package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// foreignAnnotations is how many bytes others write beside all bindings of the crowd together.
	foreignAnnotations = 50 * mebibyte
	// mostMemory is how many MiB the operator may hold with 10,000 bindings.
	mostMemory = 150
	// accelerated is how many intervals, each in place of an hour, drift is measured for: an even number, since every second check is written.
	accelerated = 4
	// parts are those of an interval, and mostInPart is the largest share of the calls of an interval that may come in one of them: checks are
	// spread over the interval by user, and an accelerated interval leaves little time for each part.
	parts, mostInPart = 10, 0.25
	// mostWritesOfCheck is how many writes the check of a binding may cost on average, if it finds what is declared.
	mostWritesOfCheck = 0.6
	// fairLatency is that of each call in fair: 20 calls in flight at the same time, and 50 a second.
	fairLatency = 300 * time.Millisecond
	// workingLimit is how soon the operator works once its caches are filled.
	workingLimit = 5 * time.Second
	// fairPace is the time from one change to the next in fair.
	fairPace = 200 * time.Millisecond
)

// fairRate is that of the connection whose checks are due, in fair.
var fairRate = rateLimit{perSecond: 50, burst: 50}

// gather makes the crowd, unless the scenario before has, beside annotations of others.
func (t *trial) gather() {
	if t.gathered {
		return
	}
	t.gathered, t.gatheredAt = true, time.Now()
	t.perUser = t.population.PerUser
	t.Platform.Adjust(func(s *delossim.Settings) { s.Latency = scaleLatency })
	t.foreign = strings.Repeat("x", foreignAnnotations/full.population.Bindings)
	t.connect()
	sandbox.Pause(t, t.rests)
	before := t.used()
	t.bind(t.population.Bindings, t.Platform, nil)
	took := t.awaitReady(10 * settleLimit)
	t.measured(fmt.Sprintf("%d bindings of %d users Ready", t.created, t.created/t.perUser), "after "+seconds(took))
	sandbox.Pause(t, t.rests)
	after := t.used()
	t.keep(planEmpty, float64(before.operator.Memory))
	t.keep(planServerMemory, (after.server-before.server)/float64(t.created))
}

// playRestart starts the operator anew when nothing is due, and once more with a binding that it does not know.
func playRestart(t *trial) {
	t.gather()
	sandbox.Must(t, t.Operator.Stop())
	before, work := t.used(), len(t.work())
	t.bindings.forget()
	began := time.Now()
	sandbox.Must(t, t.Operator.Start(t.Context()))
	t.measured("caches filled", "after "+seconds(time.Since(began)))
	sandbox.Pause(t, 2*t.rests)
	after := t.used()
	for _, resource := range operators {
		wanted := 0
		if resource == "events" {
			wanted = 1 // that it was elected
		}
		t.exactly("writes of "+resource, int(after.writes[resource]-before.writes[resource]), wanted)
	}
	t.exactly("calls about users", len(t.work())-work, 0)
	t.exactly("bindings written", t.bindings.mostWrites(), 0)

	sandbox.Must(t, t.Operator.Stop())
	t.bind(1, t.Platform, nil)
	sandbox.Must(t, t.Operator.Start(t.Context()))
	atMost(t, "from full caches to a new binding Ready", span(t.awaitReady(settleLimit)), span(workingLimit))
	t.none("bindings that left Ready", t.bindings.leftReady())
}

// playMemory starts the operator anew beside many Secrets of others, and looks at what it holds.
func playMemory(t *trial) {
	t.gather()
	others := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "strangers-"}}
	t.Create(t, others)
	t.each(0, t.strangers, func(ctx context.Context, i int) error {
		return t.Kube.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: others.Name, Name: fmt.Sprintf("strange-%04d", i)}})
	})
	sandbox.Must(t, t.Operator.Stop())
	address, err := sandbox.FreeAddress(t.Context())
	sandbox.Must(t, err)
	profiled := t.Operator.Aside(filepath.Join(t.Dir(), "profiled.log"), "HEAP_PROFILE_ADDRESS="+address)
	sandbox.Must(t, profiled.Start(t.Context()))
	defer func() { sandbox.Must(t, profiled.Stop()) }()
	sandbox.Pause(t, 2*t.rests)
	held, err := profiled.Usage()
	sandbox.Must(t, err)
	t.measured("beside it", fmt.Sprintf("%d Secrets of others, and %s of annotations", t.strangers, megabytes(float64(len(t.foreign)*t.created))))
	t.measured("memory, peak since the start", megabytes(held.Peak))
	atMost(t, fmt.Sprintf("memory with %d bindings", t.created), megabytes(held.Memory), megabytes(mostMemory*mebibyte))
	growth := (float64(held.Memory) - t.stage.results.Plan[planEmpty]) / float64(t.created)
	t.measured("growth for each binding", fmt.Sprintf("%.1f KiB", growth/1024))
	t.keep(planCacheMemory, growth)
	t.heapProfile("http://" + address)
}

// heapProfile tells what the heap of the operator is made of.
func (t *trial) heapProfile(url string) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	sandbox.Must(t, err)
	response, err := http.DefaultClient.Do(request)
	sandbox.Must(t, err)
	defer func() { _ = response.Body.Close() }()
	profile, err := io.ReadAll(response.Body)
	sandbox.Must(t, err)
	file := filepath.Join(t.Dir(), "heap.pprof")
	sandbox.Must(t, os.WriteFile(file, profile, 0o600))
	top, err := sandbox.Go(t.Context(), io.Discard, "tool", "pprof", "-top", "-sample_index=inuse_space", "-nodecount=15", file)
	sandbox.Must(t, err)
	_, top, _ = strings.Cut(top, "Showing nodes")
	_, t.stage.results.Heap, _ = strings.Cut(top, "\n")
	fmt.Println(t.stage.results.Heap)
}

// playDrift checks each binding again and again, with an interval of seconds in place of an hour.
func playDrift(t *trial) {
	t.gather()
	// Most are due now, and none is older than three intervals, at which it would leave Ready.
	began, interval := time.Now(), t.interval
	t.Patch(t, t.connected(), `{"spec":{"interval":%q}}`, max(began.Sub(t.gatheredAt)*2/5, time.Second).Round(time.Second))
	t.await("all are checked", 10*settleLimit, func() string {
		if now := t.bindings.confirmedSince(began); now < t.created {
			return fmt.Sprintf("%d of %d", now, t.created)
		}
		return ""
	})
	t.Patch(t, t.connected(), `{"spec":{"interval":%q}}`, interval)
	sandbox.Pause(t, interval)
	t.bindings.forget()
	before := t.used()
	began = time.Now()
	sandbox.Pause(t, accelerated*interval)
	after := t.used()
	made := t.work().after(began)
	t.exactly("calls that were no reads", len(made.of(func(call delossim.Call) bool { return call.Method != http.MethodGet })), 0)
	hourly := func(count float64) float64 { return count / accelerated / float64(t.created) }
	calls, writes := hourly(float64(len(made))), hourly(after.writesOf(operators...)-before.writesOf(operators...))
	t.measured("bindings, users", fmt.Sprintf("%d, %d", t.created, (t.created+t.perUser-1)/t.perUser))
	atMost(t, "calls for each binding and interval", ratio(calls), 1.1)
	t.measured("calls for each user and interval", ratio(calls*float64(t.perUser)))
	atMost(t, "writes for each binding and interval", ratio(writes), mostWritesOfCheck)
	t.measured(fmt.Sprintf("that is, for %d bindings and an interval of 1h", t.created),
		fmt.Sprintf("%.0f calls and %.0f writes an hour", calls*float64(t.created), writes*float64(t.created)))
	most := 0
	for i := range accelerated * parts {
		from := began.Add(time.Duration(i) * interval / parts)
		most = max(most, len(made.between(from, from.Add(interval/parts))))
	}
	atMost(t, "largest share of an interval's calls in a tenth of it", share(float64(most)*accelerated/float64(len(made))), mostInPart)
	checks := float64(len(made))
	t.measured("CPU for each check: operator, API server, etcd", fmt.Sprintf("%.1f ms, %.1f ms, %.1f ms",
		1000*(after.operator.CPU-before.operator.CPU).Seconds()/checks, 1000*(after.serverCPU-before.serverCPU)/checks, 1000*(after.etcdCPU-before.etcdCPU)/checks))
	t.keep(planCalls, calls)
	t.keep(planWrites, writes)
	t.keep(planOperatorCPU, (after.operator.CPU-before.operator.CPU).Seconds()/checks)
	t.keep(planServerCPU, (after.serverCPU-before.serverCPU)/checks)
	t.none("bindings that left Ready", t.bindings.leftReady())
}

// playFair makes and deletes bindings while all of the crowd are due, through the same connection and through another one.
func playFair(t *trial) {
	t.gather()
	second := t.NewPlatform(t, delossim.Config{Clients: clients()})
	for _, platform := range []*sandbox.Simulator{t.Platform, second} {
		platform.Adjust(func(s *delossim.Settings) { s.Latency = fairLatency })
	}
	t.Create(t, t.connection("second", second, fairRate))
	// As long as it takes to check all at that rate: they are due all the time, and none leaves Ready.
	overdue := time.Duration(t.created/int(fairRate.perSecond)) * time.Second
	t.Patch(t, t.connected(), `{"spec":{"interval":%q,"rateLimit":{"requestsPerSecond":%d,"burst":%d}}}`, overdue, fairRate.perSecond, fairRate.burst)
	work := len(t.work())
	t.await("checks are due", settleLimit, func() string {
		if len(t.work())-work < int(fairRate.burst) {
			return "few calls"
		}
		return ""
	})

	began := time.Now()
	t.comeAndGo(fairPace, fairLatency, []way{
		{about: "through the same connection", platform: t.Platform},
		{about: "through another one", name: "second", platform: second},
	})
	made := t.work().after(began)
	checks := made.of(func(call delossim.Call) bool { return !strings.HasPrefix(call.User, latecomer) })
	atLeast(t, "share of the calls that were checks", share(float64(len(checks))/float64(len(made))), 0.25)
	users := map[string]bool{}
	for _, check := range checks {
		users[check.User] = true
	}
	// Bindings of one user are read together, and each of them has a turn. One by one they would take all that the rate allows.
	lasted := time.Since(began).Seconds()
	t.measured("calls a second through that connection", ratio(float64(len(made))/lasted))
	atLeast(t, "bindings checked a second", ratio(float64(len(users)*t.perUser)/lasted), ratio(0.9*float64(fairRate.perSecond)))
}
