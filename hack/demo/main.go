// Command demo shows the operator at work on this machine: a real Kubernetes control plane, the simulated Delos
// platform, the operator as a process with the rights it ships with, and config/samples. It stays up until
// Ctrl-C; with --once it tries what it suggests, checks what comes of it, and ends.
//
// Nothing outlives it: neither a process nor a file.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// latency is how long each call to the platform takes, and lag how long the platform does not show a write: that makes the reading back worth
	// watching.
	latency, lag = 20 * time.Millisecond, time.Second
	// patience is how long anything may take: a binding that fails is tried again within a minute.
	patience = 70 * time.Second
	table    = "kubectl get clientbindings --all-namespaces"

	namespace = "team-a"
	john      = "user_abc123def"
	acme      = "cust_789xyz"
	// The user of wrong is not on the platform.
	standard, owner, wrong = "maria-uses-cust-789xyz", "john-owns-cust-789xyz", "nobody-uses-cust-789xyz"
)

// hints are what to try, in this order.
var hints = []struct {
	what, command string
	refused       bool
}{
	{what: "Promote a user to owner", command: "kubectl patch clientbinding " + standard + ` -n team-a --type=merge --patch '{"spec":{"isOwner":true}}'`},
	{what: "Create the missing user; the wrong binding becomes Ready at its next try", command: `curl -fsS -X POST $ADMIN/users -d '{"uuid": "user_does_not_exist", "username": "late.arrival"}'`},
	{what: "See what happened to it", command: "kubectl describe clientbinding " + wrong + " -n team-a"},
	{what: "Try to change the user of a binding: refused, with a message that says what to do instead", refused: true,
		command: "kubectl patch clientbinding " + standard + ` -n team-a --type=merge --patch '{"spec":{"userUUID":"user_nobody"}}'`},
	{what: "Do that: a new object, here for a user who does not exist", command: `kubectl create -f - <<EOF
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: nobody
  namespace: team-a
spec:
  cuid: cust_789xyz
  isOwner: false
  userUUID: user_nobody
EOF`},
	{what: "Change a relation behind the operator's back, and ask for a look at it",
		command: "curl -fsS -X PUT $ADMIN/users/" + john + "/relations/" + acme + ` -d '{"isOwner": false}'
kubectl annotate --overwrite clientbinding ` + owner + ` -n team-a access.delos.financial/requestedAt="$(date -u +%FT%TZ)"`},
	{what: "See what the platform was asked", command: "curl -fsS $ADMIN/calls"},
	{what: "Delete a binding: kubectl returns when the access is gone", command: "kubectl delete clientbinding " + owner + " -n team-a"},
}

// stage is everything that runs.
type stage struct {
	sandbox.T
	*sandbox.Tenant
}

func main() {
	once := flag.Bool("once", false, "try what is suggested and end, with an error if the outcome is not as expected")
	flag.Parse()
	sandbox.Main("demo", func(c *sandbox.Command) { run(c, *once) })
}

// run is the whole demo, which ends with what the simulator recorded.
func run(c *sandbox.Command, once bool) {
	report := &sandbox.Report{Out: os.Stdout}
	s := &stage{T: c, Tenant: &sandbox.Tenant{Namespace: namespace}}
	c.Cleanup(func() {
		if s.Platform != nil {
			fmt.Println("The simulator recorded:", s.Platform.Summary())
		}
	})
	s.Sandbox = sandbox.Start(c, sandbox.Options{Report: report})
	config := delossim.Examples()
	config.Settings = delossim.Settings{Latency: latency, Lag: lag}
	report.Step("Starting the simulated Delos platform", func() { s.Platform = s.NewPlatform(c, config) })
	report.Step("Starting the operator", func() { sandbox.Must(c, s.Operator.Start(c.Context())) })
	report.Step("Applying config/samples", func() { sandbox.Must(c, s.Cluster.Apply(c.Context(), s.Samples(c))) })
	report.Step("Waiting until all is as declared and read back, but for what is wrong on purpose", func() {
		sandbox.Within(c, patience, func() string {
			bindings := &v1alpha1.ClientBindingList{}
			sandbox.Must(c, s.Kube.List(c.Context(), bindings, client.InNamespace(namespace)))
			for _, binding := range bindings.Items {
				problem := s.Unbound(c, binding.Name)
				if binding.Name == wrong {
					problem = sandbox.NotReady(&binding, binding.Status.Conditions, metav1.ConditionFalse, v1alpha1.ReasonUserNotFound)
				}
				if problem != "" {
					return problem
				}
			}
			return ""
		})
	})
	fmt.Printf("The operator acts as ServiceAccount %s/%s; its log is %s\n", s.Deployment.Namespace, s.Deployment.ServiceAccount, s.Operator.LogFile)
	report.Heading(table)
	sandbox.Must(c, s.shell(table))
	if once {
		s.try()
		return
	}
	report.Heading("Try next, in another terminal")
	fmt.Printf("# Use this cluster\n%s\n\n", s.use())
	for _, hint := range hints {
		fmt.Printf("# %s\n%s\n\n", hint.what, hint.command)
	}
	fmt.Println("Ctrl-C stops everything and leaves nothing behind.")
	report.Heading(table + " --watch-only")
	_ = s.shell(table + " --watch-only") // it ends with the demo
	<-c.Context().Done()
}

// use has a shell use what runs here.
func (s *stage) use() string {
	return fmt.Sprintf("export KUBECONFIG='%s' PATH='%s':$PATH ADMIN=%s", s.Cluster.Kubeconfig, s.Cluster.Assets, s.Platform.AdminURL)
}

// shell does what a person does who pastes a command.
func (s *stage) shell(command string) error {
	run := exec.CommandContext(s.Context(), "sh", "-ec", s.use()+"\nexec 2>&1\n"+command)
	run.Stdout = os.Stdout
	// What the shell runs ends with it.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGTERM) }
	return run.Run()
}

// try does what the demo suggests.
func (s *stage) try() {
	for _, hint := range hints {
		fmt.Printf("\n# %s\n%s\n", hint.what, hint.command)
		if err := s.shell(hint.command); (err != nil) != hint.refused {
			s.Fatal(fmt.Sprintf("%s: %v", hint.command, err))
		}
	}
	if _, shown := s.Platform.Shown(john)[acme]; shown {
		s.Fatal("kubectl delete returned while the platform still showed the access")
	}
	for _, name := range []string{standard, wrong} {
		sandbox.Within(s, patience, func() string { return s.Unbound(s, name) })
	}
	fmt.Println("All as expected.")
}
