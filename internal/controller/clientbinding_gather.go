package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// member is one binding of the relation during a run, with the data that relation.Member does not have. Both have the same index.
type member struct {
	now metav1.Time
	// cached is the binding in the cache, which is not changed. binding is the copy that the run changes, and before is that copy as of
	// the last write; both are nil until something changes.
	cached, binding, before *v1alpha1.ClientBinding
	// name and through are the connection through which it acts; through is nil if that does not exist.
	name    types.NamespacedName
	through *v1alpha1.APIConnection
	session *connection.Session
	// denial says why the connection does not allow the declared access.
	denial string
	// user is the last answer of Get user in this run, and failure its error; refusal is the error of the last call that changes access.
	user             *delos.User
	failure, refusal error
	// shown is the access before the run's call.
	shown v1alpha1.Access
	// accepted: the platform accepted a call of it in this run.
	accepted bool
	// heldUntil is the time at which the brake lets it through; zero if only an approval helps.
	heldUntil time.Time
	news      []news
}

// is returns the binding with the changes of the run so far.
func (m *member) is() *v1alpha1.ClientBinding { return cmp.Or(m.binding, m.cached) }

// edit returns the binding to change.
func (m *member) edit() *v1alpha1.ClientBinding {
	if m.binding == nil {
		m.binding, m.before = m.cached.DeepCopy(), m.cached.DeepCopy()
		noteExpiry(m.binding, m.now)
	}
	return m.binding
}

// was returns the status with which the run began.
func (m *member) was() *v1alpha1.ClientBindingStatus { return &m.cached.Status }

// gather begins a run with the facts about a relation, from the cache.
func (r *ClientBindingReconciler) gather(ctx context.Context, key connection.Relation) (*run, error) {
	begun := &run{
		ClientBindingReconciler: r,
		key:                     key,
		now:                     metav1.Time{Time: r.Schedule.Now().UTC().Truncate(time.Second)},
		facts:                   relation.Facts{DryRun: r.DryRun},
		known:                   r.memory.of(key),
		turns:                   map[*connection.Session]*connection.Turn{},
	}
	same := &v1alpha1.ClientBindingList{}
	fields := client.MatchingFields{relationIndex: relationOf(key.UserUUID, key.CUID)}
	if err := r.Kube.List(ctx, same, fields, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("finding the ClientBindings of a relation: %w", err)
	}
	for i := range same.Items {
		host, err := r.hostOf(ctx, &same.Items[i])
		if err != nil {
			return nil, err
		}
		if host == key.Host {
			begun.members = append(begun.members, &member{now: begun.now, cached: &same.Items[i]})
		}
	}
	slices.SortFunc(begun.members, func(a, b *member) int { return compareAge(a.cached, b.cached) })
	calls := map[callID]knownCall{}
	for _, m := range begun.members {
		if r.Writes.lacks(m.cached) {
			begun.lagging = true
		}
		facts, err := begun.factsOf(ctx, m, calls)
		if err != nil {
			return nil, err
		}
		begun.facts.Members = append(begun.facts.Members, facts)
	}
	if !begun.lagging {
		// An older version of an object may lack calls that are on its record.
		begun.known.calls = calls
	}
	return begun, nil
}

// compareAge puts the older of two bindings first. The order is total, so that all processes agree on it.
func compareAge(a, b *v1alpha1.ClientBinding) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
	)
}

// hostOf is the host of the API at which a binding's relation is: that of its claim, else that to which its connection leads;
// empty while that is unknown.
func (r *ClientBindingReconciler) hostOf(ctx context.Context, binding *v1alpha1.ClientBinding) (string, error) {
	if claim := binding.Status.Claim; claim != nil && claim.Connection.Host != "" {
		return claim.Connection.Host, nil
	}
	found, err := r.find(ctx, r.Connections.Declared(binding))
	if err != nil || found == nil {
		return "", err
	}
	return connection.Host(found.Spec), nil
}

