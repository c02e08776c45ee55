package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
)

const (
	// actLimit is how long the operator may take to act on what it was told.
	actLimit = 20 * time.Second
	// tryLimit is how long a try may take from the time for which it was announced.
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
		{wrong.Name + " names the user and the next try", func() error { return s.checkMessage(ctx) }},
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

var nextTry = regexp.MustCompile(`Next try at (\S+Z)`)

// announcedTry is when the wrong sample says that it is tried again.
func (s *stage) announcedTry(ctx context.Context) (at time.Time, message string, err error) {
	ready, err := s.ready(ctx, s.samples.wrong)
	if err != nil {
		return time.Time{}, "", err
	}
	found := nextTry.FindStringSubmatch(ready.Message)
	if found == nil {
		return time.Time{}, "", fmt.Errorf("no next try in %q", ready.Message)
	}
	at, err = time.Parse(time.RFC3339, found[1])
	return at, ready.Message, err
}

func (s *stage) checkMessage(ctx context.Context) error {
	_, message, err := s.announcedTry(ctx)
	if err != nil {
		return err
	}
	if id := s.samples.wrong.Spec.UserUUID; !strings.Contains(message, id) {
		return fmt.Errorf("no %q in %q", id, message)
	}
	return nil
}

// checkLateUser creates the missing user. The wait that was announced is not cut short.
func (s *stage) checkLateUser(ctx context.Context) error {
	wrong := s.samples.wrong
	if err := s.createUser(wrong.Spec.UserUUID).do(ctx, s); err != nil {
		return err
	}
	at, _, err := s.announcedTry(ctx)
	if err != nil {
		return err
	}
	return s.becomesBound(ctx, wrong, time.Until(at)+tryLimit)
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
