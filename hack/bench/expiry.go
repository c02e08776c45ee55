package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
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
func playExpiry(ctx context.Context, t *trial) error {
	if err := t.connect(ctx, longInterval, rateLimit{perSecond: 200, burst: 200}); err != nil {
		return err
	}
	if err := t.bind(ctx, t.temporary); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", t.temporary)); err != nil {
		return err
	}
	half := t.temporary / 2
	first, err := t.limitAccess(ctx, 0, half)
	if err != nil {
		return err
	}
	if err := t.awaitExpired(ctx, half); err != nil {
		return err
	}
	t.checkLateness("", first)
	t.exactly("calls that it took", len(t.platform.Calls(delossim.OpUnrelate)), half)

	second, err := t.limitAccess(ctx, half, t.temporary)
	if err != nil {
		return err
	}
	if err := t.restartAcross(ctx, second); err != nil {
		return err
	}
	if err := t.awaitExpired(ctx, t.temporary); err != nil {
		return err
	}
	t.checkLateness(", with a restart", second)
	return nil
}

// deadlines say when the access of users ends.
type deadlines map[string]time.Time

// limitAccess gives bindings an end, a few at each of the seconds to come.
func (t *trial) limitAccess(ctx context.Context, from, to int) (deadlines, error) {
	start := time.Now().Truncate(time.Second).Add(beforeFirst)
	of := deadlines{}
	for i := from; i < to; i++ {
		of[t.binding(i).Spec.UserUUID] = start.Add(time.Duration(i%deadlinesOver) * time.Second)
	}
	err := t.each(ctx, from, to, func(ctx context.Context, i int) error {
		binding := t.binding(i)
		patch := fmt.Appendf(nil, `{"spec":{"expiresAt":%q}}`, of[binding.Spec.UserUUID].UTC().Format(time.RFC3339))
		return t.kube.Patch(ctx, binding, client.RawPatch("application/merge-patch+json", patch))
	})
	if err == nil && !time.Now().Before(start) {
		t.check(false, "time left when all had a deadline", seconds(time.Until(start)), "some")
		err = errAbandoned
	}
	return of, err
}

// restartAcross stops the operator before one of the deadlines and starts it again when that has passed.
func (t *trial) restartAcross(ctx context.Context, of deadlines) error {
	times := of.sorted()
	missed := times[len(times)/2]
	if err := pause(ctx, time.Until(missed.Add(-stopAhead))); err != nil {
		return err
	}
	stopped := time.Now()
	if err := t.operator.Stop(); err != nil {
		return err
	}
	if err := pause(ctx, time.Until(missed)); err != nil {
		return err
	}
	if err := t.operator.Start(ctx); err != nil {
		return err
	}
	started := time.Now()
	passed := 0
	for _, at := range times {
		if at.After(stopped) && !at.After(started) {
			passed++
		}
	}
	t.measured("the operator was away for", seconds(started.Sub(stopped)))
	atLeast(t.report, "deadlines that passed meanwhile", passed, 1)
	return nil
}

// awaitExpired waits until that many bindings say that their access has ended.
func (t *trial) awaitExpired(ctx context.Context, count int) error {
	_, err := t.await(ctx, fmt.Sprintf("%d bindings Expired", count), settleLimit, func() string {
		if expired := t.bindings.expired(); expired < count {
			return fmt.Sprintf("%d of %d Expired", expired, count)
		}
		return ""
	})
	return err
}

// checkLateness compares when the platform carried the removals out with when they were due.
func (t *trial) checkLateness(how string, of deadlines) {
	late := lateness(of, t.platform.Calls(delossim.OpUnrelate))
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
	atMost(t.report, "median lateness"+how, precise(late[len(late)/2]), precise(medianLate))
	atMost(t.report, "worst lateness"+how, precise(late[len(late)-1]), precise(worstLate))
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

// sorted are all deadlines, the earliest first.
func (d deadlines) sorted() []time.Time {
	var times []time.Time
	for _, at := range d {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}
