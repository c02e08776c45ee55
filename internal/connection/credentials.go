package connection

import (
	"encoding/base32"
	"fmt"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// parseCredentials reads a Secret. Its errors name the Secret and the key, never a value.
func parseCredentials(secret *corev1.Secret) (delos.Credentials, error) {
	keys := keysOf(secret)
	var credentials delos.Credentials
	var problem string
	switch {
	case keys.has(v1alpha1.SecretKeyToken) && (keys.has(v1alpha1.SecretKeyLogin) || keys.has(v1alpha1.SecretKeyPassword)):
		problem = "has the key token as well as login or password: keep either token, or login and password"
	case keys.has(v1alpha1.SecretKeyToken):
		credentials.Token, problem = keys.token()
	case keys.has(v1alpha1.SecretKeyLogin) || keys.has(v1alpha1.SecretKeyPassword):
		credentials, problem = keys.login()
	default:
		problem = "has none of the keys it needs: add login and password, or token"
	}
	if problem != "" {
		return delos.Credentials{}, &SettingsError{
			Reason:  v1alpha1.ReasonSecretInvalid,
			Message: fmt.Sprintf("Secret %s/%s %s", secret.Namespace, secret.Name, problem),
		}
	}
	return credentials, nil
}

// secretKeys are the keys of a Secret with their values.
type secretKeys map[string]string

func keysOf(secret *corev1.Secret) secretKeys {
	keys := secretKeys{}
	for key, value := range secret.Data {
		// A line break that a file or a shell adds is not part of a credential.
		keys[key] = strings.TrimRight(string(value), "\r\n")
	}
	return keys
}

func (k secretKeys) has(key string) bool {
	_, present := k[key]
	return present
}

func (k secretKeys) token() (token, problem string) {
	token = k[v1alpha1.SecretKeyToken]
	switch {
	case token == "":
		problem = "has an empty value under the key token: put the access token there"
	case !isToken(token):
		problem = "has a value under the key token that no access token can have: it must be of visible ASCII characters without spaces"
	}
	return token, problem
}

func (k secretKeys) login() (credentials delos.Credentials, problem string) {
	for _, key := range []string{v1alpha1.SecretKeyLogin, v1alpha1.SecretKeyPassword} {
		switch {
		case !k.has(key):
			return credentials, fmt.Sprintf("has no key %s: add the account's %s", key, key)
		case k[key] == "":
			return credentials, fmt.Sprintf("has an empty value under the key %s: put the account's %s there", key, key)
		case !utf8.ValidString(k[key]):
			return credentials, fmt.Sprintf("has a value under the key %s that is not text in UTF-8: put the account's %s there", key, key)
		}
	}
	seed := strings.ToUpper(strings.ReplaceAll(k[v1alpha1.SecretKeyTOTPSeed], " ", ""))
	if _, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(seed, "=")); err != nil || k.has(v1alpha1.SecretKeyTOTPSeed) && seed == "" {
		return credentials, "has no base32 under the key totpSeed: put the seed there that an authenticator app would be given, or leave the key out"
	}
	return delos.Credentials{Login: k[v1alpha1.SecretKeyLogin], Password: k[v1alpha1.SecretKeyPassword], TOTPSeed: seed}, ""
}

// isToken reports whether a text can be sent in an Authorization header as it is.
func isToken(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
