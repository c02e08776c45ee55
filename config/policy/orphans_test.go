package policy_test

import (
	"fmt"
	"testing"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

func noOrphan(b *v1alpha1.ClientBinding, kind string) string {
	access := map[string]string{"owner": "access as owner of", "standard": "standard access to"}[kind]
	return refusal(b, "orphans", fmt.Sprintf(
		"leaving %s client %s behind needs the verb orphan on clientbindings/%s named %[2]s in namespace %[4]s",
		access, b.Spec.CUID, kind, b.Namespace))
}

const orphan = `{"spec":{"deletionPolicy":"Orphan"}}`

func TestLeavingAccessBehindNeedsItsVerb(t *testing.T) {
	namespace := newNamespace(t)
	granter := newRequester(t, namespace, "granter",
		may("grant", "clientbindings/owner"), may("grant", "clientbindings/standard"), may("orphan", "clientbindings/standard", "C-1001"))

	// At creation.
	of := binding(namespace, "new-owner", "C-1001", true)
	of.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	check(t, granter.Create(t.Context(), of), noOrphan(of, "owner"))
	of = binding(namespace, "new-standard", "C-1001", false)
	of.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	check(t, granter.Create(t.Context(), of.DeepCopy()), "")
	// An orphaned object needs no verb again, unless its access increases.
	check(t, granter.edit(t, of, `{"metadata":{"labels":{"team":"a"}}}`), "")
	check(t, granter.edit(t, of, `{"spec":{"isOwner":true}}`), noOrphan(of, "owner"))

	// Later, at the latest before the deletion.
	for _, isOwner := range []bool{true, false} {
		kind := map[bool]string{true: "owner", false: "standard"}[isOwner]
		t.Run(kind, func(t *testing.T) {
			mine := binding(namespace, "mine-"+kind, "C-1001", isOwner)
			other := binding(namespace, "other-"+kind, "C-2002", isOwner)
			for _, of := range []*v1alpha1.ClientBinding{mine, other} {
				of.Finalizers = []string{v1alpha1.RevokeFinalizer}
				create(t, of)
				check(t, granter.Delete(t.Context(), of), "")
			}
			check(t, granter.edit(t, other, orphan), noOrphan(other, kind))
			want := ""
			if isOwner {
				want = noOrphan(mine, kind)
			}
			check(t, granter.edit(t, mine, orphan), want)
		})
	}
}

func TestOrphanerNeedsNoGrant(t *testing.T) {
	namespace := newNamespace(t)
	onCall := newRequester(t, namespace, "on-call")
	onCall.bind(t, namespace, "clientbinding-operator-orphaner")
	for name, isOwner := range map[string]bool{"owner": true, "standard": false} {
		of := binding(namespace, name, "C-1001", isOwner)
		create(t, of)
		check(t, onCall.edit(t, of, orphan), "")
	}
}

// TestDemotionIsNoWayToLeaveOwnersBehind: a person who may leave standard access behind demotes an owner, and does not wait until the
// platform shows the demotion.
func TestDemotionIsNoWayToLeaveOwnersBehind(t *testing.T) {
	namespace := newNamespace(t)
	other := newRequester(t, namespace, "other", may("orphan", "clientbindings/standard"))
	of := binding(namespace, "trial", "C-1001", true)
	create(t, of)

	check(t, other.edit(t, of, `{"spec":{"isOwner":false,"deletionPolicy":"Orphan"}}`), noOrphan(of, "owner")+stillOwner)
	check(t, other.edit(t, of, `{"spec":{"isOwner":false}}`), "")
	for _, status := range unconfirmed() {
		report(t, of, status)
		check(t, other.edit(t, of, orphan), noOrphan(of, "owner")+stillOwner)
	}
	report(t, of, confirmed())
	check(t, other.edit(t, of, orphan), "")
}
