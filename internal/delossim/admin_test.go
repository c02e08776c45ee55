package delossim_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// startAdmin serves a platform and its admin API, which the second one calls.
func startAdmin(t *testing.T) (api, admin *platform) {
	t.Helper()
	api = start(t, delossim.Settings{})
	admin = &platform{Server: api.Server, clock: api.clock}
	admin.serve(t, api.Admin())
	return api, admin
}

func TestAdminChangesState(t *testing.T) {
	api, admin := startAdmin(t)
	for _, step := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/clients", `{"cuid": "cust_new"}`, 200},
		{"POST", "/users", `{"uuid": "user_new", "username": "new", "relations": {"cust_new": false}}`, 200},
		{"PUT", "/users/user_new/relations/cust_789xyz", `{"isOwner": true}`, 200},
		{"DELETE", "/users/user_new/relations/cust_new", "", 200},
		{"DELETE", "/users/user_new/relations/cust_new", "", 404},
		{"PUT", "/users/user_new/deleted", `{"deleted": true}`, 200},
		{"DELETE", "/users/" + maria, "", 200},
		{"DELETE", "/users/" + maria, "", 404},
		{"PUT", "/users/nobody/relations/cust_789xyz", `{"isOwner": true}`, 404},
		{"PUT", "/users/nobody/deleted", `{"deleted": false}`, 404},

		{"POST", "/clients", `{}`, 400},
		{"POST", "/users", `{}`, 400},
		{"POST", "/users", `{"uuid": "a", "isOwner": true}`, 400},
		{"PUT", "/users/user_new/relations/cust_789xyz", `{}`, 400},
		{"PUT", "/users/user_new/deleted", `{}`, 400},
		{"PUT", "/settings", `{"latency": 5}`, 400},
		{"GET", "/calls?last=all", "", 400},
		{"GET", "/nothing", "", 404},
	} {
		if got := admin.send(t, admin.request(t, step.method, step.path, step.body)); got.Status != step.want {
			t.Errorf("%s %s %s: %+v, want status %d", step.method, step.path, step.body, got, step.want)
		}
	}
	user, _ := api.User("user_new")
	if diff := cmp.Diff(map[string]bool{cust: true}, user.Relations); diff != "" || !user.IsDeleted {
		t.Errorf("deleted: %v, relations (-want +got):\n%s", user.IsDeleted, diff)
	}
	if got := admin.get(t, "/clients"); got.Body != "[\n  \"DoxdEEV-4IJq-zKeUYqrtqVDK\",\n  \"cust_789xyz\",\n  \"cust_new\"\n]\n" {
		t.Errorf("clients: %s", got.Body)
	}
	if got := object(t, `{"users": `+admin.get(t, "/users").Body+`}`)["users"].([]any); len(got) != 2 {
		t.Errorf("users: %v", got)
	}
}

func TestAdminRevokesSessions(t *testing.T) {
	api, admin := startAdmin(t)
	s, _ := api.login(t, credentials)
	admin.send(t, admin.request(t, http.MethodPost, "/sessions/revoke", ""))
	if got := api.as(t, "Bearer "+s.AccessToken); got.Status != http.StatusUnauthorized {
		t.Errorf("got %+v", got)
	}
}

func TestAdminAdjustsSettings(t *testing.T) {
	api, admin := startAdmin(t)
	admin.put(t, "/settings", `{"latency": "1ns", "lag": "1h"}`)
	admin.put(t, "/settings", `{"latency": "0s"}`)
	admin.put(t, "/settings", `{"bareToken": true, "flatRelation": true}`)
	api.Adjust(func(s *delossim.Settings) {
		if diff := cmp.Diff(delossim.Settings{Lag: 3600e9, BareToken: true, FlatRelation: true}, *s); diff != "" {
			t.Errorf("settings (-want +got):\n%s", diff)
		}
	})
}

