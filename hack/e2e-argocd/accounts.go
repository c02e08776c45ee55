package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const manyAccounts = "config/examples/many-accounts"

// playAccounts delivers config/examples/many-accounts by its ApplicationSet.
func (s *stage) playAccounts(ctx context.Context) error {
	return s.steps(
		step{"an ApplicationSet makes an Application for each account in a file", func() error { return s.applySet(ctx) }},
		step{"the bindings are those that kustomize makes without Argo CD", func() error { return s.sameAsKustomize(ctx) }},
		step{"a line more is an account more", func() error { return s.addAccount(ctx) }},
		step{"a line less revokes all access to that account", func() error { return s.removeAccount(ctx) }},
		step{"deletion of the ApplicationSet revokes the rest", func() error { return s.deleteSet(ctx) }},
	)
}

// applySet applies the example as it is, but for the address of the repository.
func (s *stage) applySet(ctx context.Context) error {
	if err := s.newNamespace(ctx, team); err != nil {
		return err
	}
	if err := s.connectNamespace(ctx, team); err != nil {
		return err
	}
	if err := s.copyToRepository(manyAccounts); err != nil {
		return err
	}
	if _, err := s.git.commit(ctx, "Many accounts"); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(manyAccounts, "applicationset.yaml"))
	if err != nil {
		return err
	}
	set := strings.ReplaceAll(string(text), "https://git.example.com/team-a/access.git", s.git.url)
	if _, err := s.cluster.Kubectl(ctx, set, "apply", "-f", "-"); err != nil {
		return err
	}
	for _, account := range []string{"cust-789xyz", "doxdeev"} {
		if err := s.appears(ctx, "access-"+account); err != nil {
			return err
		}
		if err := s.becomes(ctx, "access-"+account, "Synced", "Healthy", ""); err != nil {
			return err
		}
	}
	for _, cuid := range []string{cust, doxd} {
		if err := errors.Join(s.relation(ctx, john, cuid, true), s.relation(ctx, maria, cuid, false)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) copyToRepository(dir string) error {
	files, root := map[string]string{}, os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		files[filepath.Join(dir, path)] = string(text)
		return err
	})
	if err != nil {
		return err
	}
	return s.git.write(files)
}

// appears waits until the ApplicationSet has made an Application.
func (s *stage) appears(ctx context.Context, app string) error {
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		_, err := s.state(ctx, app)
		if apierrors.IsNotFound(err) {
			return "no Application " + app, nil
		}
		return "", err
	})
}

func (s *stage) sameAsKustomize(ctx context.Context) error {
	rendered, err := sandbox.Render(ctx, manyAccounts)
	if err != nil {
		return err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBindingList"))
	if err := s.kube.List(ctx, list, client.InNamespace(team)); err != nil {
		return err
	}
	want, got := map[string]any{}, map[string]any{}
	for _, object := range rendered {
		want[object.GetNamespace()+"/"+object.GetName()] = object.Object["spec"]
	}
	for _, object := range list.Items {
		got[object.GetNamespace()+"/"+object.GetName()] = object.Object["spec"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("-kustomize +Argo CD:\n%s", diff)
	}
	return nil
}

func (s *stage) addAccount(ctx context.Context) error {
	s.platform.AddClient("cust_456uvw")
	file := filepath.Join(manyAccounts, "accounts.yaml")
	if err := s.git.replace(file, "- account: doxdeev", "- account: cust-456uvw\n  cuid: cust_456uvw\n- account: doxdeev"); err != nil {
		return err
	}
	if err := s.publishSet(ctx, "One account more"); err != nil {
		return err
	}
	if err := s.appears(ctx, "access-cust-456uvw"); err != nil {
		return err
	}
	if err := s.becomes(ctx, "access-cust-456uvw", "Synced", "Healthy", ""); err != nil {
		return err
	}
	if err := errors.Join(s.relation(ctx, john, "cust_456uvw", true), s.relation(ctx, maria, "cust_456uvw", false)); err != nil {
		return err
	}
	return s.print(ctx, "app", "list")
}

func (s *stage) removeAccount(ctx context.Context) error {
	file := filepath.Join(manyAccounts, "accounts.yaml")
	if err := s.git.replace(file, "- account: cust-789xyz\n  cuid: cust_789xyz\n", ""); err != nil {
		return err
	}
	if err := s.publishSet(ctx, "One account less"); err != nil {
		return err
	}
	gone := &unstructured.Unstructured{}
	gone.SetGroupVersionKind(applicationKind)
	gone.SetNamespace(argoNamespace)
	gone.SetName("access-cust-789xyz")
	if err := s.isGone(ctx, gone); err != nil {
		return err
	}
	if err := errors.Join(s.unrelated(john, cust), s.unrelated(maria, cust)); err != nil {
		return err
	}
	return s.relation(ctx, john, doxd, true)
}

// publishSet commits, and has the ApplicationSet look at Git now, as a webhook would.
func (s *stage) publishSet(ctx context.Context, message string) error {
	if _, err := s.git.commit(ctx, message); err != nil {
		return err
	}
	_, err := s.cluster.Kubectl(ctx, "", "annotate", "--overwrite", "applicationset", "client-accounts", "--namespace", argoNamespace,
		"argocd.argoproj.io/application-set-refresh=true")
	return err
}

func (s *stage) deleteSet(ctx context.Context) error {
	if there := s.relations(); there != 4 {
		return fmt.Errorf("%d relations instead of two for each of two accounts: %s", there, describe(s.platform.Users()))
	}
	if _, err := s.cluster.Kubectl(ctx, "", "delete", "applicationset", "client-accounts", "--namespace", argoNamespace); err != nil {
		return err
	}
	for _, account := range []string{"doxdeev", "cust-456uvw"} {
		gone := &unstructured.Unstructured{}
		gone.SetGroupVersionKind(applicationKind)
		gone.SetNamespace(argoNamespace)
		gone.SetName("access-" + account)
		if err := s.isGone(ctx, gone); err != nil {
			return err
		}
	}
	if left := s.relations(); left > 0 {
		return fmt.Errorf("%d relations are left: %s", left, describe(s.platform.Users()))
	}
	return nil
}

func describe(users []delossim.User) string {
	var texts []string
	for _, user := range users {
		texts = append(texts, fmt.Sprintf("%s: %v", user.UUID, user.Relations))
	}
	return strings.Join(texts, ", ")
}
