package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// playRemoval is about what a deletion in Git, or of an Application, does to access.
func (s *stage) playRemoval(ctx context.Context) error {
	return s.steps(
		step{"prune of one binding: the relation goes, then the object", func() error { return s.prune(ctx) }},
		step{"a revocation that is blocked says why in Argo CD", func() error { return s.blocked(ctx) }},
		step{"a revocation that the brake holds says so, and the action approves it", func() error { return s.held(ctx) }},
		step{"deletion of the whole Application revokes everything", func() error { return s.deleteAll(ctx, team) }},
		step{"the same without sync waves", func() error { return s.withoutWaves(ctx) }},
		step{"everything pruned at once, without sync waves", func() error { return s.pruneAll(ctx) }},
		step{"non-cascading deletion leaves the access, and who answers for it", func() error { return s.nonCascading(ctx) }},
	)
}

func (s *stage) prune(ctx context.Context) error {
	if err := s.git.replace(filepath.Join(team, "kustomization.yaml"), "- clientbinding_explicit.yaml\n", ""); err != nil {
		return err
	}
	revision, err := s.git.commit(ctx, "maria no longer owns doxdeev")
	if err != nil {
		return err
	}
	if err := s.refresh(ctx, team, "normal"); err != nil {
		return err
	}
	// Whenever the object is gone, so is the access.
	if err := s.within(ctx, limit, func(ctx context.Context) (string, error) {
		err := s.kube.Get(ctx, client.ObjectKey{Namespace: team, Name: mariaOwnsDoxd}, &v1alpha1.ClientBinding{})
		if apierrors.IsNotFound(err) {
			return "", s.unrelated(maria, doxd)
		}
		return mariaOwnsDoxd + " is still there", err
	}); err != nil {
		return err
	}
	return s.becomes(ctx, team, "Synced", "Healthy", revision)
}

// blocked prunes while the API does not remove relations.
func (s *stage) blocked(ctx context.Context) error {
	fault := s.platform.Inject(delossim.Fault{Op: delossim.OpUnrelate, Failure: delossim.Answer{Status: 503, Body: `{"error":"maintenance"}`}})
	defer fault.Remove()
	if err := s.git.replace(filepath.Join(team, "kustomization.yaml"), "- clientbinding_standard.yaml\n", ""); err != nil {
		return err
	}
	if _, err := s.git.commit(ctx, "maria no longer uses cust-789xyz"); err != nil {
		return err
	}
	if err := s.refresh(ctx, team, "normal"); err != nil {
		return err
	}
	if err := s.shows(ctx, "ClientBinding", mariaUses, "Progressing", "RevocationBlocked: The access could not be removed yet", "maintenance"); err != nil {
		return err
	}
	if err := s.shows(ctx, "ClientBinding", mariaUses, "Degraded", "RevocationBlocked: The access could not be removed yet", "maintenance"); err != nil {
		return err
	}
	if err := s.print(ctx, "app", "get", team, "--output", "tree=detailed"); err != nil {
		return err
	}
	fault.Remove()
	leaving := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: mariaUses}}
	if err := s.actUntil(ctx, mariaUses, func(ctx context.Context) (string, error) { return s.there(ctx, leaving) }); err != nil {
		return err
	}
	if err := s.becomes(ctx, team, "Synced", "Healthy", ""); err != nil {
		return err
	}
	return s.unrelated(maria, cust)
}

// held prunes while the connection lets no deletion revoke that nobody approved.
func (s *stage) held(ctx context.Context) error {
	const brake = "spec:\n  revocations: {max: 0, per: 1h}\n"
	connection := filepath.Join(team, "apiconnection.yaml")
	if err := s.git.replace(connection, "spec:\n", brake); err != nil {
		return err
	}
	if err := s.delivered(ctx, team, "Healthy", "No deletion revokes without approval"); err != nil {
		return err
	}
	if err := s.git.replace(filepath.Join(team, "kustomization.yaml"), "- clientbinding_wrong_user.yaml\n", ""); err != nil {
		return err
	}
	if _, err := s.git.commit(ctx, "The late arrival goes"); err != nil {
		return err
	}
	if err := s.refresh(ctx, team, "normal"); err != nil {
		return err
	}
	if err := errors.Join(
		s.shows(ctx, "ClientBinding", nobodyUses, "Progressing", "RevocationHeld"),
		s.shows(ctx, "APIConnection", v1alpha1.DefaultConnectionName, "Healthy", "Held by spec.revocations: 1"),
	); err != nil {
		return err
	}
	if err := s.relation(ctx, nobody, cust, false); err != nil {
		return err
	}
	if err := s.act(ctx, team, "approve-revocations", "APIConnection", v1alpha1.DefaultConnectionName); err != nil {
		return err
	}
	leaving := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: nobodyUses}}
	if err := errors.Join(s.isGone(ctx, leaving), s.unrelated(nobody, cust)); err != nil {
		return err
	}
	if err := s.git.replace(connection, brake, "spec:\n"); err != nil {
		return err
	}
	return s.delivered(ctx, team, "Healthy", "No brake")
}

