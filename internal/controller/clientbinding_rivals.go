package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
)

// Several bindings may declare the same relation: the same user and client of the same API, from whatever
// namespaces and through whatever connections. Only one of them may hold it, or each would undo the other, and
// the deletion of one would take the access from under the other. The oldest holds it.

// contend ends the run of a binding whose relation is held by an older one.
func (r *run) contend(ctx context.Context) error {
	rivals, err := r.rivals(ctx)
	if err != nil {
		return err
	}
	for i := range rivals {
		rival := &rivals[i]
		if !older(rival, r.binding) {
			return nil
		}
		holds, err := r.holds(ctx, rival)
		if err != nil {
			return err
		}
		if holds {
			return r.conclude(outcome{reason: v1alpha1.ReasonConflict, stalled: true, woken: true, message: fmt.Sprintf(
				"The relation of user %q and client %q is held by %s, which is older: delete one of the two",
				r.binding.Spec.UserUUID, r.binding.Spec.CUID, r.named(rival))})
		}
	}
	return nil
}

// holds reports whether an older binding keeps a younger one from the relation: it answers for it, or could do so now.
// One that never did, and whose connection does not work, is no more than a claim on what belongs to others: anybody
// who may make connections could raise it.
func (r *run) holds(ctx context.Context, rival *v1alpha1.ClientBinding) (bool, error) {
	if rival.Status.Claim != nil {
		return true, nil
	}
	through, err := r.find(ctx, r.Connections.Declared(rival))
	return through != nil && meta.IsStatusConditionTrue(through.Status.Conditions, v1alpha1.ConditionReady), err
}

// handOver lets a deleted binding go whose relation another one goes on to hold, once Get user has shown it as
// that one declares it. So there is neither a gap nor access that nobody declares. But access that is to end does not
// wait for one that cannot take over.
func (r *run) handOver(ctx context.Context) error {
	rivals, err := r.rivals(ctx)
	if err != nil || len(rivals) == 0 {
		r.noHeir = err == nil
		return err
	}
	heir := &rivals[0]
	if settled := r.settledBy(); r.inherited(heir) && r.now.Time.Before(settled) {
		return r.conclude(outcome{reason: v1alpha1.ReasonRevoking, wait: settled.Sub(r.now.Time), message: fmt.Sprintf(
			"Handed the relation over to %s, but a grant whose answer was not seen may still arrive", r.named(heir))})
	}
	if r.inherited(heir) {
		return r.letGo(ctx, "HandedOver", fmt.Sprintf("Nothing was revoked: the relation of user %q and client %q is held by %s",
			r.binding.Spec.UserUUID, r.binding.Spec.CUID, r.named(heir)))
	}
	hopeless, err := r.hopeless(ctx, heir)
	if err != nil || hopeless {
		return err
	}
	return r.conclude(outcome{reason: v1alpha1.ReasonRevoking, message: fmt.Sprintf(
		"Hands the relation over to %s, which declares it, too, and is not ready yet", r.named(heir))})
}

// hopeless reports whether an heir is not worth waiting for: its connection says that it cannot be used, or the
// wait counts as stalled. Then the relation is revoked, and the heir makes it anew when it can.
func (r *run) hopeless(ctx context.Context, heir *v1alpha1.ClientBinding) (bool, error) {
	through, err := r.find(ctx, r.Connections.Declared(heir))
	if err != nil {
		return false, err
	}
	status := &r.binding.Status
	return through == nil || meta.IsStatusConditionFalse(through.Status.Conditions, v1alpha1.ConditionReady) ||
		r.Schedule.stalls(conditioned{&status.Conditions, &status.ObservedGeneration, r.binding.Generation}), nil
}

// inherited reports whether an heir has read back the relation as it declares it, after all that this binding
// did to it.
func (r *run) inherited(heir *v1alpha1.ClientBinding) bool {
	ready := meta.FindStatusCondition(heir.Status.Conditions, v1alpha1.ConditionReady)
	seen, claim := heir.Status.LastConfirmedTime, r.binding.Status.Claim
	bound := heldBy(heir) && seen != nil &&
		ready != nil && ready.Reason == v1alpha1.ReasonBound && ready.ObservedGeneration == heir.Generation
	return bound &&
		(claim.LastWriteTime == nil || !seen.Before(claim.LastWriteTime)) &&
		(claim.RevocationAcceptedTime == nil || claim.RevocationAcceptedTime.Before(seen))
}

