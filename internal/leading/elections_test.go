package leading_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/delos-financial/clientbinding-operator/internal/leading"
)

// lease is one on an API server, and the versions of it that processes have seen.
type lease struct {
	mu      sync.Mutex
	version int
	record  resourcelock.LeaderElectionRecord
	// down are the processes that the API server does not answer.
	down map[string]bool
}

// answers has the API server answer a process, or not.
func (l *lease) answers(process string, answers bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down[process] = !answers
}

// seat is the lock of a lease that one process has.
type seat struct {
	*lease

	process string
	seen    int
}

var leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

func (s *seat) Identity() string   { return s.process }
func (s *seat) Describe() string   { return "lease" }
func (s *seat) RecordEvent(string) {}
func (s *seat) Create(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	return s.write(record, 0)
}

func (s *seat) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	return s.write(record, s.seen)
}

func (s *seat) write(record resourcelock.LeaderElectionRecord, on int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down[s.process] {
		return apierrors.NewServiceUnavailable("down")
	}
	if s.version != on {
		return apierrors.NewConflict(leases, "lease", nil)
	}
	s.version++
	s.record, s.seen = record, s.version
	return nil
}

func (s *seat) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down[s.process] {
		return nil, nil, apierrors.NewServiceUnavailable("down")
	}
	if s.version == 0 {
		return nil, nil, apierrors.NewNotFound(leases, "lease")
	}
	s.seen = s.version
	record := s.record
	text, err := json.Marshal(record)
	return &record, text, err
}

// processes are two that take part in the election for "host".
type processes struct {
	lease *lease
	a, b  *leading.Elections
	// prepares holds up the beginning of terms.
	prepares chan struct{}
}

var wanted = map[string]bool{"host": true}

// inElection runs a test with two processes that do not want the host yet.
func inElection(t *testing.T, test func(*testing.T, *processes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &processes{lease: &lease{down: map[string]bool{}}, prepares: make(chan struct{})}
		close(p.prepares)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		begin := func(process string) *leading.Elections {
			elections := &leading.Elections{
				NewLock: func(string) resourcelock.Interface { return &seat{lease: p.lease, process: process} },
				Prepare: func(ctx context.Context, _ string) {
					select {
					case <-p.prepares:
					case <-ctx.Done():
					}
				},
				Changed: func(string) {},
				Now:     time.Now,
			}
			running.Go(func() {
				if err := elections.Start(ctx); err != nil {
					t.Error(err)
				}
			})
			return elections
		}
		p.a, p.b = begin("a"), begin("b")
		test(t, p)
		cancel()
		running.Wait()
		if diff := cmp.Diff("", p.lease.record.HolderIdentity); diff != "" {
			t.Errorf("holder after the end of both (-want +got):\n%s", diff)
		}
	})
}

// later lets time pass, by the clock of the test.
func later(wait time.Duration) {
	time.Sleep(wait)
	synctest.Wait()
}

// served is which processes can enter the host.
type served struct{ A, B bool }

func (p *processes) served() served {
	a, b := p.a.Enter("host"), p.b.Enter("host")
	is := served{a != nil, b != nil}
	a.Leave()
	b.Leave()
	return is
}

func (p *processes) assertServed(t *testing.T, when string, want served) {
	t.Helper()
	if diff := cmp.Diff(want, p.served()); diff != "" {
		t.Errorf("%s, processes that serve (-want +got):\n%s", when, diff)
	}
}

// A name is given up once the work on it is done, and no earlier; until then no other process begins, and this one begins no more.
func TestGivenUpAfterTheWork(t *testing.T) {
	inElection(t, func(t *testing.T, p *processes) {
		p.a.Want(t.Context(), wanted)
		later(time.Second)
		p.b.Want(t.Context(), wanted)
		later(time.Minute)
		p.assertServed(t, "both want it", served{A: true})
		term := p.a.Enter("host")
		p.a.Want(t.Context(), nil)
		later(time.Minute)
		p.assertServed(t, "given up with work to do", served{})
		if !term.Leads() {
			t.Error("the work lost its term")
		}
		term.Leave()
		later(5 * time.Second)
		p.assertServed(t, "the work is done", served{B: true})
		if diff := cmp.Diff([]string{"", "b"}, []string{p.a.Leader("host"), p.b.Leader("host")}); diff != "" {
			t.Errorf("leaders as seen by both (-want +got):\n%s", diff)
		}
	})
}

// A name that is wanted again before the work is done was not given up.
func TestWantedAgain(t *testing.T) {
	inElection(t, func(t *testing.T, p *processes) {
		p.a.Want(t.Context(), wanted)
		later(time.Second)
		p.b.Want(t.Context(), wanted)
		term := p.a.Enter("host")
		p.a.Want(t.Context(), nil)
		later(time.Second)
		p.a.Want(t.Context(), wanted)
		term.Leave()
		later(time.Minute)
		p.assertServed(t, "to and fro", served{A: true})
		p.a.Want(t.Context(), nil)
		p.a.Want(t.Context(), wanted)
		later(time.Minute)
		if is := p.served(); is.A == is.B {
			t.Errorf("to and fro without work: %+v serve", is)
		}
	})
}

// Work that began before the lease was lost does not go on in a later term, and another process begins when the lease has run out.
func TestLostLease(t *testing.T) {
	inElection(t, func(t *testing.T, p *processes) {
		p.a.Want(t.Context(), wanted)
		later(time.Second)
		p.b.Want(t.Context(), wanted)
		later(time.Second)
		term := p.a.Enter("host")
		p.lease.answers("a", false)
		later(11 * time.Second)
		p.assertServed(t, "the renew deadline is over", served{})
		later(15 * time.Second)
		p.assertServed(t, "the lease is over", served{B: true})
		p.lease.answers("a", true)
		p.b.Want(t.Context(), nil)
		later(10 * time.Second)
		p.assertServed(t, "the lease was won again", served{A: true})
		if term.Leads() {
			t.Error("work of the former term goes on")
		}
		term.Leave()
	})
}

// A term begins when all is prepared, and not if the name is not wanted any more by then.
func TestPreparedBeforeATerm(t *testing.T) {
	inElection(t, func(t *testing.T, p *processes) {
		p.prepares = make(chan struct{})
		p.a.Want(t.Context(), wanted)
		later(time.Minute)
		p.assertServed(t, "not prepared", served{})
		p.a.Want(t.Context(), nil)
		p.b.Want(t.Context(), wanted)
		later(5 * time.Second)
		close(p.prepares)
		later(time.Second)
		p.assertServed(t, "prepared", served{B: true})
	})
}
