package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
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
func playOutage(t *trial) {
	limit := rateLimit{perSecond: 200, burst: 200}
	// A binding is vouched for during three intervals: longer than from its last check to the end of the outage.
	t.connect((t.blackout * 3 / 2).Round(time.Second), limit)
	t.bind(t.bound)
	t.awaitBound()
	t.await("checks of those begin", settleLimit, func() string {
		if t.Platform.Count(delossim.OpUser) <= 2*t.bound {
			return "none"
		}
		return ""
	})

	t.bindings.forget()
	began := time.Now()
	fault := t.Platform.Inject(delossim.Fault{Failure: delossim.Answer{
		Status: http.StatusServiceUnavailable,
		Body:   "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>",
	}})
	t.bind(t.bound / newcomersShare)
	const what = "the connection says that the API fails"
	t.await(what, t.blackout, func() string {
		if sandbox.Ready(t.connected().Status.Conditions).Reason != v1alpha1.ReasonAPIUnavailable {
			return "it does not"
		}
		return ""
	})
	t.measured(what, "after "+seconds(time.Since(began)))
	sandbox.Pause(t, time.Until(began.Add(t.blackout)))
	t.checkOutage(began, limit)
	fault.Remove()
	ended := time.Now()
	t.awaitReady(fmt.Sprintf("all Ready, and %d that came meanwhile", t.bound/newcomersShare))
	t.checkRecovery(ended, limit)
}

// names are those of the bindings from a number (including) to another (not including).
func (t *trial) names(from, to int) []string {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, t.binding(i).Name)
	}
	return names
}

// checkOutage looks at what was called and written since the outage began.
func (t *trial) checkOutage(began time.Time, limit rateLimit) {
	lasted := time.Since(began)
	failed := t.work().after(began).answered(http.StatusServiceUnavailable)
	atMost(t, "calls of bindings until they stopped", len(failed), outageAfter+limit.turns())
	if len(failed) > 0 {
		t.measured("the last of them", "after "+seconds(failed[len(failed)-1].Time.Sub(began)))
	}
	probes := calls(t.Platform.Calls(delossim.OpList, delossim.OpLogin, delossim.OpRefresh)).
		after(began).answered(http.StatusServiceUnavailable)
	// The first one finds out whether there is an outage.
	due := 1
	for failing := firstProbe; failing <= lasted; failing *= 2 {
		due++
	}
	t.measured("probes", "after "+probes.since(began))
	atMost(t, "probes in "+seconds(lasted), len(probes), due)
	t.exactly("writes of any binding that was Ready", t.bindings.writes(t.names(0, t.bound), true), 0)
	atMost(t, "writes of any that came meanwhile", t.bindings.writes(t.names(t.bound, t.created), false), writesWaiting)
}

// checkRecovery looks at how the calls came back.
func (t *trial) checkRecovery(ended time.Time, limit rateLimit) {
	made := calls(t.Platform.Calls()).after(ended)
	if len(made) == 0 {
		t.check(false, "calls after the outage", 0, "some")
		t.abandon()
	}
	t.measured("first call after the end of the outage", "after "+seconds(made[0].Time.Sub(ended)))
	atMost(t, "calls beyond the rate, at any moment", t.work().after(ended).overdraft(limit), limit.turns()*followUps)
	atMost(t, "writes of any that came meanwhile, until Ready",
		t.bindings.writes(t.names(t.bound, t.created), false), writesWaiting+writesMaking)
	t.none("bindings that left Ready", t.bindings.leftReady())
}
