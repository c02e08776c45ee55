//go:build argocd

package argocd

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const manyAccounts = "config/examples/many-accounts"

// The ApplicationSet of config/examples/many-accounts delivers it. It uses the namespace team-a, like config/samples
// in [TestDelivery]. So the two tests do not run at the same time, and both clean it up.
func TestManyAccounts(t *testing.T) {
	n := newTeam(t, "accounts")
	n.Namespace = "team-a"
	accounts := filepath.Join(manyAccounts, "accounts.yaml")
	step(t, "an ApplicationSet makes an Application for each account in a file", n.applySet)
	step(t, "the bindings are those that kustomize makes without Argo CD", n.sameAsKustomize)
	step(t, "a line more is an account more", func(t *testing.T) {
		n.Platform.AddClient("cust_456uvw")
		n.git.replace(t, accounts, "- account: doxdeev", "- account: cust-456uvw\n  cuid: cust_456uvw\n- account: doxdeev")
		n.publishSet(t, "One account more")
		n.bothBound(t, "cust-456uvw", "cust_456uvw")
		argo.print(t, "app", "list")
	})
	step(t, "a line less revokes all access to that account", func(t *testing.T) {
		n.git.replace(t, accounts, "- account: cust-789xyz\n  cuid: cust_789xyz\n", "")
		n.publishSet(t, "One account less")
		isGone(t, named("access-cust-789xyz"))
		n.unrelated(t, john, cust)
		n.unrelated(t, maria, cust)
		n.related(t, john, doxd, true)
	})
	step(t, "deletion of the ApplicationSet revokes the rest", func(t *testing.T) {
		if there := n.Platform.RelationCount(); there != 4 {
			t.Fatalf("%d relations instead of two for each of two accounts: %+v", there, n.Platform.Users())
		}
		_, err := box.Cluster.Kubectl(t.Context(), "", "delete", "applicationset", "client-accounts", "--namespace", argoNamespace)
		sandbox.Must(t, err)
		isGone(t, named("access-doxdeev"))
		isGone(t, named("access-cust-456uvw"))
		n.noneRelated(t)
	})
	box.Delete(t, n.namespace())
	isGone(t, n.namespace())
}

// applySet applies the example, with another address of the repository.
func (n *team) applySet(t *testing.T) {
	box.Create(t, n.namespace())
	n.connect(t)
	files, top := map[string]string{}, os.DirFS(root)
	sandbox.Must(t, fs.WalkDir(top, manyAccounts, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(top, path)
		files[path] = string(text)
		return err
	}))
	n.git.write(t, files)
	n.git.commit(t, "Many accounts")
	set := strings.ReplaceAll(files[filepath.Join(manyAccounts, "applicationset.yaml")], "https://git.example.com/team-a/access.git", n.git.url)
	_, err := box.Cluster.Kubectl(t.Context(), set, "apply", "-f", "-")
	sandbox.Must(t, err)
	n.bothBound(t, "cust-789xyz", cust)
	n.bothBound(t, "doxdeev", doxd)
}

// bothBound waits until the ApplicationSet has made the Application of an account, and that has bound john and maria.
func (n *team) bothBound(t *testing.T, account, cuid string) {
	t.Helper()
	app := named("access-" + account)
	sandbox.Within(t, limit, func() string {
		err := box.Kube.Get(t.Context(), client.ObjectKeyFromObject(app), app)
		if apierrors.IsNotFound(err) {
			return "no Application " + app.GetName()
		}
		sandbox.Must(t, err)
		return ""
	})
	becomes(t, app.GetName(), "Synced", "Healthy", "")
	n.related(t, john, cuid, true)
	n.related(t, maria, cuid, false)
}

func (n *team) sameAsKustomize(t *testing.T) {
	rendered, err := sandbox.Render(t.Context(), manyAccounts)
	sandbox.Must(t, err)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBindingList"))
	sandbox.Must(t, box.Kube.List(t.Context(), list, client.InNamespace(n.Namespace)))
	want, got := map[string]any{}, map[string]any{}
	for _, object := range rendered {
		want[object.GetNamespace()+"/"+object.GetName()] = object.Object["spec"]
	}
	for _, object := range list.Items {
		got[object.GetNamespace()+"/"+object.GetName()] = object.Object["spec"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-kustomize +Argo CD:\n%s", diff)
	}
}

// publishSet commits, and makes the ApplicationSet look at Git now, as a webhook would.
func (n *team) publishSet(t *testing.T, message string) {
	t.Helper()
	n.git.commit(t, message)
	_, err := box.Cluster.Kubectl(t.Context(), "", "annotate", "--overwrite", "applicationset", "client-accounts", "--namespace", argoNamespace,
		"argocd.argoproj.io/application-set-refresh=true")
	sandbox.Must(t, err)
}
