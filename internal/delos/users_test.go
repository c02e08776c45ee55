package delos

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUser shows every reading of an answer that the documentation leaves open.
func TestUser(t *testing.T) {
	listed := func(owners map[string]bool) *User {
		return &User{UUID: john, RelationsListed: true, owners: owners}
	}
	unlisted := &User{UUID: john, owners: map[string]bool{}}
	for _, test := range []struct {
		reason string
		body   string
		want   *User
	}{
		{
			reason: "the documented answer",
			body: `{"item": {"id": 12345, "uuid": "user_abc123def", "username": "john.smith", "status": "ACCEPT", "is2fa": true,
				"isDeleted": false, "puid": "pub_789xyz", "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}}`,
			want: &User{UUID: john, Username: "john.smith", Status: "ACCEPT", RelationsListed: true, owners: map[string]bool{cust: true}},
		},
		{"the user is named userId", `{"item": {"userId": "user_abc123def"}}`, unlisted},
		{"the user is named both ways", `{"item": {"uuid": "user_abc123def", "userId": "user_abc123def"}}`, unlisted},
		{"the client is named cuid", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}]}}`, listed(map[string]bool{cust: true})},
		{"the client is named both ways", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "customerId": "cust_789xyz", "isOwner": true}]}}`, listed(map[string]bool{cust: true})},
		{"several clients", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}, {"customerId": "DoxdEEV-4IJq-zKeUYqrtqVDK", "isOwner": false}]}}`, listed(map[string]bool{cust: true, doxd: false})},
		{"clients beside item", `{"item": {"uuid": "user_abc123def"}, "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}`, listed(map[string]bool{cust: true})},
		{"clients in both places, the same", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz"}]}, "clients": [{"customerId": "cust_789xyz", "isOwner": false}]}`, listed(map[string]bool{cust: false})},
		{"null in one place, clients in the other", `{"item": {"uuid": "user_abc123def", "clients": null}, "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}`, listed(map[string]bool{cust: true})},
		{"no clients at all", `{"item": {"uuid": "user_abc123def", "clients": []}}`, listed(map[string]bool{})},
		{"no clients beside item", `{"item": {"uuid": "user_abc123def"}, "clients": []}`, listed(map[string]bool{})},
		{"an absent list proves nothing", `{"item": {"uuid": "user_abc123def"}}`, unlisted},
		{"nor does null", `{"item": {"uuid": "user_abc123def", "clients": null}, "clients": null}`, unlisted},
		{"an absent isOwner is false", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz"}]}}`, listed(map[string]bool{cust: false})},
		{"a client listed twice, the same", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}, {"cuid": "cust_789xyz", "isOwner": true}]}}`, listed(map[string]bool{cust: true})},
		{"a deleted user", `{"item": {"uuid": "user_abc123def", "isDeleted": true, "clients": [{"cuid": "cust_789xyz", "isOwner": true}]}}`, &User{UUID: john, Deleted: true, RelationsListed: true, owners: map[string]bool{cust: true}}},
		{"unknown fields everywhere", `{"meta": {}, "item": {"uuid": "user_abc123def", "x": [1], "clients": [{"cuid": "cust_789xyz", "isOwner": true, "since": 1}]}, "error": null}`, listed(map[string]bool{cust: true})},
		{"an empty error is none", `{"error": "", "code": 0, "message": "OK", "item": {"uuid": "user_abc123def"}}`, unlisted},
		{"names are made fit to be shown", `{"item": {"uuid": "user_abc123def", "username": "jo\u0000hn\u202e\u2028\n", "status": "` + strings.Repeat("x", 300) + `"}}`, &User{UUID: john, Username: "john", Status: strings.Repeat("x", 255) + "…", owners: map[string]bool{}}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, err := newAPI(t, answering(t, 200, test.body)).User(t.Context(), john)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(User{})); diff != "" {
				t.Errorf("user (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUserRefusesToGuess shows the answers under a 200 that are taken for no user at all.
func TestUserRefusesToGuess(t *testing.T) {
	const (
		notUser  = "the answer is not a user in JSON"
		other    = "the answer is about another user than was asked for"
		noID     = "the answer has neither uuid nor userId where one is due"
		noClient = "the answer has neither cuid nor customerId where one is due"
	)
	for _, test := range []struct{ reason, body, want string }{
		{"empty", "", notUser},
		{"HTML", "<html><body>Welcome</body></html>", notUser},
		{"cut off", `{"item": {"uuid": "user_abc123def", "clients": [`, notUser},
		{"two values", `{"item": {"uuid": "user_abc123def"}} {}`, notUser},
		{"null", "null", notUser},
		{"a list", `[{"item": {"uuid": "user_abc123def"}}]`, notUser},
		{"no item", `{"uuid": "user_abc123def", "clients": []}`, notUser},
		{"a null item", `{"item": null, "clients": []}`, notUser},
		{"clients that are no list", `{"item": {"uuid": "user_abc123def", "clients": {}}}`, notUser},
		{"a deletion mark that is no boolean", `{"item": {"uuid": "user_abc123def", "isDeleted": "yes"}}`, notUser},
		{"an isOwner that is no boolean", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": "false"}]}}`, notUser},
		{"another user", `{"item": {"uuid": "user_other", "clients": []}}`, other},
		{"another user, deleted", `{"item": {"uuid": "user_other", "isDeleted": true}}`, other},
		{"the id in another case", `{"item": {"uuid": "USER_ABC123DEF"}}`, other},
		{"no id", `{"item": {"username": "john.smith", "clients": []}}`, noID},
		{"two ids", `{"item": {"uuid": "user_abc123def", "userId": "user_other"}}`, "the answer has both uuid and userId, and they differ"},
		{"a client without an id", `{"item": {"uuid": "user_abc123def", "clients": [{"isOwner": true}]}}`, noClient},
		{"a null client", `{"item": {"uuid": "user_abc123def", "clients": [null]}}`, noClient},
		{"a client with two ids", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "a", "customerId": "b"}]}}`, "the answer has both cuid and customerId, and they differ"},
		{"a client listed as owned and as not owned", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "a", "isOwner": true}, {"customerId": "a"}]}}`, "the answer lists a client twice, as owned and as not owned"},
		{"two lists that differ", `{"item": {"uuid": "user_abc123def", "clients": []}, "clients": [{"cuid": "a"}]}`, "the answer lists the user's clients twice, and not the same ones"},
		{"two lists that differ in isOwner", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "a", "isOwner": true}]}, "clients": [{"cuid": "a"}]}`, "the answer lists the user's clients twice, and not the same ones"},
		{"more than 1 MiB", strings.Repeat(" ", 1<<20) + `{"item": {"uuid": "user_abc123def", "clients": []}}`, "the answer is larger than 1 MiB"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			user, err := newAPI(t, answering(t, 200, test.body)).User(t.Context(), john)
			if user != nil {
				t.Errorf("got %+v", user)
			}
			want := "get-user: unexpected answer (HTTP 200): " + test.want + " [request ID]"
			if got := textOf(t, err); got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestUserReadsAnswersOfOneMiB(t *testing.T) {
	body := `{"item": {"uuid": "user_abc123def"}}`
	body = strings.Repeat(" ", 1<<20-len(body)) + body
	if _, err := newAPI(t, answering(t, 200, body)).User(t.Context(), john); err != nil {
		t.Error(err)
	}
}

// TestWrites shows which answers are taken for a write that the API accepted.
func TestWrites(t *testing.T) {
	const notUser = "the answer is not a user in JSON"
	for _, test := range []struct {
		reason string
		status int
		body   string
		want   string // "" for accepted
	}{
		{"the documented answer", 200, `{"item": {"uuid": "user_abc123def", "username": "john.smith", "status": "ACCEPT"}}`, ""},
		{"the user is named userId", 200, `{"item": {"userId": "user_abc123def"}}`, ""},
		{"no content", http.StatusNoContent, "", ""},
		{"an empty answer", 200, "", ""},
		{"an answer without a user", 200, `{}`, ""},
		{"another user", 200, `{"item": {"uuid": "user_other"}}`, "the answer is about another user than was asked for"},
		{"a page of something between", 200, "<html>Please log in to the guest network</html>", notUser},
		{"cut off", 200, `{"item": {"uuid": "user_abc1`, notUser},
	} {
		for _, operation := range []Operation{OperationRelate, OperationUnrelate} {
			t.Run(test.reason+"/"+string(operation), func(t *testing.T) {
				err := operations[operation](t, newAPI(t, answering(t, test.status, test.body)))
				if test.want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				want := string(operation) + ": unexpected answer (HTTP 200): " + test.want + " [request ID]"
				if got := textOf(t, err); got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		}
	}
}

func TestZeroUserHasNoRelation(t *testing.T) {
	if _, related := new(User).Relation(cust); related {
		t.Error("related")
	}
}
