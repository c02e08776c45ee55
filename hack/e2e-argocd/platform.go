package main

import (
	"context"
	"fmt"
)

// relation waits until the platform truly has a user related to a client in one way.
func (s *stage) relation(ctx context.Context, user, cuid string, isOwner bool) error {
	return s.within(ctx, limit, func(context.Context) (string, error) {
		if owner, related := s.platform.Relations(user)[cuid]; !related || owner != isOwner {
			return fmt.Sprintf("user %s and client %s: related %t, owner %t; want owner %t", user, cuid, related, owner, isOwner), nil
		}
		return "", nil
	})
}

// unrelated says whether the platform shows a user related to a client.
func (s *stage) unrelated(user, cuid string) error {
	if _, related := s.platform.Relations(user)[cuid]; related {
		return fmt.Errorf("user %s is still related to client %s", user, cuid)
	}
	return nil
}

// relations are how many relations the platform has of the users of the samples.
func (s *stage) relations() (count int) {
	for _, user := range s.platform.Users() {
		count += len(user.Relations)
	}
	return count
}
