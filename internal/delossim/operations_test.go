package delossim_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// golden reads a sample answer as docs/delos-api.md has it.
func golden(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return object(t, string(text))
}

func TestRelateAnswersLikeTheDocumentation(t *testing.T) {
	p := start(t, delossim.Settings{})
	// The PUT changes nothing then, and updateAt stays.
	p.SetRelation(john, cust, true)
	p.AddUser(unchangedSinceSample(t, p))

	for name, got := range map[string]reply{
		"PUT":    p.put(t, bindURL, bindOwner),
		"DELETE": p.delete(t, bindURL+"/"+doxd),
	} {
		if got.Status != http.StatusOK {
			t.Fatalf("%s: status %d", name, got.Status)
		}
		if diff := cmp.Diff(golden(t, "relate.json"), object(t, got.Body)); diff != "" {
			t.Errorf("%s differs from the documented answer (-documented +got):\n%s", name, diff)
		}
	}
}

// unchangedSinceSample is john with his relations, last changed when the sample says.
func unchangedSinceSample(t *testing.T, p *platform) delossim.User {
	t.Helper()
	user, found := p.User(john)
	if !found {
		t.Fatal("no john")
	}
	user.UpdateAt = time.Date(2024, 3, 20, 14, 22, 0, 0, time.UTC)
	return user
}

func TestUserAnswersLikeTheDocumentation(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.SetRelation(john, cust, true)

	got := object(t, p.get(t, johnURL).Body)
	// The sample ends in "and more": what it does show has to be there as shown.
	item := got["item"].(map[string]any)
	documented := golden(t, "user.json")["item"].(map[string]any)
	maps.DeleteFunc(item, func(name string, _ any) bool { _, known := documented[name]; return !known })
	if diff := cmp.Diff(documented, item); diff != "" {
		t.Errorf("differs from the documented answer (-documented +got):\n%s", diff)
	}
}

