package leading

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	// leaseDuration is the time for which another process waits for a leader that does not renew its lease.
	leaseDuration = 15 * time.Second
	// retryPeriod is the time between two renewals of a lease, and between two attempts to take it.
	retryPeriod = 2 * time.Second
)

// Elections are one process's part in the leader elections for names that are added and removed. It is safe for concurrent use.
type Elections struct {
	// NewLock makes the lock of a name, with an identity that no other process has.
	NewLock func(name string) resourcelock.Interface
	// Prepare is called when this process has won the election for a name, before a term begins. It returns when all is prepared,
	// or the context ends.
	Prepare func(ctx context.Context, name string)
	// Changed is called when a term has begun, or ended, and when another process has won the election for a name.
	Changed func(name string)
	// Now is the clock.
	Now func() time.Time

	mu        sync.Mutex
	ended     bool
	elections map[string]*election
	running   sync.WaitGroup
}

// election is the part in one election. The lock of Elections guards it.
type election struct {
	wanted bool
	// leader is the identity of the process that was last seen to lead.
	leader string
	// term is the last term of this process, which may be over; nil when it was given up.
	term *Term
	// resign gives the lease back, or ends the attempt to get it.
	resign context.CancelFunc
}

// Term is a time for which this process leads a name. A nil Term is for a process that needs no election.
type Term struct {
	elections *Elections
	of        *election
	lock      *Lock
	// runs is the number of runs that have entered the term and not left; the lock of Elections guards it.
	runs int
}

// Leads reports whether this process still leads in this term; see [Lock.Leads].
func (t *Term) Leads() bool { return t == nil || t.lock.Leads() }

// Leave ends the work that began with Enter.
func (t *Term) Leave() {
	if t == nil {
		return
	}
	t.elections.mu.Lock()
	defer t.elections.mu.Unlock()
	t.runs--
	t.of.resignUnwanted()
}

// Want sets the elections in which this process takes part from now on. A name that it no longer wants cannot be entered any more, and is
// given up once all runs that entered it have left.
func (e *Elections) Want(ctx context.Context, names map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return
	}
	for name := range names {
		if e.elections[name] == nil {
			if e.elections == nil {
				e.elections = map[string]*election{}
			}
			begun := &election{}
			e.elections[name] = begun
			e.running.Go(func() { e.takePart(context.WithoutCancel(ctx), name, begun) })
		}
	}
	for name, is := range e.elections {
		is.wanted = names[name]
		is.resignUnwanted()
	}
}

// resignUnwanted gives up the election if it is not wanted, and no run is at work in its term.
func (e *election) resignUnwanted() {
	if !e.wanted && e.resign != nil && (e.term == nil || e.term.runs == 0) {
		e.term = nil
		e.resign()
	}
}

// Enter begins work on a name, which the term's Leave ends; nil unless this process leads it.
func (e *Elections) Enter(name string) *Term {
	e.mu.Lock()
	defer e.mu.Unlock()
	is := e.elections[name]
	if is == nil || !is.wanted || is.term == nil || !is.term.Leads() {
		return nil
	}
	is.term.runs++
	return is.term
}

// Leader is the identity of the process that was last seen to lead a name in whose election this one takes part; empty when there was none.
func (e *Elections) Leader(name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if is := e.elections[name]; is != nil {
		return is.leader
	}
	return ""
}

// Start waits for the end of the context, and then until all names are given up.
func (e *Elections) Start(ctx context.Context) error {
	<-ctx.Done()
	e.Want(ctx, nil)
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.running.Wait()
	return nil
}

// takePart takes part in an election for as long as it is wanted. Each term has a lock of its own, so that a run of a former term does
// not take a new term for its own.
func (e *Elections) takePart(lasting context.Context, name string, in *election) {
	for {
		// A term ends with its work, and not with the process's context.
		ctx, resign := context.WithCancel(lasting)
		if !e.begin(name, in, resign) {
			resign()
			return
		}
		lock := &Lock{Interface: e.NewLock(name), Now: e.Now}
		var elector *leaderelection.LeaderElector
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: RenewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true, Name: name,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(leads context.Context) {
					e.Prepare(leads, name)
					if e.change(func() bool { return e.beginTerm(leads, in, lock) }) {
						e.Changed(name)
					}
				},
				OnStoppedLeading: func() {},
				OnNewLeader: func(string) {
					e.change(func() bool { in.leader = elector.GetLeader(); return true })
					e.Changed(name)
				},
			},
		})
		if err != nil {
			panic(err) // the periods do not fit together
		}
		elector.Run(ctx)
		resign()
		e.Changed(name)
	}
}

func (e *Elections) change(change func() bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return change()
}

// begin begins the next attempt in an election, or ends the election for good when it is not wanted.
func (e *Elections) begin(name string, in *election, resign context.CancelFunc) bool {
	return e.change(func() bool {
		in.resign = resign
		if !in.wanted {
			delete(e.elections, name)
		}
		return in.wanted
	})
}

// beginTerm begins a term, unless the lease was lost while it was prepared, or is about to be given up.
func (e *Elections) beginTerm(leads context.Context, in *election, lock *Lock) bool {
	if leads.Err() != nil || !in.wanted {
		return false
	}
	in.term = &Term{elections: e, of: in, lock: lock}
	return true
}
