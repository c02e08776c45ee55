package controller

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// expired reports whether a binding has expired, which it stays. An expiredTime that cannot be read counts, since it was recorded.
func expired(binding *v1alpha1.ClientBinding, now time.Time) bool {
	expires := binding.Spec.ExpiresAt
	return binding.Status.ExpiredTime != nil || len(binding.UnreadableFields.Under("status.expiredTime")) > 0 || expires != nil && !now.Before(expires.Time)
}

// noteExpiry notes which end of the access is declared, and since when. An earlier end than before is news; a later one is
// not, since it takes nothing away.
func noteExpiry(binding *v1alpha1.ClientBinding, now metav1.Time) {
	expires, status := binding.Spec.ExpiresAt, &binding.Status
	switch seen := status.ObservedExpiry; {
	case expires == nil:
		status.ObservedExpiry = nil
	case seen == nil, expires.Before(&seen.ExpiresAt):
		status.ObservedExpiry = &v1alpha1.ObservedExpiry{ExpiresAt: *expires}
		if status.Claim != nil {
			status.ObservedExpiry.DeclaredTime = &now
		}
	default:
		seen.ExpiresAt = *expires
	}
}

// brakes reports whether a member's revocation needs the brake's consent. A revocation that it let through before does not need it again.
// Nor does an expiry that was declared in time, also when the object is deleted.
func (r *run) brakes(m *member) bool {
	limit, claim := m.through.Spec.Revocations, m.was().Claim
	if limit == nil || claim.RevocationPermittedTime != nil {
		return false
	}
	return !expired(m.cached, r.now.Time) || r.hastened(m, limit.Per.Duration)
}

// hastened reports whether an edit brought the end of the access forward, to less than a notice after the operator saw the edit.
func (r *run) hastened(m *member, notice time.Duration) bool {
	seen := m.observedExpiry(r.now)
	return seen == nil || seen.DeclaredTime != nil && seen.ExpiresAt.Sub(seen.DeclaredTime.Time) < notice
}

// observedExpiry is the observed expiry of a member, updated by the present spec.
func (m *member) observedExpiry(now metav1.Time) *v1alpha1.ObservedExpiry {
	binding := &v1alpha1.ClientBinding{Spec: m.cached.Spec, Status: v1alpha1.ClientBindingStatus{Claim: m.was().Claim, ObservedExpiry: m.was().ObservedExpiry.DeepCopy()}}
	noteExpiry(binding, now)
	return binding.Status.ObservedExpiry
}

// ended tells when the access of an expired binding ended.
func ended(binding *v1alpha1.ClientBinding) string {
	at := binding.Status.ExpiredTime
	if expires := binding.Spec.ExpiresAt; expires != nil {
		at = expires
	}
	if at == nil {
		return "Expired"
	}
	return fmt.Sprintf("Expired at %s", at.UTC().Format(time.RFC3339))
}
