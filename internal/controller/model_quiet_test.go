package controller

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// quiet is how long a quiet time has to be for everything to come to rest by itself: a few intervals, what stalled is
// tried every ten minutes, and a refused login within the hour.
const quiet = 3*interval + time.Hour

// rest ends all that is wrong, lets the operator do its work, and checks that it is then done.
func (w *walk) rest() {
	w.log("all is well, and time passes")
	w.calm = true
	w.setRight()
	if w.operator == nil {
		w.start()
	}
	w.operator.frozen = 0
	w.pass(quiet)
	for w.expiredOfLate() {
		w.pass(time.Hour)
	}
	for _, key := range sortedKeys(w.seen.bindings) {
		w.checkAtRest(w.seen.bindings[key])
	}
	for _, key := range w.relationKeys() {
		w.checkRelationAtRest(key)
	}
	w.log("all is as declared")
	w.calm = false
}

// setRight makes everybody and everything that bindings need be there.
func (w *walk) setRight() {
	w.delayed = false
	w.platform.ClearFaults()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 0 })
	for len(w.late) > 0 {
		w.deliver(w.late[0])
	}
	for _, uuid := range w.users {
		if _, found := w.platform.User(uuid); !found {
			w.platform.AddUser(delossim.User{UUID: uuid})
		}
		w.platform.RestoreUser(uuid)
	}
	for _, cuid := range w.clients {
		w.platform.AddClient(cuid)
	}
	w.note(outside)
	for _, namespace := range w.namespaces {
		w.setPassword(namespace, password)
	}
	w.observe()
	for _, key := range sortedKeys(w.seen.bindings) {
		if binding := w.binding(key); binding != nil {
			w.releaseForeign(binding)
			w.endContest(binding)
		}
	}
	for _, namespace := range w.namespaces {
		for _, name := range w.connectionNames(namespace) {
			w.setConnectionRight(namespace, name)
		}
	}
	w.observe()
}

func (w *walk) setConnectionRight(namespace, name string) {
	connection := &v1alpha1.APIConnection{}
	connection.Namespace, connection.Name = namespace, name
	if present := w.seen.connections[types.NamespacedName{Namespace: namespace, Name: name}]; present != nil {
		if present.Spec.URL == "http://"+w.host && present.DeletionTimestamp.IsZero() {
			return
		}
		w.loseConnection(connection)
	}
	w.createConnection(namespace, name, w.host)
}

// endContest has a person ask for a binding over which somebody else fights with the operator.
func (w *walk) endContest(binding *v1alpha1.ClientBinding) {
	if contest := binding.Status.Contest; contest != nil {
		value := "no contest at " + w.clock.Now().UTC().Format(time.RFC3339Nano)
		w.must(w.edit(binding, func() { metav1.SetMetaDataAnnotation(&binding.ObjectMeta, v1alpha1.RequestedAtAnnotation, value) }))
	}
}

// expiredOfLate reports whether some binding's access ended so recently that this need not be done yet.
func (w *walk) expiredOfLate() bool {
	for _, binding := range w.seen.bindings {
		at := binding.Spec.ExpiresAt
		if at != nil && at.Before(&metav1.Time{Time: w.clock.Now()}) && w.clock.Now().Sub(at.Time) < time.Hour {
			return true
		}
	}
	return false
}

// usable reports whether a binding may use its connection, at rest.
func (w *walk) usable(binding *v1alpha1.ClientBinding) bool {
	name := Connections{}.Declared(binding)
	return name.Namespace == binding.Namespace && w.seen.connections[name] != nil
}

// mayHold reports whether a binding may hold its relation, or inherit it.
func (w *walk) mayHold(binding *v1alpha1.ClientBinding) bool {
	onlyLooks := ptr.Deref(binding.Spec.Suspend, false) && binding.Status.Claim == nil
	return binding.DeletionTimestamp.IsZero() && !expired(binding, w.clock.Now()) && !onlyLooks && w.usable(binding)
}

// holder is the binding that holds a relation at rest; nil when there is none.
func (w *walk) holder(key relationKey) *v1alpha1.ClientBinding {
	var oldest *v1alpha1.ClientBinding
	for _, binding := range w.seen.bindings {
		if keyOf(binding) == key && w.mayHold(binding) && (oldest == nil || older(binding, oldest)) {
			oldest = binding
		}
	}
	return oldest
}

// checkRelationAtRest: everything declared is related with the declared ownership, and nothing else that the operator
// has to answer for.
func (w *walk) checkRelationAtRest(key relationKey) {
	relation, holder := w.truth.relations[key], w.holder(key)
	is := relation.now().relation
	switch {
	case holder == nil && is != nothing && relation.owed && !relation.lied:
		w.violated(nil, "user %s still has %s access to client %s: %s", key.user, is, key.cuid, relation.tell())
	case holder != nil && !ptr.Deref(holder.Spec.Suspend, false) && is != levelOf(holder.Spec.IsOwner):
		w.violated(holder, "user %s has %s access to client %s: %s", key.user, is, key.cuid, relation.tell())
	}
}

// checkAtRest: each object says what it has come to.
func (w *walk) checkAtRest(binding *v1alpha1.ClientBinding) {
	ready := readyOf(binding.Status.Conditions)
	isReady := ready.Status == metav1.ConditionTrue
	is := w.truth.relations[keyOf(binding)].now().relation
	if !binding.DeletionTimestamp.IsZero() {
		w.violated(binding, "still not gone")
	}
	if ready.ObservedGeneration != binding.Generation {
		w.violated(binding, "not looked at since it was edited")
	}
	want := ""
	holder := w.holder(keyOf(binding))
	switch {
	case expired(binding, w.clock.Now()):
		if !w.usable(binding) {
			break
		}
		want = v1alpha1.ReasonExpired
		if stalled := meta.IsStatusConditionTrue(binding.Status.Conditions, v1alpha1.ConditionStalled); !isReady && (!stalled || is == nothing) {
			w.violated(binding, "expired, and neither done nor is there access that it does not revoke")
		}
		if isReady && binding.Status.Access != v1alpha1.AccessNone && holder == nil {
			w.violated(binding, "expired, and leaves access to another object, while none declares it")
		}
	case !w.usable(binding):
		if isReady {
			w.violated(binding, "Ready without a connection that it may use")
		}
	case holder != nil && holder != binding && older(holder, binding):
		want = v1alpha1.ReasonConflict
	case is == levelOf(binding.Spec.IsOwner):
		want = v1alpha1.ReasonBound
	default:
		want = v1alpha1.ReasonSuspended // checkRelationAtRest lets only suspended ones be otherwise.
	}
	if want != "" && ready.Reason != want {
		w.violated(binding, "at rest with the reason %q, want %s; the relation is %s", ready.Reason, want, is)
	}
	if seen := binding.Status.LastConfirmedTime; ready.Reason == v1alpha1.ReasonBound && (seen == nil || w.clock.Now().Sub(seen.Time) > interval+interval/5) {
		w.violated(binding, "not looked at since %s", seen)
	}
}
