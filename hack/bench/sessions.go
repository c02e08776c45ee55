package main

import (
	"context"
	"fmt"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// accessLife is how long an access token is good in sessions. Lifetimes are stated in whole seconds.
const accessLife = 2 * time.Second

// wide is a limit that is in nobody's way: every binding is checked each second.
var wide = rateLimit{perSecond: 5000, burst: 5000}

// playSessions checks each binding once a second while access tokens live for two.
func playSessions(ctx context.Context, t *trial) error {
	t.platform.Adjust(func(s *delossim.Settings) { s.AccessTTL = accessLife })
	if err := t.connect(ctx, time.Second, wide); err != nil {
		return err
	}
	if err := t.bind(ctx, t.checked); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", t.checked)); err != nil {
		return err
	}
	logins := t.platform.Calls(delossim.OpLogin)
	if len(logins) == 0 {
		t.exactly("logins", 0, 1)
		return errAbandoned
	}
	began := logins[0].Time
	ended := began.Add(time.Duration(t.lives) * accessLife)
	if err := pause(ctx, time.Until(ended)); err != nil {
		return err
	}

	made := work(t.platform.Server).between(began, ended)
	refreshes := calls(t.platform.Calls(delossim.OpRefresh)).between(began, ended)
	seen, err := t.failuresSeen()
	if err != nil {
		return err
	}
	t.measured(fmt.Sprintf("calls in %d lives of %s", t.lives, accessLife), len(made))
	t.measured("checks of each binding per second", fmt.Sprintf("%.2f",
		float64(len(made))/ended.Sub(began).Seconds()/float64(t.checked)))
	t.exactly("logins", t.platform.Count(delossim.OpLogin), 1)
	atMost(t.report, "refreshes", len(refreshes), t.lives+2)
	t.none("calls that were refused", made.refused())
	t.exactly("failed calls that a binding saw", seen, 0)
	t.none("bindings that left Ready", t.bindings.leftReady())
	return nil
}
