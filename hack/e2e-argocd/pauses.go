package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

const lateFile = "clientbinding_late.yaml"

// playPauses is about bindings that do not grant, on purpose.
func (s *stage) playPauses(ctx context.Context) error {
	late := filepath.Join(team, lateFile)
	return s.steps(
		step{"suspend by a commit: Suspended, and a drift stays", func() error {
			if err := s.git.replace(late, "isOwner: false", "isOwner: false\n  suspend: true"); err != nil {
				return err
			}
			if err := s.delivered(ctx, team, "Suspended", "Hold john's access as it is"); err != nil {
				return err
			}
			s.platform.SetRelation(john, doxd, true)
			if err := s.act(ctx, team, "reconcile", "ClientBinding", "john-uses-doxdeev"); err != nil {
				return err
			}
			if err := s.shows(ctx, "ClientBinding", "john-uses-doxdeev", "Suspended", "owner access", "the operator would"); err != nil {
				return err
			}
			if !s.platform.Relations(john)[doxd] {
				return errors.New("the operator corrected a suspended binding")
			}
			return nil
		}},
		step{"resume by a commit: corrected", func() error {
			if err := s.git.replace(late, "\n  suspend: true", ""); err != nil {
				return err
			}
			if err := s.delivered(ctx, team, "Healthy", "Go on"); err != nil {
				return err
			}
			return s.relation(ctx, john, doxd, false)
		}},
		step{"expiry: revoked, Healthy and Synced, and the message says so", func() error { return s.expire(ctx, late) }},
	)
}

func (s *stage) expire(ctx context.Context, file string) error {
	at := time.Now().Add(8 * time.Second).UTC().Truncate(time.Second).Format(time.RFC3339)
	if err := s.git.replace(file, "isOwner: false", fmt.Sprintf("isOwner: false\n  expiresAt: %q", at)); err != nil {
		return err
	}
	if err := s.delivered(ctx, team, "Healthy", "john's access ends"); err != nil {
		return err
	}
	if err := s.shows(ctx, "ClientBinding", "john-uses-doxdeev", "Healthy", "Expired at "+at, "no access"); err != nil {
		return err
	}
	if err := s.unrelated(john, doxd); err != nil {
		return err
	}
	began := time.Now()
	if err := s.lookedAgain(ctx, team, began); err != nil {
		return err
	}
	if err := s.becomes(ctx, team, "Synced", "Healthy", ""); err != nil {
		return err
	}
	return s.print(ctx, "app", "get", team)
}