func TestRelate(t *testing.T) {
	const related = `{"error":"User already related to this customer"}`
	for name, test := range map[string]struct {
		settings delossim.Settings
		before   map[string]bool
		body     string
		want     reply
		after    map[string]bool
	}{
		"grants": {
			body:  bindOwner,
			after: map[string]bool{cust: true},
		},
		"keeps other relations": {
			before: map[string]bool{doxd: true},
			body:   bindStandard,
			after:  map[string]bool{doxd: true, cust: false},
		},
		"is idempotent": {
			before: map[string]bool{cust: true},
			body:   bindOwner,
			after:  map[string]bool{cust: true},
		},
		"overwrites": {
			before: map[string]bool{cust: true},
			body:   bindStandard,
			after:  map[string]bool{cust: false},
		},
		"refuses to change": {
			settings: delossim.Settings{Existing: delossim.RefuseChange},
			before:   map[string]bool{cust: true},
			body:     bindStandard,
			want:     reply{http.StatusConflict, related},
			after:    map[string]bool{cust: true},
		},
		"repeats where only a change is refused": {
			settings: delossim.Settings{Existing: delossim.RefuseChange},
			before:   map[string]bool{cust: true},
			body:     bindOwner,
			after:    map[string]bool{cust: true},
		},
		"refuses to repeat": {
			settings: delossim.Settings{Existing: delossim.RefuseRepeat, AlreadyRelatedStatus: http.StatusBadRequest},
			before:   map[string]bool{cust: true},
			body:     bindOwner,
			want:     reply{http.StatusBadRequest, related},
			after:    map[string]bool{cust: true},
		},
		"takes the flat body where it is told to": {
			settings: delossim.Settings{FlatRelation: true},
			body:     bindOwnerFlat,
			after:    map[string]bool{cust: true},
		},
		"refuses the nested body there": {
			settings: delossim.Settings{FlatRelation: true},
			body:     bindOwner,
			want:     reply{http.StatusBadRequest, `{"error":"Invalid request: json: unknown field \"relation\""}`},
		},
		"refuses an isOwner left to a default there": {
			settings: delossim.Settings{FlatRelation: true},
			body:     `{"customerId": "cust_789xyz"}`,
			want:     reply{http.StatusBadRequest, `{"error":"Invalid request: no isOwner"}`},
		},
		"refuses no client there": {
			settings: delossim.Settings{FlatRelation: true},
			body:     `{"isOwner": true}`,
			want:     reply{http.StatusBadRequest, `{"error":"Invalid request: no customerId"}`},
		},
		"refuses the flat body": {
			body: bindOwnerFlat,
			want: reply{http.StatusBadRequest, `{"error":"Invalid request: json: unknown field \"customerId\""}`},
		},
		"refuses an isOwner left to a default": {
			body: `{"relation": {"cuid": "cust_789xyz"}}`,
			want: reply{http.StatusBadRequest, `{"error":"Invalid request: no relation.isOwner"}`},
		},
		"refuses no client": {
			body: `{"relation": {"isOwner": true}}`,
			want: reply{http.StatusBadRequest, `{"error":"Invalid request: no relation.cuid"}`},
		},
		"refuses two values": {
			body: bindOwner + bindOwner,
			want: reply{http.StatusBadRequest, `{"error":"Invalid request: more than one JSON value"}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			for cuid, isOwner := range test.before {
				p.SetRelation(john, cuid, isOwner)
			}
			got := p.put(t, bindURL, test.body)
			if test.want == (reply{}) {
				if got.Status != http.StatusOK {
					t.Errorf("refused: %+v", got)
				}
			} else if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if test.after == nil {
				test.after = map[string]bool{}
			}
			if diff := cmp.Diff(test.after, p.Relations(john)); diff != "" {
				t.Errorf("relations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnrelate(t *testing.T) {
	for name, test := range map[string]struct {
		settings delossim.Settings
		path     string
		status   int
		removed  bool
	}{
		"removes":                           {path: custURL, status: http.StatusOK, removed: true},
		"removes an owner as owner":         {path: custURL + "?relation.isOwner=true", status: http.StatusOK, removed: true},
		"keeps an owner where standard":     {path: custURL + "?relation.isOwner=false", status: http.StatusOK},
		"accepts what is not there":         {path: bindURL + "/" + doxd, status: http.StatusOK},
		"refuses a filter that says naught": {path: custURL + "?relation.isOwner=1", status: http.StatusBadRequest},
		"refuses what is not there": {
			settings: delossim.Settings{RefuseAbsent: true},
			path:     bindURL + "/" + doxd, status: http.StatusNotFound,
		},
		"refuses the wrong kind": {
			settings: delossim.Settings{RefuseAbsent: true},
			path:     custURL + "?relation.isOwner=false", status: http.StatusNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			p.SetRelation(john, cust, true)
			if got := p.delete(t, test.path); got.Status != test.status {
				t.Errorf("got %+v, want status %d", got, test.status)
			}
			if _, related := p.Relations(john)[cust]; related == test.removed {
				t.Errorf("related: %v", related)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	const (
		noUser   = "/v2/user/user_invalid_id"
		noClient = `{"relation": {"cuid": "cust_invalid_id", "isOwner": true}}`
		router   = `{"code":5,"message":"Not Found","details":[]}`
	)
	gateway := delossim.Settings{GatewayErrors: true}
	for name, test := range map[string]struct {
		settings           delossim.Settings
		method, path, body string
		want               reply
	}{
		"get unknown user": {
			method: "GET", path: noUser,
			want: reply{404, `{"error":"User not found: user_invalid_id"}`},
		},
		"bind unknown user": {
			method: "PUT", path: noUser + "/relate-client", body: bindOwner,
			want: reply{404, `{"error":"User not found: user_invalid_id"}`},
		},
		"bind unknown client": {
			method: "PUT", path: bindURL, body: noClient,
			want: reply{404, `{"error":"Customer not found: cust_invalid_id"}`},
		},
		"unbind unknown user": {
			method: "DELETE", path: noUser + "/relate-client/" + cust,
			want: reply{404, `{"error":"User not found: user_invalid_id"}`},
		},
		"unbind unknown client": {
			method: "DELETE", path: bindURL + "/cust_invalid_id",
			want: reply{404, `{"error":"Customer not found: cust_invalid_id"}`},
		},
		"another status": {
			settings: delossim.Settings{NotFoundStatus: 400}, method: "GET", path: noUser,
			want: reply{400, `{"error":"User not found: user_invalid_id"}`},
		},
		"an error under a 200": {
			settings: delossim.Settings{NotFoundStatus: 200}, method: "GET", path: noUser,
			want: reply{200, `{"error":"User not found: user_invalid_id"}`},
		},
		"gateway form, user": {
			settings: gateway, method: "GET", path: noUser,
			want: reply{404, `{"code":5,"message":"User not found: user_invalid_id","details":[]}`},
		},
		"gateway form, client": {
			settings: gateway, method: "PUT", path: bindURL, body: noClient,
			want: reply{404, `{"code":5,"message":"Customer not found: cust_invalid_id","details":[]}`},
		},
		"unknown path": {
			method: "GET", path: "/v2/nothing",
			want: reply{404, router},
		},
		"unclean path": {
			method: "GET", path: "/v2//user/" + john,
			want: reply{404, router},
		},
		"path without an id": {
			method: "GET", path: "/v2/user/",
			want: reply{404, router},
		},
		"path with more": {
			method: "DELETE", path: custURL + "/more",
			want: reply{404, router},
		},
		"known path, other way": {
			method: "POST", path: bindURL, body: bindOwner,
			want: reply{501, `{"code":12,"message":"Method Not Allowed","details":[]}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			got := p.send(t, p.request(t, test.method, test.path, test.body))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if calls := p.Calls(); len(calls) != 1 || calls[0].Applied {
				t.Errorf("recorded as applied: %+v", calls)
			}
		})
	}
}

