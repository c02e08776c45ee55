package main

import (
	"context"
	"time"
)

// act runs an action, as a person does in the user interface.
func (s *stage) act(ctx context.Context, app, action, kind, name string) error {
	_, err := s.argo.run(ctx, "app", "actions", "run", app, action, "--kind", kind, "--resource-name", name)
	return err
}

// askAgainAfter is when a look is asked for again. The time of a request is in whole seconds.
const askAgainAfter = 3 * time.Second

// actUntil has a binding of the team looked at, again and again, until there is no problem any more: what has stalled
// is looked at slowly by itself, and one look may not see yet what it has done.
func (s *stage) actUntil(ctx context.Context, name string, problem func(context.Context) (string, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		refusal := s.act(ctx, team, "reconcile", "ClientBinding", name)
		// What is gone by now cannot be asked, and is no problem.
		err := s.within(ctx, askAgainAfter, problem)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case refusal != nil:
			return refusal
		}
	}
}
