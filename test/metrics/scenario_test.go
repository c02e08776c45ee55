//go:build metrics

package metrics

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	cuid = "cust_1"
	// limit is the time for steps that depend only on the machine's speed.
	limit = 30 * time.Second
	lease = "clientbinding-operator.access.delos.financial"
)

// scenario runs in one namespace. Each connection has its own platform, where this matters.
type scenario struct {
	*testing.T
	*sandbox.Tenant

	// end is the end of the access that cannot be revoked, and tokenEnds the expiry of the token.
	end, tokenEnds time.Time
	// auditLog is the operator's audit file.
	auditLog string
}

func newScenario(t *testing.T) *scenario {
	return &scenario{
		T: t, Tenant: box.NewTenant(t, "team-a", platform("ann", "bob", "carol", "dave", "erin")),
		auditLog: filepath.Join(t.TempDir(), "audit"),
	}
}

func platform(users ...string) delossim.Config {
	config := delossim.Config{Clients: []string{cuid}}
	for _, user := range users {
		config.Users = append(config.Users, delossim.User{UUID: user})
	}
	return config
}

// connect makes a connection that confirms each second.
func (s *scenario) connect(name, url, secret string, change func(*v1alpha1.APIConnection)) {
	connection := s.Connection(name, url, secret)
	connection.Spec.Interval = &metav1.Duration{Duration: time.Second}
	connection.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	if change != nil {
		change(connection)
	}
	s.Create(s, connection)
}

// bind declares access through a connection.
func (s *scenario) bind(name, user, connection string, change func(*v1alpha1.ClientBinding)) *v1alpha1.ClientBinding {
	binding := s.Binding(name, user, cuid, false)
	binding.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: connection}
	if change != nil {
		change(binding)
	}
	s.Create(s, binding)
	return binding
}

// reads waits until a binding has a reason.
func (s *scenario) reads(binding *v1alpha1.ClientBinding, reason string) {
	s.Helper()
	sandbox.Within(s, limit, func() string {
		sandbox.Must(s, box.Kube.Get(s.Context(), client.ObjectKeyFromObject(binding), binding))
		if ready := sandbox.Ready(binding.Status.Conditions); ready.Reason != reason {
			return fmt.Sprintf("%s, want %s: %s", binding.Name, reason, sandbox.Describe(ready))
		}
		return ""
	})
}

// weaken deletes the binding of an admission policy.
func (s *scenario) weaken() {
	s.Delete(s, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "clientbinding-operator-orphans"}})
}

// occupy lets another process hold the operator's Lease, until the returned function is called.
func (s *scenario) occupy() (free func()) {
	now := metav1.NowMicro()
	held := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: box.Deployment.Namespace, Name: lease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("stranger"), LeaseDurationSeconds: ptr.To[int32](3600), AcquireTime: &now, RenewTime: &now,
		},
	}
	s.Create(s, held)
	return func() { s.Delete(s, held) }
}

// grant gives access with and without success.
func (s *scenario) grant() {
	s.Create(s, s.Secret("right", sandbox.Account))
	s.connect("default", s.Platform.URL, "right", nil)
	bound := []*v1alpha1.ClientBinding{
		s.bind("ann", "ann", "default", nil),
		s.bind("bob", "bob", "default", func(b *v1alpha1.ClientBinding) { b.Spec.IsOwner = true }),
		s.bind("soon", "carol", "default", func(b *v1alpha1.ClientBinding) {
			b.Spec.ExpiresAt = &metav1.Time{Time: time.Now().Add(time.Hour)}
		}),
	}
	for _, binding := range bound {
		s.reads(binding, v1alpha1.ReasonBound)
	}
	s.reads(s.bind("nobody", "nobody", "default", nil), v1alpha1.ReasonUserNotFound)
	s.reads(s.bind("made-up", "ann", "made-up", nil), v1alpha1.ReasonConnectionNotFound)
}

// expire lets access end in time.
func (s *scenario) expire() {
	binding := s.bind("over", "dave", "default", func(b *v1alpha1.ClientBinding) {
		b.Spec.ExpiresAt = &metav1.Time{Time: time.Now().Add(4 * time.Second)}
	})
	s.reads(binding, v1alpha1.ReasonBound)
	s.reads(binding, v1alpha1.ReasonExpired)
}

// loseAudit has the operator's audit file take no more lines.
func (s *scenario) loseAudit() { sandbox.Must(s, os.RemoveAll(filepath.Dir(s.auditLog))) }

