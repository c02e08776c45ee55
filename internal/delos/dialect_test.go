package delos

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// TestOtherForm shows which failures name the other form of a request: those of the first use of a form, and none of an
// API that has accepted it.
func TestOtherForm(t *testing.T) {
	probe := func(t *testing.T, p *platform) error { return p.api.Probe(t.Context()) }
	relate := func(t *testing.T, p *platform) error { return failure(p.api.Relate(t.Context(), john, cust, true)) }
	invalid := func(p *platform) {
		p.Inject(delossim.Fault{Failure: delossim.Answer{Status: 422, Body: `{"error": "cuid has the wrong form"}`}})
	}
	unauthorized := func(p *platform) {
		p.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Answer{Status: 401}})
	}
	bare, flat := func(c *Config) { c.Dialect.BareToken = true }, func(c *Config) { c.Dialect.FlatRelation = true }
	type changes = []func(*Config)
	for name, test := range map[string]struct {
		settings delossim.Settings
		changes  []func(*Config)
		// before is done first, and has to succeed.
		before func(*testing.T, *platform) error
		fault  func(*platform)
		call   func(*testing.T, *platform) error
		want   Error
	}{
		"the token of a login, to an API that takes it bare": {
			settings: delossim.Settings{BareToken: true}, changes: changes{withLogin}, call: probe,
			want: Error{Operation: OperationList, Kind: KindUnauthorized, Status: 401, Text: "Unauthorized", OtherForm: FormBareToken},
		},
		"the bare token of a login, to an API as documented": {
			changes: changes{withLogin, bare}, call: probe,
			want: Error{Operation: OperationList, Kind: KindUnauthorized, Status: 401, Text: "Unauthorized", OtherForm: FormBearer},
		},
		"a given token, to an API that takes it bare": {
			settings: delossim.Settings{BareToken: true}, call: probe,
			want: Error{Operation: OperationLogin, Kind: KindLoginRefused, Text: "the API does not accept the token", OtherForm: FormBareToken},
		},
		"a login that is refused": {
			changes: changes{withLogin, func(c *Config) { c.Credentials.Password = "wrong" }}, call: probe,
			want: Error{Operation: OperationLogin, Kind: KindLoginRefused, Status: 401, Text: "Unauthorized"},
		},
		"a token that is refused after one was accepted": {
			changes: changes{withLogin}, before: probe, fault: unauthorized, call: probe,
			want: Error{Operation: OperationList, Kind: KindUnauthorized, Status: 401},
		},
		"a given token that is refused after it was accepted": {
			before: probe, fault: unauthorized, call: probe,
			want: Error{Operation: OperationLogin, Kind: KindLoginRefused, Text: "the API does not accept the token"},
		},
		"a nested relation, to an API that takes it flat": {
			settings: delossim.Settings{FlatRelation: true}, call: relate,
			want: Error{Operation: OperationRelate, Kind: KindInvalid, Status: 400, Text: `Invalid request: json: unknown field "relation"`, OtherForm: FormFlatRelation},
		},
		"a flat relation, to an API as documented": {
			changes: changes{flat}, call: relate,
			want: Error{Operation: OperationRelate, Kind: KindInvalid, Status: 400, Text: `Invalid request: json: unknown field "customerId"`, OtherForm: FormNestedRelation},
		},
		"a relation that is refused after one was accepted": {
			before: relate, fault: invalid, call: relate,
			want: Error{Operation: OperationRelate, Kind: KindInvalid, Status: 422, Text: "cuid has the wrong form"},
		},
		"an id that cannot be sent": {
			call: func(t *testing.T, p *platform) error { return failure(p.api.Relate(t.Context(), "..", cust, true)) },
			want: Error{Operation: OperationRelate, Kind: KindInvalid, Text: "an id in the request's path is empty or consists of dots"},
		},
		"a removal that is called invalid": {
			fault: invalid,
			call:  func(t *testing.T, p *platform) error { return failure(p.api.Unrelate(t.Context(), john, cust)) },
			want:  Error{Operation: OperationUnrelate, Kind: KindInvalid, Status: 422, Text: "cuid has the wrong form"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startPlatform(t, test.settings, test.changes...)
			if test.before != nil {
				if err := test.before(t, p); err != nil {
					t.Fatal(err)
				}
			}
			if test.fault != nil {
				test.fault(p)
			}
			got := failureOf(t, test.call(t, p))
			ignored := cmpopts.IgnoreFields(Error{}, "RequestID", "inWords")
			if diff := cmp.Diff(&test.want, got, ignored, cmp.AllowUnexported(Error{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestSuccessorKnowsTheForms: other credentials for the same API are not suspected of the form, and another dialect is.
func TestSuccessorKnowsTheForms(t *testing.T) {
	p := startPlatform(t, delossim.Settings{})
	if err := p.api.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for want, dialect := range map[Form]Dialect{FormNone: {}, FormBearer: {BareToken: true}} {
		successor := newAPI(t, p.api.config.BaseURL.String(), func(c *Config) { c.Credentials.Token, c.Dialect = "wrong", dialect })
		successor.Succeed(p.api)
		if got := failureOf(t, successor.Probe(t.Context())).OtherForm; got != want {
			t.Errorf("%+v: got form %d, want %d", dialect, got, want)
		}
	}
}