// factsOf returns the facts about a member, for relation.Decide.
func (r *run) factsOf(ctx context.Context, m *member, calls map[callID]knownCall) (relation.Member, error) {
	binding := m.cached
	status, claim, spec := &binding.Status, binding.Status.Claim, binding.Spec
	facts := relation.Member{
		Declares:  relation.Standard,
		Leaving:   !binding.DeletionTimestamp.IsZero(),
		Expired:   expired(binding, r.now.Time),
		Suspended: ptr.Deref(spec.Suspend, false),
		Orphan:    spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan,
		Finalizer: controllerutil.ContainsFinalizer(binding, v1alpha1.RevokeFinalizer),
		Claimed:   claim != nil,
		Contested: status.Contest != nil && status.Contest.Corrections >= mostCorrections && !r.asked(m),
	}
	if spec.IsOwner {
		facts.Declares = relation.Owner
	}
	facts.SpecUnreadable, facts.ClaimUnreadable = fieldsUnreadable(binding, facts.Leaving || facts.Expired)
	if ready := readyOf(binding); ready != nil && claim == nil {
		facts.SaidUnclaimed = ready.Reason == v1alpha1.ReasonUnclaimed
	}
	if since, waits := r.known.waits[binding.UID]; waits {
		facts.WaitedLong = r.Schedule.Now().Sub(since) >= r.Schedule.StallAfter
	}
	if claim != nil {
		facts.ClaimAccount, facts.Calls = claim.Account, r.callsOf(binding, calls)
	}
	if err := r.link(ctx, m, &facts); err != nil {
		return facts, err
	}
	facts.Rests, facts.DueIn = r.rests(m, facts)
	if m.through != nil && claim != nil && (facts.Leaving || facts.Expired) && r.brakes(m) {
		facts.Brake = relation.BrakeAsk
	}
	return facts, nil
}

// fieldsUnreadable reports whether fields do not decode that say what a binding declares, or what it answers for.
func fieldsUnreadable(binding *v1alpha1.ClientBinding, ending bool) (spec, claim bool) {
	paths := []string{"status.claim.origin", "status.claim.connection"}
	if binding.Status.Claim == nil {
		paths = []string{"status.claim"}
	} else if ending {
		paths = append(paths, "spec.userUUID", "spec.cuid")
	}
	return len(binding.UnreadableFields.Under("spec")) > 0, len(under(binding, paths...)) > 0
}

func under(binding *v1alpha1.ClientBinding, paths ...string) (fields v1alpha1.UnreadableFields) {
	for _, path := range paths {
		fields = append(fields, binding.UnreadableFields.Under(path)...)
	}
	return fields
}

// link finds the connection through which a member acts, and its state. spec.allowed does not matter for a revocation.
func (r *run) link(ctx context.Context, m *member, facts *relation.Member) error {
	ending := facts.Leaving || facts.Expired
	removing := ending && facts.Claimed
	if err := r.locate(ctx, m, facts, removing); err != nil {
		return err
	}
	facts.Through = r.indexOf(m)
	if !removing {
		if err := r.permit(ctx, m, facts); err != nil || facts.Link == relation.LinkDenied {
			return err
		}
	}
	r.useSession(m, facts)
	if facts.Link != relation.LinkReady || facts.Claimed || facts.Suspended || ending || r.DryRun {
		return nil
	}
	switch {
	case !m.through.DeletionTimestamp.IsZero():
		facts.Link = relation.LinkLeaving
	case !isProtected(r.Writes.latest(m.through)):
		facts.Link = relation.LinkUnprotected
	}
	return nil
}

// locate finds the connection of a member: the first that leads to the relation's API.
func (r *run) locate(ctx context.Context, m *member, facts *relation.Member, removing bool) error {
	candidates, claim := r.Connections.candidates(m.cached, removing), m.was().Claim
	m.name, facts.Link = candidates[0], relation.LinkMissing
	for _, name := range candidates {
		found, err := r.find(ctx, name)
		if err != nil {
			return err
		}
		if found == nil {
			continue
		}
		m.name, m.through, facts.Link = name, found, relation.LinkElsewhere
		if claim == nil || claim.Connection.Host == connection.Host(found.Spec) {
			facts.Link = relation.LinkReady
			return nil
		}
	}
	return nil
}

