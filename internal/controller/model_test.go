package controller

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The model test takes random walks with the whole operator, on a real API server and with the simulator behind real HTTP: people declare,
// edit and delete bindings, others change the platform, calls fail in the ways of the fault matrix or arrive late, the operator is
// killed in the middle of a run and started again, its cache falls behind, and time passes. All states of the decision itself are
// explored elsewhere; the walks are about what only the shell around it can break. Its promises are those of model_promises_test.go.
//
// A walk follows from its seed alone: what the API server draws by itself (UIDs, times) is hidden from the operator,
// and of all that happens only one thing happens at a time.

// The walks that every test run takes. They are always the same, so that a change is not held up by what it has not
// done; `make soak` takes new ones.
const (
	usualWalks = 6
	usualSteps = 120
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "take the walk of this seed only")
	modelSteps = flag.Int("model.steps", usualSteps, "steps of each walk of the model test")
	modelFor   = flag.Duration("model.for", 0, "take walks with new seeds for so long")
)

func TestModel(t *testing.T) {
	for seed := range modelSeeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			if *modelFor == 0 {
				t.Parallel()
			}
			w := newWalk(t, seed)
			w.take(*modelSteps)
			t.Logf("%d steps, %d runs, %d calls of the API, %d writes to Kubernetes: replay with -model.seed=%d -model.steps=%d",
				w.step, w.runs, w.calls, w.writes, seed, *modelSteps)
		})
		if t.Failed() && *modelFor > 0 {
			break
		}
	}
}

// modelSeeds are the seeds of the walks to take.
func modelSeeds() func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		switch {
		case *modelSeed != 0:
			yield(*modelSeed)
		case *modelFor != 0:
			for until := time.Now().Add(*modelFor); time.Now().Before(until); {
				if !yield(uint64(rand.Uint32()) + usualWalks + 1) {
					return
				}
			}
		default:
			for seed := range uint64(usualWalks) {
				if !yield(seed + 1) {
					return
				}
			}
		}
	}
}

// TestModelReplays shows that a seed stands for one walk: without that, no violation could be looked into.
func TestModelReplays(t *testing.T) {
	t.Parallel()
	const seed, steps = 1_000_001, 40
	first, second := newWalk(t, seed), newWalk(t, seed)
	first.take(steps)
	second.take(steps)
	if diff := cmp.Diff(first.trace, second.trace); diff != "" {
		t.Errorf("two walks of one seed differ (-first +second):\n%s", diff)
	}
}
