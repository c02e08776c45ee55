package delossim

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strings"
	"time"
)

// Account may log in. Its JSON is that of the simulator's data file.
type Account struct {
	// Login and Password are its credentials.
	Login    string `json:"login"`
	Password string `json:"password,omitempty"`
	// TOTPSeed is the base32 seed of its authenticator app; empty if it has none.
	TOTPSeed string `json:"totpSeed,omitempty"`
	// UserID is the id in the answer to a login; empty takes a random one.
	UserID string `json:"userId,omitempty"`
	// ReadOnly accounts may not change relations.
	ReadOnly bool `json:"readOnly,omitempty"`
	// SeesNobody accounts see no user, like an account of another tenant.
	SeesNobody bool `json:"seesNobody,omitempty"`
	// NoCustomers accounts may not list clients.
	NoCustomers bool `json:"noCustomers,omitempty"`
}

// Validate reports a mistake with which the account could never log in.
func (a Account) Validate() error {
	switch {
	case a.Login == "":
		return fmt.Errorf("account without a login")
	case a.Password == "":
		return fmt.Errorf("account %s has no password", a.Login)
	case a.TOTPSeed != "":
		if _, err := decodeSeed(a.TOTPSeed); err != nil {
			return fmt.Errorf("account %s: %w", a.Login, err)
		}
	}
	return nil
}

// AddAccount adds the account, or replaces the one with that login, whose sessions live on.
func (s *Server) AddAccount(account Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if former := s.sessions.accounts[account.Login]; former != nil && account.UserID == "" {
		account.UserID = former.UserID
	}
	if account.UserID == "" {
		account.UserID = newUUID()
	}
	s.sessions.accounts[account.Login] = &storedAccount{Account: account, lastStep: math.MinInt64}
}

// SetPassword changes an account's password; its sessions live on. It reports whether there is such an account.
func (s *Server) SetPassword(login, password string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	account, found := s.sessions.accounts[login]
	if found {
		account.Password = password
	}
	return found
}

// AddToken accepts the bearer token until it is removed.
func (s *Server) AddToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions.tokens[token] = true
}

// RemoveToken removes a token of [Server.AddToken].
func (s *Server) RemoveToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions.tokens, token)
}

// RevokeAccessTokens invalidates every access token of a login or refresh. Refresh tokens stay valid.
func (s *Server) RevokeAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions.access)
}

// RevokeSessions invalidates every access and refresh token. The next refresh is answered with "log in again".
func (s *Server) RevokeSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions.access)
	for _, grant := range s.sessions.refresh {
		grant.revoked = true
	}
}

// sessions has the accounts and tokens that may call.
type sessions struct {
	key      []byte // signs access tokens
	accounts map[string]*storedAccount
	tokens   map[string]bool
	access   map[string]accessGrant
	refresh  map[string]*refreshGrant
}

type storedAccount struct {
	Account
	lastStep int64 // of the last TOTP code used
}

// accessGrant is the meaning of an access token.
type accessGrant struct {
	userID  string
	expires time.Time
}

// refreshGrant is the meaning of a refresh token. Used ones are kept as revoked until they would have expired.
type refreshGrant struct {
	userID  string
	expires time.Time
	revoked bool
}

func newSessions() sessions {
	key := make([]byte, sha256.Size)
	rand.Read(key) // never fails, see crypto/rand
	return sessions{
		key:      key,
		accounts: map[string]*storedAccount{},
		tokens:   map[string]bool{},
		access:   map[string]accessGrant{},
		refresh:  map[string]*refreshGrant{},
	}
}

// authorize reports whether the Authorization header has a valid token, bare or after "Bearer ".
func (s sessions) authorize(header string, bare bool, now time.Time) bool {
	token, bearer := strings.CutPrefix(header, "Bearer ")
	return bearer != bare && (s.tokens[token] || now.Before(s.access[token].expires))
}