func TestAdminInjects(t *testing.T) {
	// Each kind is told by what a PUT through it does: an answer that reads so, or an error.
	for body, want := range map[string]struct {
		status  int
		body    string
		fails   bool
		applied bool
	}{
		`{"kind": "answer", "status": 429, "header": {"Retry-After": "5"}, "body": "slow"}`: {status: 429, body: "slow"},
		`{"kind": "answer", "status": 502, "apply": true}`:                                  {status: 502, applied: true},
		`{"kind": "reset"}`:                                    {fails: true},
		`{"kind": "reset", "apply": true}`:                     {fails: true, applied: true},
		`{"kind": "hang", "limit": "1ns"}`:                     {fails: true},
		`{"kind": "hang-after-headers", "limit": "1ns"}`:       {fails: true},
		`{"kind": "truncate"}`:                                 {fails: true, applied: true},
		`{"kind": "cut-json"}`:                                 {status: 200, applied: true},
		`{"kind": "pad", "bytes": 3000}`:                       {status: 200, applied: true},
		`{"kind": "wrong-user", "uuid": "user_other"}`:         {status: 200, applied: true},
		`{"kind": "rewrite", "old": "a", "new": "b"}`:          {status: 200, applied: true},
		`{"kind": "drip", "interval": "1ns"}`:                  {status: 200, applied: true},
		`{"kind": "delay", "delay": "1ns"}`:                    {status: 200, applied: true},
		`{"kind": "reset", "operation": "user"}`:               {status: 200, applied: true},
		`{"kind": "reset", "user": "user_other"}`:              {status: 200, applied: true},
		`{"kind": "reset", "skip": 1}`:                         {status: 200, applied: true},
		`{"kind": "reset", "operation": "relate", "times": 1}`: {fails: true},
	} {
		t.Run(body, func(t *testing.T) {
			api, admin := startAdmin(t)
			if got := admin.send(t, admin.request(t, http.MethodPost, "/faults", body)); got.Status != http.StatusOK {
				t.Fatalf("refused: %+v", got)
			}
			got, err := api.try(api.request(t, http.MethodPut, bindURL, bindOwner))
			if (err != nil) != want.fails || !want.fails && (got.Status != want.status || want.body != "" && got.Body != want.body) {
				t.Errorf("got %+v, %v", got, err)
			}
			if _, related := api.Relations(john)[cust]; related != want.applied {
				t.Errorf("related: %v", related)
			}
			admin.delete(t, "/faults")
			if got := api.put(t, bindURL, bindOwner); got.Status != http.StatusOK {
				t.Errorf("a cleared fault hits: %+v", got)
			}
		})
	}
	for _, body := range []string{
		`{}`,
		`{"kind": "explode"}`,
		`{"kind": "reset", "operation": "PUT"}`,
		`{"kind": "answer"}`,
		`{"kind": "answer", "status": 1000}`,
		`{"kind": "hang", "limit": "soon"}`,
	} {
		_, admin := startAdmin(t)
		if got := admin.send(t, admin.request(t, http.MethodPost, "/faults", body)); got.Status != http.StatusBadRequest {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestAdminShowsCalls(t *testing.T) {
	api, admin := startAdmin(t)
	api.put(t, bindURL, bindOwner)
	api.get(t, johnURL)

	got := object(t, admin.get(t, "/calls?last=1").Body)
	if want := "PUT relate-client 1, GET user 1, DELETE relate-client 0, logins 0, refreshes 0"; got["text"] != want {
		t.Errorf("text: %v", got["text"])
	}
	call := map[string]any{
		"operation": "user", "method": "GET", "path": johnURL, "user": john, "status": 200.0, "applied": true,
		"time": got["calls"].([]any)[0].(map[string]any)["time"], "userAgent": "Go-http-client/1.1",
	}
	if diff := cmp.Diff([]any{call}, got["calls"]); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	admin.delete(t, "/calls")
	if got := object(t, admin.get(t, "/calls").Body); len(got["calls"].([]any)) != 0 {
		t.Errorf("after forgetting: %v", got)
	}
}
