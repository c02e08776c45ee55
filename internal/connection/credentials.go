package connection

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// parseCredentials reads a Secret. Its errors name the Secret and the key, never a value.
func parseCredentials(secret *corev1.Secret) (delos.Credentials, error) {
	invalid := func(format string, args ...any) (delos.Credentials, error) {
		return delos.Credentials{}, &SettingsError{
			v1alpha1.ReasonSecretInvalid,
			fmt.Sprintf("Secret %s/%s ", secret.Namespace, secret.Name) + fmt.Sprintf(format, args...),
		}
	}
	value := func(key string) (text string, present bool) {
		data, present := secret.Data[key]
		// What a file or a shell put at the end is not part of a credential.
		return strings.TrimRight(string(data), "\r\n"), present
	}
	login, hasLogin := value(v1alpha1.SecretKeyLogin)
	password, hasPassword := value(v1alpha1.SecretKeyPassword)
	token, hasToken := value(v1alpha1.SecretKeyToken)
	switch {
	case hasToken && (hasLogin || hasPassword):
		return invalid("has the key token as well as login or password: keep either token, or login and password")
	case !hasToken && !hasLogin && !hasPassword:
		return invalid("has none of the keys it needs: add login and password, or token")
	case hasToken && token == "":
		return invalid("has an empty value under the key token: put the access token there")
	case hasToken && !isToken(token):
		return invalid("has a value under the key token that no access token can have: it must be of visible ASCII characters without spaces")
	case hasToken:
		return delos.Credentials{Token: token}, nil
	case !hasLogin:
		return invalid("has no key login: add the account's login")
	case !hasPassword:
		return invalid("has no key password: add the account's password")
	case login == "":
		return invalid("has an empty value under the key login: put the account's login there")
	case password == "":
		return invalid("has an empty value under the key password: put the account's password there")
	default:
		return delos.Credentials{Login: login, Password: password}, nil
	}
}

// isToken reports whether a text can be sent in an Authorization header as it is.
func isToken(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
