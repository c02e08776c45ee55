package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// asked is for how long the API asks to be left alone.
	asked = 5 * time.Second
	// latency is how long a call takes, so that several are under way at any moment.
	latency = 50 * time.Millisecond
	// underWay is how long calls may still be carried out that were sent before the answer was read: time for a
	// busy machine, not for the operator.
	underWay = 300 * time.Millisecond
	// resumeLimit is how soon after the pause the first call is to come, on a busy machine.
	resumeLimit = 2 * time.Second
)

// playPatience answers one call with 429 while some bindings are Ready, and checked, and most wait to be made.
func playPatience(ctx context.Context, t *trial) error {
	if err := t.bind(ctx, t.waiting); err != nil {
		return err
	}
	t.platform.Adjust(func(s *delossim.Settings) { s.Latency = latency })
	t.platform.Inject(delossim.Fault{
		Op: delossim.OpUser, Skip: t.waiting / 2, Times: 1,
		Failure: delossim.Answer{
			Status: http.StatusTooManyRequests,
			Header: http.Header{"Retry-After": {strconv.Itoa(int(asked.Seconds()))}},
		},
	})
	limit := rateLimit{perSecond: 100, burst: 100}
	// Those that are Ready come due during the pause.
	if err := t.connect(ctx, asked, limit); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", t.waiting)); err != nil {
		return err
	}

	made := calls(t.platform.Calls())
	refusals := made.answered(http.StatusTooManyRequests)
	t.exactly("calls answered with 429", len(refusals), 1)
	if len(refusals) == 0 {
		return errAbandoned
	}
	refusal := refusals[0]
	later := made.after(refusal.Time)
	arrived := later.between(refusal.Time, refusal.Time.Add(underWay))
	early := later.between(refusal.Time.Add(underWay), refusal.Time.Add(asked))
	resumed := later.after(refusal.Time.Add(asked))
	if len(resumed) == 0 {
		t.check(false, "calls after the pause", 0, "some")
		return errAbandoned
	}
	t.measured("calls until then", len(made)-len(later))
	atMost(t.report, "calls that were under way then", len(arrived), turns*(1+followUps))
	t.exactly("calls during the pause", len(early), 0)
	atMost(t.report, "first call after", span(resumed[0].Time.Sub(refusal.Time)), span(asked+resumeLimit))
	atMost(t.report, "calls beyond the rate", work(t.platform.Server).overdraft(limit), turns*followUps)
	t.none("bindings that left Ready", t.bindings.leftReady())
	return nil
}
