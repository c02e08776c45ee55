package controller

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// conditioned is the part of a status that an outcome decides.
type conditioned struct {
	conditions         *[]metav1.Condition
	observedGeneration *int64
	// generation of the object that the run was about.
	generation int64
}

// conclude turns an outcome into conditions and returns the wait until the next look; 0 leaves that to the
// caller. Only conclude sets Ready, Reconciling and Stalled.
func (s Schedule) conclude(status conditioned, end outcome, interval time.Duration) time.Duration {
	status.forgetOwnCause(end)
	switch {
	case end.noRetry || end.ready == metav1.ConditionTrue:
		status.set(s, v1alpha1.ConditionReady, readyStatus(end), end.reason, end.message)
		status.clear(v1alpha1.ConditionReconciling)
		status.clear(v1alpha1.ConditionStalled)
		*status.observedGeneration = status.generation
		return 0
	case end.stalled || s.stalls(status):
		longest := min(stalledRetry, interval)
		wait := s.stalledWait(status, end, longest)
		if end.wait != 0 {
			wait = end.wait
		}
		message := withRhythm(end, longest)
		status.clear(v1alpha1.ConditionReconciling)
		status.set(s, v1alpha1.ConditionReady, readyStatus(end), end.reason, message)
		status.set(s, v1alpha1.ConditionStalled, metav1.ConditionTrue, end.why(), message)
		*status.observedGeneration = status.generation
		return wait
	default:
		if reconciling := status.failing(v1alpha1.ConditionReconciling); reconciling != nil && end.accepted && reconciling.Reason != end.why() {
			status.clear(v1alpha1.ConditionReconciling)
		}
		failingFor := s.failingFor(status)
		wait := end.wait
		switch {
		case wait == 0 && end.woken:
			wait = s.Jitter(s.StallAfter - failingFor)
		case wait == 0:
			wait = s.retry(failingFor)
		}
		// An object that stalled before and was edited starts anew.
		status.clear(v1alpha1.ConditionStalled)
		if failingFor == 0 {
			status.clear(v1alpha1.ConditionReconciling)
		}
		message := withRhythm(end, lastRetry)
		status.set(s, v1alpha1.ConditionReady, readyStatus(end), end.reason, message)
		status.set(s, v1alpha1.ConditionReconciling, metav1.ConditionTrue, end.why(), message)
		return wait
	}
}

// forgetOwnCause clears Stalled if its cause kept the object from being tried, and is gone. The object's waits begin anew.
func (c conditioned) forgetOwnCause(end outcome) {
	if stalled := c.failing(v1alpha1.ConditionStalled); stalled != nil && ownCauses[stalled.Reason] && stalled.Reason != end.why() {
		c.clear(v1alpha1.ConditionStalled)
	}
}

// ownCauses are the reasons for which an object stalls without a call. Once they are gone, nothing has failed yet.
var ownCauses = map[string]bool{
	v1alpha1.ReasonConflict:          true,
	v1alpha1.ReasonNotAllowed:        true,
	v1alpha1.ReasonConnectionChanged: true,
	v1alpha1.ReasonInvalidSpec:       true,
	v1alpha1.ReasonContested:         true,
}

// stalledWait is the wait of a stalled object for its next try, at most longest. Another cause than before, or a write that the
// API accepted, begins the waits anew with short ones. The object stays Stalled until it succeeds, so that one whose causes
// alternate does not seem to get on. Its waits begin anew at most once in stalledRetry; lastTransitionTime tells since when
// they last did.
func (s Schedule) stalledWait(status conditioned, end outcome, longest time.Duration) time.Duration {
	stalled := status.failing(v1alpha1.ConditionStalled)
	former := stalled
	if former == nil {
		former = status.failing(v1alpha1.ConditionReconciling)
	}
	anew := former != nil && (end.accepted || former.Reason != end.why())
	switch {
	case end.stalled || end.woken || stalled == nil && !anew:
		return s.Jitter(longest)
	case stalled == nil:
		return s.Jitter(firstRetry)
	case anew && s.since(stalled) >= stalledRetry:
		status.clear(v1alpha1.ConditionStalled)
		return s.Jitter(firstRetry)
	default:
		return s.Jitter(min(max(s.since(stalled), firstRetry), longest))
	}
}

// why is the cause of the outcome: the hindrance, else the reason.
func (o outcome) why() string { return cmp.Or(o.hindrance, o.reason) }

// stalls reports whether the object fails for so long, in the same generation, that it counts as
// stalled. One that stalled stays so until it succeeds or is edited.
func (s Schedule) stalls(status conditioned) bool {
	return status.failing(v1alpha1.ConditionStalled) != nil || s.failingFor(status) >= s.StallAfter
}

// failingFor is how long the object has been reconciling in its present generation.
func (s Schedule) failingFor(status conditioned) time.Duration {
	reconciling := status.failing(v1alpha1.ConditionReconciling)
	if reconciling == nil {
		return 0
	}
	return s.since(reconciling)
}

func (s Schedule) since(condition *metav1.Condition) time.Duration {
	return max(s.Now().Sub(condition.LastTransitionTime.Time), 0)
}

// failing is the condition Reconciling or Stalled of the object's present generation; nil when it has none.
func (c conditioned) failing(kind string) *metav1.Condition {
	condition := meta.FindStatusCondition(*c.conditions, kind)
	if condition == nil || condition.ObservedGeneration != c.generation {
		return nil
	}
	return condition
}

// withRhythm adds to a message how often the object is tried again, unless that depends on something else. It does not say when, since
// a message that changes with each try would be written each time.
func withRhythm(end outcome, longest time.Duration) string {
	if end.woken || end.wait > 0 {
		return end.message
	}
	return end.message + ". Tried again within " + inWords(longest)
}

// inWords names a length of time for people.
func inWords(length time.Duration) string {
	switch {
	case length == time.Minute:
		return "a minute"
	case length%time.Minute == 0:
		return fmt.Sprintf("%d minutes", length/time.Minute)
	default:
		return length.String()
	}
}

func readyStatus(end outcome) metav1.ConditionStatus {
	if end.ready == "" {
		return metav1.ConditionFalse
	}
	return end.ready
}

func (c conditioned) set(s Schedule, kind string, value metav1.ConditionStatus, reason, message string) {
	condition := metav1.Condition{
		Type:               kind,
		Status:             value,
		ObservedGeneration: c.generation,
		Reason:             reason,
		Message:            message,
		LastTransitionTime: metav1.Time{Time: s.Now().UTC().Truncate(time.Second)},
	}
	meta.SetStatusCondition(c.conditions, condition)
}

func (c conditioned) clear(kind string) {
	meta.RemoveStatusCondition(c.conditions, kind)
}