// permit notes whether the connection of a member allows the declared access. A connection in another namespace that does not exist
// looks like one that does not allow it.
func (r *run) permit(ctx context.Context, m *member, facts *relation.Member) (err error) {
	switch {
	case m.through != nil:
		m.denial, err = r.denialOf(ctx, m.cached, m.through)
	case m.name.Namespace != m.cached.Namespace:
		m.denial = r.unserved(m.cached, m.name)
	}
	if m.denial != "" {
		facts.Link = relation.LinkDenied
	}
	return err
}

// indexOf numbers the connections of the run, by the first member that uses each.
func (r *run) indexOf(m *member) int {
	for i, other := range r.members {
		if other == m || other.name == m.name && (other.through == nil) == (m.through == nil) {
			return i
		}
	}
	return len(r.members)
}

// useSession finds the session to work with.
func (r *run) useSession(m *member, facts *relation.Member) {
	if facts.Link != relation.LinkReady {
		return
	}
	m.session = r.Pool.Session(m.through)
	switch {
	case !r.Shard.selects(m.through):
		m.session, facts.Link = nil, relation.LinkNotReady
	case m.session != nil:
		facts.Account = m.session.Account()
	case !meta.IsStatusConditionFalse(m.through.Status.Conditions, v1alpha1.ConditionReady):
		facts.Link = relation.LinkStarting
	default:
		facts.Link = relation.LinkNotReady
	}
}

// rests reports whether a member is confirmed and not due, also across restarts, unless a person asks for a look. An expired
// binding whose access was seen gone rests for good.
func (r *run) rests(m *member, facts relation.Member) (rests bool, dueIn time.Duration) {
	status, at := m.was(), r.confirmedAt(m)
	if !confirmed(m.cached) || at.After(r.now.Time) || status.RunRequested(m.cached.Annotations) {
		return false, 0
	}
	expired := readyOf(m.cached).Reason == v1alpha1.ReasonExpired
	switch {
	case expired && status.Access == v1alpha1.AccessNone:
		return true, 0
	case r.known.unconfirmed:
		return false, 0
	}
	dueIn = due(r.key.UserUUID, *at, interval(m.through)).Sub(r.Schedule.Now())
	return dueIn > 0 && expired == facts.Expired && (expired || !r.confirmedLater(m)), dueIn
}

// confirmedLater reports whether another member has been the holder since a member was confirmed.
func (r *run) confirmedLater(m *member) bool {
	return slices.ContainsFunc(r.members, func(other *member) bool {
		at := r.confirmedAt(other)
		return other != m && other.was().Claim != nil && at != nil && !at.Before(r.confirmedAt(m))
	})
}

// confirmedAt is the time at which a member was last confirmed; nil if its status has no such time. The time in the status may be
// older: a confirmation that changes nothing else is not written each time.
func (r *run) confirmedAt(m *member) *metav1.Time {
	at := m.was().LastConfirmedTime
	if later, is := r.known.confirmed[m.cached.UID]; is && at.Before(&later) && at != nil {
		return &later
	}
	return at
}

// asked reports whether a person asks for another look: by an edit, or by the annotation.
func (r *run) asked(m *member) bool {
	ready := readyOf(m.cached)
	return ready == nil || ready.ObservedGeneration != m.cached.Generation || m.was().RunRequested(m.cached.Annotations)
}

func readyOf(binding *v1alpha1.ClientBinding) *metav1.Condition {
	return meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady)
}

// confirmed reports whether the declared state was read back for the present generation and nothing else has been found
// since.
func confirmed(binding *v1alpha1.ClientBinding) bool {
	ready := readyOf(binding)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == binding.Generation &&
		binding.Status.LastConfirmedTime != nil
}

func interval(through *v1alpha1.APIConnection) time.Duration {
	if through == nil {
		return connection.DefaultInterval
	}
	return connection.Interval(through.Spec)
}
