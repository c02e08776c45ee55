package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// report writes the outcomes of a run: first the status of the member that is Bound, then the other statuses, and last it lets members
// go. A failed write stops neither the others nor the queue; but nothing is handed over to a member whose status could not be written.
func (r *run) report(ctx context.Context, outcomes []relation.Outcome) (ctrl.Result, error) {
	next := nextLook{}
	if !slices.ContainsFunc(outcomes, func(o relation.Outcome) bool { return o.Why == relation.ConnectionUnprotected }) {
		r.known.unprotected = time.Time{}
	}
	unwritten := map[int]bool{}
	order := [3][]int{}
	for i, outcome := range outcomes {
		switch outcome.State {
		case relation.Gone:
			order[2] = append(order[2], i)
		case relation.Bound:
			order[0] = append(order[0], i)
		default:
			order[1] = append(order[1], i)
		}
	}
	for _, indexes := range order {
		for _, i := range indexes {
			outcome := outcomes[i]
			if outcome.Why == relation.NoReason {
				next.at(r.next(i, outcome.Look))
				continue
			}
			if unwritten[outcome.Other] {
				next.at(conflictRetry, priorityOf(r.members[i].is(), r.now.Time))
				continue
			}
			wait, err := r.reportMember(ctx, i, outcome)
			if err != nil {
				unwritten[i] = true
				result, err := retryConflict(err)
				if err != nil {
					ctrl.LoggerFrom(ctx).Error(err, "a ClientBinding could not be written", "binding", client.ObjectKeyFromObject(r.members[i].cached).String())
					result.RequeueAfter = firstRetry
				}
				if result.RequeueAfter > 0 {
					next.at(result.RequeueAfter, priorityOf(r.members[i].is(), r.now.Time))
				}
				continue
			}
			next.at(r.next(i, wait))
		}
	}
	if atRest(outcomes) && len(unwritten) == 0 {
		r.known.unconfirmed = false
		if !slices.ContainsFunc(r.members, (*member).recordsCalls) {
			clear(r.known.calls)
		}
	}
	return next.result(), nil
}

// recordsCalls reports whether a member has calls on record.
func (m *member) recordsCalls() bool {
	claim := m.is().Status.Claim
	return claim != nil && len(claim.InFlight) > 0 || len(m.cached.UnreadableFields.Under("status.claim")) > 0
}

// atRest reports whether the relation was seen in its final state after all calls: as the holder declares, or gone with nothing left to do.
func atRest(outcomes []relation.Outcome) bool {
	has := func(fits func(relation.Outcome) bool) bool { return slices.ContainsFunc(outcomes, fits) }
	return has(func(o relation.Outcome) bool { return o.Why == relation.AsDeclared }) ||
		has(func(o relation.Outcome) bool { return o.Why == relation.Revoked }) &&
			!has(func(o relation.Outcome) bool { return o.State != relation.Gone && o.State != relation.Bound })
}

// nextLook is the wait until the next look at the relation, and its priority.
type nextLook struct {
	wait     time.Duration
	priority int
}

func (l *nextLook) at(wait time.Duration, priority int) {
	if wait > 0 && (l.wait == 0 || wait < l.wait) {
		l.wait, l.priority = wait, priority
	}
}

func (l *nextLook) result() ctrl.Result {
	return ctrl.Result{RequeueAfter: l.wait, Priority: &l.priority}
}

// next returns the wait until the next look at a member, and its priority: the member's own wait, or the time until it expires.
func (r *run) next(i int, wait time.Duration) (time.Duration, int) {
	binding := r.members[i].is()
	priority := priorityOf(binding, r.now.Time)
	if expires := binding.Spec.ExpiresAt; expires != nil && !r.facts.Members[i].Expired && binding.DeletionTimestamp.IsZero() {
		left := max(expires.Sub(r.Schedule.Now()), soonest)
		if wait == 0 || left <= wait {
			return left, priorityRevoke
		}
	}
	return wait, priority
}

