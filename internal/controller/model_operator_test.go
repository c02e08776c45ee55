package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// snapshot is what the API server has of a walk's namespace at one moment, in the order of the names. It is never changed.
type snapshot struct {
	bindings    []*v1alpha1.ClientBinding
	connections []*v1alpha1.APIConnection
}

func named[T client.Object](objects []T, name string) (found T) {
	if i := slices.IndexFunc(objects, func(object T) bool { return object.GetName() == name }); i >= 0 {
		found = objects[i]
	}
	return found
}

func (s *snapshot) binding(name string) *v1alpha1.ClientBinding { return named(s.bindings, name) }

// refresh reads what the API server has.
func (w *walk) refresh() {
	ctx := w.t.Context()
	bindings, connections := &v1alpha1.ClientBindingList{}, &v1alpha1.APIConnectionList{}
	w.must(clusterKube.List(ctx, bindings, client.InNamespace(w.namespace)))
	w.must(clusterKube.List(ctx, connections, client.InNamespace(w.namespace)))
	was := w.live
	w.live = &snapshot{}
	for i := range bindings.Items {
		w.hide(&bindings.Items[i])
		w.live.bindings = append(w.live.bindings, &bindings.Items[i])
	}
	for i := range connections.Items {
		w.live.connections = append(w.live.connections, &connections.Items[i])
	}
	if was != nil {
		w.checkChanges(was)
	}
}

// hide replaces what the API server drew for a binding.
func (w *walk) hide(object client.Object) {
	if identity, known := w.identities[object.GetUID()]; known {
		object.SetUID(identity.uid)
		object.SetCreationTimestamp(identity.created)
	}
}

// operator is the operator from its start to its end, with all that it keeps in memory. It is run as a manager runs it: objects are
// woken by the predicates and maps of watches.go, by the pool, and after the waits that Reconcile returns.
type operator struct {
	*walk
	// name is the User-Agent of its calls.
	name string
	//nolint:containedctx // It ends with the process.
	ctx         context.Context
	stop        context.CancelFunc
	pool        *connection.Pool
	recorder    *events.FakeRecorder
	bindings    *ClientBindingReconciler
	connections *APIConnectionReconciler
	usage       *UsageReconciler
	// cache is what it has learned of the API server. It stays as it is for as many runs as frozen.
	cache  *snapshot
	frozen int
	// due is when each object is looked at: a connection.Relation, a connectionItem or a usageItem.
	due    map[any]time.Time
	timers []*timer
	// dead processes reach nobody. One that does not lead any more may not write for bindings.
	dead, leads bool

	// running says that a run is under way, and armed is what happens in its midst.
	running bool
	armed   *interruption
	// disturbed: others acted in the middle of the run.
	disturbed bool
}

type (
	connectionItem client.ObjectKey
	usageItem      client.ObjectKey
)

type timer struct {
	at time.Time
	do func()
}

// killed is how a process that was killed leaves its code.
type killed struct{}

// start starts the operator, which then has everything to look at.
func (w *walk) start() {
	w.started++
	o := &operator{
		walk: w, name: fmt.Sprintf("model/%d", w.started), recorder: events.NewFakeRecorder(10_000),
		cache: &snapshot{}, due: map[any]time.Time{}, leads: true,
	}
	o.ctx, o.stop = context.WithCancel(ctrl.LoggerInto(w.t.Context(), logr.Discard()))
	counters := metrics.New(prometheus.NewRegistry())
	o.pool = connection.NewPool(connection.Options{
		AllowHTTPLoopback: true, AllowedHosts: []string{"127.0.0.1"}, UserAgent: o.name, Now: w.clock.Now, AfterFunc: o.afterFunc, Metrics: counters,
	})
	o.pool.OnTurn(func(key connection.Relation, _ int) { o.enqueue(key, 0) })
	kube := indexedClient{&operatorKube{clusterKube, o}, &w.connections}
	writes := &Writes{Kube: kube, Live: indexedClient{clusterKube, &w.connections}}
	brake := &Brake{Writes: writes, Events: o.recorder}
	o.bindings = &ClientBindingReconciler{
		Kube: kube, Writes: writes, Pool: o.pool, Events: o.recorder, Schedule: w.schedule(), Brake: brake, Metrics: counters, Leads: func() bool { return o.leads },
	}
	o.connections = &APIConnectionReconciler{Kube: kube, Writes: writes, Secrets: unwatched{clusterKube}, Identity: operatorIdentity, Pool: o.pool, Events: o.recorder, Schedule: w.schedule()}
	o.usage = &UsageReconciler{
		Kube: kube, Writes: writes, Live: indexedClient{clusterKube, &w.connections}, Secrets: unwatched{clusterKube}, Identity: operatorIdentity, Brake: brake, Events: o.recorder, Now: w.clock.Now,
	}
	w.operator = o
	w.log("the operator starts")
	o.learn()
}