// account is the account of a call; for a token of [Server.AddToken] it has no login.
func (s sessions) account(header string) Account {
	grant, issued := s.access[strings.TrimPrefix(header, "Bearer ")]
	for _, account := range s.accounts {
		if issued && account.UserID == grant.userID {
			return account.Account
		}
	}
	return Account{}
}

// login is Login. The answer to a wrong password is not documented: here it is the answer to a wrong token.
func (s *Server) login(req *request) answer {
	if err := req.wantJSON(); err != nil {
		return s.settings.invalid(err)
	}
	var body loginBody
	if err := decode(req.body, &body); err != nil {
		return s.settings.invalid(err)
	}
	account, found := s.sessions.accounts[body.Login]
	if !found || account.Password == "" || body.Password != account.Password {
		return s.settings.unauthorized()
	}
	if account.TOTPSeed != "" {
		key, err := decodeSeed(account.TOTPSeed)
		if err != nil {
			return s.settings.failure(http.StatusInternalServerError, codeInternal, "Account misconfigured: %v", err)
		}
		step, ok := acceptCode(key, body.Code, s.clock(), account.lastStep)
		if !ok {
			return s.settings.unauthorized()
		}
		account.lastStep = step
	}
	access, refresh := s.sessions.issue(account.UserID, s.clock(), s.settings)
	return success(loginAnswer{access, refresh, account.UserID, s.settings.ttls()})
}

// refresh is Refresh access token: it uses up the token and returns a new one.
func (s *Server) refresh(req *request) answer {
	now := s.clock()
	grant, found := s.sessions.refresh[req.token]
	if !found || !now.Before(grant.expires) {
		return s.settings.failure(s.settings.unauthorizedStatus(), codeUnauthenticated, "Invalid or expired refresh token")
	}
	if grant.revoked {
		return s.settings.failure(s.settings.unauthorizedStatus(), codeUnauthenticated, "Token revoked. Please log in again")
	}
	grant.revoked = true
	access, refresh := s.sessions.issue(grant.userID, now, s.settings)
	return success(refreshAnswer{access, refresh, grant.userID, s.settings.ttls()})
}

// issue makes a pair of tokens, and forgets those that have expired.
func (s sessions) issue(userID string, now time.Time, settings Settings) (access, refresh string) {
	maps.DeleteFunc(s.access, func(_ string, grant accessGrant) bool { return !now.Before(grant.expires) })
	maps.DeleteFunc(s.refresh, func(_ string, grant *refreshGrant) bool { return !now.Before(grant.expires) })

	expires := now.Add(settings.accessTTL())
	access = s.jwt(userID, now, expires)
	s.access[access] = accessGrant{userID, expires}
	refresh = rand.Text() + rand.Text()
	s.refresh[refresh] = &refreshGrant{userID: userID, expires: now.Add(settings.refreshTTL())}
	return access, refresh
}

// jwt is a signed token in the usual form. The server accepts issued tokens, and not valid signatures,
// so that tokens can be revoked.
func (s sessions) jwt(userID string, issued, expires time.Time) string {
	type header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
	}
	type claims struct {
		Subject  string `json:"sub"`
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
		ID       string `json:"jti"`
	}
	base64url := base64.RawURLEncoding.EncodeToString
	signed := base64url(encode(header{"HS256", "JWT"})) + "." +
		base64url(encode(claims{userID, issued.Unix(), expires.Unix(), newUUID()}))
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(signed))
	return signed + "." + base64url(mac.Sum(nil))
}

// ttls are the lifetimes in an answer.
func (s Settings) ttls() ttls {
	if s.OmitTTL {
		return ttls{}
	}
	access := s.accessTTL()
	if s.AnnouncedAccessTTL != 0 {
		access = s.AnnouncedAccessTTL
	}
	return ttls{AccessTTL: int64(access / time.Second), RefreshTTL: int64(s.refreshTTL() / time.Second)}
}

// newUUID makes a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
