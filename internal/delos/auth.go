package delos

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// login opens a session with the account's credentials.
func (c *Client) login(ctx context.Context) (tokens, error) {
	credentials := c.config.Credentials
	code, err := c.codes.next(c.config.Now())
	if err != nil {
		return tokens{}, err
	}
	return c.authenticate(ctx, call{
		operation: OperationLogin,
		method:    http.MethodPost,
		path:      []string{"v2", "auth", "login"},
		body: struct {
			Login    string `json:"login"`
			Password string `json:"password"`
			Code     string `json:"code,omitempty"`
		}{credentials.Login, credentials.Password, code},
		secrets: []string{credentials.Password, code},
	})
}

// refresh renews a session. The refresh token is part of the address and is used up by the call.
func (c *Client) refresh(ctx context.Context, token string) (tokens, error) {
	return c.authenticate(ctx, call{
		operation: OperationRefresh,
		method:    http.MethodGet,
		path:      []string{"v2", "auth", "refresh", token},
		secrets:   []string{token},
	})
}

// wireTokens is the answer to a login or a refresh. The lifetimes are in seconds; a gRPC gateway
// writes 64-bit numbers as strings. The access token is used even if these, or the refresh token, have an unknown form.
type wireTokens struct {
	AccessToken  string          `json:"accessToken"`
	RefreshToken json.RawMessage `json:"refreshToken"`
	AccessTTL    json.RawMessage `json:"accessTtl"`
	RefreshTTL   json.RawMessage `json:"refreshTtl"`
}

func (c *Client) authenticate(ctx context.Context, call call) (tokens, error) {
	issued := c.config.Now()
	got, err := c.exchange(ctx, c.renewal, call, "")
	if err != nil {
		return tokens{}, err
	}
	var parsed wireTokens
	if json.Unmarshal(got.body, &parsed) != nil || !sendable(parsed.AccessToken) {
		return tokens{}, &Error{
			Operation: call.operation, Kind: KindUnexpected, Status: got.status, RequestID: got.requestID,
			Text: "the answer holds no access token",
		}
	}
	refresh := ""
	_ = json.Unmarshal(parsed.RefreshToken, &refresh) // Without one the next session begins with a login.
	return tokens{
		access:         parsed.AccessToken,
		issued:         issued,
		expires:        accessExpiry(parsed, issued),
		refresh:        refresh,
		refreshExpires: issued.Add(lifetime(parsed.RefreshTTL, defaultRefreshLife)),
	}, nil
}

// sendable reports whether a token can be sent in a header as it is.
func sendable(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// The lifetimes where an answer names none: the vendor's FAQ gives an access token five minutes, and
// its sample answer a refresh token thirty days.
const (
	defaultAccessLife  = 5 * time.Minute
	defaultRefreshLife = 30 * 24 * time.Hour
	maxLife            = 365 * 24 * time.Hour
)

// accessExpiry trusts accessTtl, then the token's own exp, then the FAQ.
func accessExpiry(parsed wireTokens, issued time.Time) time.Time {
	if life := lifetime(parsed.AccessTTL, 0); life > 0 {
		return issued.Add(life)
	}
	if expires, ok := TokenExpiry(parsed.AccessToken); ok && expires.After(issued) {
		return issued.Add(min(expires.Sub(issued), maxLife))
	}
	return issued.Add(defaultAccessLife)
}

func lifetime(seconds json.RawMessage, fallback time.Duration) time.Duration {
	value, err := strconv.ParseFloat(strings.Trim(string(seconds), `"`), 64)
	if err != nil || !(value > 0) {
		return fallback
	}
	return time.Duration(min(value, maxLife.Seconds()) * float64(time.Second))
}

// TokenExpiry returns when an access token expires, if the token says so: it reads from a JWT
// without verifying it, since the API is the one to believe it or not.
func TokenExpiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp json.Number `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return time.Time{}, false
	}
	seconds, err := claims.Exp.Float64()
	if err != nil || !(seconds > 0) || seconds > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
