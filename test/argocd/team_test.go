//go:build argocd

package argocd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	john   = "user_abc123def"
	maria  = "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb"
	nobody = "user_does_not_exist"
	cust   = "cust_789xyz"
	doxd   = "DoxdEEV-4IJq-zKeUYqrtqVDK"

	// The bindings of config/samples, the file of the one that cannot work, and one that comes later.
	johnOwns      = "john-owns-cust-789xyz"
	mariaUses     = "maria-uses-cust-789xyz"
	mariaOwnsDoxd = "maria-owns-doxdeev"
	nobodyUses    = "nobody-uses-cust-789xyz"
	wrongFile     = "clientbinding_wrong_user.yaml"
	johnUsesDoxd  = "john-uses-doxdeev"
	lateFile      = "clientbinding_late.yaml"
)

// team is a tenant with a Git repository. Its namespace, its Application and the directory in the repository have its name.
type team struct {
	*sandbox.Tenant

	git *repository
}

// newTeam has a repository and a platform, and nothing in the cluster yet.
func newTeam(t *testing.T, name string) *team {
	t.Helper()
	// Its Application may be gone by then, and else takes its time.
	t.Cleanup(func() { _ = box.Kube.Delete(context.WithoutCancel(t.Context()), named(name)) })
	config := delossim.Examples()
	config.Settings = delossim.Settings{Latency: 10 * time.Millisecond, Lag: 200 * time.Millisecond}
	return &team{&sandbox.Tenant{Sandbox: box, Namespace: name, Platform: box.NewPlatform(everything, config)}, newRepository(t, name)}
}

// application is the team's.
func (n *team) application() application {
	return application{name: n.Namespace, url: n.git.url, path: n.Namespace}
}

// namespace is the team's.
func (n *team) namespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Namespace}}
}

// bindingNamed is a binding of the team with nothing but its name.
func (n *team) bindingNamed(name string) *v1alpha1.ClientBinding {
	return n.Binding(name, "", "", false)
}

// deliverSamples delivers config/samples, except the files in without, as an Application that becomes Healthy.
func (n *team) deliverSamples(t *testing.T, without ...string) {
	t.Helper()
	n.git.write(t, n.files(t, without...))
	n.deliverFirst(t)
}

// deliverFirst publishes the working copy, and creates the Application, which becomes Healthy.
func (n *team) deliverFirst(t *testing.T) {
	t.Helper()
	revision := n.git.commit(t, "Access of "+n.Namespace)
	n.application().create(t)
	becomes(t, n.Namespace, "Synced", "Healthy", revision)
}

// deliver publishes the working copy and waits until the Application is synced with it.
func (n *team) deliver(t *testing.T, health, message string) {
	t.Helper()
	revision := n.publish(t, message)
	becomes(t, n.Namespace, "Synced", health, revision)
}

// publish publishes the working copy, and makes Argo CD look at it.
func (n *team) publish(t *testing.T, message string) (revision string) {
	t.Helper()
	revision = n.git.commit(t, message)
	refresh(t, n.Namespace, "normal")
	return revision
}

// edit replaces a text in a file of the team's directory.
func (n *team) edit(t *testing.T, file, from, to string) {
	t.Helper()
	n.git.replace(t, filepath.Join(n.Namespace, file), from, to)
}

// files are config/samples as in a team's repository. Only the address of the platform, the password
// of the account there and the namespace differ. It leaves out the files in without.
func (n *team) files(t *testing.T, without ...string) map[string]string {
	t.Helper()
	samples := filepath.Join(root, "config/samples")
	entries, err := os.ReadDir(samples)
	sandbox.Must(t, err)
	files := map[string]string{}
	var resources []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(samples, entry.Name()))
		sandbox.Must(t, err)
		if entry.Name() == "kustomization.yaml" || slices.Contains(without, entry.Name()) {
			continue
		}
		// A kustomization's namespace does not reach into a reference.
		files[filepath.Join(n.Namespace, entry.Name())] = strings.ReplaceAll(string(text), "    namespace: team-a\n", "    namespace: "+n.Namespace+"\n")
		resources = append(resources, entry.Name())
	}
	files[filepath.Join(n.Namespace, "kustomization.yaml")] = fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %s
resources:
- %s
patches:
- target: {kind: APIConnection}
  patch: '[{"op": "replace", "path": "/spec/url", "value": %q}]'
- target: {kind: Secret}
  patch: '[{"op": "replace", "path": "/stringData/%s", "value": %q}, {"op": "replace", "path": "/stringData/%s", "value": %q}]'
`, n.Namespace, strings.Join(resources, "\n- "), n.Platform.URL,
		v1alpha1.SecretKeyLogin, sandbox.Account.Login, v1alpha1.SecretKeyPassword, sandbox.Account.Password)
	return files
}

// writeLate adds a binding of john to the working copy.
func (n *team) writeLate(t *testing.T) {
	t.Helper()
	n.git.write(t, map[string]string{filepath.Join(n.Namespace, lateFile): n.bindingText(johnUsesDoxd, john, doxd, "isOwner: false")})
	n.edit(t, "kustomization.yaml", "resources:\n", "resources:\n- "+lateFile+"\n")
}

// bindingText is a ClientBinding as a person writes it.
func (n *team) bindingText(name, user, cuid string, fields ...string) string {
	return fmt.Sprintf(`apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: %s
  namespace: %s
