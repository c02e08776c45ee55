package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestUndeploy takes the operator out as docs/install.md says, and nothing keeps a finalizer that nobody removes any more. `make undeploy` refuses as long as something
// would, and it ends where nothing removes namespaces, too.
func TestUndeploy(t *testing.T) {
	n := &tenant{newCluster(t).NewTenant(t, "leaving", crowd())}
	n.connect(t)
	sandbox.Must(t, n.Operator.Start(t.Context(), verbose, "--leader-elect=false"))
	n.Create(t, n.Binding("cb", "user_0", "cust_1", false))
	sandbox.Within(t, 30*time.Second, func() string { return n.Unbound(t, "cb") })

	undeploy := func(limit string) (said string, err error) {
		command := exec.CommandContext(t.Context(), "make", "undeploy", "TIMEOUT="+limit)
		command.Dir, command.Env = root(t), append(os.Environ(), "KUBECONFIG="+n.Cluster.Kubeconfig, "PATH="+n.Cluster.Assets+":"+os.Getenv("PATH"))
		out, err := command.CombinedOutput()
		return string(out), err
	}
	ends := func(limit string, says ...string) {
		t.Helper()
		said, err := undeploy(limit)
		for _, text := range says {
			if err == nil || !strings.Contains(said, text) {
				t.Fatalf("want %q; %v\n%s", text, err, said)
			}
		}
	}
	for _, kind := range []string{"ClientBindings", "APIConnections"} {
		ends("1m", "There are "+kind)
		if _, err := n.Cluster.Kubectl(t.Context(), "", "delete", strings.ToLower(kind), "--all", "--all-namespaces"); err != nil {
			t.Fatal(err)
		}
	}
	ends("1s", "timed out waiting for the condition on namespaces/"+n.Deployment.Namespace, "a cluster that runs kube-controller-manager")

	sandbox.Must(t, n.StartControllers(t.Context(), n.Cluster))
	if said, err := undeploy("1m"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	manifests, err := sandbox.Render(t.Context(), "config/default")
	sandbox.Must(t, err)
	var left []string
	for _, object := range manifests {
		err := n.Kube.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if err == nil {
			left = append(left, object.GetKind()+" "+object.GetName())
		}
	}
	if diff := cmp.Diff([]string(nil), left); diff != "" {
		t.Errorf("objects of the operator that are left (-want +got):\n%s", diff)
	}
	team := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Namespace}}
	n.Delete(t, team)
	sandbox.Within(t, time.Minute, func() string { return n.remains(t, team) })
}