// disturbed reports whether another binding may have changed the relation since it was last confirmed, or may
// still do so: one that wrote since, or that is leaving.
func (r *run) disturbed(ctx context.Context) (bool, error) {
	same, err := r.sameRelation(ctx)
	if err != nil {
		return false, err
	}
	host := connection.Host(r.connection.Spec)
	return slices.ContainsFunc(same, func(other v1alpha1.ClientBinding) bool {
		claim := other.Status.Claim
		if claim == nil || claim.Connection.Host != host {
			return false
		}
		wrote := claim.LastWriteTime != nil && !claim.LastWriteTime.Before(r.was.LastConfirmedTime)
		return wrote || !other.DeletionTimestamp.IsZero() || expired(&other, r.now.Time)
	}), nil
}

// changedBeside reports whether what Get user shows may be what was before another binding changed it, a moment ago and
// after this one last did.
func (r *run) changedBeside(ctx context.Context) (bool, error) {
	same, err := r.sameRelation(ctx)
	if err != nil {
		return false, err
	}
	host, own := connection.Host(r.connection.Spec), r.binding.Status.Claim
	return slices.ContainsFunc(same, func(other v1alpha1.ClientBinding) bool {
		claim := other.Status.Claim
		if claim == nil || claim.Connection.Host != host {
			return false
		}
		for _, at := range []*metav1.Time{claim.RevocationAcceptedTime, unconfirmedWrite(&other)} {
			later := own == nil || own.LastWriteTime == nil || own.LastWriteTime.Before(at)
			if at != nil && r.recent(at) && later {
				return true
			}
		}
		return false
	}), nil
}

// sameRelation are the other bindings of the same user and client, of whatever API.
func (r *run) sameRelation(ctx context.Context) ([]v1alpha1.ClientBinding, error) {
	same := &v1alpha1.ClientBindingList{}
	fields := client.MatchingFields{userField: r.binding.Spec.UserUUID, cuidField: r.binding.Spec.CUID}
	if err := r.Kube.List(ctx, same, fields); err != nil {
		return nil, fmt.Errorf("finding ClientBindings of the same relation: %w", err)
	}
	return slices.DeleteFunc(same.Items, func(other v1alpha1.ClientBinding) bool { return other.UID == r.binding.UID }), nil
}

// rivals are the other bindings that hold the binding's relation or would inherit it, the first in line first.
func (r *run) rivals(ctx context.Context) ([]v1alpha1.ClientBinding, error) {
	same, err := r.sameRelation(ctx)
	if err != nil {
		return nil, err
	}
	var rivals []v1alpha1.ClientBinding
	for i := range same {
		eligible, err := r.eligible(ctx, &same[i])
		if err != nil {
			return nil, err
		}
		if eligible {
			rivals = append(rivals, same[i])
		}
	}
	slices.SortFunc(rivals, func(a, b v1alpha1.ClientBinding) int {
		if older(&a, &b) {
			return -1
		}
		return 1
	})
	return rivals, nil
}

// eligible reports whether another binding of the same user and client may hold the relation: it is neither
// being deleted nor expired, its spec can be read, its connection leads to the same API and allows it, and it was not suspended ever since it was made.
func (r *run) eligible(ctx context.Context, other *v1alpha1.ClientBinding) (bool, error) {
	neverEnforced := ptr.Deref(other.Spec.Suspend, false) && other.Status.Claim == nil
	unreadable := len(other.UnreadableFields.Under("spec")) > 0
	if !other.DeletionTimestamp.IsZero() || expired(other, r.now.Time) || neverEnforced || unreadable {
		return false, nil
	}
	through, err := r.find(ctx, r.Connections.Declared(other))
	if err != nil || through == nil {
		return false, err
	}
	host, claim := connection.Host(r.connection.Spec), other.Status.Claim
	if connection.Host(through.Spec) != host || claim != nil && claim.Connection.Host != host {
		return false, nil
	}
	denial, err := judge(ctx, r.Kube, other, through)
	return denial == "", err
}

// older reports whether one binding comes before another. All that look at the same bindings agree on it.
func older(a, b *v1alpha1.ClientBinding) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return strings.Compare(client.ObjectKeyFromObject(a).String(), client.ObjectKeyFromObject(b).String()) < 0
}

// named names another binding to those who read this one. What is in other namespaces is not for them to know.
func (r *run) named(other *v1alpha1.ClientBinding) string {
	if other.Namespace != r.binding.Namespace {
		return "a ClientBinding in another namespace"
	}
	return fmt.Sprintf("ClientBinding %q", other.Name)
}

// heldBy reports whether the deletion of a binding is sure to revoke.
func heldBy(binding *v1alpha1.ClientBinding) bool {
	return binding.Status.Claim != nil && controllerutil.ContainsFinalizer(binding, v1alpha1.RevokeFinalizer)
}
