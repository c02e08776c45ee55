package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// callsAhead is how many calls a revocation may have to let pass: those that the runs under way still make. None that
// waits for its turn may go before it.
const callsAhead = turns * followUps

// stillWaiting is how many of the crowd have to wait to the end, for the scenario to have shown anything.
const stillWaiting = 100

// playPriority deletes bindings while a crowd of new ones waits for its turn within a narrow rate.
func playPriority(ctx context.Context, t *trial) error {
	limit := rateLimit{perSecond: 50, burst: 20}
	if err := t.connect(ctx, longInterval, limit); err != nil {
		return err
	}
	const leaving = 4
	if err := t.bind(ctx, leaving); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", leaving)); err != nil {
		return err
	}
	half := t.crowd / 2
	for i, moment := range []struct {
		when string
		come func() error
	}{
		{fmt.Sprintf("when %d others have come", half), func() error { return t.bind(ctx, half) }},
		{fmt.Sprintf("when %d have", t.crowd), func() error { return t.bind(ctx, t.crowd-half) }},
		{"when an edit of the connection has woken them all", func() error { return t.wakeAll(ctx) }},
		{"three seconds later", func() error { return pause(ctx, 3*time.Second) }},
	} {
		if err := moment.come(); err != nil {
			return err
		}
		if err := t.checkRevocation(ctx, i, moment.when); err != nil {
			return err
		}
	}
	// Else there was nobody to go before.
	atLeast(t.report, "bindings that still waited at the end", t.created-leaving-t.bindings.ready(), stillWaiting)
	return nil
}

// wakeAll gives the operator a reason to look at every binding of the connection, all at once.
func (t *trial) wakeAll(ctx context.Context) error {
	connection := &v1alpha1.APIConnection{ObjectMeta: t.meta(v1alpha1.DefaultConnectionName)}
	patch := fmt.Appendf(nil, `{"spec":{"interval":%q}}`, 2*longInterval)
	return t.kube.Patch(ctx, connection, client.RawPatch("application/merge-patch+json", patch))
}

// checkRevocation deletes a binding and counts the calls that the platform gets before that for its removal.
func (t *trial) checkRevocation(ctx context.Context, i int, when string) error {
	binding := t.binding(i)
	if err := t.kube.Delete(ctx, binding); err != nil {
		return err
	}
	deleted := time.Now()
	var removal delossim.Call
	if _, err := t.await(ctx, "a revocation "+when, settleLimit, func() string {
		for _, call := range calls(t.platform.Calls(delossim.OpUnrelate)) {
			if call.User == binding.Spec.UserUUID && call.Applied {
				removal = call
				return ""
			}
		}
		return "was not sent"
	}); err != nil {
		return err
	}
	ahead := work(t.platform.Server).between(deleted, removal.Time)
	t.measured("a revocation "+when, "sent after "+precise(max(removal.Time.Sub(deleted), 0)).String())
	atMost(t.report, "calls before it", len(ahead), callsAhead)
	return nil
}
