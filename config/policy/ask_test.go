package policy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// TestKubectlAnswersWhoMay asks with kubectl and the certificates of users.
func TestKubectlAnswersWhoMay(t *testing.T) {
	namespace := newNamespace(t)
	ann := certified(t, "ann-with-a-certificate")
	bob := certified(t, "bob-with-a-certificate")
	ann.bind(t, namespace, requester)
	ann.allow(t, namespace, may("grant", "clientbindings/owner", "C-1001"), may("orphan", "clientbindings/owner", "C-1001"),
		may("use", "apiconnections", "default"), may("release", "clientbindings/finalizers", "trial"))
	bob.allow(t, namespace, may("*", "clientbindings"))

	for _, test := range []struct {
		question string
		ann, bob string
	}{
		{"grant cb/C-1001 --subresource=owner", "yes", "no"},
		{"grant cb/C-2002 --subresource=owner", "no", "no"},
		{"grant cb/C-1001 --subresource=standard", "no", "no"},
		{"orphan cb/C-1001 --subresource=owner", "yes", "no"},
		{"release cb/trial --subresource=finalizers", "yes", "no"},
		{"use apiconn/default", "yes", "no"},
		{"create cb", "yes", "yes"},
	} {
		for who, want := range map[*person]string{ann: test.ann, bob: test.bob} {
			if got := who.asks(t, namespace, test.question); got != want {
				t.Errorf("kubectl auth can-i %s as %s: %q, want %q", test.question, who.name, got, want)
			}
		}
	}

	// The answers agree with the policies, for the user of the certificate.
	of := binding(namespace, "trial", "C-1001", true)
	check(t, bob.Create(t.Context(), of.DeepCopy()), noOwner(of))
	check(t, ann.Create(t.Context(), of.DeepCopy()), "")
	if got := stamped(t, of); got != ann.name {
		t.Errorf("requested by %q, want %q", got, ann.name)
	}
}

// person is a user with a certificate.
type person struct {
	user
	kubeconfig string
}

func certified(t *testing.T, name string) *person {
	t.Helper()
	certificate, err := environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	as, err := client.New(certificate.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	content, err := certificate.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	p := &person{user{name, as}, filepath.Join(t.TempDir(), name)}
	if err := os.WriteFile(p.kubeconfig, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// asks runs `kubectl auth can-i`. It warns of verbs that it does not know, and exits with an error when the answer is no.
func (p *person) asks(t *testing.T, namespace, question string) string {
	t.Helper()
	args := append([]string{"auth", "can-i", "--namespace", namespace, "--kubeconfig", p.kubeconfig}, strings.Fields(question)...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	answer, err := cmd.Output()
	if len(answer) == 0 {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(answer))
}
