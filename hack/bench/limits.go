package main

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// asked is for how long the API asks to be left alone, in patience.
	asked = 5 * time.Second
	// latency is how long a call takes then, so that several are under way at any moment.
	latency = 50 * time.Millisecond
	// underWay is how long calls may still be carried out that were sent before the answer was read: time for a
	// busy machine, not for the operator.
	underWay = 300 * time.Millisecond
	// resumeLimit is how soon after the pause the first call is to come, on a busy machine.
	resumeLimit = 2 * time.Second
	// callsEach is how many calls a new binding takes: read, relate, read back.
	callsEach = 3
	// stillWaiting is how many of the crowd have to wait to the end, for priority to have shown anything.
	stillWaiting = 100
)

// playPatience answers one call with 429 while some bindings are Ready, and checked, and most wait to be made.
func playPatience(t *trial) {
	t.bind(t.waiting)
	t.Platform.Adjust(func(s *delossim.Settings) { s.Latency = latency })
	t.Platform.Inject(delossim.Fault{
		Op: delossim.OpUser, Skip: t.waiting / 2, Times: 1,
		Failure: delossim.Answer{
			Status: http.StatusTooManyRequests,
			Header: http.Header{"Retry-After": {strconv.Itoa(int(asked.Seconds()))}},
		},
	})
	limit := rateLimit{perSecond: 100, burst: 100}
	t.connect(asked, limit) // those that are Ready come due during the pause
	t.awaitBound()

	made := calls(t.Platform.Calls())
	refusals := made.answered(http.StatusTooManyRequests)
	t.exactly("calls answered with 429", len(refusals), 1)
	if len(refusals) == 0 {
		t.abandon()
	}
	refusal := refusals[0]
	later := made.after(refusal.Time)
	arrived := later.between(refusal.Time, refusal.Time.Add(underWay))
	early := later.between(refusal.Time.Add(underWay), refusal.Time.Add(asked))
	resumed := later.after(refusal.Time.Add(asked))
	if len(resumed) == 0 {
		t.check(false, "calls after the pause", 0, "some")
		t.abandon()
	}
	t.measured("calls until then", len(made)-len(later))
	atMost(t, "calls that were under way then", len(arrived), limit.turns()*(1+followUps))
	t.exactly("calls during the pause", len(early), 0)
	atMost(t, "first call after", span(resumed[0].Time.Sub(refusal.Time)), span(asked+resumeLimit))
	atMost(t, "calls beyond the rate", t.work().overdraft(limit), limit.turns()*followUps)
	t.none("bindings that left Ready", t.bindings.leftReady())
}

// playRate lets all bindings come at once through a connection that is too narrow for them.
func playRate(t *trial) {
	t.bind(t.waiting)
	limit := rateLimit{perSecond: 50, burst: 100}
	t.connect(longInterval, limit)
	t.awaitBound()

	made := t.work()
	t.measured("time that the rate allows", span(limit.timeFor(len(made))))
	t.measured("time from the first call to the last", span(made.length()))
	t.exactly("calls", len(made), callsEach*t.waiting)
	atMost(t, "calls beyond the rate, at any moment", made.overdraft(limit), limit.turns()*followUps)
	atLeast(t, "share of the allowed calls that was made", made.used(limit), 0.95)
}

// playPriority deletes bindings while a crowd of new ones waits for its turn within a narrow rate.
func playPriority(t *trial) {
	limit := rateLimit{perSecond: 50, burst: 20}
	t.connect(longInterval, limit)
	const leaving = 4
	t.bind(leaving)
	t.awaitBound()
	half := t.crowd / 2
	for i, moment := range []struct {
		when string
		come func()
	}{
		{fmt.Sprintf("when %d others have come", half), func() { t.bind(half) }},
		{fmt.Sprintf("when %d have", t.crowd), func() { t.bind(t.crowd - half) }},
		{"when an edit of the connection has woken them all", func() {
			t.Patch(t, t.connected(), `{"spec":{"interval":%q}}`, 2*longInterval)
		}},
		{"three seconds later", func() { sandbox.Pause(t, 3*time.Second) }},
	} {
		moment.come()
		t.checkRevocation(i, moment.when, limit)
	}
	// Else there was nobody to go before.
	ready := t.bindings.count(metav1.ConditionTrue, "")
	atLeast(t, "bindings that still waited at the end", t.created-leaving-ready, stillWaiting)
}

// checkRevocation deletes a binding and counts the calls that the platform gets before that for its removal.
func (t *trial) checkRevocation(i int, when string, limit rateLimit) {
	binding := t.binding(i)
	t.Delete(t, binding)
	deleted := time.Now()
	var removal delossim.Call
	t.await("a revocation "+when, settleLimit, func() string {
		for _, call := range t.Platform.Calls(delossim.OpUnrelate) {
			if call.User == binding.Spec.UserUUID && call.Applied {
				removal = call
				return ""
			}
		}
		return "was not sent"
	})
	ahead := t.work().between(deleted, removal.Time)
	t.measured("a revocation "+when, "sent after "+precise(max(removal.Time.Sub(deleted), 0)).String())
	// The runs under way still make calls. None that waits for its turn may go before the revocation.
	atMost(t, "calls before it", len(ahead), limit.turns()*followUps)
}
