package delossim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestSoftDeletedUser(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.SetRelation(john, cust, true)
	p.SetRelation(john, doxd, false)
	p.SoftDeleteUser(john)

	item := object(t, p.get(t, johnURL).Body)["item"].(map[string]any)
	if item["isDeleted"] != true {
		t.Errorf("not shown as deleted: %v", item)
	}
	if diff := cmp.Diff([]any{bound(doxd, false), bound(cust, true)}, item["clients"]); diff != "" {
		t.Errorf("clients of a deleted user (-want +got):\n%s", diff)
	}
	if got := p.put(t, bindURL, bindStandard); got.Status != http.StatusNotFound {
		t.Errorf("granted to a deleted user: %+v", got)
	}
	if got := p.delete(t, custURL); got.Status != http.StatusOK {
		t.Errorf("relation of a deleted user not removed: %+v", got)
	}

	p.RestoreUser(john)
	if diff := cmp.Diff([]any{bound(doxd, false)}, clients(t, p.get(t, johnURL))); diff != "" {
		t.Errorf("clients after restoring (-want +got):\n%s", diff)
	}
}

func TestStateFromOutside(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.SetRelation(john, "cust_new", true)
	if diff := cmp.Diff([]string{doxd, cust, "cust_new"}, p.Clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if !p.RemoveRelation(john, "cust_new") || p.RemoveRelation(john, "cust_new") {
		t.Error("a relation is removed once")
	}
	p.SetRelation(john, cust, false)
	p.RemoveClient(cust)
	if diff := cmp.Diff(map[string]bool{}, p.Relations(john)); diff != "" {
		t.Errorf("relations to a client that is gone (-want +got):\n%s", diff)
	}
	if got := p.put(t, bindURL, bindOwner); got.Body != `{"error":"Customer not found: cust_789xyz"}` {
		t.Errorf("bound to a client that is gone: %+v", got)
	}
	p.RemoveUser(john)
	if got := p.get(t, johnURL); got.Body != `{"error":"User not found: user_abc123def"}` {
		t.Errorf("a user that is gone: %+v", got)
	}
	if p.Relations(john) != nil || p.SetRelation(john, cust, true) || p.SoftDeleteUser(john) {
		t.Error("a user that is gone has a state")
	}
	if users := p.Users(); len(users) != 1 || users[0].UUID != maria {
		t.Errorf("users: %+v", users)
	}
}

func TestReturnedUsersAreCopies(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.SetRelation(john, cust, false)
	user, _ := p.User(john)
	user.Relations[cust] = true
	p.Relations(john)[cust] = true
	p.Users()[0].Relations[cust] = true
	if diff := cmp.Diff(map[string]bool{cust: false}, p.Relations(john)); diff != "" {
		t.Errorf("changed through a copy (-want +got):\n%s", diff)
	}
}

func TestWritesMoveUpdateAtOnlyIfTheyChange(t *testing.T) {
	p := start(t, delossim.Settings{})
	updateAt := func() any {
		return object(t, p.put(t, bindURL, bindOwner).Body)["item"].(map[string]any)["updateAt"]
	}
	first := updateAt()
	p.Advance(time.Hour)
	if again := updateAt(); again != first || first != "2005-03-18T01:58:29Z" {
		t.Errorf("updateAt %v, and %v after a write that changed nothing", first, again)
	}
}