// reportMember writes the outcome of one member, and returns the wait until the next look.
func (r *run) reportMember(ctx context.Context, i int, outcome relation.Outcome) (time.Duration, error) {
	m, facts := r.members[i], &r.facts.Members[i]
	r.noteWait(i, outcome)
	if outcome.State == relation.Gone && facts.Leaving {
		return 0, r.letGo(ctx, i, outcome)
	}
	end := r.outcomeOf(i, outcome)
	if end.silent {
		return end.wait, nil
	}
	if m.saysAlready(end) && !m.was().RunRequested(m.cached.Annotations) {
		return 0, nil
	}
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithValues("binding", client.ObjectKeyFromObject(m.cached).String()))
	end.log(ctx)
	status := &m.edit().Status
	r.noteFacts(i, outcome)
	if outcome.State == relation.Gone {
		if (facts.Claimed || facts.Finalizer) && !r.DryRun {
			if err := r.patchFinalizer(ctx, m, controllerutil.RemoveFinalizer); err != nil {
				return 0, err
			}
			status = &m.binding.Status
		}
		if facts.Claimed {
			status.Claim = nil
			m.note(corev1.EventTypeNormal, string(eventOf(outcome.Why)), "Revoke", "%s", r.proof(i, outcome))
		}
	}
	if end.ready == metav1.ConditionTrue {
		status.LastConfirmedTime = &r.now
	}
	wait := r.conclude(i, &end)
	status.Acknowledge(m.binding.Annotations)
	if r.onlyConfirmedAgain(m) {
		r.known.confirmed[m.cached.UID] = r.now
		return wait, nil
	}
	if err := r.patchStatus(ctx, m); err != nil {
		return 0, err
	}
	delete(r.known.confirmed, m.cached.UID)
	logChange(ctx, m.was().Conditions, m.binding.Status.Conditions)
	r.tell(m, end.message)
	return wait, nil
}

// onlyConfirmedAgain reports whether a status need not be written: only the time of the confirmation is new in it, and the written time will
// not be older than two intervals and a tenth at the next look. A handover, and the confirmation of a call of this process, need the write:
// it fails if the member is no longer as the cache has it.
func (r *run) onlyConfirmedAgain(m *member) bool {
	reliedOn := r.known.unconfirmed || slices.ContainsFunc(r.facts.Members, func(other relation.Member) bool {
		return other.Claimed && (other.Leaving || other.Expired)
	})
	was, is := m.before.Status.LastConfirmedTime, m.binding.Status.LastConfirmedTime
	if reliedOn || was == nil || !was.Before(is) || is.Sub(was.Time) > interval(m.through)*11/10 {
		return false
	}
	same := m.binding.Status
	same.LastConfirmedTime = was
	return equality.Semantic.DeepEqual(m.before.Status, same)
}

// noteWait remembers since when a member waits for the holder to take its relation over, or, without a claim, for a read. A wait for a
// turn changes nothing.
func (r *run) noteWait(i int, outcome relation.Outcome) {
	uid, waits, claimed := r.members[i].cached.UID, r.known.waits, r.facts.Members[i].Claimed
	switch {
	case outcome.Why == relation.HandingOver, !claimed && outcome.Unread():
		if waits[uid].IsZero() {
			waits[uid] = r.Schedule.Now()
		}
	case outcome.State == relation.Gone, !claimed && outcome.Why != relation.NoTurnYet && outcome.Why != relation.ConnectionStarting:
		delete(waits, uid)
	}
}

// conclude sets the conditions of a member, unless it keeps its Ready, and returns the wait until the next look.
func (r *run) conclude(i int, end *outcome) time.Duration {
	m, facts := r.members[i], &r.facts.Members[i]
	removing := facts.Claimed && (facts.Leaving || facts.Expired)
	if removing && end.ready != metav1.ConditionTrue {
		*end = blocked(*end)
		if end.woken && end.wait == 0 {
			// A revocation is retried, even if an event should wake it.
			end.wait = r.Schedule.Jitter(lastRetry)
		}
	}
	end.accepted = m.accepted
	if r.keepsReady(i, end) {
		return end.wait
	}
	wait := r.Schedule.conclude(conditionedOf(m.binding), *end, interval(m.through))
	if wait == 0 && !end.final {
		wait = max(r.untilDue(m), soonest)
	}
	if end.ready == metav1.ConditionTrue && end.wait > 0 {
		wait = min(wait, end.wait)
	}
	return wait
}

// conditionedOf is the part of a binding's status that an outcome decides.
func conditionedOf(binding *v1alpha1.ClientBinding) conditioned {
	return conditioned{&binding.Status.Conditions, &binding.Status.ObservedGeneration, binding.Generation}
}

