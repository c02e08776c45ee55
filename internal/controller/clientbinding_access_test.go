package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestAccess: status.access is what was last read. What cannot be read is not None.
func TestAccess(t *testing.T) {
	answer := func(status int, body string) func(*world) {
		return func(w *world) {
			w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Answer{Status: status, Body: body}})
		}
	}
	rewrite := func(before, after string) func(*world) {
		return func(w *world) {
			w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Rewrite{Old: before, New: after}})
		}
	}
	const unknownUser = `{"error":"User not found: ` + john + `"}`
	for name, test := range map[string]struct {
		change func(*world)
		want   v1alpha1.Access
	}{
		"the access is removed":                     {func(w *world) { w.platform.RemoveRelation(john, acme) }, v1alpha1.AccessNone},
		"the user is promoted":                      {func(w *world) { w.platform.SetRelation(john, acme, true) }, v1alpha1.AccessOwner},
		"the user is deleted":                       {func(w *world) { w.platform.SoftDeleteUser(john) }, v1alpha1.AccessNone},
		"the user is unknown":                       {func(w *world) { w.platform.RemoveUser(john) }, v1alpha1.AccessNone},
		"the user is unknown, by an API that fails": {answer(500, unknownUser), ""},
		"the user is unknown, to a refused session": {answer(403, unknownUser), ""},
		"the API fails":                             {answer(500, ""), v1alpha1.AccessStandard},
		"the level cannot be read":                  {rewrite(`"isOwner":false`, `"isOwner":"no"`), ""},
		"the client's id is in other case":          {rewrite(acme, strings.ToUpper(acme)), ""},
		"an entry may be about any client": {func(w *world) {
			w.platform.RemoveRelation(john, acme)
			rewrite(`"clients":[`, `"clients":[{"client":{"ref":991}}`)(w)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.platform.SetRelation(john, acme, false)
			w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.Suspend = ref(true) })
			w.reconcile()
			expectEqual(t, "access at first", v1alpha1.AccessStandard, w.binding().Status.Access)

			test.change(w)
			w.clock.Advance(2 * time.Hour)
			w.reconcile()

			expectEqual(t, "access", test.want, w.binding().Status.Access)
		})
	}
}
