package connection

import (
	"context"
	"sync"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// reads groups the reads of one user. A caller gets a read that began after the asking, never one
// that was under way, so that it shows every write that was made before. All who ask while one read is
// under way share the next one.
type reads struct {
	read func(ctx context.Context, uuid string) (*delos.User, error)

	mu sync.Mutex
	// next holds, for each user with a read under way, the one that begins when it ends; nil when
	// nobody waits for one.
	next map[string]*sharedRead
}

type sharedRead struct {
	// read is in the trace of the first run that asked.
	read func() (*delos.User, error)
	done chan struct{}
	user *delos.User
	err  error
}

func newReads(read func(context.Context, string) (*delos.User, error)) *reads {
	return &reads{read: read, next: map[string]*sharedRead{}}
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
	waiting, underWay := r.next[uuid]
	if waiting != nil {
		return waiting
	}
	shared := &sharedRead{
		read: func() (*delos.User, error) { return r.read(ctx, uuid) },
		done: make(chan struct{}),
	}
	if underWay {
		r.next[uuid] = shared
		return shared
	}
	r.next[uuid] = nil
	go r.run(uuid, shared)
	return shared
}

// run reads until nobody waits for a further read of the user.
func (r *reads) run(uuid string, shared *sharedRead) {
	for shared != nil {
		shared.user, shared.err = shared.read()
		close(shared.done)
		shared = r.advance(uuid)
	}
}

func (r *reads) advance(uuid string) *sharedRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	following := r.next[uuid]
	if following == nil {
		delete(r.next, uuid)
	} else {
		r.next[uuid] = nil
	}
	return following
}