spec:
  userUUID: %s
  cuid: %s
  %s
`, name, n.Namespace, user, cuid, strings.Join(fields, "\n  "))
}

// act runs an action, as a person does in the user interface.
func (n *team) act(t *testing.T, action, kind, name string) {
	t.Helper()
	sandbox.Must(t, n.tryAct(t, action, kind, name))
}

func (n *team) tryAct(t *testing.T, action, kind, name string) error {
	_, err := argo.try(t, "app", "actions", "run", n.Namespace, action, "--kind", kind, "--resource-name", name)
	return err
}

// askAgainAfter is the time until another look is asked for. Requests have times in whole seconds.
const askAgainAfter = 3 * time.Second

// actUntil asks for looks at a binding of the team until there is no problem: the operator looks rarely at a stalled
// binding, and one look may not see its own effect yet.
func (n *team) actUntil(t *testing.T, name string, problem func() string) {
	t.Helper()
	for began := time.Now(); ; {
		refusal := n.tryAct(t, "reconcile", "ClientBinding", name)
		// The binding may be gone by now.
		last, err := sandbox.Await(t.Context(), askAgainAfter, problem)
		switch {
		case err == nil:
			return
		case refusal != nil:
			t.Fatal(refusal)
		case time.Since(began) > limit:
			t.Fatalf("after %s: %s", limit, last)
		}
	}
}

// health is the health of one object in Argo CD.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func (h health) String() string { return h.Status + ": " + h.Message }

// health asks Argo CD's API about an object of the team, as its user interface does.
func (n *team) health(t *testing.T, kind, name string) health {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+argo.server+"/api/v1/applications/"+n.Namespace+"/resource-tree", nil)
	sandbox.Must(t, err)
	response, err := http.DefaultClient.Do(request)
	sandbox.Must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s (%v)", request.URL, response.Status, text, err)
	}
	var tree struct {
		Nodes []struct {
			Kind   string `json:"kind"`
			Name   string `json:"name"`
			Health health `json:"health"`
		} `json:"nodes"`
	}
	sandbox.Must(t, json.Unmarshal(text, &tree))
	for _, node := range tree.Nodes {
		if node.Kind == kind && node.Name == name {
			return node.Health
		}
	}
	return health{}
}

// shows waits until Argo CD shows a health of an object of the team with all the words.
func (n *team) shows(t *testing.T, kind, name, status string, words ...string) {
	t.Helper()
	sandbox.Within(t, limit, func() string {
		found := n.health(t, kind, name)
		if found.Status != status {
			return fmt.Sprintf("%s %s is not %s but %s", kind, name, status, found)
		}
		for _, word := range words {
			if !strings.Contains(found.Message, word) {
				return fmt.Sprintf("no %q in %q", word, found.Message)
			}
		}
		return ""
	})
}

// related waits until the platform truly has a user related to a client in one way.
func (n *team) related(t *testing.T, user, cuid string, isOwner bool) {
	t.Helper()
	sandbox.Within(t, limit, func() string { return n.otherwise(user, cuid, isOwner) })
}

// otherwise describes the difference between the platform's relation of a user and a client and the wanted one.
func (n *team) otherwise(user, cuid string, isOwner bool) string {
	if owner, is := n.Platform.Relations(user)[cuid]; !is || owner != isOwner {
		return fmt.Sprintf("user %s and client %s: related %t, owner %t; want owner %t", user, cuid, is, owner, isOwner)
	}
	return ""
}

// unrelated fails if the platform has a user related to a client.
func (n *team) unrelated(t *testing.T, user, cuid string) {
	t.Helper()
	if _, is := n.Platform.Relations(user)[cuid]; is {
		t.Fatalf("user %s is still related to client %s", user, cuid)
	}
}

// noneRelated fails if the platform has any relation.
func (n *team) noneRelated(t *testing.T) {
	t.Helper()
	if left := n.Platform.RelationCount(); left > 0 {
		t.Fatalf("%d relations are left on the platform: %+v", left, n.Platform.Users())
	}
}

// leaves deletes the Application, and waits until it and the namespace are gone.
func (n *team) leaves(t *testing.T) {
	t.Helper()
	box.Delete(t, named(n.Namespace))
	sandbox.Within(t, limit, func() string {
		left := there(t, named(n.Namespace))
		if left == "" {
			return ""
		}
		var bindings v1alpha1.ClientBindingList
		sandbox.Must(t, box.Kube.List(t.Context(), &bindings, client.InNamespace(n.Namespace)))
		for _, binding := range bindings.Items {
			left += fmt.Sprintf("; %s says: %s", binding.Name, sandbox.Ready(binding.Status.Conditions).Message)
		}
		return left
	})
	isGone(t, n.namespace())
	n.noneRelated(t)
}
