package delossim

import (
	"cmp"
	"net/http"
	"time"
)

// Default lifetimes: five minutes for an access token as in the vendor's FAQ, and thirty days for a refresh token as in
// the documented login answer (docs/delos-api.md, "Login").
const (
	DefaultAccessTTL  = 5 * time.Minute
	DefaultRefreshTTL = 30 * 24 * time.Hour
)

// Config is the initial state of a [Server]. The zero value is a platform without accounts.
type Config struct {
	// Settings say how the platform behaves; [Server.Adjust] changes them later.
	Settings Settings

	// Accounts may log in.
	Accounts []Account

	// Tokens are accepted as bearer tokens without a login and never expire.
	Tokens []string

	// Users exist from the start, with the clients of their relations.
	Users []User

	// Clients are the cuids that exist from the start, and ClientNames their names in List customers.
	Clients     []string
	ClientNames map[string]string

	// Clock is the clock of tokens, codes and the lag; nil is time.Now.
	Clock func() time.Time

	// OnCall, if set, is called for every call, after it is recorded and before its answer is sent.
	OnCall func(Call)
}

// Settings are the behavior of the simulated platform. The zero value is the documented platform. For a contradiction
// it has the reading of most samples.
type Settings struct {
	// AccessTTL is the lifetime of an access token; zero is [DefaultAccessTTL]. Answers have whole seconds.
	AccessTTL time.Duration
	// RefreshTTL is the lifetime of a refresh token; zero is [DefaultRefreshTTL]. Answers have whole seconds.
	RefreshTTL time.Duration
	// AnnouncedAccessTTL is the accessTtl in answers, unless zero: the documented sample says
	// an hour, and the FAQ says five minutes.
	AnnouncedAccessTTL time.Duration
	// OmitTTL leaves accessTtl and refreshTtl out of answers, so that only the token's exp has the lifetime.
	OmitTTL bool

	// Latency is slept, for real, before a call is handled; it ends early with the request.
	Latency time.Duration
	// Lag is how long, by the clock, a PUT or DELETE stays invisible to Get user and List users.
	Lag time.Duration
	// LagReads is the number of Get user calls for the user in which a PUT or DELETE stays invisible. With Lag,
	// a write shows when both have passed.
	LagReads int

	// BareToken takes the access token in Authorization with no "Bearer " before it, and refuses the documented form.
	BareToken bool
	// FlatRelation takes the body {"customerId", "isOwner"} for a PUT, and refuses the documented, nested one.
	FlatRelation bool

	// Existing is the effect of a PUT on an existing relation.
	Existing Existing
	// RefuseAbsent answers a DELETE of a missing relation with "Relation not found" and
	// NotFoundStatus, instead of 200. Neither is documented.
	RefuseAbsent bool

	// GatewayErrors gives errors the form {"code", "message", "details"} instead of {"error"}.
	GatewayErrors bool
	// NotFoundStatus is the status for an unknown user or client; zero is 404. Status codes are not documented.
	NotFoundStatus int
	// UnauthorizedStatus is the status for a refused login, token or refresh; zero is 401.
	UnauthorizedStatus int
	// AlreadyRelatedStatus is the status for a PUT refused by Existing; zero is 409.
	AlreadyRelatedStatus int

	// NameUserID names the user "userId" in answers instead of "uuid".
	NameUserID bool
	// NameCUID names the client "cuid" in answers instead of "customerId".
	NameCUID bool
	// ClientsAtTop puts "clients" beside "item" instead of inside.
	ClientsAtTop bool
	// EmptyClients is the form in which Get user shows that a user has no clients.
	EmptyClients EmptyClients
	// ListClients adds "clients" to the items of List users. This is not documented.
	ListClients bool

	// MaxPageSize is the maximum number of entries of a page; zero is no limit.
	MaxPageSize int
	// PagesAsAsked counts pages by the requested length, also if MaxPageSize makes them shorter. The entries
	// between are on no page.
	PagesAsAsked bool
	// OmitTotal leaves meta.total out of lists, and TextTotal makes it a string.
	OmitTotal, TextTotal bool
	// OmitEmptyItems leaves items out of an empty page.
	OmitEmptyItems bool
	// LastPageAgain answers a page after the end with the last one.
	LastPageAgain bool
}

// Existing is the effect of a PUT on an existing relation.
type Existing int

const (
	// Overwrite is the documented behavior: a PUT is idempotent and updates isOwner.
	Overwrite Existing = iota
	// RefuseChange answers "User already related to this customer" if isOwner differs.
	RefuseChange
	// RefuseRepeat answers "User already related to this customer" to every PUT on an existing relation.
	RefuseRepeat
)

// EmptyClients is a way to show that a user has no clients.
type EmptyClients int

const (
	// EmptyList shows "clients": [].
	EmptyList EmptyClients = iota
	// EmptyOmitted leaves "clients" out.
	EmptyOmitted
	// EmptyNull shows "clients": null.
	EmptyNull
)

func (s Settings) accessTTL() time.Duration  { return cmp.Or(s.AccessTTL, DefaultAccessTTL) }
func (s Settings) refreshTTL() time.Duration { return cmp.Or(s.RefreshTTL, DefaultRefreshTTL) }
func (s Settings) notFoundStatus() int       { return cmp.Or(s.NotFoundStatus, http.StatusNotFound) }
func (s Settings) unauthorizedStatus() int {
	return cmp.Or(s.UnauthorizedStatus, http.StatusUnauthorized)
}
func (s Settings) alreadyRelatedStatus() int {
	return cmp.Or(s.AlreadyRelatedStatus, http.StatusConflict)
}
