package controller

import (
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// episode is what is known of the run under way, and of the runs within it.
type episode struct {
	// saw is how relations were whenever the operator read their user.
	saw map[relationKey][]moment
	// disturbed: others acted in the middle of the run.
	disturbed bool
}

func newEpisode() episode {
	return episode{saw: map[relationKey][]moment{}}
}

func keyOf(binding *v1alpha1.ClientBinding) relationKey {
	return relationKey{binding.Spec.UserUUID, binding.Spec.CUID}
}

// check compares what the API server has with what it had.
func (w *walk) check(was *view) {
	for _, key := range sortedKeys(w.seen.bindings) {
		binding, former := w.seen.bindings[key], was.bindings[key]
		if former != nil && former.UID != binding.UID {
			former = nil
		}
		if former == binding {
			continue
		}
		w.checkStatus(binding)
		w.checkReady(binding, former)
		if former != nil && letsGo(former, binding) {
			w.checkLetGo(former, binding)
		}
		if binding.Status.Claim != nil && w.adopted(binding) {
			w.truth.relations[keyOf(binding)].owed = true
		}
	}
	for _, key := range sortedKeys(was.bindings) {
		former, binding := was.bindings[key], w.seen.bindings[key]
		if binding == nil || binding.UID != former.UID {
			w.checkLetGo(former, nil)
		}
	}
	for _, key := range sortedKeys(w.seen.connections) {
		if connection := w.seen.connections[key]; connection != was.connections[key] {
			if problem := kstatusProblem(connection, connection.Status.Conditions); problem != "" {
				w.violated(connection, "%s", problem)
			}
		}
	}
}

// checkStatus: never both Reconciling and Stalled, and kstatus agrees.
func (w *walk) checkStatus(binding *v1alpha1.ClientBinding) {
	conditions := binding.Status.Conditions
	if meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled) {
		w.violated(binding, "both Reconciling and Stalled")
	}
	if problem := kstatusProblem(binding, conditions); problem != "" {
		w.violated(binding, "%s", problem)
	}
}

// checkReady: Ready says what was so at lastConfirmedTime.
func (w *walk) checkReady(binding, former *v1alpha1.ClientBinding) {
	ready, seen := readyOf(binding.Status.Conditions), binding.Status.LastConfirmedTime
	if ready.Status != metav1.ConditionTrue {
		return
	}
	if seen == nil {
		// A correction is under way; if the operator ends in its midst, the next one looks at once.
		if claim := binding.Status.Claim; claim == nil || claim.LastWriteTime == nil {
			w.violated(binding, "Ready, and never confirmed")
		}
		return
	}
	if former != nil && former.Status.LastConfirmedTime.Equal(seen) && readyOf(former.Status.Conditions) == ready {
		return
	}
	declared := w.specs[declaration{binding.UID, ready.ObservedGeneration}]
	relation := w.truth.relations[keyOf(binding)]
	wasReally := func(is level) bool {
		sees := func(m moment) bool { return m.access == is }
		return relation.within(seen.Time, sees) && slices.ContainsFunc(w.current.saw[keyOf(binding)], sees)
	}
	switch ready.Reason {
	case v1alpha1.ReasonBound:
		is := levelOf(declared.IsOwner)
		// What a call has changed that nobody knows to have arrived may not show yet.
		last := relation.now()
		hidden := last.cause == byLateCall && w.clock.Now().Sub(last.from) <= visibleWithin
		if !wasReally(is) && !hidden {
			w.violated(binding, "Bound, and the platform did not have the relation as declared when it was read: %s", relation.tell())
		}
	case v1alpha1.ReasonExpired:
		// Who declared it when the run looked may be gone since; the run that this causes tells the truth.
		if !wasReally(nothing) && !w.declaredBeside(binding) && !w.current.disturbed {
			w.violated(binding, "Expired, and the platform had the relation when it was read: %s", relation.tell())
		}
	default:
		w.violated(binding, "Ready with the reason %s", ready.Reason)
	}
}

// adopted reports whether a binding vouches for its relation.
func (w *walk) adopted(binding *v1alpha1.ClientBinding) bool {
	ready := readyOf(binding.Status.Conditions)
	return binding.DeletionTimestamp.IsZero() && ready.Status == metav1.ConditionTrue && ready.Reason == v1alpha1.ReasonBound &&
		w.truth.relations[keyOf(binding)].now().relation != nothing
}

