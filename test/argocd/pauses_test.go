//go:build argocd

package argocd

import (
	"fmt"
	"testing"
	"time"
)

// Bindings that grant nothing on purpose: suspended and expired ones.
func TestPauses(t *testing.T) {
	t.Parallel()
	n := newTeam(t, "team-pauses")
	n.git.write(t, n.files(t, wrongFile))
	n.writeLate(t)
	n.deliverFirst(t)
	step(t, "suspend by a commit: Suspended, and a drift stays", func(t *testing.T) {
		n.edit(t, lateFile, "isOwner: false", "isOwner: false\n  suspend: true")
		n.deliver(t, "Suspended", "Hold john's access as it is")
		n.Platform.SetRelation(john, doxd, true)
		n.act(t, "reconcile", "ClientBinding", johnUsesDoxd)
		n.shows(t, "ClientBinding", johnUsesDoxd, "Suspended", "owner access", "the operator would")
		if !n.Platform.Relations(john)[doxd] {
			t.Fatal("the operator corrected a suspended binding")
		}
	})
	step(t, "resume by a commit: corrected", func(t *testing.T) {
		n.edit(t, lateFile, "\n  suspend: true", "")
		n.deliver(t, "Healthy", "Go on")
		n.related(t, john, doxd, false)
	})
	step(t, "expiry: revoked, Healthy and Synced, and the message says so", func(t *testing.T) {
		at := time.Now().Add(8 * time.Second).UTC().Truncate(time.Second).Format(time.RFC3339)
		n.edit(t, lateFile, "isOwner: false", fmt.Sprintf("isOwner: false\n  expiresAt: %q", at))
		n.deliver(t, "Healthy", "john's access ends")
		n.shows(t, "ClientBinding", johnUsesDoxd, "Healthy", "Expired at "+at, "no access")
		n.unrelated(t, john, doxd)
		staysSynced(t, n.Namespace, time.Now())
		becomes(t, n.Namespace, "Synced", "Healthy", "")
		argo.print(t, "app", "get", n.Namespace)
	})
}
