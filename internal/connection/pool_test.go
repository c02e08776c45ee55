package connection

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// TestPrepare shows which changes make a new session, and with it a new login.
func TestPrepare(t *testing.T) {
	for _, test := range []struct {
		reason string
		change func(*v1alpha1.APIConnection, *corev1.Secret)
		same   bool
	}{
		{"nothing", func(*v1alpha1.APIConnection, *corev1.Secret) {}, true},
		{"what a session does not depend on", func(c *v1alpha1.APIConnection, s *corev1.Secret) {
			c.Generation, c.ResourceVersion, c.Spec.Interval = 2, "2", &metav1.Duration{Duration: time.Minute}
			s.ResourceVersion, s.Labels, s.Data["note"] = "2", map[string]string{"a": "b"}, []byte("x")
		}, true},
		{"another form of the url", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.Spec.URL = "https://API.example:443/" }, true},
		{"the timeout that applies anyway", func(c *v1alpha1.APIConnection, _ *corev1.Secret) {
			c.Spec.Timeout = &metav1.Duration{Duration: DefaultTimeout}
		}, true},
		{"the password", func(_ *v1alpha1.APIConnection, s *corev1.Secret) { s.Data["password"] = []byte("changed") }, false},
		{"the login", func(_ *v1alpha1.APIConnection, s *corev1.Secret) { s.Data["login"] = []byte("changed") }, false},
		{"a second factor", func(_ *v1alpha1.APIConnection, s *corev1.Secret) { s.Data["totpSeed"] = []byte("JBSWY3DPEHPK3PXP") }, false},
		{"a token instead", func(_ *v1alpha1.APIConnection, s *corev1.Secret) { s.Data = map[string][]byte{"token": []byte(token)} }, false},
		{"the host", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.Spec.URL = "https://other.example" }, false},
		{"the port", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.Spec.URL = "https://api.example:8443" }, false},
		{"the scheme", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.Spec.URL = "http://localhost:443" }, false},
		{"the timeout", func(c *v1alpha1.APIConnection, _ *corev1.Secret) {
			c.Spec.Timeout = &metav1.Duration{Duration: time.Second}
		}, false},
		{"the rate", func(c *v1alpha1.APIConnection, _ *corev1.Secret) {
			c.Spec.RateLimit = &v1alpha1.RateLimit{RequestsPerSecond: 1}
		}, false},
		{"a form of the token", func(c *v1alpha1.APIConnection, _ *corev1.Secret) {
			c.Spec.Dialect = &v1alpha1.Dialect{Authorization: v1alpha1.AuthorizationToken}
		}, false},
		{"a form of relations", func(c *v1alpha1.APIConnection, _ *corev1.Secret) {
			c.Spec.Dialect = &v1alpha1.Dialect{RelationBody: v1alpha1.RelationBodyFlat}
		}, false},
		{"the forms that apply anyway", func(c *v1alpha1.APIConnection, _ *corev1.Secret) {
			c.Spec.Dialect = &v1alpha1.Dialect{Authorization: v1alpha1.AuthorizationBearer, RelationBody: v1alpha1.RelationBodyNested}
		}, true},
		{"the object, with the name of a deleted one", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.UID = "uid-2" }, false},
		{"another connection", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.Name = "other" }, false},
		{"a connection of another namespace", func(c *v1alpha1.APIConnection, _ *corev1.Secret) { c.Namespace = "team-b" }, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			pool := newPool(clockwork.NewRealClock())
			connection, secret := connectionTo("https://api.example"), loginSecret()
			former, err := pool.Prepare(connection, secret)
			if err != nil {
				t.Fatal(err)
			}
			pool.Open(former)
			test.change(connection, secret)

			session, err := pool.Prepare(connection, secret)
			if err != nil {
				t.Fatal(err)
			}
			if same := session == former; same != test.same {
				t.Errorf("the same session: %t, want %t", same, test.same)
			}
		})
	}
}

// TestOtherCredentialsDoNotCastDoubtOnTheForm: the API has accepted a token in this form, so another one is refused for
// what it is.
func TestOtherCredentialsDoNotCastDoubtOnTheForm(t *testing.T) {
	p := startPlatform(t)
	p.open(t)
	err := p.prepare(t, secretOf(map[string]string{"token": "wrong"})).Probe(t.Context())
	var failure *delos.Error
	if !errors.As(err, &failure) || failure.Kind != delos.KindLoginRefused || failure.OtherForm != delos.FormNone {
		t.Errorf("got %#v", err)
	}
}

func TestPrepareLeavesTheOpenSessionInUse(t *testing.T) {
	pool := newPool(clockwork.NewRealClock())
	connection := connectionTo("https://api.example")
	former, _ := pool.Prepare(connection, loginSecret())
	pool.Open(former)
	next, _ := pool.Prepare(connection, secretOf(map[string]string{"token": token}))

	if got := pool.Session(connection); got != former {
		t.Error("the former session is not in use while the next one is prepared")
	}
	_, err := pool.Prepare(connection, secretOf(nil))
	expectSettingsError(t, v1alpha1.ReasonSecretInvalid, "Secret team-a/delos has none of the keys it needs: add login and password, or token", err)
	if got := pool.Session(connection); got != former {
		t.Error("the former session is not in use after a Secret that is no good")
	}
	pool.Open(next)
	if got := pool.Session(connection); got != next {
		t.Error("the next session is not in use once it is open")
	}
}