// letsGo reports whether an object that answered for its relation does so no longer.
func letsGo(former, binding *v1alpha1.ClientBinding) bool {
	return former.Status.Claim != nil && binding.Status.Claim == nil || heldBy(former) && !heldBy(binding) && !binding.DeletionTimestamp.IsZero()
}

// checkLetGo: whoever no longer answers for a relation has seen it gone, or somebody else answers for it.
func (w *walk) checkLetGo(former, binding *v1alpha1.ClientBinding) {
	key := keyOf(former)
	relation := w.truth.relations[key]
	if former.Status.Claim == nil {
		return
	}
	last := former
	if binding != nil {
		last = binding
	}
	expired := last.DeletionTimestamp.IsZero() && binding != nil
	givenUp := last.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan && !expired ||
		// The finalizer was taken away by hand, and the object deleted.
		!controllerutil.ContainsFinalizer(former, v1alpha1.RevokeFinalizer)
	alone := !w.answeredFor(key, former.UID)
	for _, call := range w.late {
		if givenUp && call.about == key && (alone || call.by == client.ObjectKeyFromObject(former)) {
			call.givenUp = true
		}
	}
	if givenUp && alone {
		relation.owed = false
	}
	if givenUp || !alone {
		return
	}
	sawNone := slices.ContainsFunc(w.current.saw[key], func(m moment) bool { return m.relation == nothing })
	if !sawNone && !relation.lied && !w.current.disturbed {
		w.violated(former, "nobody answers for the relation any more, and it was not seen gone: %s", relation.tell())
	}
}

// answeredFor reports whether another object than one answers for a relation.
func (w *walk) answeredFor(key relationKey, but types.UID) bool {
	for _, other := range w.seen.bindings {
		if keyOf(other) == key && other.UID != but && other.Status.Claim != nil {
			return true
		}
	}
	return false
}

// declaredBeside reports whether another object declares the relation of an expired one.
func (w *walk) declaredBeside(binding *v1alpha1.ClientBinding) bool {
	for _, other := range w.seen.bindings {
		if keyOf(other) == keyOf(binding) && other.UID != binding.UID && other.DeletionTimestamp.IsZero() && !expired(other, w.clock.Now()) {
			return true
		}
	}
	return false
}

// checkTruth: nothing is related that the operator made or adopted, and for which no object answers.
func (w *walk) checkTruth() {
	for _, key := range w.relationKeys() {
		relation := w.truth.relations[key]
		if relation.owed && relation.now().relation != nothing && !relation.lied && !w.answeredFor(key, "") {
			w.violated(nil, "user %s has %s access to client %s, for which no object answers: %s", key.user, relation.now().relation, key.cuid, relation.tell())
		}
	}
}

// checkWrite: the operator writes to the API only what an object declares or has claimed, and only for an object
// whose deletion is sure to revoke.
func (w *walk) checkWrite(request *http.Request, body []byte) {
	if w.current.disturbed || w.operator.frozen > 0 {
		return // What was declared when the run began may have changed.
	}
	w.stale.bindings = true
	w.seen = w.look(w.seen)
	key := w.relationOf(request, body)
	for _, binding := range w.seen.bindings {
		if keyOf(binding) != key || binding.Status.Claim == nil {
			continue
		}
		if request.Method == http.MethodDelete {
			return
		}
		_, isOwner := w.asked(body)
		if heldBy(binding) && binding.Status.Claim.LastWriteTime != nil && binding.Spec.IsOwner == isOwner &&
			binding.DeletionTimestamp.IsZero() && !ptr.Deref(binding.Spec.Suspend, false) && !expired(binding, w.clock.Now()) {
			return
		}
	}
	w.violated(nil, "the operator sends a %s for %s and %s that no object asks for: %s", request.Method, key.user, key.cuid, body)
}

// tell is the recent history of a relation.
func (r *relationTruth) tell() string {
	text := ""
	for _, m := range r.history[max(0, len(r.history)-6):] {
		text += "\n  from " + m.from.UTC().Format("02 15:04:05.0") + " " + string(m.relation)
		if m.access != m.relation {
			text += " (the user is deleted)"
		}
		text += ", " + m.cause
	}
	return text
}
