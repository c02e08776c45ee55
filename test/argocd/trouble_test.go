//go:build argocd

package argocd

import (
	"fmt"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// maintenance is the API's answer during an outage.
var maintenance = delossim.Answer{Status: 503, Body: `{"error":"maintenance"}`}

// Mistakes and outages: a short failure does not fail a sync, and a lasting one shows with its reason.
func TestTrouble(t *testing.T) {
	t.Parallel()
	n := newTeam(t, "team-trouble")
	n.deliverSamples(t, wrongFile)
	step(t, "a wrong user id: Progressing, and the sync succeeds", func(t *testing.T) {
		n.git.write(t, n.files(t))
		n.deliver(t, "Progressing", "A wrong user id")
		n.shows(t, "ClientBinding", nobodyUses, "Progressing", "UserNotFound", nobody, "Tried again within a minute")
		sandbox.Within(t, limit, func() string {
			st := stateOf(t, n.Namespace)
			switch phase := st.Status.OperationState.Phase; phase {
			case "Failed", "Error":
				t.Fatalf("the sync failed: %s", st)
			case "Succeeded":
				return ""
			}
			return "the sync has not ended: " + st.String()
		})
	})
	step(t, fmt.Sprintf("after the grace of %s: Degraded, with the reason", stallAfter), func(t *testing.T) {
		began := time.Now()
		n.shows(t, "ClientBinding", nobodyUses, "Degraded", "UserNotFound: The Delos API knows no user", nobody)
		if time.Since(began) < stallAfter/4 {
			t.Fatalf("called Degraded after %s only", time.Since(began))
		}
		becomes(t, n.Namespace, "Synced", "Degraded", "")
		argo.print(t, "app", "get", n.Namespace, "--output", "tree=detailed")
	})
	step(t, "the user is created: Healthy again", func(t *testing.T) {
		n.Platform.AddUser(delossim.User{UUID: nobody, Username: "late.arrival"})
		n.actUntil(t, nobodyUses, func() string {
			if found := n.health(t, "ClientBinding", nobodyUses); found.Status != "Healthy" {
				return found.String()
			}
			return ""
		})
		becomes(t, n.Namespace, "Synced", "Healthy", "")
		n.related(t, nobody, cust, false)
	})
	step(t, "the API fails: a new binding is Progressing, others stay Healthy", func(t *testing.T) {
		// It fails for a user who is not related yet.
		fault := n.Platform.Inject(delossim.Fault{Op: delossim.OpUser, User: john, Failure: maintenance})
		defer fault.Remove()
		n.writeLate(t)
		n.deliver(t, "Progressing", "john uses doxdeev")
		n.shows(t, "ClientBinding", johnUsesDoxd, "Progressing", "maintenance")
		n.shows(t, "ClientBinding", johnOwns, "Healthy")
		fault.Remove()
		becomes(t, n.Namespace, "Synced", "Healthy", "")
		n.related(t, john, doxd, false)
	})
}
