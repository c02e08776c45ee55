package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	address         = "\nurl: https://api.example.com\n"
	credentials     = "\ncredentials: {secretRef: {name: delos-credentials}}\n"
	validConnection = address + credentials
)

// The messages of rules that are used more than once. The messages about url and caBundle do not
// repeat the value, which may hold a secret.
const (
	wantURL = "spec.url: Forbidden: must be a scheme and a host with an optional port, " +
		"as in https://stagep.tst-apidmndelss.com: leave out path, query, user and password"
	wantHTTPS = "spec.url: Forbidden: plain http would send the credentials in the clear: " +
		"use https (http is for localhost, 127.0.0.0/8 and [::1] only)"
	urlChanged = "spec.url: Forbidden: url cannot be changed, the relations made through this connection are in that API: " +
		"create another APIConnection"
	wantSecretName = "must be the name of a Secret: lower case letters, digits, '-' and '.', as in delos-credentials"
	wantCABundle   = "spec.caBundle: Forbidden: must be one or more PEM certificates, each beginning with " +
		"-----BEGIN CERTIFICATE-----, and no private key"
	wantTimeout  = "must be a duration from 1s to 2m, as in 10s"
	wantInterval = "must be a duration from 1s to 24h, as in 1h or 30m"
)

// certificate is the part of a certificate that the API server looks at.
const certificate = `
caBundle: |
  -----BEGIN CERTIFICATE-----
  MIIBszCCAVmgAwIBAgIUEXAMPLE
  -----END CERTIFICATE-----
`

var apiConnectionSpecs = slices.Concat(apiConnectionBasics, apiConnectionURLs, apiConnectionDurations, apiConnectionAllowed, apiConnectionDialects)

var apiConnectionDialects = []attempt{
	{reason: "a dialect, as documented", is: validConnection + "dialect: {authorization: Bearer, relationBody: Nested}"},
	{reason: "the other dialect, later", was: validConnection, is: validConnection + "dialect: {authorization: Token, relationBody: Flat}"},
	{
		reason: "another authorization",
		is:     validConnection + "dialect: {authorization: Basic}",
		want:   []string{`spec.dialect.authorization: Unsupported value: "Basic": supported values: "Bearer", "Token"`, unchecked},
	},
	{
		reason: "an empty authorization",
		is:     validConnection + "dialect: {authorization: ''}",
		want:   []string{`spec.dialect.authorization: Unsupported value: "": supported values: "Bearer", "Token"`, unchecked},
	},
	{
		reason: "another body",
		is:     validConnection + "dialect: {relationBody: flat}",
		want:   []string{`spec.dialect.relationBody: Unsupported value: "flat": supported values: "Nested", "Flat"`, unchecked},
	},
	{
		reason: "a dialect that says nothing",
		is:     validConnection + "dialect: {}",
		want:   []string{`spec.dialect: Invalid value: 0: spec.dialect in body should have at least 1 properties`},
	},
}

