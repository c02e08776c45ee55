package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Somebody else may want another relation than the one that is declared here: a second cluster, a script, a person.
// Two that correct each other for ever change somebody's access back and forth, so the operator stops.
const (
	// mostCorrections is how many corrections within a period are a contest.
	mostCorrections = 5
	// contestIntervals and shortestContest are the length of that period: so many intervals, and at least as long.
	contestIntervals = 10
	shortestContest  = time.Hour
)

// yield ends the run of a binding whose relation somebody else keeps changing, until a person edits it or asks for
// a run.
func (r *run) yield(context.Context) error {
	status := &r.binding.Status
	contest := status.Contest
	if contest == nil {
		return nil
	}
	asked := r.edited() || r.was.RunRequested(r.binding.Annotations)
	contested := contest.Corrections >= mostCorrections
	if asked || !contested && r.now.Sub(contest.Since.Time) > r.contestPeriod() {
		status.Contest = nil
		return nil
	}
	if !contested || r.asDeclared() || r.suspended() {
		return nil
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonContested, stalled: true, message: fmt.Sprintf(
		"%s, and so somebody else made it again and again: it was corrected %d times and is not corrected any more. Find out who changes it, then have this ClientBinding looked at with the annotation %s, or edit it",
		r.shown(), contest.Corrections, v1alpha1.RequestedAtAnnotation)})
}

// noteCorrection counts a correction.
func (r *run) noteCorrection() {
	status := &r.binding.Status
	if status.Contest == nil {
		status.Contest = &v1alpha1.Contest{Since: r.now}
	}
	status.Contest.Corrections++
}

func (r *run) contestPeriod() time.Duration {
	return max(contestIntervals*r.interval(), shortestContest)
}

// edited reports whether the spec is another one than the one that the status is about.
func (r *run) edited() bool {
	ready := meta.FindStatusCondition(r.was.Conditions, v1alpha1.ConditionReady)
	return ready == nil || ready.ObservedGeneration != r.binding.Generation
}
