package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// playTrouble is about mistakes and outages: what passes by itself fails no sync, what lasts is told with its reason.
func (s *stage) playTrouble(ctx context.Context) error {
	return s.steps(
		step{"a wrong user id: Progressing, and the sync succeeds", func() error { return s.wrongUser(ctx) }},
		step{fmt.Sprintf("after the grace of %s: Degraded, with the reason", stallAfter), func() error { return s.stalls(ctx) }},
		step{"the user is created: Healthy again", func() error { return s.userComes(ctx) }},
		step{"the API fails: a new binding is Progressing, others stay Healthy", func() error { return s.outage(ctx) }},
	)
}

func (s *stage) wrongUser(ctx context.Context) error {
	files, err := s.teamFiles(team)
	if err != nil {
		return err
	}
	// As it was promoted.
	delete(files, filepath.Join(team, "clientbinding_standard.yaml"))
	if err := s.git.write(files); err != nil {
		return err
	}
	if err := s.delivered(ctx, team, "Progressing", "A wrong user id"); err != nil {
		return err
	}
	if err := s.shows(ctx, "ClientBinding", nobodyUses, "Progressing", "UserNotFound", nobody, "Tried again within a minute"); err != nil {
		return err
	}
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		st, err := s.state(ctx, team)
		switch phase := st.Status.OperationState.Phase; {
		case err != nil:
			return "", err
		case phase == "Failed" || phase == "Error":
			return "", fmt.Errorf("the sync failed: %s", st)
		case phase != "Succeeded":
			return "the sync has not ended: " + st.String(), nil
		}
		return "", nil
	})
}

func (s *stage) stalls(ctx context.Context) error {
	began := time.Now()
	if err := s.shows(ctx, "ClientBinding", nobodyUses, "Degraded", "UserNotFound: The Delos API knows no user", nobody); err != nil {
		return err
	}
	if time.Since(began) < stallAfter/4 {
		return fmt.Errorf("called Degraded after %s only", time.Since(began))
	}
	if err := s.becomes(ctx, team, "Synced", "Degraded", ""); err != nil {
		return err
	}
	return s.print(ctx, "app", "get", team, "--output", "tree=detailed")
}

func (s *stage) userComes(ctx context.Context) error {
	s.platform.AddUser(delossim.User{UUID: nobody, Username: "late.arrival"})
	if err := s.actUntil(ctx, nobodyUses, func(ctx context.Context) (string, error) {
		found, err := s.health(ctx, "ClientBinding", nobodyUses)
		if err != nil || found.Status == "Healthy" {
			return "", err
		}
		return found.String(), nil
	}); err != nil {
		return err
	}
	if err := s.becomes(ctx, team, "Synced", "Healthy", ""); err != nil {
		return err
	}
	return s.relation(ctx, nobody, cust, false)
}

// outage keeps the API from answering for a user who is not related yet.
func (s *stage) outage(ctx context.Context) error {
	const late = "john-uses-doxdeev"
	fault := s.platform.Inject(delossim.Fault{Op: delossim.OpUser, User: john, Failure: delossim.Answer{Status: 503, Body: `{"error":"maintenance"}`}})
	defer fault.Remove()
	file := filepath.Join(team, "clientbinding_late.yaml")
	if err := errors.Join(
		s.git.write(map[string]string{file: bindingText(late, team, john, doxd, "isOwner: false")}),
		s.git.replace(filepath.Join(team, "kustomization.yaml"), "resources:\n", "resources:\n- clientbinding_late.yaml\n"),
	); err != nil {
		return err
	}
	if err := s.delivered(ctx, team, "Progressing", "john uses doxdeev"); err != nil {
		return err
	}
	if err := s.shows(ctx, "ClientBinding", late, "Progressing", "maintenance"); err != nil {
		return err
	}
	if err := s.shows(ctx, "ClientBinding", johnOwns, "Healthy"); err != nil {
		return err
	}
	fault.Remove()
	if err := s.becomes(ctx, team, "Synced", "Healthy", ""); err != nil {
		return err
	}
	return s.relation(ctx, john, doxd, false)
}

// bindingText is a ClientBinding as a person writes it.
func bindingText(name, namespace, user, cuid string, fields ...string) string {
	return fmt.Sprintf(`apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: %s
  namespace: %s
spec:
  userUUID: %s
  cuid: %s
  %s
`, name, namespace, user, cuid, strings.Join(fields, "\n  "))
}
