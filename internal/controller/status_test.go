package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWaitsBeginAnew: the waits of an object that stalled, when it comes to something else.
func TestWaitsBeginAnew(t *testing.T) {
	again := func(reasons ...string) func(int) outcome {
		return func(i int) outcome { return outcome{reason: reasons[i%len(reasons)]} }
	}
	for name, test := range map[string]struct {
		// comes is what each further look at an object comes to that stalled with the reason A.
		comes func(int) outcome
		want  []time.Duration
		// stalled is whether it is so after each.
		stalled bool
	}{
		"the same cause": {
			comes:   again("A"),
			want:    []time.Duration{10 * time.Minute, 10 * time.Minute, 10 * time.Minute},
			stalled: true,
		},
		"another cause": {
			comes: again("B"),
			want: []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second,
				64 * time.Second, 128 * time.Second, 256 * time.Second, 512 * time.Second, 10 * time.Minute, 10 * time.Minute},
			stalled: true,
		},
		"one cause and the other": {
			comes: again("B", "A"),
			want: []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second,
				64 * time.Second, 128 * time.Second, 256 * time.Second, 512 * time.Second, 2 * time.Second},
			stalled: true,
		},
		"a cause that only a person can cure": {
			comes:   func(int) outcome { return outcome{reason: "B", stalled: true} },
			want:    []time.Duration{10 * time.Minute, 10 * time.Minute},
			stalled: true,
		},
		"a write that is accepted": {
			comes:   func(i int) outcome { return outcome{reason: "A", accepted: i == 0} },
			want:    []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second},
			stalled: true,
		},
		"one that is accepted again and again, and never shows": {
			comes: func(int) outcome { return outcome{reason: "A", accepted: true} },
			want: []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second,
				64 * time.Second, 128 * time.Second, 256 * time.Second, 512 * time.Second, 2 * time.Second},
			stalled: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clockwork.NewFakeClockAt(start)
			schedule := Schedule{Now: clock.Now, StallAfter: 10 * time.Minute, Jitter: func(wait time.Duration) time.Duration { return wait }}
			var conditions []metav1.Condition
			var observed int64
			look := func(end outcome) time.Duration {
				wait := schedule.conclude(conditioned{&conditions, &observed, 1}, end, time.Hour)
				clock.Advance(wait)
				return wait
			}
			for !meta.IsStatusConditionTrue(conditions, "Stalled") {
				look(outcome{reason: "A"})
			}
			var got []time.Duration
			for i := range test.want {
				got = append(got, look(test.comes(i)))
				if stalled := meta.IsStatusConditionTrue(conditions, "Stalled"); stalled != test.stalled {
					t.Errorf("stalled %t after look %d", stalled, i+1)
				}
			}
			if diff := cmp.Diff(fmt.Sprint(test.want), fmt.Sprint(got)); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWaitsOfAnAcceptedWriteWhileReconciling: it is not waited for as long as for what failed before.
func TestWaitsOfAnAcceptedWriteWhileReconciling(t *testing.T) {
	clock := clockwork.NewFakeClockAt(start)
	schedule := Schedule{Now: clock.Now, StallAfter: 10 * time.Minute, Jitter: func(wait time.Duration) time.Duration { return wait }}
	var conditions []metav1.Condition
	var observed int64
	var got []time.Duration
	look := func(end outcome) {
		wait := schedule.conclude(conditioned{&conditions, &observed, 1}, end, time.Hour)
		clock.Advance(wait)
		got = append(got, wait)
	}
	for clock.Since(start) < 9*time.Minute {
		look(outcome{reason: "A"})
	}
	got = nil
	look(outcome{reason: "Revoking", accepted: true})
	for range 3 {
		look(outcome{reason: "Revoking"})
	}
	want := []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	expectEqual(t, "waits", want, got)
}
