package delos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// seen is the content of an answer about a user that a test compares.
type seen struct {
	User
	// Cust and Doxd are the access at these two clients.
	Cust, Doxd string
}

// seenOf asks a user that was read about two clients.
func seenOf(user *User) seen {
	say := func(cuid string) string {
		isOwner, related, err := user.Relation(cuid)
		switch {
		case err != nil:
			return strings.TrimPrefix(err.Error(), "get-user: unexpected answer (HTTP 200): ")
		case !related:
			return "none"
		case isOwner:
			return "owner"
		default:
			return "standard"
		}
	}
	whole := seen{User: *user, Cust: say(cust), Doxd: say(doxd)}
	whole.Form, whole.lists, whole.relations, whole.requestID = UserForm{}, 0, nil, ""
	return whole
}

// expectSeen reads john from an answer and compares all that can be asked of him.
func expectSeen(t *testing.T, body string, want seen) {
	t.Helper()
	user, err := newAPI(t, answering(t, 200, body)).User(t.Context(), john)
	if err != nil {
		t.Fatal(err)
	}
	user.requestID = ""
	if diff := cmp.Diff(want, seenOf(user), cmp.AllowUnexported(User{})); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
}

// TestUser shows every reading of an answer that the documentation leaves open.
func TestUser(t *testing.T) {
	listed := func(cust, doxd string) seen {
		return seen{User: User{UUID: john, Complete: true}, Cust: cust, Doxd: doxd}
	}
	unlisted := seen{User: User{UUID: john}, Cust: "none", Doxd: "none"}
	for _, test := range []struct {
		reason string
		body   string
		want   seen
	}{
		{
			reason: "the documented answer",
			body: `{"item": {"id": 12345, "uuid": "user_abc123def", "username": "john.smith", "status": "ACCEPT", "is2fa": true,
				"isDeleted": false, "puid": "pub_789xyz", "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}}`,
			want: seen{User: User{UUID: john, Username: "john.smith", Status: "ACCEPT", Complete: true}, Cust: "owner", Doxd: "none"},
		},
		{"the user is named userId", `{"item": {"userId": "user_abc123def"}}`, unlisted},
		{"the user is named both ways", `{"item": {"uuid": "user_abc123def", "userId": "user_abc123def"}}`, unlisted},
		{"the client is named cuid", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}]}}`, listed("owner", "none")},
		{"the client is named both ways", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "customerId": "cust_789xyz", "isOwner": true}]}}`, listed("owner", "none")},
		{"several clients", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}, {"customerId": "DoxdEEV-4IJq-zKeUYqrtqVDK", "isOwner": false}]}}`, listed("owner", "standard")},
		{"clients before the id", `{"item": {"clients": [{"cuid": "cust_789xyz", "isOwner": true}], "uuid": "user_abc123def"}}`, listed("owner", "none")},
		{"clients beside item", `{"item": {"uuid": "user_abc123def"}, "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}`, listed("owner", "none")},
		{"clients in both places, the same", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz"}]}, "clients": [{"customerId": "cust_789xyz", "isOwner": false}]}`, listed("standard", "none")},
		{"null in one place, clients in the other", `{"item": {"uuid": "user_abc123def", "clients": null}, "clients": [{"customerId": "cust_789xyz", "isOwner": true}]}`, listed("owner", "none")},
		{"no clients at all", `{"item": {"uuid": "user_abc123def", "clients": []}}`, listed("none", "none")},
		{"no clients beside item", `{"item": {"uuid": "user_abc123def"}, "clients": []}`, listed("none", "none")},
		{"an absent list proves nothing", `{"item": {"uuid": "user_abc123def"}}`, unlisted},
		{"nor does null", `{"item": {"uuid": "user_abc123def", "clients": null}, "clients": null}`, unlisted},
		{"an absent isOwner is false", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz"}]}}`, listed("standard", "none")},
		{"a client listed twice, the same", `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}, {"cuid": "cust_789xyz", "isOwner": true}]}}`, listed("owner", "none")},
		{"a deleted user", `{"item": {"uuid": "user_abc123def", "isDeleted": true, "clients": [{"cuid": "cust_789xyz", "isOwner": true}]}}`, seen{User: User{UUID: john, Deleted: true, Complete: true}, Cust: "owner", Doxd: "none"}},
		{"unknown fields everywhere", `{"meta": {"x": {}}, "item": {"uuid": "user_abc123def", "x": [1, {"clients": [{"cuid": "DoxdEEV-4IJq-zKeUYqrtqVDK"}]}], "clients": [{"cuid": "cust_789xyz", "isOwner": true, "since": {"uuid": 1}}]}, "error": null}`, listed("owner", "none")},
		{"an empty error is none", `{"error": "", "code": 0, "message": "OK", "item": {"uuid": "user_abc123def"}}`, unlisted},
		{"a byte order mark", "\ufeff" + `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz"}]}}`, listed("standard", "none")},
		{"names are made fit to be shown", `{"item": {"uuid": "user_abc123def", "username": "jo\u0000hn\u202e\u2028\n", "status": "` + strings.Repeat("x", 300) + `"}}`, seen{User: User{UUID: john, Username: "john", Status: strings.Repeat("x", 255) + "…"}, Cust: "none", Doxd: "none"}},
		{"names that are none are not shown", `{"item": {"uuid": "user_abc123def", "username": {"first": ["john"]}, "status": true, "clients": []}}`, listed("none", "none")},
		{"names that are numbers are", `{"item": {"uuid": "user_abc123def", "username": 7, "status": 1.5, "clients": []}}`, seen{User: User{UUID: john, Username: "7", Status: "1.5", Complete: true}, Cust: "none", Doxd: "none"}},
		{"another name of the id that is null", `{"item": {"uuid": "user_abc123def", "userId": null, "clients": []}}`, listed("none", "none")},
	} {
		t.Run(test.reason, func(t *testing.T) { expectSeen(t, test.body, test.want) })
	}
}

// TestOddEntries: what an odd entry in the list of clients means for a client that it is about, or may be about, and
// that it means nothing for any other. See docs/decisions/0010-odd-entries.md.
func TestOddEntries(t *testing.T) {
	const (
		unclear  = "the answer has an entry about this client that cannot be read"
		almost   = "the answer has an entry about a client whose id differs from this one's only in its case or in spaces"
		twoKinds = "the answer lists this client twice, as owned and as not owned"
		twoLists = "the answer lists the user's clients twice, and the lists differ about this client"
	)
	// Each stands beside a right entry about doxd.
	for _, test := range []struct {
		reason, entry string
		want          string // of cust
		unnamed       bool
		foreign       bool
	}{
		{"the id is null", `{"customerId": null}`, "none", true, false},
		{"the id is null, with a kind", `{"customerId": null, "cuid": "", "isOwner": true}`, "none", true, false},
		{"null", `null`, "none", true, false},
		{"the id is null, and something else may name the client", `{"customerId": null, "client": 991}`, "none", false, true},
		{"no id", `{"isOwner": true}`, "none", false, true},
		{"another form", `{"client": {"id": "cust_789xyz"}, "isOwner": true}`, "none", false, true},
		{"a list", `["cust_789xyz"]`, "none", false, true},
		{"a boolean", `true`, "none", false, true},
		{"an id of another form", `{"cuid": {"id": "cust_789xyz"}}`, "none", false, true},
		{"an id that is no whole number", `{"cuid": 7e8}`, "none", false, true},
		{"another id, as a number", `{"cuid": 789, "isOwner": 1}`, "none", false, false},
		{"another id alone", `"cust_other"`, "none", false, false},
		{"another id, and all else odd", `{"customerId": "cust_other", "cuid": {}, "isOwner": [{}], "client": [1]}`, "none", false, false},
		{"two other ids", `{"customerId": "cust_a", "cuid": "cust_b"}`, "none", false, false},
		{"two other kinds", `{"cuid": "cust_a", "isOwner": true}, {"cuid": "cust_a"}`, "none", false, false},
		{"our id alone", `"cust_789xyz"`, unclear, false, false},
		{"our id and another", `{"customerId": "cust_789xyz", "cuid": "cust_b"}`, unclear, false, false},
		{"our id and another, under one name", `{"cuid": "cust_789xyz", "cuid": "cust_b"}`, unclear, false, false},
		{"our id, and null under the other name", `{"customerId": null, "cuid": "cust_789xyz"}`, "standard", false, false},
		{"our id, and all else odd", `{"cuid": "cust_789xyz", "isOwner": true, "client": [1]}`, "owner", false, false},
		{"our isOwner is a text", `{"cuid": "cust_789xyz", "isOwner": "true"}`, unclear, false, false},
		{"our isOwner is a number", `{"cuid": "cust_789xyz", "isOwner": 1}`, unclear, false, false},
		{"our isOwner is null", `{"cuid": "cust_789xyz", "isOwner": null}`, unclear, false, false},
		{"our isOwner is there twice", `{"cuid": "cust_789xyz", "isOwner": true, "isOwner": false}`, twoKinds, false, false},
		{"our client twice, in two kinds", `{"cuid": "cust_789xyz", "isOwner": true}, {"customerId": "cust_789xyz"}`, twoKinds, false, false},
		{"our client twice, once unclear", `{"cuid": "cust_789xyz", "isOwner": true}, {"cuid": "cust_789xyz", "isOwner": 1}`, unclear, false, false},
		{"our id in another case", `{"cuid": "CUST_789xyz"}`, almost, false, false},
		{"our id with spaces", `{"cuid": " cust_789xyz\n", "isOwner": true}`, almost, false, false},
		{"our id, and in another case", `{"cuid": "CUST_789xyz", "isOwner": true}, {"cuid": "cust_789xyz"}`, "standard", false, false},
	} {
		want := seen{User: User{UUID: john, Complete: !test.unnamed, Foreign: test.foreign}, Cust: test.want, Doxd: "owner"}
		for place, format := range map[string]string{
			"in item":     `{"item": {"uuid": "user_abc123def", "clients": [%s, {"cuid": "DoxdEEV-4IJq-zKeUYqrtqVDK", "isOwner": true}]}}`,
			"beside item": `{"clients": [{"cuid": "DoxdEEV-4IJq-zKeUYqrtqVDK", "isOwner": true}, %s], "item": {"uuid": "user_abc123def"}}`,
		} {
			t.Run(test.reason+"/"+place, func(t *testing.T) {
				expectSeen(t, fmt.Sprintf(format, test.entry), want)
			})
		}
	}
	t.Run("two lists that differ", func(t *testing.T) {
		expectSeen(t, `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "DoxdEEV-4IJq-zKeUYqrtqVDK", "isOwner": true}]}, "clients": [{"cuid": "cust_789xyz"}, {"cuid": "DoxdEEV-4IJq-zKeUYqrtqVDK", "isOwner": true}]}`,
			seen{User: User{UUID: john, Complete: true}, Cust: twoLists, Doxd: "owner"})
	})
	t.Run("two lists that differ in isOwner", func(t *testing.T) {
		expectSeen(t, `{"item": {"uuid": "user_abc123def", "clients": [{"cuid": "cust_789xyz", "isOwner": true}]}, "clients": [{"cuid": "cust_789xyz"}]}`,
			seen{User: User{UUID: john, Complete: true}, Cust: twoLists, Doxd: "none"})
	})
}

// TestNumbersAreReadAsTheirDigits also where the ids that are asked for look like numbers.
func TestNumbersAreReadAsTheirDigits(t *testing.T) {
	body := `{"item": {"uuid": 12345678901234567890, "clients": [{"customerId": 700, "isOwner": true}, 701]}}`
	user, err := newAPI(t, answering(t, 200, body)).User(t.Context(), "12345678901234567890")
	if err != nil {
		t.Fatal(err)
	}
	if isOwner, related, err := user.Relation("700"); !isOwner || !related || err != nil {
		t.Errorf("client 700: owner %t, related %t, %v", isOwner, related, err)
	}
	if _, related, err := user.Relation("701"); related || KindOf(err) != KindUnexpected {
		t.Errorf("client 701: related %t, %v", related, err)
	}
}

// TestUserRefusesToGuess shows the answers under a 200 that are taken for no user at all.
func TestUserRefusesToGuess(t *testing.T) {
	const (
		notUser = "the answer is not a user in JSON"
		other   = "the answer is about another user than was asked for"
		noID    = "the answer has neither uuid nor userId where one is due"
		twoIDs  = "the answer has two ids of the user, and they differ"
		deleted = "isDeleted is neither true nor false in the answer"
	)
	for _, test := range []struct{ reason, body, want string }{
		{"empty", "", notUser},
		{"HTML", "<html><body>Welcome</body></html>", notUser},
		{"a byte order mark alone", "\ufeff", notUser},
		{"two byte order marks", "\ufeff\ufeff" + `{"item": {"uuid": "user_abc123def"}}`, notUser},
		{"cut off", `{"item": {"uuid": "user_abc123def", "clients": [`, notUser},
		{"cut off at the end", `{"item": {"uuid": "user_abc123def", "clients": []}`, notUser},
		{"two values", `{"item": {"uuid": "user_abc123def"}} {}`, notUser},
		{"two items", `{"item": {"uuid": "user_abc123def"}, "item": {"uuid": "user_abc123def", "clients": []}}`, notUser},
		{"null", "null", notUser},
		{"a list", `[{"item": {"uuid": "user_abc123def"}}]`, notUser},
		{"no item", `{"uuid": "user_abc123def", "clients": []}`, notUser},
		{"a null item", `{"item": null, "clients": []}`, notUser},
		{"an item of another form", `{"item": [{"uuid": "user_abc123def"}]}`, notUser},
		{"clients that are no list", `{"item": {"uuid": "user_abc123def", "clients": {}}}`, notUser},
		{"a deletion mark that is no boolean", `{"item": {"uuid": "user_abc123def", "isDeleted": "yes"}}`, deleted},
		{"a deletion mark that is a number", `{"item": {"uuid": "user_abc123def", "isDeleted": 0, "clients": []}}`, deleted},
		{"another user", `{"item": {"uuid": "user_other", "clients": []}}`, other},
		{"another user, deleted", `{"item": {"uuid": "user_other", "isDeleted": true}}`, other},
		{"another user, as a number", `{"item": {"uuid": 7, "clients": []}}`, other},
		{"the id in another case", `{"item": {"uuid": "USER_ABC123DEF"}}`, other},
		{"no id", `{"item": {"username": "john.smith", "clients": []}}`, noID},
		{"an id of another form", `{"item": {"uuid": {"id": "user_abc123def"}, "clients": []}}`, noID},
		{"two ids", `{"item": {"uuid": "user_abc123def", "userId": "user_other"}}`, twoIDs},
		{"two ids under one name", `{"item": {"uuid": "user_other", "uuid": "user_abc123def"}}`, twoIDs},
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

// TestLargestUser: what is read of a user has a bound, far above the largest believable one.
func TestLargestUser(t *testing.T) {
	const body = `{"item": {"uuid": "user_abc123def"}}`
	padded := strings.Repeat(" ", 16<<20-len(body)) + body
	if _, err := newAPI(t, answering(t, 200, padded)).User(t.Context(), john); err != nil {
		t.Error(err)
	}
	_, err := newAPI(t, answering(t, 200, padded+" ")).User(t.Context(), john)
	const want = "get-user: answer too large (HTTP 200): the answer is larger than 16 MiB [request ID]"
	if got := textOf(t, err); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUserWithManyClients reads a user with 25,000 clients from the platform.
func TestUserWithManyClients(t *testing.T) {
	p := startPlatform(t, delossim.Settings{})
	clients := manyClients()
	p.AddUser(delossim.User{UUID: john, Relations: clients})
	user, err := p.api.User(t.Context(), john)
	if err != nil {
		t.Fatal(err)
	}
	for cuid, want := range clients {
		if isOwner, related, err := user.Relation(cuid); err != nil || !related || isOwner != want {
			t.Fatalf("client %s: owner %t, related %t, %v", cuid, isOwner, related, err)
		}
	}
	if _, related, err := user.Relation(cust); err != nil || related || !user.Complete {
		t.Errorf("a client that is not there: related %t, complete %t, %v", related, user.Complete, err)
	}
}

// manyClients are 25,000 clients, as owner or not, with ids as long as the documented ones.
func manyClients() map[string]bool {
	clients := map[string]bool{}
	for i := range 25_000 {
		clients[fmt.Sprintf("DoxdEEV-4IJq-zKeUYqr%06d", i)] = i%2 == 0
	}
	return clients
}

// BenchmarkUserWithManyClients compares reading 25,000 clients as they stream in with reading them in one piece. held-B
// is the memory that is in use at the end of one read.
func BenchmarkUserWithManyClients(b *testing.B) {
	body := &bytes.Buffer{}
	body.WriteString(`{"item": {"uuid": "user_abc123def", "clients": [`)
	separator := ""
	for cuid, isOwner := range manyClients() {
		_, _ = fmt.Fprintf(body, `%s{"customerId":%q,"isOwner":%t}`, separator, cuid, isOwner)
		separator = ","
	}
	body.WriteString(`]}}`)
	for name, read := range map[string]func(io.Reader) (held any, clients int, err error){
		"streamed": func(from io.Reader) (any, int, error) {
			read, err := readShown(from)
			return read, len(read.relations), err
		},
		"in one piece": func(from io.Reader) (any, int, error) {
			whole, err := io.ReadAll(from)
			var fields map[string]json.RawMessage
			var parsed struct {
				Item struct {
					Clients []struct {
						CustomerID string `json:"customerId"`
						IsOwner    bool   `json:"isOwner"`
					} `json:"clients"`
				} `json:"item"`
			}
			err = errors.Join(err, json.Unmarshal(whole, &fields), json.Unmarshal(whole, &parsed))
			owners := map[string]bool{}
			for _, entry := range parsed.Item.Clients {
				owners[entry.CustomerID] = entry.IsOwner
			}
			return []any{whole, fields, parsed, owners}, len(owners), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			inUse := func() float64 {
				runtime.GC()
				var memory runtime.MemStats
				runtime.ReadMemStats(&memory)
				return float64(memory.HeapAlloc)
			}
			before := inUse()
			held, clients, err := read(bytes.NewReader(body.Bytes()))
			after := inUse()
			runtime.KeepAlive(held)
			if err != nil || clients != 25_000 {
				b.Fatal(clients, err)
			}
			for b.Loop() {
				_, _, _ = read(bytes.NewReader(body.Bytes()))
			}
			b.ReportMetric(after-before, "held-B")
		})
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
		{"a byte order mark", 200, "\ufeff" + `{"item": {"uuid": "user_abc123def"}}`, ""},
		{"an odd name", 200, `{"item": {"uuid": "user_abc123def", "username": {}, "isDeleted": 7, "clients": [null]}}`, ""},
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
	if _, related, err := new(User).Relation(cust); related || err != nil {
		t.Errorf("related %t, %v", related, err)
	}
}
