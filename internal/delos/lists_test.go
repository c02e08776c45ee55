package delos

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// readList reads a list to its end.
func readList[T any](t *testing.T, list *Listing[T]) ([]T, error) {
	t.Helper()
	for range 1000 {
		done, err := list.Next(t.Context())
		if done || err != nil {
			return list.Entries(), err
		}
	}
	t.Fatal("the list has no end")
	return nil, nil
}

// crowd are users of a platform, and their ids.
func crowd(count int) (users []delossim.User, ids []string) {
	for i := range count {
		user := delossim.User{UUID: fmt.Sprintf("user_%03d", i), Relations: map[string]bool{doxd: true}}
		if i%10 == 0 {
			user.Status, user.Relations = "NEW", map[string]bool{cust: false}
		}
		users, ids = append(users, user), append(ids, user.UUID)
	}
	return users, ids
}

// TestUsers reads a list from every platform that the documentation leaves possible: all of it, or an error.
func TestUsers(t *testing.T) {
	users, all := crowd(120)
	tenth := []string{}
	for i := 0; i < len(all); i += 10 {
		tenth = append(tenth, all[i])
	}
	for _, test := range []struct {
		reason   string
		settings delossim.Settings
		filter   UserFilter
		arrange  func(*delossim.Server)
		// meanwhile is what happens after the first page.
		meanwhile func(*delossim.Server)
		want      []string
		wantErr   string
		calls     int
	}{
		{reason: "the end is an empty page", want: all, calls: 4},
		{reason: "the total is a text", settings: delossim.Settings{TextTotal: true}, want: all, calls: 4},
		{reason: "no total", settings: delossim.Settings{OmitTotal: true}, want: all, calls: 4},
		{reason: "an empty page has no items", settings: delossim.Settings{OmitTotal: true, OmitEmptyItems: true}, want: all, calls: 4},
		{reason: "the user is named userId", settings: delossim.Settings{NameUserID: true}, want: all, calls: 4},
		{reason: "the entries have clients", settings: delossim.Settings{ListClients: true}, want: all, calls: 4},
		{reason: "smaller pages, counted as given", settings: delossim.Settings{MaxPageSize: 30}, want: all, calls: 2 + 5},
		{reason: "smaller pages, counted as asked for", settings: delossim.Settings{MaxPageSize: 30, PagesAsAsked: true, OmitTotal: true}, want: all, calls: 2 + 5},
		{reason: "a client", filter: UserFilter{CUID: cust}, want: tenth, calls: 2},
		{reason: "a status", filter: UserFilter{Status: "NEW"}, want: tenth, calls: 2},
		{reason: "nobody", filter: UserFilter{Status: "GONE"}, calls: 1},
		{reason: "nobody, and no items", filter: UserFilter{Status: "GONE"}, settings: delossim.Settings{OmitTotal: true, OmitEmptyItems: true}, calls: 1},
		{reason: "the last page again, and a total", settings: delossim.Settings{LastPageAgain: true}, want: all, calls: 4},
		{
			reason: "the last page again, and no total", settings: delossim.Settings{LastPageAgain: true, OmitTotal: true}, calls: 4,
			wantErr: "list-users: unexpected answer (HTTP 200): page 3 of the list: it has only entries of the pages before: the API may not count pages as it should [request ID]",
		},
		{
			reason: "the total is larger than the list", calls: 4,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Rewrite{Old: `"total":120`, New: `"total":121`}})
			},
			wantErr: "list-users: unexpected answer (HTTP 200): page 3 of the list: the API says that there are 121 entries, and its pages had 120 [request ID]",
		},
		{
			reason: "the total is that of a page", calls: 4, want: all,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Rewrite{Old: `"total":120`, New: `"total":20`}})
			},
		},
		{
			reason: "a user is removed meanwhile", calls: 1 + 1 + 4, want: all[1:],
			meanwhile: func(s *delossim.Server) { s.RemoveUser(all[0]) },
		},
		{
			reason: "items are under another name", calls: 1,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Rewrite{Old: `"items"`, New: `"users"`}})
			},
			wantErr: "list-users: unexpected answer (HTTP 200): page 0 of the list: the answer has no items, but something else [request ID]",
		},
		{
			reason: "an entry without an id", calls: 1,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Rewrite{Old: `"uuid":"user_007"`, New: `"uuid":null`}})
			},
			wantErr: "list-users: unexpected answer (HTTP 200): page 0 of the list: an entry has no id, or two that differ [request ID]",
		},
		{
			reason: "an entry that is no object", calls: 1,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Rewrite{Old: `"items":[`, New: `"items":["user_x",`}})
			},
			wantErr: "list-users: unexpected answer (HTTP 200): page 0 of the list: an entry has no id, or two that differ [request ID]",
		},
		{
			reason: "half a page", calls: 1,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.CutJSON{}})
			},
			wantErr: "list-users: unexpected answer (HTTP 200): page 0 of the list: the answer is not a list in JSON [request ID]",
		},
		{
			reason: "a page without end", calls: 1,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Pad{}})
			},
			wantErr: "list-users: answer too large (HTTP 200): the answer is larger than 16 MiB [request ID]",
		},
		{
			reason: "pages of any length, and no total", calls: 2 + 4,
			arrange: func(s *delossim.Server) {
				pages := []string{`{"uuid": "a"}`, `{"uuid": "c"}`, `{"uuid": "a"}`, `{"uuid": "b"}, {"uuid": "c"}`, `{"uuid": "d"}`, ``}
				for i, items := range pages {
					if i == 0 {
						items += `, {"uuid": "b"}` // so that pages of two are asked for from then on
					}
					s.Inject(delossim.Fault{Op: delossim.OpList, Times: 1, Failure: delossim.Answer{Body: `{"items": [` + items + `]}`}})
				}
			},
			wantErr: "list-users: unexpected answer (HTTP 200): page 3 of the list: pages shorter than asked for came before others, and the API does not say how many entries there are: some may have been left out [request ID]",
		},
		{
			reason: "not allowed", calls: 1,
			arrange: func(s *delossim.Server) {
				s.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Answer{Status: 403, Body: `{"error": "Permission denied"}`}})
			},
			wantErr: "list-users: forbidden (HTTP 403): Permission denied [request ID]",
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			p := startPlatform(t, test.settings)
			p.RemoveUser(john)
			for _, user := range users {
				p.AddUser(user)
			}
			if test.arrange != nil {
				test.arrange(p.Server)
			}
			list := p.api.Users(test.filter)
			if test.meanwhile != nil {
				if _, err := list.Next(t.Context()); err != nil {
					t.Fatal(err)
				}
				test.meanwhile(p.Server)
			}
			got, err := readList(t, list)
			if test.wantErr != "" {
				if diff := cmp.Diff(test.wantErr, textOf(t, err)); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
			if calls := p.Count(delossim.OpList); calls != test.calls {
				t.Errorf("%d calls, want %d", calls, test.calls)
			}
		})
	}
}