// TestSession shows when a connection has a session to use.
func TestSession(t *testing.T) {
	for _, test := range []struct {
		reason string
		after  func(*Pool, *Session, *v1alpha1.APIConnection)
		usable bool
	}{
		{"prepared", func(*Pool, *Session, *v1alpha1.APIConnection) {}, false},
		{"open", func(p *Pool, s *Session, _ *v1alpha1.APIConnection) { p.Open(s) }, true},
		{"closed", func(p *Pool, s *Session, _ *v1alpha1.APIConnection) { p.Open(s); p.Close(name) }, false},
		{"open again", func(p *Pool, s *Session, _ *v1alpha1.APIConnection) { p.Open(s); p.Close(name); p.Open(s) }, true},
		{"dropped", func(p *Pool, s *Session, _ *v1alpha1.APIConnection) { p.Open(s); p.Drop(name) }, false},
		{"dropped before it was open", func(p *Pool, _ *Session, _ *v1alpha1.APIConnection) { p.Drop(name); p.Close(name) }, false},
		{"of a deleted connection of that name", func(p *Pool, s *Session, c *v1alpha1.APIConnection) { p.Open(s); c.UID = "uid-2" }, false},
		{"of another connection", func(p *Pool, s *Session, c *v1alpha1.APIConnection) { p.Open(s); c.Namespace = "team-b" }, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			pool := newPool(clockwork.NewRealClock())
			connection := connectionTo("https://api.example")
			session, err := pool.Prepare(connection, loginSecret())
			if err != nil {
				t.Fatal(err)
			}
			test.after(pool, session, connection)
			if got := pool.Session(connection); (got == session) != test.usable || (got == nil) == test.usable {
				t.Errorf("got %p, want usable %t", got, test.usable)
			}
		})
	}
}

// TestClosedSessionKeepsItsLogin: to close and open again costs no login.
func TestClosedSessionKeepsItsLogin(t *testing.T) {
	p := startPlatform(t)
	session := p.open(t)
	p.pool.Close(name)
	again := p.prepare(t, loginSecret())
	if again != session {
		t.Error("another session")
	}
	if err := again.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if logins := p.Summary().Login; logins != 0 {
		t.Errorf("%d logins", logins)
	}
}

func TestWhatASessionSaysOfItself(t *testing.T) {
	p := startPlatform(t)
	withLogin, withToken := p.prepare(t, loginSecret()), p.prepare(t, secretOf(map[string]string{"token": token}))
	if want := Host(connectionTo(p.url).Spec); withLogin.Host() != want {
		t.Errorf("host %q, want %q", withLogin.Host(), want)
	}
	if timeout := withLogin.Timeout(); timeout != DefaultTimeout {
		t.Errorf("timeout %s, want %s", timeout, DefaultTimeout)
	}
	if withLogin.HasToken() || !withToken.HasToken() {
		t.Errorf("has a token: %t with a login, %t with a token", withLogin.HasToken(), withToken.HasToken())
	}
	if _, known := withToken.TokenExpiry(); known {
		t.Error("a token that is no JWT has an expiry")
	}
}

// TestAccount shows which sessions act as the same account. The name of an account tells neither login nor token.
func TestAccount(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
	}
	type data = map[string]string
	const host = "https://api.example"
	accountOf := func(url string, data data) string {
		session, err := newPool(clockwork.NewRealClock()).Prepare(connectionTo(url), secretOf(data))
		if err != nil {
			t.Fatal(err)
		}
		return session.Account()
	}
	login := accountOf(host, data{"login": account, "password": password})
	if want := "8e3e98b05792d944"; login != want {
		t.Errorf("the account of a login is %q, want %q, as it stands in the status of objects", login, want)
	}
	subject := accountOf(host, data{"token": jwt(`{"sub":"user_1","jti":"1"}`)})
	opaque := accountOf(host, data{"token": token})
	for _, test := range []struct {
		reason string
		url    string
		data   data
		other  string
		same   bool
	}{
		{"another form of the url", "https://API.example:443/", data{"login": account, "password": password}, login, true},
		{"another password", host, data{"login": account, "password": "changed"}, login, true},
		{"a second factor", host, data{"login": account, "password": password, "totpSeed": "JBSWY3DPEHPK3PXP"}, login, true},
		{"another login", host, data{"login": "other", "password": password}, login, false},
		{"another host", "https://other.example", data{"login": account, "password": password}, login, false},
		{"another port", "https://api.example:8443", data{"login": account, "password": password}, login, false},
		{"another token of the same user", host, data{"token": jwt(`{"sub":"user_1","jti":"2"}`)}, subject, true},
		{"the token of another user", host, data{"token": jwt(`{"sub":"user_2"}`)}, subject, false},
		{"a login that is a token's user", host, data{"login": "user_1", "password": password}, subject, false},
		{"another token without a user", host, data{"token": "other"}, opaque, false},
		{"a login that is a token", host, data{"login": token, "password": password}, opaque, false},
		{"a token whose user is another token", host, data{"token": jwt(`{"sub":"` + token + `"}`)}, opaque, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			if got := accountOf(test.url, test.data); (got == test.other) != test.same {
				t.Errorf("got %q beside %q, want the same: %t", got, test.other, test.same)
			}
		})
	}
}
