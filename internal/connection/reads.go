package connection

import (
	"context"
	"sync"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// reads groups the reads of one user. A caller gets a read that began after the caller asked, never one that was under way, so that it shows
// every write that was made before. All callers that ask before a read begins share it.
type reads struct {
	read func(ctx context.Context, uuid string) (*delos.User, error)
	// later calls a function once a read has gathered its callers.
	later func(func())

	mu sync.Mutex
	// next has, for each user with a read that gathers or is under way, the read that begins next; nil when no caller waits for one.
	next map[string]*sharedRead
}

type sharedRead struct {
	// read is in the trace of the first run that asked.
	read func() (*delos.User, error)
	done chan struct{}
	user *delos.User
	err  error
}

func newReads(read func(context.Context, string) (*delos.User, error), options Options) *reads {
	later := func(f func()) { go f() }
	if options.GatherReads > 0 {
		later = func(f func()) { options.AfterFunc(options.GatherReads, f) }
	}
	return &reads{read: read, later: later, next: map[string]*sharedRead{}}
}

// user reads a user. A caller whose context ends leaves the others waiting, and the read under way; one whose context
// has ended begins none.
func (r *reads) user(ctx context.Context, uuid string) (*delos.User, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	shared := r.join(context.WithoutCancel(ctx), uuid)
	select {
	case <-shared.done:
		return shared.user, shared.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *reads) join(ctx context.Context, uuid string) *sharedRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, reading := r.next[uuid]
	if next == nil {
		next = &sharedRead{
			read: func() (*delos.User, error) { return r.read(ctx, uuid) },
			done: make(chan struct{}),
		}
		r.next[uuid] = next
	}
	if !reading {
		r.later(func() { r.run(uuid) })
	}
	return next
}

// run reads until no caller waits for a further read of the user.
func (r *reads) run(uuid string) {
	for shared := r.begin(uuid); shared != nil; shared = r.begin(uuid) {
		shared.user, shared.err = shared.read()
		close(shared.done)
	}
}

// begin returns the read that begins now. A caller that asks from now on waits for the next one.
func (r *reads) begin(uuid string) *sharedRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	begins := r.next[uuid]
	if begins == nil {
		delete(r.next, uuid)
	} else {
		r.next[uuid] = nil
	}
	return begins
}