// noteFacts puts the reading of a member, and the operator's memory of it, into its status.
func (r *run) noteFacts(i int, outcome relation.Outcome) {
	m, facts := r.members[i], &r.facts.Members[i]
	status := &m.binding.Status
	if facts.Expired && status.ExpiredTime == nil && facts.Brake == relation.BrakeNone && !r.DryRun {
		status.ExpiredTime = &r.now
	}
	if r.contestOver(m) && equality.Semantic.DeepEqual(status.Contest, m.was().Contest) {
		status.Contest = nil
	}
	r.noteReading(i)
	if status.Claim == nil || !facts.Claimed || r.DryRun {
		return
	}
	status.Claim.Account = facts.ClaimAccount
	r.noteCalls(m, outcome.Calls)
	if facts.Reading.State == relation.Shown && m.through != nil && isProtected(r.Writes.latest(m.through)) && !facts.Leaving && !facts.Expired {
		// The connection may be another one of the same API. It has shown the user, and is the one to revoke through from now on.
		status.Claim.Connection.Namespace, status.Claim.Connection.Name = m.name.Namespace, m.name.Name
	}
}

// noteReading puts the reading of a member into its status.
func (r *run) noteReading(i int) {
	m, facts := r.members[i], &r.facts.Members[i]
	status := &m.binding.Status
	switch facts.Reading.State {
	case relation.Shown:
		status.User, status.Access = userOf(m.user), shownAccess(m.user, r.key.CUID)
	case relation.NoUser:
		status.User, status.Access = nil, ""
		if facts.Reading.Named && (!facts.Claimed || facts.ClaimAccount == facts.Account) {
			status.Access = v1alpha1.AccessNone
		}
	}
}

func userOf(user *delos.User) *v1alpha1.User {
	if user.Username == "" && user.Status == "" {
		return nil
	}
	return &v1alpha1.User{Username: cut(user.Username, 256), Status: cut(user.Status, 64)}
}

// shownAccess is the access that Get user showed; empty when that is unknown.
func shownAccess(user *delos.User, cuid string) v1alpha1.Access {
	isOwner, related, err := user.Relation(cuid)
	switch {
	case err != nil:
		return ""
	case user.Deleted:
		return v1alpha1.AccessNone
	case related && isOwner:
		return v1alpha1.AccessOwner
	case related:
		return v1alpha1.AccessStandard
	case user.Foreign:
		return ""
	default:
		return v1alpha1.AccessNone
	}
}

func gives(access v1alpha1.Access) bool {
	return access == v1alpha1.AccessOwner || access == v1alpha1.AccessStandard
}

func cut(text string, length int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), length)])
}

// saysAlready reports whether an outcome changes nothing in a member's status. It spares work: many members of one relation wait for the
// same holder.
func (m *member) saysAlready(end outcome) bool {
	if m.binding != nil || !end.woken || !end.stalled {
		return false
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionStalled} {
		condition := meta.FindStatusCondition(m.was().Conditions, kind)
		if condition == nil || condition.Reason != end.reason || condition.Message != end.message || condition.ObservedGeneration != m.cached.Generation {
			return false
		}
	}
	return true
}

// keepsReady reports whether a member keeps its Ready although it could not be read: it was confirmed in this generation, not too long
// ago, nothing else was read since, and no call makes another access. The outcome then gets the wait until the next try.
func (r *run) keepsReady(i int, end *outcome) bool {
	m, facts := r.members[i], &r.facts.Members[i]
	unverified := r.unverified(m)
	if !end.unread || facts.Reading.State == relation.Shown || r.doubtful(i) || facts.Leaving || facts.Expired || m.was().LastConfirmedTime == nil ||
		m.binding.Status.LastConfirmedTime == nil || !confirmed(m.cached) && !unverified {
		return false
	}
	confirmedAt := r.confirmedAt(m)
	if unverified || r.overdue(m) {
		*end = outcome{
			ready:   metav1.ConditionUnknown,
			reason:  v1alpha1.ReasonUnverified,
			message: fmt.Sprintf("Last confirmed at %s. %s", confirmedAt.UTC().Format(time.RFC3339), end.message),
			wait:    end.wait,
			woken:   end.woken,
		}
		return false
	}
	if end.wait == 0 {
		late := r.now.Sub(confirmedAt.Add(interval(m.through)))
		until := confirmedAt.Add(unverifiedAfter * interval(m.through))
		end.wait = min(max(r.Schedule.retry(late), -late), until.Sub(r.now.Time)+time.Second)
	}
	return true
}

// doubtful reports whether a member's confirmation may be outdated: by a call on record, by a call that this process has sent and not
// confirmed, or since another member has been the holder.
func (r *run) doubtful(i int) bool {
	return r.facts.Doubtful(i) || r.known.unconfirmed || r.confirmedLater(r.members[i])
}

// unverified reports whether the declared state was read back for this generation, but too long ago.
func (r *run) unverified(m *member) bool {
	ready := readyOf(m.cached)
	return ready != nil && ready.Reason == v1alpha1.ReasonUnverified && ready.ObservedGeneration == m.cached.Generation
}