var apiConnectionBasics = []attempt{
	{
		reason: "address and credentials are all it takes",
		is:     validConnection,
	},
	{
		reason: "everything there is",
		is:     validConnection + certificate + "timeout: 10s\ninterval: 1h\n" + everythingAllowed,
	},
	{
		reason: "everything but the url may change",
		was:    validConnection,
		is:     address + certificate + "timeout: 30s\ninterval: 5m\ncredentials: {secretRef: {name: other-credentials}}\n",
	},

	{
		reason: "no account to act with",
		is:     address,
		want:   []string{"spec.credentials: Required value", unchecked},
	},
	{
		reason: "credentials from nowhere",
		is:     address + "credentials: {}",
		want:   []string{"spec.credentials.secretRef: Required value", unchecked},
	},
	{
		reason: "credentials from a Secret without a name",
		is:     address + "credentials: {secretRef: {}}",
		want:   []string{"spec.credentials.secretRef.name: Required value", unchecked},
	},
	{
		reason: "credentials from a Secret with an empty name",
		is:     address + "credentials: {secretRef: {name: ''}}",
		want: []string{
			`spec.credentials.secretRef.name: Invalid value: "": spec.credentials.secretRef.name in body should be at least 1 chars long`,
			`spec.credentials.secretRef.name: Invalid value: "": ` + wantSecretName,
		},
	},
	{
		reason: "a name that no Secret can have",
		is:     address + "credentials: {secretRef: {name: Delos_Credentials}}",
		want:   []string{`spec.credentials.secretRef.name: Invalid value: "Delos_Credentials": ` + wantSecretName},
	},
	{
		reason: "the longest name of a Secret",
		is:     address + "credentials: {secretRef: {name: " + strings.Repeat("s", 253) + "}}",
	},
	{
		reason: "a Secret's name too long",
		is:     address + "credentials: {secretRef: {name: " + longer(253) + "}}",
		want:   []string{"spec.credentials.secretRef.name: Too long: may not be more than 253 bytes", unchecked},
	},

	{
		reason: "an empty bundle trusts nobody",
		is:     validConnection + "caBundle: ''",
		want: []string{
			`spec.caBundle: Invalid value: "": spec.caBundle in body should be at least 1 chars long`,
			wantCABundle,
		},
	},
	{
		reason: "the path of a bundle is not a bundle",
		is:     validConnection + "caBundle: /etc/ssl/certs/ca.pem",
		want:   []string{wantCABundle},
	},
	{
		reason: "a private key is refused, and not repeated in the message",
		is:     validConnection + "caBundle: '-----BEGIN PRIVATE KEY-----'",
		want:   []string{wantCABundle},
	},
	{
		reason: "a private key behind its certificate is refused, too",
		is:     validConnection + certificate + "  -----BEGIN EC PRIVATE KEY-----\n",
		want:   []string{wantCABundle},
	},
	{
		reason: "the longest bundle",
		is:     validConnection + "caBundle: '" + padded("-----BEGIN CERTIFICATE-----", 65536) + "'",
	},
	{
		reason: "a bundle too long",
		is:     validConnection + "caBundle: '" + padded("-----BEGIN CERTIFICATE-----", 65537) + "'",
		want:   []string{"spec.caBundle: Too long: may not be more than 65536 bytes", unchecked},
	},
}

