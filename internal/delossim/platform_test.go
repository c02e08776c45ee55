package delossim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	john    = "user_abc123def"
	maria   = "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb"
	cust    = "cust_789xyz"
	doxd    = "DoxdEEV-4IJq-zKeUYqrtqVDK"
	token   = "static-token"
	login   = "operator@example.com"
	pass    = "correct horse"
	johnURL = "/v2/user/" + john
	bindURL = johnURL + "/relate-client"
	custURL = bindURL + "/" + cust

	bindOwnerFlat = `{"customerId": "cust_789xyz", "isOwner": true}`
	bindOwner     = `{"relation": {"cuid": "cust_789xyz", "isOwner": true}}`
	bindStandard  = `{"relation": {"cuid": "cust_789xyz", "isOwner": false}}`
)

// clock stands still unless it is moved.
type clock = clockwork.FakeClock

// platform is a simulated platform behind real HTTP, with the documented users and clients.
type platform struct {
	*delossim.Server
	*clock
	url  string
	http *http.Client
}

func start(t *testing.T, settings delossim.Settings) *platform {
	t.Helper()
	return startWith(t, func(config *delossim.Config) { config.Settings = settings })
}

func startWith(t *testing.T, change func(*delossim.Config)) *platform {
	t.Helper()
	c := clockwork.NewFakeClockAt(time.Unix(1111111109, 0))
	config := delossim.Config{
		Accounts: []delossim.Account{{Login: login, Password: pass, UserID: "user_operator"}},
		Tokens:   []string{token},
		Clients:  []string{cust, doxd},
		Clock:    c.Now,
		Users: []delossim.User{{
			UUID: john, PUID: "pub_789xyz", Username: "john.smith", Name: "John Smith", Comment: "VIP customer", Is2FA: true,
			CreateAt: time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC),
			UpdateAt: time.Date(2024, 3, 20, 14, 22, 0, 0, time.UTC),
		}, {
			UUID: maria, Username: "maria.garcia", Status: "NEW",
		}},
	}
	change(&config)
	p := &platform{Server: delossim.New(config), clock: c}
	p.serve(t, p.Server)
	return p
}

// serve lets the handler answer the calls that are made from now on.
func (p *platform) serve(t *testing.T, handler http.Handler) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(p.Close)
	p.url, p.http = server.URL, server.Client()
}

// request makes a call with the static token.
func (p *platform) request(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// reply is what arrived of an answer.
type reply struct {
	Status int
	Body   string
}

// send makes a call that has to be answered.
func (p *platform) send(t *testing.T, req *http.Request) reply {
	t.Helper()
	got, err := p.try(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	return got
}

// try makes a call that may fail on the way.
func (p *platform) try(req *http.Request) (reply, error) {
	resp, err := p.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(body)}, err
}

func (p *platform) get(t *testing.T, path string) reply {
	t.Helper()
	return p.send(t, p.request(t, http.MethodGet, path, ""))
}

func (p *platform) put(t *testing.T, path, body string) reply {
	t.Helper()
	return p.send(t, p.request(t, http.MethodPut, path, body))
}

func (p *platform) delete(t *testing.T, path string) reply {
	t.Helper()
	return p.send(t, p.request(t, http.MethodDelete, path, ""))
}

// object reads a JSON object.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return value
}

// clients is what a Get user answer shows as clients.
func clients(t *testing.T, got reply) any {
	t.Helper()
	item, ok := object(t, got.Body)["item"].(map[string]any)
	if got.Status != http.StatusOK || !ok {
		t.Fatalf("no user: %+v", got)
	}
	return item["clients"]
}

// bound is one entry of clients.
func bound(cuid string, isOwner bool) any {
	return map[string]any{"customerId": cuid, "isOwner": isOwner}
}
