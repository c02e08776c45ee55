package connection

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// account names the account of the settings by a hash, since the status of objects contains the name. It is the same for all
// connections of one host that use the same login or the same user's tokens, and after a password change. It reveals neither
// the login nor the token. Only a reader who guesses the whole login can see that the guess is right.
func (s settings) account() string {
	kind, id := "login", s.credentials.Login
	if token := s.credentials.Token; token != "" {
		kind, id = "token", token
		if subject := subjectOf(token); subject != "" {
			kind, id = "subject", subject
		}
	}
	hash := sha256.Sum256([]byte(s.host + "\n" + kind + "\n" + id))
	return hex.EncodeToString(hash[:8])
}

// subjectOf reads the subject of a JWT, without verifying it; "" when the token names none.
func subjectOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return ""
	}
	var claims struct {
		Sub string `json:"sub"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Sub
}