// end is the end of the process: nothing that it does from now on has an effect.
func (o *operator) end(how string) {
	if !o.dead {
		o.log("the operator %s", how)
		o.dead, o.operator = true, nil
	}
}

func (o *operator) afterFunc(wait time.Duration, do func()) func() bool {
	set := &timer{o.clock.Now().Add(wait), do}
	o.timers = append(o.timers, set)
	return func() bool {
		before := len(o.timers)
		o.timers = slices.DeleteFunc(o.timers, func(other *timer) bool { return other == set })
		return len(o.timers) < before
	}
}

// enqueue has an object looked at in a while, or sooner if it already is to be.
func (o *operator) enqueue(it any, wait time.Duration) {
	at := o.clock.Now().Add(wait)
	if present, queued := o.due[it]; !queued || at.Before(present) {
		o.due[it] = at
	}
}

// queue is the work queue of relations, as the handlers of watches see it.
type queue struct {
	workqueue.TypedRateLimitingInterface[connection.Relation]
	*operator
}

func (q queue) Add(key connection.Relation) { q.enqueue(key, 0) }

// learn brings the cache up to date, and wakes what that concerns.
func (o *operator) learn() {
	was, is := o.cache, o.live
	if o.frozen > 0 || was == is {
		return
	}
	o.cache = is
	for _, update := range updates(was.bindings, is.bindings) {
		if heard(update, edited()) {
			o.wake(update, o.bindings.byPriority(itself))
		}
		if heard(update, needChanged()) {
			for _, request := range o.usage.connectionsOf(o.ctx, latest(update)) {
				o.enqueue(usageItem(request.NamespacedName), 0)
			}
		}
	}
	for _, update := range updates(was.connections, is.connections) {
		if heard(update, edited()) {
			o.enqueue(connectionItem(client.ObjectKeyFromObject(latest(update))), 0)
		}
		if heard(update, usageChanged()) {
			o.enqueue(usageItem(client.ObjectKeyFromObject(latest(update))), 0)
		}
		if heard(update, usabilityChanged()) {
			o.wake(update, o.bindings.byPriority(o.bindings.bindingsOf))
		}
	}
}

// updates are the objects that came, went or changed. One that came has no old object, and one that went no new one.
func updates[T client.Object](was, is []T) (updates []event.UpdateEvent) {
	for _, old := range was {
		if !slices.ContainsFunc(is, func(object T) bool { return object.GetUID() == old.GetUID() }) {
			updates = append(updates, event.UpdateEvent{ObjectOld: old})
		}
	}
	for _, object := range is {
		update := event.UpdateEvent{ObjectNew: object}
		if i := slices.IndexFunc(was, func(old T) bool { return old.GetUID() == object.GetUID() }); i >= 0 {
			update.ObjectOld = was[i]
		}
		if update.ObjectOld == nil || update.ObjectOld.GetResourceVersion() != object.GetResourceVersion() {
			updates = append(updates, update)
		}
	}
	return updates
}

func latest(update event.UpdateEvent) client.Object {
	if update.ObjectNew == nil {
		return update.ObjectOld
	}
	return update.ObjectNew
}

// heard reports whether a watch with a predicate lets an update through.
func heard(update event.UpdateEvent, through predicate.Predicate) bool {
	return update.ObjectOld == nil || update.ObjectNew == nil || through.Update(update)
}

func (o *operator) wake(update event.UpdateEvent, whom handler.TypedEventHandler[client.Object, connection.Relation]) {
	into := queue{operator: o}
	switch {
	case update.ObjectOld == nil:
		whom.Create(o.ctx, event.CreateEvent{Object: update.ObjectNew}, into)
	case update.ObjectNew == nil:
		whom.Delete(o.ctx, event.DeleteEvent{Object: update.ObjectOld}, into)
	default:
		whom.Update(o.ctx, update, into)
	}
}

// next is when the operator has something to do, or a time if that is earlier.
func (o *operator) next(next time.Time) time.Time {
	for _, at := range o.due {
		next = earlier(next, at)
	}
	for _, set := range o.timers {
		next = earlier(next, set.at)
	}
	return next
}

// mostRuns bounds the runs within one moment: more of them, and objects wake each other without end.
const mostRuns = 200

