package controller

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestUserWithManyClients: a user with 25,000 clients is granted a further one, which is revoked again.
func TestUserWithManyClients(t *testing.T) {
	w := newWorld(t)
	w.connect()
	clients := map[string]bool{}
	for i := range 25_000 {
		clients[fmt.Sprintf("DoxdEEV-4IJq-zKeUYqr%06d", i)] = i%2 == 0
	}
	w.platform.AddUser(delossim.User{UUID: john, Relations: clients})
	w.bind(nil)
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())

	w.delete()
	w.reconcile()
	if !w.gone() {
		t.Errorf("the deleted binding is still there: %s", w.message())
	}
	if others := w.platform.Relations(john); !maps.Equal(clients, others) {
		t.Error("other relations were changed")
	}
}

// TestTooLargeUser: what cannot be read as a whole proves nothing, and the message says what a person can do.
func TestTooLargeUser(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Pad{Bytes: 20 << 20}})
	w.delete()
	w.reconcile()
	expectEqual(t, "message", `The access could not be removed yet. The Delos API shows more of user "user_abc123def" than the operator reads: `+
		`have the number of the user's clients reduced in the Delos platform (HTTP 200): the answer is larger than 16 MiB. Tried again within a minute`, w.message())
}

// TestOddEntries: an odd entry about another client neither keeps access from being given nor from being taken away.
// One that may be about this client keeps the object until that is known.
func TestOddEntries(t *testing.T) {
	beside := func(entry string) delossim.Failure {
		return delossim.Rewrite{Old: `"clients":[`, New: `"clients":[` + entry + `,{"cuid":"cust_other"}` + ","}
	}
	const foreign = `Get user shows an entry among the clients of user "user_abc123def" that names no client in a known way, ` +
		`and may be about client "cust_789xyz": have it corrected in the Delos platform. Tried again within a minute`
	for name, test := range map[string]struct {
		failure delossim.Failure
		// blocked is what the deleted object says; "" when it goes.
		blocked string
	}{
		"an id that is null":             {beside(`{"customerId":null}`), ""},
		"an id that is a number":         {beside(`{"customerId":7,"isOwner":1}`), ""},
		"a number":                       {beside(`7`), ""},
		"another client, all else odd":   {beside(`{"cuid":"cust_b","isOwner":"yes","client":[1]}`), ""},
		"a byte order mark":              {delossim.Rewrite{Old: `{"item"`, New: "\ufeff" + `{"item"`}, ""},
		"a user's name of another form":  {delossim.Rewrite{Old: `"john.smith"`, New: `{"first":["john"]}`}, ""},
		"another form":                   {beside(`{"client":{"ref":991}}`), foreign},
		"this client's id in other case": {beside(`{"cuid":"CUST_789XYZ"}`), `The access could not be removed yet. The Delos API shows "CUST_789XYZ", which differs from the cuid "cust_789xyz" only in its case: did you mean that one? Then create a ClientBinding with it and delete this one. Tried again within a minute`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.platform.SetRelation(john, globex, true)
			w.platform.Inject(delossim.Fault{Op: opUser, Failure: test.failure})
			if strings.HasPrefix(name, "this client's") {
				// It would not be granted.
				w.platform.SetRelation(john, acme, false)
			}
			w.bind(nil)
			w.reconcile()
			expectEqual(t, "reason", "Bound", w.reason())

			w.delete()
			w.reconcile()
			expectEqual(t, "relations", map[string]bool{globex: true}, w.platform.Relations(john))
			if test.blocked == "" && !w.gone() {
				t.Errorf("the deleted binding is still there: %s", w.message())
			}
			if test.blocked != "" {
				expectEqual(t, "message", strings.ReplaceAll(test.blocked, "NS", w.namespace), w.message())
			}
		})
	}
}

