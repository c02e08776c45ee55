package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// actLimit is how long the operator may take to act on what it was told.
	actLimit = 20 * time.Second
	// tryLimit is how long a try may take from the time at which it is due.
	tryLimit = 10 * time.Second
	// rhythm is how the message of an object that fails ends.
	rhythm = "Tried again within a minute"
)

// check tries what invite suggests and fails if it does not turn out as it should.
func (s *stage) check() {
	s.report.Heading("Checks")
	standard, owner, wrong := s.samples.standard, s.samples.owner, s.samples.wrong
	s.report.Step(wrong.Name+" names the user and says how often it is tried", func() {
		message := sandbox.Ready(s.wrongNow().Status.Conditions).Message
		for _, part := range []string{wrong.Spec.UserUUID, rhythm} {
			if !strings.Contains(message, part) {
				s.Fatal(fmt.Sprintf("no %q in %q", part, message))
			}
		}
	})
	s.report.Step("create the missing user: "+wrong.Name+" becomes Ready", func() {
		sandbox.Must(s, s.createUser(wrong.Spec.UserUUID).do(s.Context(), s))
		// As long as the message says.
		sandbox.Within(s, time.Minute+tryLimit, func() string { return s.Unbound(s, wrong.Name) })
	})
	s.report.Step("promote "+standard.Name+": its user becomes owner", func() {
		sandbox.Must(s, promote(standard).do(s.Context(), s))
		sandbox.Within(s, actLimit, func() string {
			if !s.Platform.Relations(standard.Spec.UserUUID)[standard.Spec.CUID] {
				return "the user is no owner"
			}
			return s.Unbound(s, standard.Name)
		})
	})
	s.report.Step("delete "+owner.Name+": kubectl returns when the access is gone", func() {
		ctx, cancel := context.WithTimeout(s.Context(), actLimit)
		defer cancel()
		sandbox.Must(s, remove(owner).do(ctx, s))
		if _, related := s.Platform.Shown(owner.Spec.UserUUID)[owner.Spec.CUID]; related {
			s.Fatal(fmt.Sprintf("kubectl delete returned while the platform still showed user %s with client %s",
				owner.Spec.UserUUID, owner.Spec.CUID))
		}
	})
}
