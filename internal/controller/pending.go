package controller

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// PendingRevocations lists the access that is to end and was not yet seen gone, for the metrics, of what the shard serves. It reads the
// manager's cache; as long as that cannot be read there is nothing to tell.
func PendingRevocations(ctx context.Context, kube client.Reader, shard *Shard, now time.Time) []metrics.Revocation {
	bindings := &v1alpha1.ClientBindingList{}
	if err := kube.List(ctx, bindings, client.UnsafeDisableDeepCopy); err != nil {
		return nil
	}
	var pending []metrics.Revocation
	for i := range bindings.Items {
		binding := &bindings.Items[i]
		claim := binding.Status.Claim
		if claim == nil || binding.DeletionTimestamp.IsZero() && !expired(binding, now) {
			continue
		}
		if !shard.serves(claim.Connection.Host) {
			continue
		}
		revocation := metrics.Revocation{
			Connection: claim.Connection.Namespace + "/" + claim.Connection.Name,
			Reason:     v1alpha1.ReasonRevoking,
			Since:      endOf(binding),
		}
		if ready := meta.FindStatusCondition(binding.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			switch ready.Reason {
			case v1alpha1.ReasonRevocationBlocked, v1alpha1.ReasonRevocationHeld:
				revocation.Reason = ready.Reason
			}
		}
		pending = append(pending, revocation)
	}
	return pending
}

// endOf is when the access of a binding that is deleted or expired was to end: the earlier of the two.
func endOf(binding *v1alpha1.ClientBinding) time.Time {
	var end time.Time
	for _, at := range []time.Time{
		timeOf(binding.DeletionTimestamp), timeOf(binding.Spec.ExpiresAt), timeOf(binding.Status.ExpiredTime),
	} {
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

func timeOf(at *metav1.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.Time
}
