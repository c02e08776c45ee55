package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// process is an operator from its start to its end, with all that it keeps in memory.
type process struct {
	*walk
	name     string
	ctx      context.Context //nolint:containedctx // it is what the process is told its end by
	stop     context.CancelFunc
	pool     *connection.Pool
	recorder *events.FakeRecorder
	// cache is what the operator has learned of the API server. It stays as it is for as many runs as frozen.
	cache  *view
	frozen int
	// due is when each object is looked at.
	due map[item]time.Time
	// busy are the objects that are looked at, each in the midst of the one before it.
	busy []item
	// dead processes make no call that reaches anybody.
	dead bool
	// Where the run under way is, and what happens to it there.
	points       int
	interruption *interruption

	bindings    *ClientBindingReconciler
	connections *APIConnectionReconciler
	usage       *UsageReconciler
	// watches finds who is woken, with a client to which nothing happens.
	watches *ClientBindingReconciler
}

// item is an object in the queue of one of the reconcilers.
type item struct {
	of  reconciler
	key types.NamespacedName
}

type reconciler int

const (
	ofConnections reconciler = iota
	ofUsage
	ofBindings
)

// start starts the operator, which then has everything to look at.
func (w *walk) start() {
	w.processes++
	p := &process{
		walk:     w,
		name:     fmt.Sprintf("model/%d", w.processes),
		recorder: events.NewFakeRecorder(10_000),
		due:      map[item]time.Time{},
	}
	p.ctx, p.stop = context.WithCancel(ctrl.LoggerInto(w.t.Context(), logr.Discard()))
	p.pool = connection.NewPool(connection.Options{
		AllowHTTPLoopback: true, AllowedHosts: []string{"127.0.0.1"}, UserAgent: p.name, Now: w.now, Metrics: metrics.New(prometheus.NewRegistry()),
	})
	schedule := Schedule{Now: w.clock.Now, StallAfter: 10 * time.Minute, Jitter: func(wait time.Duration) time.Duration { return wait }}
	kube, watching := &processKube{Client: w.kube, process: p}, &processKube{Client: w.kube, process: p, undisturbed: true}
	brake := &Brake{Kube: kube, Events: p.recorder}
	p.bindings = &ClientBindingReconciler{Kube: kube, Pool: p.pool, Events: p.recorder, Schedule: schedule, Brake: brake}
	p.connections = &APIConnectionReconciler{Kube: kube, Secrets: unwatched{kube}, Pool: p.pool, Events: p.recorder, Schedule: schedule}
	p.usage = &UsageReconciler{Kube: kube, Live: liveKube{kube}, Secrets: unwatched{kube}, Brake: brake, Events: p.recorder, Now: w.clock.Now}
	p.watches = &ClientBindingReconciler{Kube: watching, Schedule: schedule}
	w.operator = p
	w.serving.Store(p.name)
	w.log("the operator starts")
	w.note("the start")
	p.cache = &view{}
	p.learn()
}

// end is the end of the process: nothing that it does from now on reaches anybody.
func (p *process) end(how string) {
	if p.dead {
		return
	}
	p.log("the operator %s", how)
	p.dead = true
	p.serving.Store("")
	p.operator = nil
}

// killed is how a process that was killed leaves its code.
type killed struct{}

// run looks at one object.
func (p *process) run(it item) {
	p.runs++
	p.busy = append(p.busy, it)
	defer func() { p.busy = p.busy[:len(p.busy)-1] }()
	delete(p.due, it)
	result, err := p.reconcile(it)
	for len(p.recorder.Events) > 0 {
		p.log("    event: %s", <-p.recorder.Events)
	}
	switch {
	case p.dead:
	case p.ctx.Err() != nil:
		p.end("has shut down")
	case err != nil:
		p.log("  = %v", err)
		p.enqueue(it, time.Second)
	case result.RequeueAfter > 0:
		p.log("  = again in %s", result.RequeueAfter)
		p.enqueue(it, result.RequeueAfter)
	default:
		p.log("  = done")
	}
	if p.dead {
		return
	}
	p.hearTroubles()
}

// reconcile runs the operator's code, as far as the process lives.
func (p *process) reconcile(it item) (result ctrl.Result, err error) {
	defer func() {
		switch what := recover().(type) {
		case nil:
		case killed:
			err = errors.New("killed")
		default:
			panic(what)
		}
	}()
	request := ctrl.Request{NamespacedName: it.key}
	switch it.of {
	case ofConnections:
		p.log("> apiconnection %s", p.short(it.key))
		return p.connections.Reconcile(p.ctx, request)
	case ofUsage:
		p.log("> usage of %s", p.short(it.key))
		return p.usage.Reconcile(p.ctx, request)
	default:
		p.log("> binding %s", p.short(it.key))
		return p.bindings.Reconcile(p.ctx, request)
	}
}

// hearTroubles wakes connections whose session closed itself, and the bindings that wait for a new session.
func (p *process) hearTroubles() {
	for {
		select {
		case trouble := <-p.pool.Troubled():
			p.enqueue(connectionItem(trouble.Object), 0)
		case opened := <-p.pool.Opened():
			for _, binding := range p.watches.waitingFor(p.ctx, opened.Object) {
				p.enqueue(bindingItem(client.ObjectKeyFromObject(binding)), 0)
			}
		default:
			return
		}
	}
}

// enqueue has an object looked at in a while, or sooner if it already is to be.
//
// A manager also keeps what was asked for before the last run, and so looks more often than this. That is nothing to
// rely on, since a restart forgets it.
func (p *process) enqueue(it item, wait time.Duration) {
	at := p.clock.Now().Add(wait)
	if present, queued := p.due[it]; !queued || at.Before(present) {
		p.due[it] = at
	}
}

func bindingItem(key types.NamespacedName) item { return item{ofBindings, key} }

func usageItem(key types.NamespacedName) item { return item{ofUsage, key} }

func connectionItem(key types.NamespacedName) item { return item{ofConnections, key} }