// work lets the operator look at what is due, in any order, until nothing is.
func (w *walk) work() {
	w.stopIfBroken()
	for runs := 0; w.operator != nil; runs++ {
		o := w.operator
		o.fireTimers()
		o.learn()
		due := slices.SortedFunc(maps.Keys(o.due), func(a, b any) int { return strings.Compare(fmt.Sprintf("%T %v", a, a), fmt.Sprintf("%T %v", b, b)) })
		due = slices.DeleteFunc(due, func(it any) bool { return o.due[it].After(o.clock.Now()) })
		if len(due) == 0 {
			if o.frozen == 0 {
				return
			}
			o.frozen = 0
			continue
		}
		if runs > mostRuns {
			w.violated(nil, "%d runs at one moment, and still due: %v", runs, due)
		}
		o.run(pick(w, due))
		if w.operator == nil && w.chance(70) {
			w.start() // As a Deployment does.
		}
	}
}

func (o *operator) fireTimers() {
	for _, set := range slices.Clone(o.timers) {
		if !set.at.After(o.clock.Now()) {
			o.timers = slices.DeleteFunc(o.timers, func(other *timer) bool { return other == set })
			set.do()
		}
	}
}

// run looks at one object.
func (o *operator) run(it any) {
	o.runs++
	delete(o.due, it)
	o.drawInterruption()
	o.running, o.disturbed = true, false
	result, err := o.reconcile(it)
	o.awaitPlatform()
	o.running = false
	for len(o.recorder.Events) > 0 {
		o.log("    event: %s", <-o.recorder.Events)
	}
	o.frozen = max(o.frozen-1, 0)
	o.stopIfBroken()
	switch {
	case o.dead:
		return
	case o.ctx.Err() != nil:
		o.end("has shut down")
		return
	case !o.leads:
		o.end("ends, since it lost its lease")
		return
	case err != nil:
		o.log("  = %v", err)
		o.enqueue(it, time.Second)
	case result.RequeueAfter > 0:
		o.log("  = again in %s", result.RequeueAfter)
		o.enqueue(it, result.RequeueAfter)
	default:
		o.log("  = done")
	}
	o.hearPool()
}

// reconcile runs the operator's code, as far as the process lives.
func (o *operator) reconcile(it any) (result ctrl.Result, err error) {
	defer func() {
		switch what := recover().(type) {
		case nil:
		case killed:
			err = errors.New("killed")
		default:
			panic(what)
		}
	}()
	switch it := it.(type) {
	case connectionItem:
		o.log("> connection %s", it.Name)
		return o.connections.Reconcile(o.ctx, ctrl.Request{NamespacedName: client.ObjectKey(it)})
	case usageItem:
		o.log("> usage of %s", it.Name)
		return o.usage.Reconcile(o.ctx, ctrl.Request{NamespacedName: client.ObjectKey(it)})
	default:
		key := it.(connection.Relation)
		o.log("> relation of %s", key.UserUUID)
		return o.bindings.Reconcile(o.ctx, key)
	}
}

// hearPool wakes connections whose session closed itself, and the relations that wait for a new session.
func (o *operator) hearPool() {
	for {
		select {
		case trouble := <-o.pool.Troubled():
			o.enqueue(connectionItem(trouble.Object), 0)
		case opened := <-o.pool.Opened():
			o.bindings.enqueue(o.ctx, o.bindings.waitingFor(o.ctx, opened.Object), nil, queue{operator: o})
		default:
			return
		}
	}
}

// point is a place in a run at which something else may happen.
type point int

const (
	kubeRead point = iota
	kubeWrite
	kubeWritten
	apiRead
	apiWrite
	apiAnswered
)

// fate is what becomes of what the run was about to do.
type fate int

const (
	goesOn fate = iota
	isLost
	isLate
)

// interruption is what happens in the middle of a run, when it has come to a kind of point so often.
type interruption struct {
	what string
	at   point
	left int
}

// drawInterruption draws what happens next in the middle of a run; mostly nothing.
func (o *operator) drawInterruption() {
	if o.calm || o.armed != nil || !o.chance(30) {
		return
	}
	// What was checked right before a call or a write is not looked at again while that is under way.
	betweenWrites, lossy := []point{kubeRead, kubeWritten, kubeWritten}, []point{kubeWrite, kubeWritten, apiWrite, apiAnswered}
	anywhere := append([]point{kubeRead, apiRead}, lossy...)
	drawn := pick(o.walk, []struct {
		what string
		at   []point
	}{
		{"killed", anywhere}, {"killed", anywhere}, {"told to shut down", betweenWrites}, {"the lease is lost", betweenWrites},
		{"lost", lossy}, {"late", []point{apiWrite}}, {"late", []point{apiWrite}}, {"meanwhile", anywhere}, {"meanwhile", anywhere},
	})
	o.armed = &interruption{drawn.what, pick(o.walk, drawn.at), 1 + o.rand.IntN(2)}
}

// awaitPlatform waits until the platform has done with a call, which may have ended for the operator before.
func (w *walk) awaitPlatform() {
	w.serving.Lock()
	defer w.serving.Unlock()
}