// overdue reports whether a member's confirmation is too old for Ready to stay True.
func (r *run) overdue(m *member) bool {
	at := r.confirmedAt(m)
	return at != nil && !r.now.Time.Before(at.Add(unverifiedAfter*interval(m.through)))
}

// untilDue is the time until a member is due for a look.
func (r *run) untilDue(m *member) time.Duration {
	at := m.binding.Status.LastConfirmedTime
	if at == nil || !meta.IsStatusConditionTrue(m.binding.Status.Conditions, v1alpha1.ConditionReady) {
		return r.Schedule.Jitter(interval(m.through))
	}
	return due(r.key.UserUUID, *at, interval(m.through)).Sub(r.Schedule.Now())
}

// letGo takes the finalizer off a deleted member, and records an event that says why. If another finalizer keeps the object, its status
// says before why the operator no longer looks at it.
func (r *run) letGo(ctx context.Context, i int, outcome relation.Outcome) error {
	m := r.members[i]
	note := r.proof(i, outcome)
	kind := corev1.EventTypeNormal
	switch outcome.Why {
	case relation.Orphaned, relation.GivenUp:
		kind = corev1.EventTypeWarning
	}
	m.note(kind, string(eventOf(outcome.Why)), "Revoke", "%s", note)
	if len(m.edit().Finalizers) > 1 {
		end := lettingGo
		end.message = note + ". Another finalizer keeps the object"
		r.noteFacts(i, outcome)
		r.Schedule.conclude(conditionedOf(m.binding), end, interval(m.through))
		if err := r.patchStatus(ctx, m); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	switch outcome.Why {
	case relation.Orphaned:
		r.writeAudit(ctx, m, auditRecord{action: auditOrphan, outcome: auditLeft, before: m.was().Access, after: m.was().Access})
	case relation.GivenUp:
		r.writeAudit(ctx, m, auditRecord{action: auditRelease, outcome: auditLeft})
	}
	if err := r.patchFinalizer(ctx, m, controllerutil.RemoveFinalizer); err != nil {
		// It may have been let go before, with an event of its own.
		return client.IgnoreNotFound(err)
	}
	ctrl.LoggerFrom(ctx).Info("let go", "binding", client.ObjectKeyFromObject(m.cached).String(), "reason", string(eventOf(outcome.Why)), "message", note)
	r.Writes.forget(m.cached.UID)
	if outcome.Why == relation.GivenUp {
		of := metrics.Unknown
		if m.through != nil {
			of = m.name.String()
		}
		r.Metrics.Connection(of).ReleasedUnread()
	}
	r.tell(m, "")
	return nil
}

// news is an event that is recorded once the status is written.
type news struct {
	kind, reason, action, note string
}

func (m *member) note(kind, reason, action, format string, args ...any) {
	m.news = append(m.news, news{kind, reason, action, fmt.Sprintf(format, args...)})
}

// tell records the events of a member. If it has none, a change of the reason of Ready is one.
func (r *run) tell(m *member, message string) {
	for _, n := range m.news {
		r.Events.Eventf(m.binding, nil, n.kind, n.reason, n.action, "%s", n.note)
	}
	if len(m.news) == 0 {
		announce(r.Events, m.binding, m.was().Conditions, m.binding.Status.Conditions, message)
	}
	m.news = nil
}

// announce records an event when the reason or the status of Ready changed. The first reason of an object makes an event only if it is a
// warning, since an event is one more write for each object that is created.
func announce(recorder events.EventRecorder, object client.Object, was, is []metav1.Condition, message string) {
	former, ready := meta.FindStatusCondition(was, v1alpha1.ConditionReady), meta.FindStatusCondition(is, v1alpha1.ConditionReady)
	if ready == nil || former != nil && former.Reason == ready.Reason && former.Status == ready.Status {
		return
	}
	kind := corev1.EventTypeWarning
	switch ready.Reason {
	case v1alpha1.ReasonConnectionNotReady:
		// A binding that is created together with its connection waits for it for a moment, which is normal.
		if former == nil {
			return
		}
	case v1alpha1.ReasonConfirming, v1alpha1.ReasonRevoking, v1alpha1.ReasonSuspended, v1alpha1.ReasonDryRun:
		kind = corev1.EventTypeNormal
	}
	if ready.Status == metav1.ConditionTrue {
		kind = corev1.EventTypeNormal
	}
	if former == nil && kind == corev1.EventTypeNormal {
		return
	}
	recorder.Eventf(object, nil, kind, ready.Reason, "Reconcile", "%s", message)
}
