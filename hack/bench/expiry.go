package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// beforeFirst is how long there is from now to the first deadline: time to write them all down.
	beforeFirst = 10 * time.Second
	// deadlinesOver is over how many seconds the deadlines of a group are spread. An end takes five writes to the API
	// server; more in a second than that one can take would tell of the machine, and not of the operator's timers.
	deadlinesOver = 20
	// medianLate and worstLate are what is promised of access that has an end.
	medianLate, worstLate = time.Second, 5 * time.Second
	// stopAhead is how long before a deadline the operator is stopped that must not see it pass.
	stopAhead = 300 * time.Millisecond
)

// playExpiry lets the access of one half of the bindings end while the operator runs, and that of the other half
// across a restart.
func playExpiry(t *trial) {
	t.connect(longInterval, rateLimit{perSecond: 200, burst: 200})
	t.bind(t.temporary)
	t.awaitBound()
	half := t.temporary / 2
	first := t.limitAccess(0, half)
	t.awaitExpired(half)
	t.checkLateness("", first)
	t.exactly("calls that it took", len(t.Platform.Calls(delossim.OpUnrelate)), half)

	second := t.limitAccess(half, t.temporary)
	t.restartAcross(second)
	t.awaitExpired(t.temporary)
	t.checkLateness(", with a restart", second)
}

func (t *trial) awaitExpired(count int) {
	t.awaitBindings(fmt.Sprintf("%d bindings Expired", count), count, metav1.ConditionTrue, v1alpha1.ReasonExpired)
}

// deadlines say when the access of users ends.
type deadlines map[string]time.Time

// limitAccess gives bindings an end, a few at each of the seconds to come.
func (t *trial) limitAccess(from, to int) deadlines {
	start := time.Now().Truncate(time.Second).Add(beforeFirst)
	of := deadlines{}
	for i := from; i < to; i++ {
		of[t.binding(i).Spec.UserUUID] = start.Add(time.Duration(i%deadlinesOver) * time.Second)
	}
	t.each(from, to, func(ctx context.Context, i int) error {
		binding := t.binding(i)
		end := of[binding.Spec.UserUUID].UTC().Format(time.RFC3339)
		return t.Kube.Patch(ctx, binding, sandbox.MergePatch(`{"spec":{"expiresAt":%q}}`, end))
	})
	if !time.Now().Before(start) {
		t.check(false, "time left when all had a deadline", seconds(time.Until(start)), "some")
		t.abandon()
	}
	return of
}

// restartAcross stops the operator before one of the deadlines and starts it again when that has passed.
func (t *trial) restartAcross(of deadlines) {
	times := slices.SortedFunc(maps.Values(of), time.Time.Compare)
	missed := times[len(times)/2]
	sandbox.Pause(t, time.Until(missed.Add(-stopAhead)))
	stopped := time.Now()
	sandbox.Must(t, t.Operator.Stop())
	sandbox.Pause(t, time.Until(missed))
	sandbox.Must(t, t.Operator.Start(t.Context()))
	started := time.Now()
	passed := 0
	for _, at := range times {
		if at.After(stopped) && !at.After(started) {
			passed++
		}
	}
	t.measured("the operator was away for", seconds(started.Sub(stopped)))
	atLeast(t, "deadlines that passed meanwhile", passed, 1)
}

// checkLateness compares when the platform carried the removals out with when they were due.
func (t *trial) checkLateness(how string, of deadlines) {
	late := lateness(of, t.Platform.Calls(delossim.OpUnrelate))
	t.exactly("access that ended"+how, len(late), len(of))
	if len(late) == 0 {
		return
	}
	tooSoon := 0
	for _, by := range late {
		if by < 0 {
			tooSoon++
		}
	}
	t.exactly("of that, too soon", tooSoon, 0)
	atMost(t, "median lateness"+how, precise(late[len(late)/2]), precise(medianLate))
	atMost(t, "worst lateness"+how, precise(late[len(late)-1]), precise(worstLate))
}

// lateness is by how much the first removal of each user's access came after its deadline, in ascending order.
func lateness(of deadlines, removals calls) []time.Duration {
	var late []time.Duration
	seen := map[string]bool{}
	for _, call := range removals {
		due, limited := of[call.User]
		if !limited || !call.Applied || seen[call.User] {
			continue
		}
		seen[call.User] = true
		late = append(late, call.Time.Sub(due))
	}
	slices.Sort(late)
	return late
}