// reach is called at each point of a run.
func (o *operator) reach(at point) fate {
	ofAPI := at >= apiRead
	if !ofAPI {
		o.awaitPlatform()
	}
	switch {
	case !o.running:
		return goesOn
	case o.dead && ofAPI:
		return isLost
	case o.dead:
		panic(killed{})
	case o.armed == nil || o.armed.at != at:
		return goesOn
	}
	if o.armed.left--; o.armed.left > 0 {
		return goesOn
	}
	what := o.armed.what
	o.armed = nil
	o.log("    -- %s", what)
	switch what {
	case "killed":
		o.end("is killed")
		switch {
		case !ofAPI:
			panic(killed{})
		case at == apiWrite: // It may have left the machine all the same.
			return pick(o.walk, []fate{goesOn, isLost, isLate})
		default:
			return isLost
		}
	case "told to shut down":
		o.stop()
	case "the lease is lost":
		o.leads = false
	case "lost":
		return isLost
	case "late":
		return isLate
	default:
		o.disturbed = true
		pick(o.walk, []func(){o.declare, o.editBinding, o.editBinding, o.withdraw, o.drift, o.drift, o.changeUser})()
	}
	return goesOn
}

// operatorKube is the operator's Kubernetes client: it reads our kinds from the cache, as a manager's client does, and writes to
// the API server.
type operatorKube struct {
	client.Client
	*operator
}

func (k *operatorKube) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	k.reach(kubeRead)
	switch into := object.(type) {
	case *v1alpha1.ClientBinding:
		if found := named(k.cache.bindings, key.Name); found != nil && key.Namespace == k.namespace {
			found.DeepCopyInto(into)
			return nil
		}
	case *v1alpha1.APIConnection:
		if found := named(k.cache.connections, key.Name); found != nil && key.Namespace == k.namespace {
			found.DeepCopyInto(into)
			return nil
		}
	default:
		return k.Client.Get(ctx, key, object, options...)
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (k *operatorKube) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	k.reach(kubeRead)
	switch list := list.(type) {
	case *v1alpha1.ClientBindingList:
		asked := (&client.ListOptions{}).ApplyOptions(options)
		for _, binding := range k.cache.bindings {
			selectable := fields.Set{"spec.userUUID": binding.Spec.UserUUID, "spec.cuid": binding.Spec.CUID}
			if asked.FieldSelector == nil || asked.FieldSelector.Matches(selectable) {
				list.Items = append(list.Items, *binding.DeepCopy())
			}
		}
	case *v1alpha1.APIConnectionList:
		for _, connection := range k.cache.connections {
			list.Items = append(list.Items, *connection.DeepCopy())
		}
	default:
		return k.Client.List(ctx, list, options...)
	}
	return nil
}

func (k *operatorKube) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return k.write(object, patch, func() error { return k.Client.Patch(ctx, object, patch, options...) })
}

func (k *operatorKube) Status() client.SubResourceWriter { return statusWriter{k.Client.Status(), k} }

type statusWriter struct {
	client.SubResourceWriter
	kube *operatorKube
}

func (s statusWriter) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	return s.kube.write(object, patch, func() error { return s.SubResourceWriter.Patch(ctx, object, patch, options...) })
}

// drawnVersion is what no two walks share of a patch.
var drawnVersion = regexp.MustCompile(`"(resourceVersion|uid|credentialsVersion|account)":"[^"]*"`)

var errNoAnswer = errors.New("the API server gave no answer")

// write writes to the API server, unless the write, or its answer, is lost.
func (k *operatorKube) write(object client.Object, patch client.Patch, send func() error) error {
	name, version := object.GetName(), object.GetResourceVersion()
	_, ofBinding := object.(*v1alpha1.ClientBinding)
	data, err := patch.Data(object)
	k.must(err)
	what := strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1alpha1.") + " " + name + " " + drawnVersion.ReplaceAllString(string(data), "")
	if k.reach(kubeWrite) == isLost {
		k.log("    write lost: %s", what)
		return errNoAnswer
	}
	if ofBinding && !k.leads {
		k.violated(object, "the operator writes without its lease")
	}
	err = send()
	k.hide(object)
	k.writes++
	text := ""
	if err != nil {
		text = ": " + string(apierrors.ReasonForError(err))
	}
	k.log("    write%s: %s", text, what)
	k.refresh()
	if binding := k.live.binding(name); err == nil && ofBinding && binding != nil && binding.ResourceVersion == version {
		k.violated(object, "the operator writes what is there already")
	}
	if k.reach(kubeWritten) == isLost {
		k.log("    the answer was lost")
		return errNoAnswer
	}
	return err
}
