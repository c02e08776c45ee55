package explorer

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// No state breaks a promise.
func TestExplore(t *testing.T) {
	limit, _ := strconv.Atoi(os.Getenv("LIMIT"))
	for i := range Configurations {
		c := &Configurations[i]
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			result := c.Explore(limit)
			t.Logf("%d states, %d transitions, depth %d, %v", result.States, result.Transitions, result.Depth, result.Took)
			if result.Violation != "" {
				t.Errorf("%s:\n%s", result.Violation, strings.Join(result.Trace, "\n"))
			}
		})
	}
}
