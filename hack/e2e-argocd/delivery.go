package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// playDelivery is the daily work: what is committed is what is true on the platform.
func (s *stage) playDelivery(ctx context.Context) error {
	return s.steps(
		step{"create: a commit, and the relations are there", func() error { return s.create(ctx) }},
		step{"the bindings came after the connection was ready", func() error { return s.checkOrder(ctx) }},
		step{"promote by a commit: maria becomes owner of " + cust, func() error { return s.promote(ctx) }},
		step{"a change past Git is undone by self-heal", func() error { return s.selfHeal(ctx) }},
		step{"a drift on the platform is corrected, Argo CD stays Synced", func() error { return s.drift(ctx) }},
	)
}

func (s *stage) create(ctx context.Context) error {
	files, err := s.teamFiles(team, "clientbinding_wrong_user.yaml")
	if err != nil {
		return err
	}
	if err := s.git.write(files); err != nil {
		return err
	}
	revision, err := s.git.commit(ctx, "Access of team A")
	if err != nil {
		return err
	}
	if err := s.kube.Create(ctx, application{name: team, path: team}.object(s.git.url)); err != nil {
		return err
	}
	if err := s.becomes(ctx, team, "Synced", "Healthy", revision); err != nil {
		return err
	}
	for _, relation := range []struct {
		user, cuid string
		isOwner    bool
	}{{john, cust, true}, {maria, cust, false}, {maria, doxd, true}} {
		if owner, related := s.platform.Relations(relation.user)[relation.cuid]; !related || owner != relation.isOwner {
			return fmt.Errorf("healthy in Argo CD, but on the platform user %s and client %s: related %t, owner %t",
				relation.user, relation.cuid, related, owner)
		}
	}
	return s.print(ctx, "app", "get", team)
}

// checkOrder: the waves were waited for, which Argo CD does only for what it knows the health of.
func (s *stage) checkOrder(ctx context.Context) error {
	connection, binding := &v1alpha1.APIConnection{}, &v1alpha1.ClientBinding{}
	for name, object := range map[string]client.Object{v1alpha1.DefaultConnectionName: connection, johnOwns: binding} {
		if err := s.kube.Get(ctx, client.ObjectKey{Namespace: team, Name: name}, object); err != nil {
			return err
		}
	}
	ready := meta.FindStatusCondition(connection.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || binding.CreationTimestamp.Before(&ready.LastTransitionTime) {
		return fmt.Errorf("%s was created at %s, the connection's Ready is %v", binding.Name, binding.CreationTimestamp, ready)
	}
	return nil
}

func (s *stage) promote(ctx context.Context) error {
	if err := s.git.replace(filepath.Join(team, "clientbinding_standard.yaml"), "isOwner: false", "isOwner: true"); err != nil {
		return err
	}
	if err := s.delivered(ctx, team, "Healthy", "maria becomes owner"); err != nil {
		return err
	}
	return s.relation(ctx, maria, cust, true)
}

func (s *stage) selfHeal(ctx context.Context) error {
	binding := &v1alpha1.ClientBinding{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: mariaUses}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"isOwner":false}}`))
	if err := s.kube.Patch(ctx, binding, patch); err != nil {
		return err
	}
	changed := binding.Generation
	if err := s.within(ctx, limit, func(ctx context.Context) (string, error) {
		if err := s.kube.Get(ctx, client.ObjectKeyFromObject(binding), binding); err != nil {
			return "", err
		}
		if binding.Generation == changed || !binding.Spec.IsOwner {
			return "isOwner is still false", nil
		}
		return "", nil
	}); err != nil {
		return err
	}
	if err := s.becomes(ctx, team, "Synced", "Healthy", ""); err != nil {
		return err
	}
	return s.relation(ctx, maria, cust, true)
}

// drift changes the platform past the operator, and has the binding looked at by Argo CD's action.
func (s *stage) drift(ctx context.Context) error {
	if !s.platform.SetRelation(john, cust, false) {
		return fmt.Errorf("the platform knows no user %s", john)
	}
	began := time.Now()
	if err := s.act(ctx, team, "reconcile", "ClientBinding", johnOwns); err != nil {
		return err
	}
	if err := s.within(ctx, limit, func(ctx context.Context) (string, error) {
		st, err := s.state(ctx, team)
		if err != nil {
			return "", err
		}
		if st.Status.Sync.Status != "Synced" {
			return "", fmt.Errorf("a difference was seen by Argo CD: %s", st)
		}
		if s.platform.Relations(john)[cust] {
			return "", nil
		}
		return "the drift is not corrected", nil
	}); err != nil {
		return err
	}
	// Also once Argo CD has looked again.
	if err := s.lookedAgain(ctx, team, began); err != nil {
		return err
	}
	return s.event(ctx, johnOwns, "DriftCorrected")
}

// lookedAgain waits until Argo CD has compared an application anew, and fails if it then is not Synced.
func (s *stage) lookedAgain(ctx context.Context, app string, since time.Time) error {
	if err := s.refresh(ctx, app, "hard"); err != nil {
		return err
	}
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		st, err := s.state(ctx, app)
		if err != nil {
			return "", err
		}
		// Argo CD tells whole seconds.
		at, err := time.Parse(time.RFC3339, st.Status.ReconciledAt)
		if err != nil {
			return "", err
		}
		if !at.After(since) {
			return "not compared since " + since.Format(time.RFC3339), nil
		}
		if st.Status.Sync.Status != "Synced" {
			return "", fmt.Errorf("a difference is seen by Argo CD: %s", st)
		}
		return "", nil
	})
}

// event waits for an event of a binding.
func (s *stage) event(ctx context.Context, binding, reason string) error {
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		events := &corev1.EventList{}
		if err := s.kube.List(ctx, events, client.InNamespace(team)); err != nil {
			return "", err
		}
		for _, event := range events.Items {
			if event.InvolvedObject.Name == binding && event.Reason == reason {
				return "", nil
			}
		}
		return fmt.Sprintf("no event %s of %s", reason, binding), nil
	})
}
