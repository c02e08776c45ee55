// Command statuses records real objects for the tests of Argo CD's health and actions: it runs the operator against
// simulated platforms that work, fail or are slow, and writes the objects of each kind to
// config/argocd/GROUP/KIND/testdata. Run it after a change of the statuses that the operator writes:
//
//	go run ./hack/statuses
//
// Times and uids differ in each run. Change the expected messages in health_test.yaml accordingly.
package main

import (
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Each is a connection and the platform behind it.
const (
	works    = v1alpha1.DefaultConnectionName
	dawdles  = "dawdling"   // writes show an hour later
	blind    = "blind"      // no user can be read
	keeps    = "keeping"    // nothing can be removed
	forbids  = "forbidding" // asks for patience
	down     = "down"       // nobody can log in
	noSecret = "no-secret"
	refuses  = "refusing" // knows another password
	brakes   = "braking"  // lets no deletion revoke that nobody approved
)

// stage is the environment of the scenes.
type stage struct {
	sandbox.T
	*sandbox.Tenant
}

func main() {
	sandbox.Main("statuses", func(c *sandbox.Command) {
		box := sandbox.Start(c, sandbox.Options{})
		s := &stage{c, box.NewTenant(c, "team-a", platform())}
		s.connectAll()
		s.unseen()
		s.first()
		s.edited()
		s.leaving()
		s.dry()
	})
}

func platform() delossim.Config {
	return delossim.Config{
		Users: []delossim.User{
			{UUID: "user_abc123def", Username: "john.smith"},
			{UUID: "user_ghi456jkl", Username: "maria.garcia", Relations: map[string]bool{"cust_related": true}},
		},
		Clients: []string{"cust_789xyz", "cust_456uvw"},
	}
}

// connectAll makes a connection to each platform.
func (s *stage) connectAll() {
	unavailable := delossim.Answer{Status: http.StatusServiceUnavailable, Body: `{"error":"maintenance"}`}
	patience := delossim.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"120"}}}
	slow := platform()
	slow.Settings.Lag = time.Hour

	s.connect(works, s.Platform)
	s.connect(dawdles, s.NewPlatform(s, slow))
	s.connect(refuses, s.NewPlatform(s, platform()))
	s.connect(brakes, s.NewPlatform(s, platform()))
	for name, fault := range map[string]delossim.Fault{
		blind:   {Op: delossim.OpUser, Failure: unavailable},
		keeps:   {Op: delossim.OpUnrelate, Failure: unavailable},
		forbids: {Op: delossim.OpUser, Failure: patience},
		down:    {Op: delossim.OpLogin, Failure: unavailable},
	} {
		failing := s.NewPlatform(s, platform())
		failing.Inject(fault)
		s.connect(name, failing)
	}
	s.Create(s, s.Connection(noSecret, "http://127.0.0.1:1", "delos-"+noSecret))
}

func (s *stage) connect(name string, to *sandbox.Simulator) {
	account, connection := sandbox.Account, s.Connection(name, to.URL, "delos-"+name)
	switch name {
	case refuses:
		account.Password = "known-to-nobody"
	case brakes:
		connection.Spec.Revocations = &v1alpha1.RevocationLimit{Max: ptr.To[int32](0), Per: &metav1.Duration{Duration: time.Hour}}
	}
	s.Create(s, s.Secret("delos-"+name, account), connection)
}

func (s *stage) binding(name, through, user, cuid string, isOwner bool) *v1alpha1.ClientBinding {
	b := s.Binding(name, user, cuid, isOwner)
	if through != works {
		b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: through}
	}
	return b
}
