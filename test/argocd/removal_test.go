//go:build argocd

package argocd

import (
	"path/filepath"
	"regexp"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// The effect of a deletion in Git, or of an Application, on access.
func TestRemoval(t *testing.T) {
	t.Parallel()
	n := newTeam(t, "team-removal")
	n.Platform.AddUser(delossim.User{UUID: nobody, Username: "late.arrival"})
	n.deliverSamples(t)
	step(t, "prune of one binding: the relation goes, then the object", func(t *testing.T) {
		n.edit(t, "kustomization.yaml", "- clientbinding_explicit.yaml\n", "")
		revision := n.publish(t, "maria no longer owns doxdeev")
		isGone(t, n.bindingNamed(mariaOwnsDoxd))
		n.unrelated(t, maria, doxd)
		becomes(t, n.Namespace, "Synced", "Healthy", revision)
	})
	step(t, "a revocation that is blocked says why in Argo CD", func(t *testing.T) {
		fault := n.Platform.Inject(delossim.Fault{Op: delossim.OpUnrelate, Failure: maintenance})
		defer fault.Remove()
		n.edit(t, "kustomization.yaml", "- clientbinding_standard.yaml\n", "")
		n.publish(t, "maria no longer uses cust-789xyz")
		for _, status := range []string{"Progressing", "Degraded"} {
			n.shows(t, "ClientBinding", mariaUses, status, "RevocationBlocked: The access could not be removed yet", "maintenance")
		}
		argo.print(t, "app", "get", n.Namespace, "--output", "tree=detailed")
		fault.Remove()
		n.actUntil(t, mariaUses, func() string { return there(t, n.bindingNamed(mariaUses)) })
		becomes(t, n.Namespace, "Synced", "Healthy", "")
		n.unrelated(t, maria, cust)
	})
	step(t, "a revocation that the brake holds says so, and the action approves it", func(t *testing.T) {
		const file, brake = "apiconnection.yaml", "spec:\n  revocations: {max: 0, per: 1h}\n"
		n.edit(t, file, "spec:\n", brake)
		n.deliver(t, "Healthy", "No deletion revokes without approval")
		n.edit(t, "kustomization.yaml", "- "+wrongFile+"\n", "")
		n.publish(t, "The late arrival goes")
		n.shows(t, "ClientBinding", nobodyUses, "Progressing", "RevocationHeld")
		n.shows(t, "APIConnection", v1alpha1.DefaultConnectionName, "Healthy", "Held by spec.revocations: 1")
		n.related(t, nobody, cust, false)
		n.act(t, "approve-revocations", "APIConnection", v1alpha1.DefaultConnectionName)
		isGone(t, n.bindingNamed(nobodyUses))
		n.unrelated(t, nobody, cust)
		n.edit(t, file, brake, "spec:\n")
		n.deliver(t, "Healthy", "No brake")
	})
	step(t, "deletion of the whole Application revokes everything", n.leaves)
}

var wave = regexp.MustCompile(`(?m)^  annotations:\n    argocd.argoproj.io/sync-wave: .*\n`)

// newTeamWithoutWaves delivers the samples without sync waves.
func newTeamWithoutWaves(t *testing.T, name string) *team {
	t.Helper()
	n := newTeam(t, name)
	files, waves := n.files(t, wrongFile), 0
	for path, text := range files {
		waves += len(wave.FindAllString(text, -1))
		files[path] = wave.ReplaceAllString(text, "")
	}
	if waves != 4 {
		t.Fatalf("took %d sync waves out of config/samples", waves)
	}
	n.git.write(t, files)
	n.deliverFirst(t)
	return n
}

// The same without sync waves.
func TestRemovalWithoutWaves(t *testing.T) {
	t.Parallel()
	t.Run("deletion of the whole Application, without sync waves", func(t *testing.T) {
		newTeamWithoutWaves(t, "team-b").leaves(t)
	})
	t.Run("everything pruned at once, without sync waves", func(t *testing.T) {
		n := newTeamWithoutWaves(t, "team-c")
		n.git.write(t, map[string]string{filepath.Join(n.Namespace, "kustomization.yaml"): "resources: [namespace.yaml]\nnamespace: " + n.Namespace + "\n"})
		n.deliver(t, "Healthy", "No access for "+n.Namespace)
		isGone(t, &v1alpha1.APIConnection{ObjectMeta: n.Meta(v1alpha1.DefaultConnectionName)})
		isGone(t, &corev1.Secret{ObjectMeta: n.Meta(sandbox.CredentialsName)})
		n.noneRelated(t)
		n.leaves(t)
	})
	t.Run("non-cascading deletion leaves the access, and who answers for it", func(t *testing.T) {
		n := newTeamWithoutWaves(t, "team-d")
		argo.run(t, "app", "delete", n.Namespace, "--cascade=false", "--yes")
		isGone(t, named(n.Namespace))
		binding := n.bindingNamed(johnOwns)
		sandbox.Must(t, box.Kube.Get(t.Context(), client.ObjectKeyFromObject(binding), binding))
		if !binding.DeletionTimestamp.IsZero() || !n.Platform.Relations(john)[cust] {
			t.Fatal("the access did not stay")
		}
		// A later deletion of the bindings revokes.
		_, err := box.Cluster.Kubectl(t.Context(), "", "delete", "clientbinding", "--all", "--namespace", n.Namespace)
		sandbox.Must(t, err)
		box.Delete(t, n.namespace())
		isGone(t, n.namespace())
		n.noneRelated(t)
	})
}