// TestListGoesOn: after a failure the same page is read again.
func TestListGoesOn(t *testing.T) {
	users, all := crowd(60)
	p := startPlatform(t, delossim.Settings{})
	p.RemoveUser(john)
	for _, user := range users {
		p.AddUser(user)
	}
	p.Inject(delossim.Fault{Op: delossim.OpList, Skip: 1, Times: 1, Failure: delossim.Answer{Status: 503}})
	list := p.api.Users(UserFilter{})
	if _, err := readList(t, list); KindOf(err) != KindUnavailable {
		t.Fatalf("got %v, want an unavailable API", err)
	}
	got, err := readList(t, list)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestCustomers(t *testing.T) {
	want := []Customer{{CUID: doxd}, {CUID: cust, Name: "Acme\u00a0Ltd"}}
	for reason, settings := range map[string]delossim.Settings{"customerId": {}, "cuid": {NameCUID: true}} {
		t.Run(reason, func(t *testing.T) {
			p := startPlatform(t, settings)
			p.NameClient(cust, "Acme\u00a0\u202eLtd\n")
			got, err := readList(t, p.api.Customers())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPace: every request waits its turn, and a caller that gives up sends none.
func TestPace(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	turns := 0
	p := startPlatform(t, delossim.Settings{}, withLogin, func(config *Config) {
		config.Pace = func(ctx context.Context) error {
			if turns++; turns == 3 {
				giveUp()
			}
			return ctx.Err()
		}
	})
	p.user(t)
	if _, err := p.api.User(ctx, john); failureOf(t, err).Kind != KindUnreachable || ctx.Err() == nil {
		t.Errorf("got %v, want that the caller gave up", err)
	}
	p.expectCalls(t, "that were sent", delossim.Summary{Login: 1, User: 1})
}

// TestForm: an answer tells by which names it says what it says.
func TestForm(t *testing.T) {
	for _, test := range []struct {
		settings delossim.Settings
		want     UserForm
	}{
		{delossim.Settings{}, UserForm{UserID: []string{"uuid"}, ClientID: []string{"customerId"}, Clients: []string{"item.clients"}}},
		{
			delossim.Settings{NameUserID: true, NameCUID: true, ClientsAtTop: true},
			UserForm{UserID: []string{"userId"}, ClientID: []string{"cuid"}, Clients: []string{"clients"}},
		},
	} {
		p := startPlatform(t, test.settings)
		p.SetRelation(john, cust, true)
		p.SetRelation(john, doxd, true)
		user, err := p.api.User(t.Context(), john)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, user.Form); diff != "" {
			t.Errorf("form (-want +got):\n%s", diff)
		}
		if clients := user.Clients(); !slices.Equal(clients, []string{doxd, cust}) {
			t.Errorf("clients are %v", clients)
		}
	}
}
