package delossim

import (
	"cmp"
	"net/http"
	"time"
)

// Lifetimes that apply when [Settings] names none: the vendor's FAQ gives an access token five minutes, and
// the documented login answer gives a refresh token thirty days (docs/delos-api.md, "Login").
const (
	DefaultAccessTTL  = 5 * time.Minute
	DefaultRefreshTTL = 30 * 24 * time.Hour
)

// Config is what a [Server] starts with. The zero value is a platform that nobody can log in to.
type Config struct {
	// Settings say how the platform behaves; [Server.Adjust] changes them later.
	Settings Settings

	// Accounts may log in.
	Accounts []Account

	// Tokens are accepted as bearer tokens without a login and never expire.
	Tokens []string

	// Users are known from the start; so are the clients that they are related to.
	Users []User

	// Clients are the cuids known from the start, and ClientNames what List customers calls them.
	Clients     []string
	ClientNames map[string]string

	// Clock tells the time that tokens, codes and the consistency lag go by; nil is time.Now.
	Clock func() time.Time

	// OnCall, if set, is told of every call once it is recorded and before its answer goes out.
	OnCall func(Call)
}

// Settings say how the simulated platform behaves. The zero value is the documented platform, with its
// contradictions resolved in favour of the majority of the samples.
type Settings struct {
	// AccessTTL is how long an access token is good; zero is [DefaultAccessTTL]. Answers state whole seconds.
	AccessTTL time.Duration
	// RefreshTTL is how long a refresh token is good; zero is [DefaultRefreshTTL]. Answers state whole seconds.
	RefreshTTL time.Duration
	// AnnouncedAccessTTL is stated as accessTtl instead of the truth, unless zero: the documented sample says
	// an hour where the FAQ says five minutes.
	AnnouncedAccessTTL time.Duration
	// OmitTTL leaves accessTtl and refreshTtl out of answers, so that only the token's exp tells.
	OmitTTL bool

	// Latency is slept, for real, before a call is handled; it ends early with the request.
	Latency time.Duration
	// Lag is how long, by the clock, a PUT or DELETE stays invisible to Get user and List users.
	Lag time.Duration
	// LagReads is how many Get user calls for the user a PUT or DELETE stays invisible to. With Lag set, too,
	// a write shows once both have passed.
	LagReads int

	// BareToken takes the access token in Authorization with no "Bearer " before it, and refuses the documented form.
	BareToken bool
	// FlatRelation takes the body {"customerId", "isOwner"} for a PUT, and refuses the documented, nested one.
	FlatRelation bool

	// Existing says what a PUT on an existing relation does.
	Existing Existing
	// RefuseAbsent answers a DELETE of a relation that is not there with "Relation not found" and
	// NotFoundStatus, instead of 200. Neither is documented.
	RefuseAbsent bool

	// GatewayErrors gives errors the form {"code", "message", "details"} instead of {"error"}.
	GatewayErrors bool
	// NotFoundStatus answers an unknown user or client; zero is 404. Status codes are not documented.
	NotFoundStatus int
	// UnauthorizedStatus answers a refused login, token or refresh; zero is 401.
	UnauthorizedStatus int
	// AlreadyRelatedStatus answers a PUT refused by Existing; zero is 409.
	AlreadyRelatedStatus int

	// NameUserID names the user "userId" in answers instead of "uuid".
	NameUserID bool
	// NameCUID names the client "cuid" in answers instead of "customerId".
	NameCUID bool
	// ClientsAtTop puts "clients" beside "item" instead of inside.
	ClientsAtTop bool
	// EmptyClients is how Get user shows that a user has no clients.
	EmptyClients EmptyClients
	// ListClients lets the items of List users carry "clients"; whether they do is not documented.
	ListClients bool

	// MaxPageSize is how many entries a page of a list has at most, however many are asked for; zero for no limit.
	MaxPageSize int
	// PagesAsAsked counts pages by the length that was asked for, also where MaxPageSize makes them shorter: what lies
	// between is on no page.
	PagesAsAsked bool
	// OmitTotal leaves meta.total out of lists, and TextTotal states it as a text.
	OmitTotal, TextTotal bool
	// OmitEmptyItems leaves items out of a page that has none.
	OmitEmptyItems bool
	// LastPageAgain answers a page behind the end with the last one.
	LastPageAgain bool
}

// Existing says what binding an already related client again does.
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