func TestAnswerShapes(t *testing.T) {
	relation := []any{bound(cust, true)}
	for name, test := range map[string]struct {
		settings delossim.Settings
		related  bool
		inItem   any
		atTop    any
		absent   bool
		idField  string
	}{
		"as documented":     {related: true, inItem: relation},
		"userId":            {settings: delossim.Settings{NameUserID: true}, related: true, inItem: relation, idField: "userId"},
		"cuid":              {settings: delossim.Settings{NameCUID: true}, related: true, inItem: []any{map[string]any{"cuid": cust, "isOwner": true}}},
		"clients at top":    {settings: delossim.Settings{ClientsAtTop: true}, related: true, atTop: relation},
		"none as a list":    {inItem: []any{}},
		"none as null":      {settings: delossim.Settings{EmptyClients: delossim.EmptyNull}},
		"none left out":     {settings: delossim.Settings{EmptyClients: delossim.EmptyOmitted}, absent: true},
		"null does not lie": {settings: delossim.Settings{EmptyClients: delossim.EmptyNull}, related: true, inItem: relation},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			if test.related {
				p.SetRelation(john, cust, true)
			}
			got := object(t, p.get(t, johnURL).Body)
			item := got["item"].(map[string]any)
			if diff := cmp.Diff([]any{test.inItem, test.atTop}, []any{item["clients"], got["clients"]}); diff != "" {
				t.Errorf("clients in item and at top (-want +got):\n%s", diff)
			}
			_, inItem := item["clients"]
			if inItem == (test.absent || test.settings.ClientsAtTop) {
				t.Errorf("clients in item: %v", inItem)
			}
			idField := test.idField
			if idField == "" {
				idField = "uuid"
			}
			written := object(t, p.put(t, bindURL, bindOwner).Body)["item"].(map[string]any)
			if item[idField] != john || written[idField] != john {
				t.Errorf("no %s in %v and %v", idField, item, written)
			}
		})
	}
}

