// Package leading knows whether this process leads. The leader election alone does not tell: a process that was stopped for a while
// still takes itself for the leader when it goes on, although another one may lead by then.
package leading

import (
	"cmp"
	"context"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// RenewDeadline is the time for which a leader that cannot renew its lease goes on. It is shorter than the lease, so that it ends
// before another process can lead.
const RenewDeadline = 10 * time.Second

// Lock is a lock of the leader election that remembers when it was last renewed. It is safe for concurrent use.
type Lock struct {
	// Interface is the lock itself. It has to be there when the election begins.
	resourcelock.Interface
	// As is the identity that processes share which may lead together; empty for the process's own identity.
	As string
	// Now is the clock.
	Now func() time.Time

	mu      sync.Mutex
	renewed time.Time
}

// Identity is the identity with which this process holds the lease.
func (l *Lock) Identity() string { return cmp.Or(l.As, l.Interface.Identity()) }

// Create makes the lease with this process as its holder.
func (l *Lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update takes, renews or gives back the lease.
func (l *Lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Update(ctx, record) })
}

// note remembers a renewal with the time before it was sent, since the other processes count from the time at which they see it. A
// process that gives the lease back stops leading before it sends that.
func (l *Lock) note(record resourcelock.LeaderElectionRecord, write func() error) error {
	sent, leads := l.Now(), record.HolderIdentity == l.Identity()
	if !leads {
		l.set(time.Time{})
	}
	if err := write(); err != nil {
		return err
	}
	if leads {
		l.set(sent)
	}
	return nil
}

func (l *Lock) set(renewed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = renewed
}

// Leads reports whether this process renewed its lease less than RenewDeadline ago. It goes by the wall clock, since the
// monotonic one stands still while a machine is suspended, and by the monotonic one, since the wall clock can be set back.
func (l *Lock) Leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Now()
	byWall := now.Round(0).Sub(l.renewed.Round(0))
	return byWall >= 0 && max(byWall, now.Sub(l.renewed)) < RenewDeadline
}
