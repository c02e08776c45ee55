package main

import (
	"context"
	"fmt"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// longInterval keeps checks for drift out of a scenario.
	longInterval = time.Hour
	// insisting is how long nothing is to happen while everybody asks for it.
	insisting = 3 * time.Second
)

// playLockout has many bindings wait for a connection whose password is wrong, and asks for a look at each.
func playLockout(ctx context.Context, t *trial) error {
	if err := t.kube.Create(ctx, t.secret(delossim.Account{Login: account.Login, Password: "incorrect"})); err != nil {
		return err
	}
	if err := t.bind(ctx, t.waiting); err != nil {
		return err
	}
	if err := t.connect(ctx, longInterval, wide); err != nil {
		return err
	}
	what := fmt.Sprintf("%d bindings say that they wait", t.waiting)
	took, err := t.await(ctx, what, settleLimit, func() string {
		if waiting := t.bindings.say(v1alpha1.ReasonConnectionNotReady); waiting < t.waiting {
			return fmt.Sprintf("%d do", waiting)
		}
		return ""
	})
	if err != nil {
		return err
	}
	t.measured(what, "after "+seconds(took))
	if err := t.askForRuns(ctx); err != nil {
		return err
	}
	if err := pause(ctx, insisting); err != nil {
		return err
	}
	t.exactly("logins with the wrong password", t.platform.Count(delossim.OpLogin), 1)
	t.exactly("calls at all", t.platform.Count(delossim.OpAny), 1)

	if err := t.kube.Update(ctx, t.secret(account)); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, "all Ready once the Secret is corrected"); err != nil {
		return err
	}
	t.exactly("logins, with the right password too", t.platform.Count(delossim.OpLogin), 2)
	return nil
}