// drift removes access from outside again and again. The operator gives it again five times, and then the binding is contested.
func (s *scenario) drift() {
	binding := s.bind("contested", "erin", "default", nil)
	s.reads(binding, v1alpha1.ReasonBound)
	for i := range int32(5) {
		s.Platform.RemoveRelation("erin", cuid)
		sandbox.Within(s, limit, func() string {
			s.reads(binding, v1alpha1.ReasonBound)
			if contest := binding.Status.Contest; contest == nil || contest.Corrections != i+1 {
				return fmt.Sprintf("the drift was not corrected %d times: %+v", i+1, contest)
			}
			return ""
		})
	}
	s.Platform.RemoveRelation("erin", cuid)
	s.reads(binding, v1alpha1.ReasonContested)
}

// block makes a platform refuse a revocation that was due two hours ago.
func (s *scenario) block() {
	blocked := box.NewPlatform(s, platform("ann"))
	s.connect("blocked", blocked.URL, "right", nil)
	binding := s.bind("blocked", "ann", "blocked", nil)
	s.reads(binding, v1alpha1.ReasonBound)
	blocked.Inject(delossim.Fault{Op: delossim.OpUnrelate, Failure: delossim.Answer{Status: 500}})
	s.end = time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Second)
	s.Patch(s, binding, `{"spec":{"expiresAt":%q}}`, s.end.Format(time.RFC3339))
	s.reads(binding, v1alpha1.ReasonRevocationBlocked)
}

// hold makes a deletion wait for an approval.
func (s *scenario) hold() {
	held := box.NewPlatform(s, platform("ann"))
	s.connect("held", held.URL, "right", func(c *v1alpha1.APIConnection) {
		c.Spec.Revocations = &v1alpha1.RevocationLimit{Max: ptr.To[int32](0), Per: &metav1.Duration{Duration: time.Hour}}
	})
	binding := s.bind("held", "ann", "held", nil)
	s.reads(binding, v1alpha1.ReasonBound)
	s.Delete(s, binding)
	s.reads(binding, v1alpha1.ReasonRevocationHeld)
}

// refuse makes a platform refuse the password. The operator lets a binding go that it could not read.
func (s *scenario) refuse(seen func()) {
	wrong := sandbox.Account
	wrong.Password = "wrong"
	s.Create(s, s.Secret("wrong", wrong))
	s.connect("refused", box.NewPlatform(s, platform("ann")).URL, "wrong", nil)
	binding := s.bind("unread", "ann", "refused", func(b *v1alpha1.ClientBinding) { b.Finalizers = []string{v1alpha1.RevokeFinalizer} })
	s.reads(binding, v1alpha1.ReasonConnectionNotReady)
	seen()
	s.Delete(s, binding)
	sandbox.Within(s, limit, func() string {
		if err := box.Kube.Get(s.Context(), client.ObjectKeyFromObject(binding), binding); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Sprintf("still there: %v %s", err, sandbox.Describe(sandbox.Ready(binding.Status.Conditions)))
		}
		return ""
	})
}

// useToken makes a connection use a token that expires soon.
func (s *scenario) useToken() {
	s.tokenEnds = time.Now().Add(time.Hour).Truncate(time.Second)
	token := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, s.tokenEnds.Unix())) + ".c2ln"
	tokens := box.NewPlatform(s, platform("ann"))
	tokens.AddToken(token)
	s.Create(s, &corev1.Secret{ObjectMeta: s.Meta("token"), StringData: map[string]string{v1alpha1.SecretKeyToken: token}})
	s.connect("token", tokens.URL, "token", func(c *v1alpha1.APIConnection) { c.Spec.Interval.Duration = 10 * time.Second })
	s.reads(s.bind("token", "ann", "token", nil), v1alpha1.ReasonBound)
}

// breakDown stops a platform.
func (s *scenario) breakDown() {
	gone := box.NewPlatform(s, platform("ann", "bob"))
	s.connect("down", gone.URL, "right", nil)
	bindings := []*v1alpha1.ClientBinding{s.bind("down-ann", "ann", "down", nil), s.bind("down-bob", "bob", "down", nil)}
	for _, binding := range bindings {
		s.reads(binding, v1alpha1.ReasonBound)
	}
	sandbox.Must(s, gone.Stop())
	for _, binding := range bindings {
		s.reads(binding, v1alpha1.ReasonUnverified)
	}
}

// blind starts another replica that may not see ClientBindings. It still serves metrics.
func (s *scenario) blind(address string) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "clientbinding-operator"}}
	sandbox.Must(s, box.Kube.Get(s.Context(), client.ObjectKeyFromObject(role), role))
	for i := range role.Rules {
		if rule := &role.Rules[i]; slices.Equal(rule.Resources, []string{"apiconnections", "clientbindings"}) {
			rule.Resources = rule.Resources[:1]
		}
	}
	sandbox.Must(s, box.Kube.Update(s.Context(), role))
	replica := box.Operator.Aside(filepath.Join(box.Dir(), "blind.log"))
	s.Cleanup(func() { _ = replica.Stop() })
	_, err := replica.StartAlive(s.Context(), "--metrics-bind-address="+address)
	sandbox.Must(s, err)
}
