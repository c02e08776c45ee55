package delos

import (
	"errors"
	"sync/atomic"
)

// Dialect is the form of requests that an API takes, where its documentation shows two forms (docs/delos-api.md). The zero
// Dialect is the form that the documentation describes. The other one is in a single sample.
type Dialect struct {
	// BareToken sends the access token in Authorization with no "Bearer " before it.
	BareToken bool
	// FlatRelation sends {"customerId", "isOwner"} to relate a client, and not {"relation": {"cuid", "isOwner"}}.
	FlatRelation bool
}

// Form is one of two forms of a part of a request.
type Form int

// The forms that a Dialect chooses from. The zero Form is none of them.
const (
	FormNone Form = iota
	// FormBearer is Authorization: Bearer <token>.
	FormBearer
	// FormBareToken is Authorization: <token>.
	FormBareToken
	// FormNestedRelation is {"relation": {"cuid", "isOwner"}}.
	FormNestedRelation
	// FormFlatRelation is {"customerId", "isOwner"}.
	FormFlatRelation
)

// authorization is the header Authorization for a token.
func (d Dialect) authorization(token string) string {
	if d.BareToken {
		return token
	}
	return "Bearer " + token
}

type nestedRelation struct {
	Relation relation `json:"relation"`
}

type relation struct {
	CUID    string `json:"cuid"`
	IsOwner bool   `json:"isOwner"`
}

type flatRelation struct {
	CustomerID string `json:"customerId"`
	IsOwner    bool   `json:"isOwner"`
}

// relation is the body that relates a client.
func (d Dialect) relation(cuid string, isOwner bool) any {
	if d.FlatRelation {
		return flatRelation{cuid, isOwner}
	}
	return nestedRelation{relation{cuid, isOwner}}
}

func (d Dialect) otherAuthorization() Form {
	if d.BareToken {
		return FormBearer
	}
	return FormBareToken
}

func (d Dialect) otherRelation() Form {
	if d.FlatRelation {
		return FormNestedRelation
	}
	return FormFlatRelation
}

// taken are the forms of a dialect that an API has accepted.
type taken struct{ authorization, relation atomic.Bool }

// Succeed takes over, from a former client of the same API and dialect, the knowledge which forms the API has accepted.
func (c *Client) Succeed(former *Client) {
	if c.config.Dialect == former.config.Dialect && *c.config.BaseURL == *former.config.BaseURL {
		c.taken = former.taken
	}
}

// suspectForm names the other form in an error that the form of the request may have caused.
func (c *Client) suspectForm(err error) {
	var failure *Error
	if !errors.As(err, &failure) {
		return
	}
	switch {
	case failure.Kind == KindUnauthorized:
		failure.OtherForm = c.otherAuthorization()
	case failure.Kind == KindInvalid && failure.Operation == OperationRelate && failure.Status != 0 && !c.taken.relation.Load():
		failure.OtherForm = c.config.Dialect.otherRelation()
	}
}

// otherAuthorization is the form to try when a token is refused; FormNone once the API has accepted one.
func (c *Client) otherAuthorization() Form {
	if c.taken.authorization.Load() {
		return FormNone
	}
	return c.config.Dialect.otherAuthorization()
}
