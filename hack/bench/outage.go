package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// outageAfter is how many calls in a row have to fail before the operator stops calling.
	outageAfter = 5
	// firstProbe is how long the API has failed when the operator tries it again; it next does when that is twice
	// as long, and so on.
	firstProbe = 2 * time.Second
	// newcomersShare is how many bindings there are for each that comes during the outage.
	newcomersShare = 10
	// writesWaiting is how often a new binding's status is written while it has to wait: for a call of its own
	// that failed, and that it waits for the connection.
	writesWaiting = 2
	// writesMaking is how often a binding is written until it is Ready: finalizer, claim, result.
	writesMaking = 3
)

// playOutage answers every call with a gateway's 503 for a while. Bindings that are Ready come due during that
// time, and new ones are created.
func playOutage(ctx context.Context, t *trial) error {
	limit := rateLimit{perSecond: 200, burst: 200}
	// A binding is vouched for during three intervals: longer than from its last check to the end of the outage.
	if err := t.connect(ctx, (t.blackout * 3 / 2).Round(time.Second), limit); err != nil {
		return err
	}
	if err := t.bind(ctx, t.bound); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", t.bound)); err != nil {
		return err
	}
	if _, err := t.await(ctx, "checks of those begin", settleLimit, func() string {
		if t.platform.Count(delossim.OpUser) <= 2*t.bound {
			return "none"
		}
		return ""
	}); err != nil {
		return err
	}

	t.bindings.forget()
	began := time.Now()
	fault := t.platform.Inject(delossim.Fault{Failure: delossim.Answer{
		Status: http.StatusServiceUnavailable,
		Body:   "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>",
	}})
	if err := t.bind(ctx, t.bound/newcomersShare); err != nil {
		return err
	}
	if err := t.awaitOutage(ctx, began); err != nil {
		return err
	}
	if err := pause(ctx, time.Until(began.Add(t.blackout))); err != nil {
		return err
	}
	t.checkOutage(began)
	fault.Remove()
	ended := time.Now()
	if err := t.awaitReady(ctx, fmt.Sprintf("all Ready, and %d that came meanwhile", t.bound/newcomersShare)); err != nil {
		return err
	}
	return t.checkRecovery(ended, limit)
}

// names are those of the bindings from a number (including) to another (not including).
func (t *trial) names(from, to int) []string {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, t.binding(i).Name)
	}
	return names
}

// awaitOutage waits until the connection says that the API fails.
func (t *trial) awaitOutage(ctx context.Context, began time.Time) error {
	const what = "the connection says that the API fails"
	_, err := t.await(ctx, what, t.blackout, func() string {
		found, err := t.connection(ctx)
		if err != nil {
			return err.Error()
		}
		ready := meta.FindStatusCondition(found.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Reason != v1alpha1.ReasonAPIUnavailable {
			return "it does not"
		}
		return ""
	})
	if err == nil {
		t.measured(what, "after "+seconds(time.Since(began)))
	}
	return err
}

// checkOutage looks at what was called and written since the outage began.
func (t *trial) checkOutage(began time.Time) {
	lasted := time.Since(began)
	failed := work(t.platform.Server).after(began).answered(http.StatusServiceUnavailable)
	atMost(t.report, "calls of bindings until they stopped", len(failed), outageAfter+turns)
	if len(failed) > 0 {
		t.measured("the last of them", "after "+seconds(failed[len(failed)-1].Time.Sub(began)))
	}
	probes := calls(t.platform.Calls(delossim.OpList, delossim.OpLogin, delossim.OpRefresh)).
		after(began).answered(http.StatusServiceUnavailable)
	// The first one finds out whether there is an outage.
	due := 1
	for failing := firstProbe; failing <= lasted; failing *= 2 {
		due++
	}
	t.measured("probes", "after "+probes.since(began))
	atMost(t.report, "probes in "+seconds(lasted), len(probes), due)
	t.exactly("writes of any binding that was Ready", t.bindings.idleWrites(t.names(0, t.bound)), 0)
	atMost(t.report, "writes of any that came meanwhile", t.bindings.writes(t.names(t.bound, t.created)), writesWaiting)
}

// checkRecovery looks at how the calls came back.
func (t *trial) checkRecovery(ended time.Time, limit rateLimit) error {
	made := calls(t.platform.Calls()).after(ended)
	if len(made) == 0 {
		t.check(false, "calls after the outage", 0, "some")
		return errAbandoned
	}
	t.measured("first call after the end of the outage", "after "+seconds(made[0].Time.Sub(ended)))
	atMost(t.report, "calls beyond the rate, at any moment", work(t.platform.Server).after(ended).overdraft(limit), turns*followUps)
	atMost(t.report, "writes of any that came meanwhile, until Ready",
		t.bindings.writes(t.names(t.bound, t.created)), writesWaiting+writesMaking)
	t.none("bindings that left Ready", t.bindings.leftReady())
	return nil
}
