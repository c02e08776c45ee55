package connection

import (
	"strings"
	"testing"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

func TestCredentials(t *testing.T) {
	type data = map[string]string
	const seed = "JBSWY3DPEHPK3PXP"
	for _, test := range []struct {
		reason string
		data   data
		want   delos.Credentials
	}{
		{"login and password", data{"login": account, "password": password}, delos.Credentials{Login: account, Password: password}},
		{"a token", data{"token": token}, delos.Credentials{Token: token}},
		{"line ends of the file it came from", data{"login": account + "\r\n", "password": password + "\n\n"}, delos.Credentials{Login: account, Password: password}},
		{"a line end after a token", data{"token": token + "\n"}, delos.Credentials{Token: token}},
		{"spaces are part of a password", data{"login": account, "password": " p w \t"}, delos.Credentials{Login: account, Password: " p w \t"}},
		{"a password of any language", data{"login": account, "password": "пароль"}, delos.Credentials{Login: account, Password: "пароль"}},
		{"keys of another program", data{"token": token, "ca.crt": "x", "Login": "x"}, delos.Credentials{Token: token}},
		{"a seed", data{"login": account, "password": password, "totpSeed": seed}, delos.Credentials{Login: account, Password: password, TOTPSeed: seed}},
		{"a seed as apps show it", data{"login": account, "password": password, "totpSeed": "jbsw y3dp ehpk 3pxp\n"}, delos.Credentials{Login: account, Password: password, TOTPSeed: seed}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, err := parseCredentials(secretOf(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want { // not compared by text, which shows no credential
				t.Error("not the credentials of the Secret")
			}
		})
	}
}

// TestCredentialsThatCannotBeUsed: the message names the Secret and the key, and no value.
func TestCredentialsThatCannotBeUsed(t *testing.T) {
	type data = map[string]string
	const badToken = "has a value under the key token that no access token can have: it must be of visible ASCII characters without spaces"
	for _, test := range []struct {
		reason string
		data   data
		want   string
	}{
		{"no data", nil, "has none of the keys it needs: add login and password, or token"},
		{"no key of ours", data{"username": "canary"}, "has none of the keys it needs: add login and password, or token"},
		{"a token and a login", data{"token": "canary", "login": "canary"}, "has the key token as well as login or password: keep either token, or login and password"},
		{"an empty token and a password", data{"token": "", "password": "canary"}, "has the key token as well as login or password: keep either token, or login and password"},
		{"no password", data{"login": "canary"}, "has no key password: add the account's password"},
		{"no login", data{"password": "canary"}, "has no key login: add the account's login"},
		{"an empty login", data{"login": "\n", "password": "canary"}, "has an empty value under the key login: put the account's login there"},
		{"an empty password", data{"login": "canary", "password": ""}, "has an empty value under the key password: put the account's password there"},
		{"a login that is no text", data{"login": "canary\xff", "password": "canary"}, "has a value under the key login that is not text in UTF-8: put the account's login there"},
		{"a password that is no text", data{"login": "canary", "password": "canary\xff"}, "has a value under the key password that is not text in UTF-8: put the account's password there"},
		{"an empty token", data{"token": "\r\n"}, "has an empty value under the key token: put the access token there"},
		{"a token with what goes before it", data{"token": "Bearer canary"}, badToken},
		{"a token with a header of its own", data{"token": "canary\r\nX-Evil: yes"}, badToken},
		{"a token that is not ASCII", data{"token": "canäry"}, badToken},
		{"a seed that is none", data{"login": "canary", "password": "canary", "totpSeed": "canary-1"},
			"has no base32 under the key totpSeed: put the seed there that an authenticator app would be given, or leave the key out"},
		{"an empty seed", data{"login": "canary", "password": "canary", "totpSeed": ""},
			"has no base32 under the key totpSeed: put the seed there that an authenticator app would be given, or leave the key out"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, err := parseCredentials(secretOf(test.data))
			if got != (delos.Credentials{}) {
				t.Error("credentials came with the error")
			}
			expectSettingsError(t, v1alpha1.ReasonSecretInvalid, "Secret team-a/delos "+test.want, err)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("shows a value: %s", err)
			}
		})
	}
}
