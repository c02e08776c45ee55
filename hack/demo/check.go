package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
)

const (
	// actLimit is how long the operator may take to act on what it was told.
	actLimit = 20 * time.Second
	// tryLimit is how long a try may take from the time at which it is due.
	tryLimit = 10 * time.Second
	// pollEvery is how often an outcome is looked at.
	pollEvery = 100 * time.Millisecond
)

// check tries what invite suggests and fails if it does not turn out as it should.
func (s *stage) check(ctx context.Context) error {
	s.report.Heading("Checks")
	standard, err := s.samples.standard()
	if err != nil {
		return err
	}
	owner, err := s.samples.owner()
	if err != nil {
		return err
	}
	wrong := s.samples.wrong
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{wrong.Name + " names the user and says how often it is tried", func() error { return s.checkMessage(ctx) }},
		{"create the missing user: " + wrong.Name + " becomes Ready", func() error { return s.checkLateUser(ctx) }},
		{"promote " + standard.Name + ": its user becomes owner", func() error { return s.checkPromotion(ctx, standard) }},
		{"delete " + owner.Name + ": kubectl returns when the access is gone", func() error { return s.checkDeletion(ctx, owner) }},
	} {
		if err := s.report.Step(step.what, step.do); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// rhythm is how the message of an object that fails ends.
const rhythm = "Tried again within a minute"

// checkMessage looks whether the wrong sample says what is wrong, and how often it is tried.
func (s *stage) checkMessage(ctx context.Context) error {
	ready, err := s.ready(ctx, s.samples.wrong)
	if err != nil {
		return err
	}
	for _, part := range []string{s.samples.wrong.Spec.UserUUID, rhythm} {
		if !strings.Contains(ready.Message, part) {
			return fmt.Errorf("no %q in %q", part, ready.Message)
		}
	}
	return nil
}

// checkLateUser creates the missing user, and waits for as long as the message says.
func (s *stage) checkLateUser(ctx context.Context) error {
	wrong := s.samples.wrong
	if err := s.createUser(wrong.Spec.UserUUID).do(ctx, s); err != nil {
		return err
	}
	return s.becomesBound(ctx, wrong, time.Minute+tryLimit)
}

func (s *stage) checkPromotion(ctx context.Context, binding v1alpha1.ClientBinding) error {
	if err := promote(binding).do(ctx, s); err != nil {
		return err
	}
	binding.Spec.IsOwner = true
	return s.becomesBound(ctx, binding, actLimit)
}

func (s *stage) checkDeletion(ctx context.Context, binding v1alpha1.ClientBinding) error {
	ctx, cancel := context.WithTimeout(ctx, actLimit)
	defer cancel()
	if err := remove(binding).do(ctx, s); err != nil {
		return err
	}
	if _, related := s.simulator.Shown(binding.Spec.UserUUID)[binding.Spec.CUID]; related {
		return fmt.Errorf("kubectl delete returned while the platform still showed user %s with client %s",
			binding.Spec.UserUUID, binding.Spec.CUID)
	}
	return nil
}

// becomesBound waits until a binding is as it declares, in Kubernetes and on the platform.
func (s *stage) becomesBound(ctx context.Context, binding v1alpha1.ClientBinding, limit time.Duration) error {
	var unexpected []string
	err := wait.PollUntilContextTimeout(ctx, pollEvery, limit, true, func(ctx context.Context) (bool, error) {
		now, err := s.notBound(ctx, binding)
		if err != nil {
			return false, err
		}
		unexpected = now
		return len(unexpected) == 0, nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("after %s not as expected: %s (%w)", progress.Seconds(limit), strings.Join(unexpected, "; "), err)
	}
	return err
}