var apiConnectionURLs = []attempt{
	{reason: "https", is: credentials + "url: https://api.example.com"},
	{reason: "a port", is: credentials + "url: https://api.example.com:8443"},
	{reason: "the highest port", is: credentials + "url: https://api.example.com:65535"},
	{reason: "a slash at the end", is: credentials + "url: https://api.example.com/"},
	{reason: "an IPv4 address", is: credentials + "url: https://192.0.2.1"},
	{reason: "an IPv6 address", is: credentials + "url: 'https://[2001:db8::1]:8443'"},
	{reason: "http to this machine by name", is: credentials + "url: http://localhost:8080"},
	{reason: "http to this machine by IPv4 address", is: credentials + "url: http://127.0.0.1:8080/"},
	{reason: "http to this machine by another of its addresses", is: credentials + "url: http://127.8.8.8"},
	{reason: "http to this machine by IPv6 address", is: credentials + "url: 'http://[::1]:8080'"},

	{
		reason: "no url",
		is:     credentials,
		want:   []string{"spec.url: Required value", unchecked},
	},
	{
		reason: "an empty url",
		is:     credentials + "url: ''",
		want: []string{
			`spec.url: Invalid value: "": spec.url in body should be at least 8 chars long`,
			wantURL,
		},
	},
	{
		reason: "the longest url",
		is:     credentials + "url: " + padded("https://", 320),
	},
	{
		reason: "a url too long",
		is:     credentials + "url: " + padded("https://", 321),
		want:   []string{"spec.url: Too long: may not be more than 320 bytes", unchecked},
	},
	{reason: "no scheme", is: credentials + "url: api.example.com", want: []string{wantURL}},
	{reason: "another scheme", is: credentials + "url: ftp://api.example.com", want: []string{wantURL}},
	{reason: "no host", is: credentials + "url: 'https://:8443'", want: []string{wantURL}},
	{reason: "a path", is: credentials + "url: https://api.example.com/v2", want: []string{wantURL}},
	{reason: "a query", is: credentials + "url: https://api.example.com?env=staging", want: []string{wantURL}},
	{reason: "a fragment", is: credentials + "url: 'https://api.example.com#v2'", want: []string{wantURL}},
	{reason: "a space at the end", is: credentials + "url: 'https://api.example.com '", want: []string{wantURL}},
	{reason: "a line feed at the end", is: credentials + `url: "https://api.example.com\n"`, want: []string{wantURL}},
	{reason: "a pattern", is: credentials + "url: https://*.example.com", want: []string{wantURL}},
	{reason: "a port that is none", is: credentials + "url: https://api.example.com:443443", want: []string{wantURL}},
	{reason: "an address that is none", is: credentials + "url: 'https://[2001:db8::1'", want: []string{wantURL}},
	{
		reason: "user and password, which the message does not repeat",
		is:     credentials + "url: https://operator:pa55word@api.example.com",
		want:   []string{wantURL},
	},
	{
		reason: "user and password by http",
		is:     credentials + "url: http://operator:pa55word@api.example.com",
		want:   []string{wantURL, wantHTTPS},
	},
	{
		reason: "http to another machine",
		is:     credentials + "url: http://api.example.com",
		want:   []string{wantHTTPS},
	},
	{
		reason: "http to another machine whose name begins like an address of this one",
		is:     credentials + "url: http://127.0.0.1.example.com",
		want:   []string{wantHTTPS},
	},
	{
		reason: "http to another machine, with this one as the user",
		is:     credentials + "url: http://127.0.0.1@api.example.com",
		want:   []string{wantURL, wantHTTPS},
	},
	{
		reason: "http to every address of this machine",
		is:     credentials + "url: http://0.0.0.0:8080",
		want:   []string{wantHTTPS},
	},
	{
		reason: "http to another IPv6 address",
		is:     credentials + "url: 'http://[::2]:8080'",
		want:   []string{wantHTTPS},
	},
	{
		reason: "another API is another APIConnection",
		was:    validConnection,
		is:     credentials + "url: https://api.example.org",
		want:   []string{urlChanged},
	},
}