func TestList(t *testing.T) {
	for name, test := range map[string]struct {
		query     string
		usernames []any
		meta      map[string]any
	}{
		"all":              {query: "", usernames: []any{"john.smith", "maria.garcia"}, meta: meta(0, 50, 2)},
		"first page":       {query: "?meta.page=0&meta.pageSize=1", usernames: []any{"john.smith"}, meta: meta(0, 1, 2)},
		"second page":      {query: "?meta.page=1&meta.pageSize=1", usernames: []any{"maria.garcia"}, meta: meta(1, 1, 2)},
		"past the end":     {query: "?meta.page=2&meta.pageSize=1", meta: meta(2, 1, 2)},
		"by client":        {query: "?cuid=" + cust, usernames: []any{"john.smith"}, meta: meta(0, 50, 1)},
		"by user":          {query: "?uuid=" + maria, usernames: []any{"maria.garcia"}, meta: meta(0, 50, 1)},
		"by status":        {query: "?status=NEW", usernames: []any{"maria.garcia"}, meta: meta(0, 50, 1)},
		"by what fits not": {query: "?status=NEW&cuid=" + cust, meta: meta(0, 50, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, delossim.Settings{})
			p.SetRelation(john, cust, true)
			got := object(t, p.get(t, "/v2/user"+test.query).Body)
			var usernames []any
			for _, item := range got["items"].([]any) {
				usernames = append(usernames, item.(map[string]any)["username"])
			}
			if diff := cmp.Diff(test.usernames, usernames); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.meta, got["meta"]); diff != "" {
				t.Errorf("meta (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("refuses a page that is none", func(t *testing.T) {
		p := start(t, delossim.Settings{})
		for _, query := range []string{"?meta.page=-1", "?meta.pageSize=0", "?meta.page=one"} {
			if got := p.get(t, "/v2/user"+query); got.Status != http.StatusBadRequest {
				t.Errorf("%s: %+v", query, got)
			}
		}
	})
	t.Run("carries clients if asked to", func(t *testing.T) {
		for _, carry := range []bool{false, true} {
			p := start(t, delossim.Settings{ListClients: carry})
			item := object(t, p.get(t, "/v2/user").Body)["items"].([]any)[0].(map[string]any)
			if _, carried := item["clients"]; carried != carry {
				t.Errorf("clients: %v, want %v", carried, carry)
			}
		}
	})
}

// What nobody has documented of lists is a setting, each.
func TestOddLists(t *testing.T) {
	const second, behind = "/v2/user?meta.page=1&meta.pageSize=2", "/v2/user?meta.page=2&meta.pageSize=2"
	for name, test := range map[string]struct {
		settings    delossim.Settings
		query, want string
	}{
		"smaller pages, counted as given":     {delossim.Settings{MaxPageSize: 1}, second, `["maria.garcia"] {"page":1,"pageSize":2,"total":3}`},
		"smaller pages, counted as asked for": {delossim.Settings{MaxPageSize: 1, PagesAsAsked: true}, second, `["third"] {"page":1,"pageSize":2,"total":3}`},
		"no total":                            {delossim.Settings{OmitTotal: true}, second, `["third"] {"page":1,"pageSize":2}`},
		"the total as a text":                 {delossim.Settings{TextTotal: true}, second, `["third"] {"page":1,"pageSize":2,"total":"3"}`},
		"behind the end":                      {delossim.Settings{}, behind, `[] {"page":2,"pageSize":2,"total":3}`},
		"behind the end, the last page again": {delossim.Settings{LastPageAgain: true}, behind, `["third"] {"page":2,"pageSize":2,"total":3}`},
		"behind the end, no items":            {delossim.Settings{OmitEmptyItems: true}, behind, `null {"page":2,"pageSize":2,"total":3}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, test.settings)
			p.AddUser(delossim.User{UUID: "user_3", Username: "third"})
			got := object(t, p.get(t, test.query).Body)
			var usernames []any
			if items, listed := got["items"].([]any); listed {
				usernames = []any{}
				for _, item := range items {
					usernames = append(usernames, item.(map[string]any)["username"])
				}
			}
			said := text(t, usernames) + " " + text(t, got["meta"])
			if said != test.want {
				t.Errorf("got  %s\nwant %s", said, test.want)
			}
		})
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestCustomers(t *testing.T) {
	for name, test := range map[string]struct {
		settings    delossim.Settings
		account     delossim.Account
		query, want string
	}{
		"all":         {query: "", want: `{"items":[{"customerId":"DoxdEEV-4IJq-zKeUYqrtqVDK","customerName":""},{"customerId":"cust_789xyz","customerName":"Acme"}],"meta":{"page":0,"pageSize":50,"total":2}}`},
		"by id":       {query: "?customerId=" + cust, want: `{"items":[{"customerId":"cust_789xyz","customerName":"Acme"}],"meta":{"page":0,"pageSize":50,"total":1}}`},
		"by name":     {query: "?customerName=Acme", settings: delossim.Settings{NameCUID: true}, want: `{"items":[{"cuid":"cust_789xyz","customerName":"Acme"}],"meta":{"page":0,"pageSize":50,"total":1}}`},
		"not allowed": {account: delossim.Account{NoCustomers: true}, want: `{"error":"Permission denied"}`},
	} {
		t.Run(name, func(t *testing.T) {
			test.account.Login, test.account.Password = login, pass
			p := startWith(t, func(config *delossim.Config) {
				config.Settings, config.Accounts = test.settings, []delossim.Account{test.account}
				config.ClientNames = map[string]string{cust: "Acme"}
			})
			session, _ := p.login(t, credentials)
			request := p.request(t, http.MethodGet, "/v2/customer"+test.query, "")
			request.Header.Set("Authorization", "Bearer "+session.AccessToken)
			if got := strings.TrimSpace(p.send(t, request).Body); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func meta(page, pageSize, total float64) map[string]any {
	return map[string]any{"page": page, "pageSize": pageSize, "total": total}
}
