package delossim

import (
	"maps"
	"slices"
	"time"
)

// storedUser is a user with the relations that the platform shows, which may lag behind.
type storedUser struct {
	User                    // Relations are the true ones
	shown   map[string]bool // the relations that reads show
	pending []pendingWrite  // writes that reads do not show yet, oldest first
}

// pendingWrite is a change of one relation that is true and not yet shown.
type pendingWrite struct {
	cuid      string
	isOwner   bool
	removed   bool
	visibleAt time.Time
	readsLeft int
}

// writeTime is the time of a write, and how long it stays invisible.
type writeTime struct {
	at    time.Time
	lag   time.Duration
	reads int
}

// writeTime is the time of a write through the API now.
func (s *Server) writeTime() writeTime {
	return writeTime{at: s.clock(), lag: s.settings.Lag, reads: s.settings.LagReads}
}

func (u *storedUser) relate(cuid string, isOwner bool, when writeTime) {
	if current, exists := u.Relations[cuid]; !exists || current != isOwner {
		u.UpdateAt = when.at.UTC().Truncate(time.Second)
	}
	u.Relations[cuid] = isOwner
	u.publish(pendingWrite{cuid: cuid, isOwner: isOwner}, when)
}

func (u *storedUser) unrelate(cuid string, when writeTime) {
	if _, exists := u.Relations[cuid]; exists {
		u.UpdateAt = when.at.UTC().Truncate(time.Second)
	}
	delete(u.Relations, cuid)
	u.publish(pendingWrite{cuid: cuid, removed: true}, when)
}

// publish shows the write after its lag. Without a lag it shows at once, and no older write to
// the same relation shows after it.
func (u *storedUser) publish(write pendingWrite, when writeTime) {
	if when.lag <= 0 && when.reads <= 0 {
		u.pending = slices.DeleteFunc(u.pending, func(p pendingWrite) bool { return p.cuid == write.cuid })
		u.show(write)
		return
	}
	write.visibleAt, write.readsLeft = when.at.Add(when.lag), when.reads
	u.pending = append(u.pending, write)
}

func (u *storedUser) show(write pendingWrite) {
	if write.removed {
		delete(u.shown, write.cuid)
		return
	}
	u.shown[write.cuid] = write.isOwner
}

// peek returns the relations that are shown now. Writes show in the order in which they were made.
func (u *storedUser) peek(now time.Time) map[string]bool {
	for len(u.pending) > 0 && u.pending[0].readsLeft <= 0 && !now.Before(u.pending[0].visibleAt) {
		u.show(u.pending[0])
		u.pending = u.pending[1:]
	}
	return u.shown
}

// Shown returns isOwner by cuid as Get user shows it now, without counting as a call; nil if the user does not exist.
func (s *Server) Shown(uuid string) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, found := s.users.byUUID[uuid]
	if !found {
		return nil
	}
	return maps.Clone(user.peek(s.clock()))
}

// read is peek for a Get user. Invisible writes count this call for LagReads.
func (u *storedUser) read(now time.Time) map[string]bool {
	shown := u.peek(now)
	for i := range u.pending {
		u.pending[i].readsLeft--
	}
	return shown
}
