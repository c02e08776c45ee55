package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// director creates, changes and deletes bindings at random, and knows the declared access.
type director struct {
	tenant *tenant
	random *rand.Rand
	// roles has one for each user and client.
	roles []*role
	made  int
}

// role is one user and client, with their binding.
type role struct {
	user, cuid string
	// name of the binding; empty when there is none.
	name    string
	isOwner bool
	// leaving: the binding was deleted, and may not be gone yet.
	leaving bool
}

// newDirector has a role for every user and client of the tenant's platform.
func newDirector(n *tenant, random *rand.Rand) *director {
	d := &director{tenant: n, random: random}
	for _, user := range n.Platform.Users() {
		for _, cuid := range n.Platform.Clients() {
			d.roles = append(d.roles, &role{user: user.UUID, cuid: cuid})
		}
	}
	return d
}

// act does one thing to one binding.
func (d *director) act(t *testing.T) {
	t.Helper()
	d.play(t, d.roles[d.random.IntN(len(d.roles))])
}

// actOn does one thing to each binding that a call may have been about.
func (d *director) actOn(t *testing.T, call delossim.Call) {
	t.Helper()
	for _, r := range d.roles {
		if r.user == call.User && (call.CUID == "" || r.cuid == call.CUID) {
			d.play(t, r)
		}
	}
}

func (d *director) play(t *testing.T, r *role) {
	t.Helper()
	if r.leaving && d.tenant.gone(t, r.name) == "" {
		r.name, r.leaving = "", false
	}
	var err error
	switch {
	case r.leaving:
	case r.name == "":
		d.made++
		r.name, r.isOwner = fmt.Sprintf("binding-%d", d.made), d.random.IntN(2) == 0
		err = kube.Create(t.Context(), d.tenant.Binding(r.name, r.user, r.cuid, r.isOwner))
	case d.random.IntN(2) == 0:
		r.leaving = true
		err = kube.Delete(t.Context(), d.tenant.Binding(r.name, r.user, r.cuid, r.isOwner))
	default:
		r.isOwner = !r.isOwner
		d.tenant.Patch(t, d.tenant.Binding(r.name, "", "", r.isOwner), `{"spec":{"isOwner":%t}}`, r.isOwner)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unsettled returns the first binding that is not yet as declared; "" when all are.
func (d *director) unsettled(t *testing.T) string {
	t.Helper()
	for _, r := range d.roles {
		problem := ""
		switch {
		case r.leaving:
			problem = d.tenant.gone(t, r.name)
		case r.name != "":
			problem = d.tenant.Unbound(t, r.name)
		}
		if problem != "" {
			return problem
		}
	}
	return ""
}

// declared returns the declared relations of all users: isOwner by client.
func (d *director) declared() map[string]map[string]bool {
	relations := map[string]map[string]bool{}
	for _, r := range d.roles {
		if relations[r.user] == nil {
			relations[r.user] = map[string]bool{}
		}
		if r.name != "" && !r.leaving {
			relations[r.user][r.cuid] = r.isOwner
		}
	}
	return relations
}
