package controller

import (
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

// conclude turns an outcome into conditions and returns when to look again; 0 leaves that to the
// caller. It is the only place that sets a condition of how the object does.
func (s Schedule) conclude(status conditioned, end outcome, interval time.Duration) time.Duration {
	switch {
	case end.settled || end.ready == metav1.ConditionTrue:
		status.set(s, v1alpha1.ConditionReady, readyStatus(end), end.reason, end.message)
		status.clear(v1alpha1.ConditionReconciling)
		status.clear(v1alpha1.ConditionStalled)
		*status.observedGeneration = status.generation
		return 0
	case end.stalled || s.stalls(status):
		wait := end.wait
		if wait == 0 {
			wait = s.Jitter(min(stalledRetry, interval))
		}
		message := s.withNextTry(end, wait)
		status.clear(v1alpha1.ConditionReconciling)
		status.set(s, v1alpha1.ConditionReady, readyStatus(end), end.reason, message)
		status.set(s, v1alpha1.ConditionStalled, metav1.ConditionTrue, end.reason, message)
		*status.observedGeneration = status.generation
		return wait
	default:
		failingFor := s.failingFor(status)
		wait := end.wait
		switch {
		case wait == 0 && end.woken:
			wait = s.Jitter(s.StallAfter - failingFor)
		case wait == 0:
			wait = s.retry(failingFor)
		}
		// Whoever stalled before and was edited starts anew.
		status.clear(v1alpha1.ConditionStalled)
		if failingFor == 0 {
			status.clear(v1alpha1.ConditionReconciling)
		}
		message := s.withNextTry(end, wait)
		status.set(s, v1alpha1.ConditionReady, readyStatus(end), end.reason, message)
		status.set(s, v1alpha1.ConditionReconciling, metav1.ConditionTrue, end.reason, message)
		return wait
	}
}

// stalls reports whether the object fails for so long, in the same generation, that it counts as
// stalled. One that stalled stays so until it succeeds or is edited.
func (s Schedule) stalls(status conditioned) bool {
	stalled := meta.FindStatusCondition(*status.conditions, v1alpha1.ConditionStalled)
	if stalled != nil && stalled.ObservedGeneration == status.generation {
		return true
	}
	return s.failingFor(status) >= s.StallAfter
}

// failingFor is how long the object has been reconciling in its present generation.
func (s Schedule) failingFor(status conditioned) time.Duration {
	reconciling := meta.FindStatusCondition(*status.conditions, v1alpha1.ConditionReconciling)
	if reconciling == nil || reconciling.ObservedGeneration != status.generation {
		return 0
	}
	return max(s.Now().Sub(reconciling.LastTransitionTime.Time), 0)
}

// withNextTry adds to a message when the next try comes, unless that depends on something else.
func (s Schedule) withNextTry(end outcome, wait time.Duration) string {
	if end.woken {
		return end.message
	}
	at := s.Now().Add(wait).UTC().Truncate(time.Second)
	return fmt.Sprintf("%s. Next try at %s", end.message, at.Format(time.RFC3339))
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
