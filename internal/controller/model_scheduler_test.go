package controller

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/secretwatch"
)

// The scheduler does what a manager does: it wakes objects by the predicates and maps of watches.go and after the
// waits that Reconcile returns. It knows no other reason to look at anything.

// mostRuns bounds the runs within one moment: more of them, and objects wake each other without end.
const mostRuns = 300

// learn brings the cache up to date, and wakes whom that concerns.
func (p *process) learn() {
	was, is := p.cache, p.seen
	if p.frozen > 0 || was == is {
		return
	}
	p.cache = is
	for _, key := range changedKeys(was.bindings, is.bindings) {
		p.learnBinding(key, was.bindings[key], is.bindings[key])
	}
	for _, key := range changedKeys(was.connections, is.connections) {
		p.learnConnection(key, was.connections[key], is.connections[key])
	}
	for _, key := range changedKeys(was.secrets, is.secrets) {
		former, secret := was.secrets[key], is.secrets[key]
		for _, name := range sortedKeys(is.connections) {
			if name.Namespace != key.Namespace || !slices.Contains(secretsOf(is.connections[name]), key.Name) {
				continue
			}
			p.enqueue(connectionItem(name), 0)
			if protectionChanged(secretwatch.Change{Was: metadataOf(former), Is: metadataOf(secret)}) {
				p.enqueue(usageItem(name), 0)
			}
		}
	}
}

// metadataOf is what is watched of a Secret; nil when there is none.
func metadataOf(secret *corev1.Secret) *metav1.PartialObjectMetadata {
	if secret == nil {
		return nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta}
}

// changedKeys are the objects that came, went or changed.
func changedKeys[V comparable](was, is map[types.NamespacedName]V) []types.NamespacedName {
	all := maps.Clone(is)
	if all == nil {
		all = map[types.NamespacedName]V{}
	}
	maps.Copy(all, was)
	return slices.DeleteFunc(sortedKeys(all), func(key types.NamespacedName) bool { return was[key] == is[key] })
}

func (p *process) learnBinding(key types.NamespacedName, was, is *v1alpha1.ClientBinding) {
	own, rivals, need := true, true, true
	if was != nil && is != nil && was.UID == is.UID {
		update := event.UpdateEvent{ObjectOld: was, ObjectNew: is}
		own, rivals, need = edited().Update(update), standingChanged().Update(update), needChanged().Update(update)
	}
	if need {
		for _, name := range (Connections{}).Of(cmp.Or(is, was)) {
			p.enqueue(usageItem(name), 0)
		}
	}
	if own {
		p.enqueue(bindingItem(key), 0)
	}
	if !rivals {
		return
	}
	for _, object := range []*v1alpha1.ClientBinding{was, is} {
		if object == nil {
			continue
		}
		for _, rival := range p.watches.rivalsOf(p.ctx, object) {
			p.enqueue(bindingItem(client.ObjectKeyFromObject(rival)), 0)
		}
	}
}

func (p *process) learnConnection(key types.NamespacedName, was, is *v1alpha1.APIConnection) {
	own, users, usage := true, true, true
	if was != nil && is != nil && was.UID == is.UID {
		update := event.UpdateEvent{ObjectOld: was, ObjectNew: is}
		own, users, usage = edited().Update(update), usabilityChanged().Update(update), usageChanged().Update(update)
	}
	if usage {
		p.enqueue(usageItem(key), 0)
	}
	if own {
		p.enqueue(connectionItem(key), 0)
	}
	if users {
		for _, binding := range p.watches.bindingsOf(p.ctx, cmp.Or(is, was)) {
			p.enqueue(bindingItem(client.ObjectKeyFromObject(binding)), 0)
		}
	}
}

// work lets the operator look at what is due, in any order, until nothing is.
func (w *walk) work() {
	w.observe()
	for runs := 0; w.operator != nil; runs++ {
		p := w.operator
		p.learn()
		due := p.dueItems()
		if len(due) == 0 {
			if p.frozen == 0 {
				return
			}
			p.frozen = 0
			continue
		}
		if runs > mostRuns {
			w.violated(nil, "%d runs at one moment, and still due: %v", runs, due)
		}
		it := pick(w, due)
		w.current = newEpisode()
		p.points, p.interruption = 0, w.drawInterruption(it)
		p.run(it)
		p.interruption = nil
		w.stopIfBroken()
		p.frozen = max(p.frozen-1, 0)
		w.observe()
		w.current = newEpisode()
		if w.operator == nil && w.chance(70) {
			w.start() // As a Deployment does.
		}
	}
}

// dueItems are the objects to look at now, always in the same order.
func (p *process) dueItems() []item {
	var due []item
	for it, at := range p.due {
		if !at.After(p.clock.Now()) {
			due = append(due, it)
		}
	}
	slices.SortFunc(due, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.of, b.of), strings.Compare(a.key.String(), b.key.String()))
	})
	return due
}

// pass lets time pass, and the operator work whenever it is to.
func (w *walk) pass(span time.Duration) {
	w.work()
	until := w.clock.Now().Add(span)
	for {
		next := until
		if w.operator != nil {
			for _, at := range w.operator.due {
				next = earlier(next, at)
			}
		}
		for _, call := range w.late {
			next = earlier(next, call.deadline)
		}
		if ahead := next.Sub(w.clock.Now()); ahead > 0 {
			w.clock.Advance(ahead)
		}
		w.deliverDue()
		w.work()
		if !w.clock.Now().Before(until) {
			return
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (w *walk) deliverDue() {
	for _, call := range slices.Clone(w.late) {
		if !w.clock.Now().Before(call.deadline) {
			w.deliver(call)
		}
	}
}

// observe looks at what the API server has and checks it.
func (w *walk) observe() {
	if !w.stale.bindings && !w.stale.connections {
		w.checkTruth()
		return
	}
	was := w.seen
	w.seen = w.look(was)
	w.check(was)
	w.checkTruth()
}