// deleteAll deletes an Application, and waits until it and its namespace are gone.
func (s *stage) deleteAll(ctx context.Context, app string) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(applicationKind)
	object.SetNamespace(argoNamespace)
	object.SetName(app)
	if err := s.kube.Delete(ctx, object); err != nil {
		return err
	}
	if err := s.isGone(ctx, object); err != nil {
		return err
	}
	if err := s.isGone(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: app}}); err != nil {
		return err
	}
	if left := s.relations(); left > 0 {
		return fmt.Errorf("%d relations are left on the platform", left)
	}
	return nil
}

var wave = regexp.MustCompile(`(?m)^  annotations:\n    argocd.argoproj.io/sync-wave: .*\n`)

// deliverWithoutWaves delivers the samples with nothing said about the order.
func (s *stage) deliverWithoutWaves(ctx context.Context, name string) error {
	files, err := s.teamFiles(name, "clientbinding_wrong_user.yaml")
	if err != nil {
		return err
	}
	waves := 0
	for path, text := range files {
		waves += len(wave.FindAllString(text, -1))
		files[path] = wave.ReplaceAllString(text, "")
	}
	if waves != 4 {
		return fmt.Errorf("took %d sync waves out of config/samples", waves)
	}
	files[filepath.Join(name, "kustomization.yaml")] += "namespace: " + name + "\n"
	if err := s.git.write(files); err != nil {
		return err
	}
	// A kustomization's namespace does not reach into the reference.
	if err := s.git.replace(filepath.Join(name, "clientbinding_explicit.yaml"), "    namespace: "+team+"\n", ""); err != nil {
		return err
	}
	revision, err := s.git.commit(ctx, "Access of "+name)
	if err != nil {
		return err
	}
	if err := s.kube.Create(ctx, application{name: name, path: name}.object(s.git.url)); err != nil {
		return err
	}
	return s.becomes(ctx, name, "Synced", "Healthy", revision)
}

func (s *stage) withoutWaves(ctx context.Context) error {
	if err := s.deliverWithoutWaves(ctx, "team-b"); err != nil {
		return err
	}
	return s.deleteAll(ctx, "team-b")
}

// pruneAll takes everything but the namespace out of Git, in one commit.
func (s *stage) pruneAll(ctx context.Context) error {
	const name = "team-c"
	if err := s.deliverWithoutWaves(ctx, name); err != nil {
		return err
	}
	if err := s.git.write(map[string]string{filepath.Join(name, "kustomization.yaml"): "resources: [namespace.yaml]\nnamespace: " + name + "\n"}); err != nil {
		return err
	}
	if err := s.delivered(ctx, name, "Healthy", "No access for "+name); err != nil {
		return err
	}
	for _, object := range []client.Object{
		&v1alpha1.APIConnection{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: v1alpha1.DefaultConnectionName}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "delos-credentials"}},
	} {
		if err := s.isGone(ctx, object); err != nil {
			return err
		}
	}
	if left := s.relations(); left > 0 {
		return fmt.Errorf("%d relations are left on the platform", left)
	}
	return s.deleteAll(ctx, name)
}

// nonCascading deletes an Application alone.
func (s *stage) nonCascading(ctx context.Context) error {
	const name = "team-d"
	if err := s.deliverWithoutWaves(ctx, name); err != nil {
		return err
	}
	if _, err := s.argo.run(ctx, "app", "delete", name, "--cascade=false", "--yes"); err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(applicationKind)
	object.SetNamespace(argoNamespace)
	object.SetName(name)
	if err := s.isGone(ctx, object); err != nil {
		return err
	}
	binding := &v1alpha1.ClientBinding{}
	if err := s.kube.Get(ctx, client.ObjectKey{Namespace: name, Name: johnOwns}, binding); err != nil {
		return err
	}
	if !binding.DeletionTimestamp.IsZero() || !s.platform.Relations(john)[cust] {
		return errors.New("the access did not stay")
	}
	// Whoever deletes the bindings later revokes.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := s.cluster.Kubectl(ctx, "", "delete", "clientbinding", "--all", "--namespace", name); err != nil {
		return err
	}
	if err := s.kube.Delete(ctx, namespace); err != nil {
		return err
	}
	if err := s.isGone(ctx, namespace); err != nil {
		return err
	}
	if left := s.relations(); left > 0 {
		return fmt.Errorf("%d relations are left on the platform", left)
	}
	return nil
}
