package main

import (
	"context"
	"fmt"
)

// callsEach is how many calls a new binding takes: read, relate, read back.
const callsEach = 3

// playRate lets all bindings come at once through a connection that is too narrow for them.
func playRate(ctx context.Context, t *trial) error {
	if err := t.bind(ctx, t.waiting); err != nil {
		return err
	}
	limit := rateLimit{perSecond: 50, burst: 100}
	if err := t.connect(ctx, longInterval, limit); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", t.waiting)); err != nil {
		return err
	}

	made := work(t.platform.Server)
	t.measured("time that the rate allows", span(limit.timeFor(len(made))))
	t.measured("time from the first call to the last", span(made.length()))
	t.exactly("calls", len(made), callsEach*t.waiting)
	atMost(t.report, "calls beyond the rate, at any moment", made.overdraft(limit), turns*followUps)
	atLeast(t.report, "share of the allowed calls that was made", made.used(limit), 0.95)
	return nil
}