var apiConnectionDurations = []attempt{
	{reason: "the shortest timeout", is: validConnection + "timeout: 1s"},
	{reason: "the longest timeout", is: validConnection + "timeout: 2m"},
	{reason: "a timeout in milliseconds", is: validConnection + "timeout: 1500ms"},
	{reason: "a timeout in two units", is: validConnection + "timeout: 1m30s"},
	{reason: "a timeout of nothing", is: validConnection + "timeout: 0s", want: invalid("spec.timeout", "0s", wantTimeout)},
	{reason: "a timeout too short", is: validConnection + "timeout: 999ms", want: invalid("spec.timeout", "999ms", wantTimeout)},
	{reason: "a timeout too long", is: validConnection + "timeout: 2m1s", want: invalid("spec.timeout", "2m1s", wantTimeout)},
	{reason: "a timeout of hours", is: validConnection + "timeout: 3h", want: invalid("spec.timeout", "3h", wantTimeout)},
	{reason: "an empty timeout", is: validConnection + "timeout: ''", want: invalid("spec.timeout", "", wantTimeout)},
	{reason: "a timeout without a unit, quoted", is: validConnection + "timeout: '10'", want: invalid("spec.timeout", "10", wantTimeout)},
	{
		reason: "a timeout without a unit",
		is:     validConnection + "timeout: 10",
		want: []string{
			`spec.timeout: Invalid value: "integer": spec.timeout in body must be of type string: "integer"`, unchecked,
		},
	},
	{
		reason: "a timeout in too many words",
		is:     validConnection + "timeout: 1s1s1s1s1s1s1s1s1s",
		want:   invalid("spec.timeout", "1s1s1s1s1s1s1s1s1s", wantTimeout),
	},
	{
		reason: "a timeout in plain words",
		is:     validConnection + "timeout: 1 minute and 30 seconds",
		want:   invalid("spec.timeout", "1 minute and 30 seconds", wantTimeout),
	},
	{
		reason: "a timeout too long to be looked at",
		is:     validConnection + "timeout: " + longer(64),
		want:   []string{"spec.timeout: Too long: may not be more than 64 bytes", unchecked},
	},

	{reason: "the shortest interval", is: validConnection + "interval: 1s"},
	{reason: "the longest interval", is: validConnection + "interval: 24h"},
	{reason: "an interval in two units", is: validConnection + "interval: 1h30m"},
	{reason: "an interval of nothing", is: validConnection + "interval: 0s", want: invalid("spec.interval", "0s", wantInterval)},
	{reason: "an interval too long", is: validConnection + "interval: 24h1s", want: invalid("spec.interval", "24h1s", wantInterval)},
	{reason: "a negative interval", is: validConnection + "interval: -1h", want: invalid("spec.interval", "-1h", wantInterval)},
	{reason: "an interval in days", is: validConnection + "interval: 1d", want: invalid("spec.interval", "1d", wantInterval)},
	{reason: "an interval in parts", is: validConnection + "interval: 1.5h", want: invalid("spec.interval", "1.5h", wantInterval)},
	{
		reason: "an interval that no duration can hold",
		is:     validConnection + "interval: 99999999999999h",
		want:   invalid("spec.interval", "99999999999999h", wantInterval),
	},
	{
		reason: "an interval in too many words",
		is:     validConnection + "interval: 1h1h1h1h1h1h1h1h1h",
		want:   invalid("spec.interval", "1h1h1h1h1h1h1h1h1h", wantInterval),
	},
	{
		reason: "an interval in plain words",
		is:     validConnection + "interval: 1 minute and 30 seconds",
		want:   invalid("spec.interval", "1 minute and 30 seconds", wantInterval),
	},
	{
		reason: "an interval too long to be looked at",
		is:     validConnection + "interval: " + longer(64),
		want:   []string{"spec.interval: Too long: may not be more than 64 bytes", unchecked},
	},

	// rateLimit
	{reason: "the lowest limits", is: validConnection + "rateLimit: {requestsPerSecond: 1, burst: 1}"},
	{reason: "the highest limits", is: validConnection + "rateLimit: {requestsPerSecond: 10000, burst: 10000}"},
	{reason: "one of the limits alone", is: validConnection + "rateLimit: {burst: 5}"},
	{
		reason: "limits that say nothing",
		is:     validConnection + "rateLimit: {}",
		want:   []string{`spec.rateLimit: Invalid value: 0: spec.rateLimit in body should have at least 1 properties`},
	},
	{
		reason: "a rate of nothing",
		is:     validConnection + "rateLimit: {requestsPerSecond: 0}",
		want: []string{
			"spec.rateLimit.requestsPerSecond: Invalid value: 0: spec.rateLimit.requestsPerSecond in body should be greater than or equal to 1",
		},
	},
	{
		reason: "a rate beyond all measure",
		is:     validConnection + "rateLimit: {requestsPerSecond: 10001}",
		want: []string{
			"spec.rateLimit.requestsPerSecond: Invalid value: 10001: spec.rateLimit.requestsPerSecond in body should be less than or equal to 10000",
		},
	},
	{
		reason: "a burst of nothing",
		is:     validConnection + "rateLimit: {burst: 0}",
		want: []string{
			"spec.rateLimit.burst: Invalid value: 0: spec.rateLimit.burst in body should be greater than or equal to 1",
		},
	},
	{
		reason: "a burst beyond all measure",
		is:     validConnection + "rateLimit: {burst: 10001}",
		want: []string{
			"spec.rateLimit.burst: Invalid value: 10001: spec.rateLimit.burst in body should be less than or equal to 10000",
		},
	},
}

