package explorer

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// No state breaks a promise. Here are the first states of each configuration; make explore visits all, and has this test fail on the
// mutations of internal/relation, for which it sets EXPLORER_STATES.
func TestExplore(t *testing.T) {
	limit := 20_000
	if states, err := strconv.Atoi(os.Getenv("EXPLORER_STATES")); err == nil {
		limit = states
	}
	for _, c := range Configurations() {
		t.Run(c.Name, func(t *testing.T) {
			result := c.Explore(limit)
			if result.Violation != "" {
				t.Fatalf("%s:\n%s", result.Violation, strings.Join(result.Trace, "\n"))
			}
			t.Logf("%d states, %d transitions, depth %d, %v", result.States, result.Transitions, result.Depth, result.Took)
		})
	}
}
