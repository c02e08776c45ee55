package controller

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestDeletedUserWhoWouldRegainAccess: a restored user has what was not removed.
func TestDeletedUserWhoWouldRegainAccess(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.SoftDeleteUser(john)
	w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 404, Body: `{"error":"User not found: ` + john + `"}`}})
	w.delete()

	w.reconcile()

	expectEqual(t, "gone", false, w.gone())
	expectEqual(t, "reason", "RevocationBlocked", w.reason())
}

// TestDeletedUserWhoWasGivenAccessAgain: the removal was accepted, and no longer counts as not shown yet, but what Get user lists would give
// access again if the user were restored.
func TestDeletedUserWhoWasGivenAccessAgain(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.delete()
	w.platform.Inject(delossim.Fault{Op: opUser, Times: 1, Failure: delossim.Answer{Status: 500}})
	w.reconcile()
	w.platform.SetRelation(john, acme, true)
	w.platform.SoftDeleteUser(john)
	w.clock.Advance(31 * time.Second)

	w.calls()
	w.reconcile()

	expectEqual(t, "calls", operations{opUser, opUnrelate, opUser}, w.calls())
	expectEqual(t, "gone", true, w.gone())
	expectEqual(t, "relations", map[string]bool{}, w.platform.Relations(john))
}

// TestDeletedUserWhoseRelationsAreNotListed: that a user is deleted is no proof that the relation was removed.
func TestDeletedUserWhoseRelationsAreNotListed(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(time.Minute)
	w.platform.SoftDeleteUser(john)
	w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 404, Body: `{"error":"User not found: ` + john + `"}`}})
	w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Answer{Body: `{"item":{"uuid":"` + john + `","isDeleted":true}}`}})
	w.delete()

	w.reconcile()

	expectEqual(t, "gone", false, w.gone())
	expectEqual(t, "reason", "RevocationBlocked", w.reason())
}