// invalid is the message about a field that repeats its value.
func invalid(path, value, want string) []string {
	return []string{fmt.Sprintf("%s: Invalid value: %q: %s", path, value, want)}
}

// padded is the beginning, filled up to that length.
func padded(beginning string, length int) string {
	return beginning + strings.Repeat("x", length-len(beginning))
}

func TestAPIConnectionSpec(t *testing.T) {
	trySpecs(t, "APIConnection", apiConnectionSpecs)
}

var apiConnectionStatuses = slices.Concat(requestStatuses, apiConnectionCounts, []attempt{
	{
		reason: "everything there is",
		is: `
observedGeneration: 1
conditions: ` + conditions(8) + `
credentialsObservedAt: "2026-11-23T16:00:00Z"
credentialsVersion: a/1
sessionExpiresAt: "2026-11-23T17:00:00Z"
refusedLogin: {time: "2026-11-23T16:00:00Z", attempts: 1, credentialsVersion: a/1}
protectedSecrets: [delos-credentials, former]
lastHandledRequestedAt: now
lastHandledReconcileAt: now
`,
	},
	{
		reason: "more conditions than there are",
		is:     "conditions: " + conditions(9),
		want:   []string{"status.conditions: Too many: 9: must have at most 8 items", unchecked},
	},
	{
		reason: "no protected Secret, said aloud",
		is:     "protectedSecrets: []",
		want:   []string{"status.protectedSecrets: Invalid value: 0: protectedSecrets in body should have at least 1 items"},
	},
	{
		reason: "more protected Secrets than are remembered",
		is:     "protectedSecrets: " + globs(17),
		want:   []string{"status.protectedSecrets: Too many: 17: must have at most 16 items", unchecked},
	},
	{
		reason: "credentials of no version",
		is:     "credentialsVersion: ''",
		want: []string{
			`status.credentialsVersion: Invalid value: "": credentialsVersion in body should be at least 1 chars long`,
		},
	},
	{
		reason: "credentials of an overlong version",
		is:     "credentialsVersion: " + longer(256),
		want:   []string{"status.credentialsVersion: Too long: may not be more than 256 bytes", unchecked},
	},
	{
		reason: "a refusal without its time",
		is:     "refusedLogin: {attempts: 1, credentialsVersion: a/1}",
		want:   []string{"status.refusedLogin.time: Required value", unchecked},
	},
	{
		reason: "a refusal without a count",
		is:     "refusedLogin: {time: '2026-11-23T16:00:00Z', credentialsVersion: a/1}",
		want:   []string{"status.refusedLogin.attempts: Required value", unchecked},
	},
	{
		reason: "a refusal of no attempt",
		is:     "refusedLogin: {time: '2026-11-23T16:00:00Z', attempts: 0, credentialsVersion: a/1}",
		want: []string{
			"status.refusedLogin.attempts: Invalid value: 0: " +
				"refusedLogin.attempts in body should be greater than or equal to 1",
		},
	},
	{
		reason: "a refusal of no credentials",
		is:     "refusedLogin: {time: '2026-11-23T16:00:00Z', attempts: 1}",
		want:   []string{"status.refusedLogin.credentialsVersion: Required value", unchecked},
	},
	{
		reason: "a refusal of empty credentials",
		is:     "refusedLogin: {time: '2026-11-23T16:00:00Z', attempts: 1, credentialsVersion: ''}",
		want: []string{
			`status.refusedLogin.credentialsVersion: Invalid value: "": ` +
				"refusedLogin.credentialsVersion in body should be at least 1 chars long",
		},
	},
	{
		reason: "a refusal of overlong credentials",
		is:     "refusedLogin: {time: '2026-11-23T16:00:00Z', attempts: 1, credentialsVersion: " + longer(256) + "}",
		want:   []string{"status.refusedLogin.credentialsVersion: Too long: may not be more than 256 bytes", unchecked},
	},
})

func TestAPIConnectionStatus(t *testing.T) {
	tryStatuses(t, "APIConnection", validConnection, apiConnectionStatuses)
}