// TestUnclearRelation: nothing is changed where the answer does not say what there is.
func TestUnclearRelation(t *testing.T) {
	for name, failure := range map[string]delossim.Failure{
		"isOwner is a text":           delossim.Rewrite{Old: `"isOwner":true`, New: `"isOwner":"true"`},
		"isOwner is a number":         delossim.Rewrite{Old: `"isOwner":true`, New: `"isOwner":1`},
		"isOwner is null":             delossim.Rewrite{Old: `"isOwner":true`, New: `"isOwner":null`},
		"the id is in other case":     delossim.Rewrite{Old: acme, New: strings.ToUpper(acme)},
		"the user's mark is a text":   delossim.Rewrite{Old: `"isDeleted":false`, New: `"isDeleted":"no"`},
		"the user's id in other case": delossim.Rewrite{Old: john, New: strings.ToUpper(john)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.platform.SetRelation(john, acme, true)
			w.platform.Inject(delossim.Fault{Op: opUser, Failure: failure})
			w.bind(nil)
			w.reconcile()
			expectEqual(t, "reason", "UnexpectedAnswer", w.reason())
			expectEqual(t, "asks what was meant", strings.Contains(name, "in other case"), strings.Contains(w.message(), "only in its case: did you mean that one?"))
			expectEqual(t, "calls", []delossim.Operation{opUser}, w.calls())
		})
	}
}

// TestNamelessEntryIsNoProof: an entry that leaves its client out may be what is left of this one's, as long as the
// API has not accepted the removal.
func TestNamelessEntryIsNoProof(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()
	w.platform.RemoveClient(acme)
	w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Rewrite{Old: `"clients":[`, New: `"clients":[{"customerId":null,"isOwner":true}`}})
	w.delete()
	w.reconcile()
	expectEqual(t, "message", `Get user shows user "user_abc123def" without a whole list of clients, which does not prove that the access is gone`+
		wayOut+". Tried again within a minute", w.message())
}

// TestEndOfExpiredAmongForeignEntries: an object that holds no claim does not say that there is no access, either.
func TestEndOfExpiredAmongForeignEntries(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opUser, Failure: delossim.Rewrite{Old: `"clients":[`, New: `"clients":[{"client":991}`}})
	w.bind(func(binding *v1alpha1.ClientBinding) { binding.Spec.ExpiresAt = ref(at(-time.Hour)) })
	w.reconcile()
	expectEqual(t, "reason", "UnexpectedAnswer", w.reason())
}

// TestPlatformRefuses: a reason of the platform is told in its words.
func TestPlatformRefuses(t *testing.T) {
	const lastOwner = `{"error": "Cannot remove the last owner"}`
	for name, test := range map[string]struct {
		answer delossim.Answer
		want   string
	}{
		"409":                     {delossim.Answer{Status: 409, Body: lastOwner}, "(HTTP 409): Cannot remove the last owner"},
		"412":                     {delossim.Answer{Status: 412, Body: `{"code": 9, "message": "The client is locked"}`}, "(HTTP 412): The client is locked"},
		"404 in words of its own": {delossim.Answer{Status: 404, Body: lastOwner}, "(HTTP 404): Cannot remove the last owner"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			w.bind(nil)
			w.reconcile()
			w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: test.answer})
			w.delete()
			w.reconcile()
			expectEqual(t, "message", "The access could not be removed yet. The Delos platform refuses this for a reason of its own, which has to be cured there "+
				test.want+". Tried again within a minute", w.message())
		})
	}
}

// TestForbiddenForAWhile: a gateway's rate limit is no missing right, and the API is left alone by all.
func TestForbiddenForAWhile(t *testing.T) {
	w := newWorld(t)
	w.connect()
	w.platform.Inject(delossim.Fault{Op: opRelate, Times: 1, Failure: delossim.Answer{Status: 403, Header: http.Header{"Retry-After": {"30"}}}})
	w.bind(nil)
	expectEqual(t, "wait", 30*time.Second, w.reconcile())
	expectEqual(t, "message", "The Delos API asks for patience (HTTP 403)", w.message())
	w.calls()
	w.clock.Advance(29 * time.Second)
	w.reconcile()
	expectEqual(t, "calls meanwhile", []delossim.Operation(nil), w.calls())
	w.clock.Advance(time.Second)
	w.reconcile()
	expectEqual(t, "reason", "Bound", w.reason())
}

// TestLoginWaitsForItsCode: that is not the API's wish.
func TestLoginWaitsForItsCode(t *testing.T) {
	w := newWorld(t)
	w.createSecret(map[string]string{"login": login, "password": password, "totpSeed": "JBSWY3DPEHPK3PXP"})
	w.createConnection(nil)
	w.reconcileConnection()
	expectEqual(t, "message", fmt.Sprintf("The login of APIConnection %s/default waits for the account's next one-time code, since each is good for one login", w.namespace), readyConditionOf(w.connection().Status.Conditions).Message)
}

// message is what the binding says of itself.
func (w *world) message() string {
	w.t.Helper()
	return readyConditionOf(w.binding().Status.Conditions).Message
}
