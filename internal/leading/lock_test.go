package leading_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/delos-financial/clientbinding-operator/internal/leading"
)

// server stands for the API server: it takes time for a write, and may refuse it.
type server struct {
	resourcelock.Interface

	clock *time.Time
	takes time.Duration
	err   error
}

func (s *server) Identity() string { return "this" }

func (s *server) Create(context.Context, resourcelock.LeaderElectionRecord) error { return s.write() }

func (s *server) Update(context.Context, resourcelock.LeaderElectionRecord) error { return s.write() }

func (s *server) write() error {
	*s.clock = s.clock.Add(s.takes)
	return s.err
}

// TestLeads: a process leads for less than the renew deadline after it sent the last renewal that was accepted.
func TestLeads(t *testing.T) {
	create, update := (*leading.Lock).Create, (*leading.Lock).Update
	type write struct {
		to     func(*leading.Lock, context.Context, resourcelock.LeaderElectionRecord) error
		holder string
		takes  time.Duration
		err    error
	}
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		writes []write
		later  time.Duration
		want   bool
	}{
		"nothing was renewed":                {nil, 0, false},
		"the lease was made":                 {[]write{{create, "this", 0, nil}}, leading.RenewDeadline - 1, true},
		"the lease was taken":                {[]write{{update, "this", 0, nil}}, leading.RenewDeadline - 1, true},
		"the deadline is over":               {[]write{{update, "this", 0, nil}}, leading.RenewDeadline, false},
		"the renewal itself took long":       {[]write{{update, "this", time.Second, nil}}, leading.RenewDeadline - time.Second, false},
		"the lease could not be made":        {[]write{{create, "this", 0, refused}}, 0, false},
		"the lease could not be renewed":     {[]write{{update, "this", 0, nil}, {update, "this", leading.RenewDeadline, refused}}, 0, false},
		"the lease was given back":           {[]write{{update, "this", 0, nil}, {update, "", 0, nil}}, 0, false},
		"the lease could not be given back":  {[]write{{update, "this", 0, nil}, {update, "", 0, refused}}, 0, false},
		"the wall clock was set back since":  {[]write{{update, "this", 0, nil}}, -time.Second, false},
		"it was renewed after the first one": {[]write{{create, "this", leading.RenewDeadline, nil}, {update, "this", 0, nil}}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
			to := &server{clock: &now}
			lock := &leading.Lock{Interface: to, Now: func() time.Time { return now }}
			for _, w := range test.writes {
				to.takes, to.err = w.takes, w.err
				if err := w.to(lock, t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: w.holder}); !errors.Is(err, w.err) {
					t.Fatalf("the write came to %v, want %v", err, w.err)
				}
			}
			now = now.Add(test.later)

			if diff := cmp.Diff(test.want, lock.Leads()); diff != "" {
				t.Errorf("leads (-want +got):\n%s", diff)
			}
		})
	}
}
