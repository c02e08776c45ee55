package connection

import (
	"sync"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// outageAfter is how many calls in a row have to fail before all calls are stopped.
const outageAfter = 5

// breaker tells an outage of the API from calls that fail now and then.
type breaker struct {
	mu     sync.Mutex
	failed int
}

// record notes what came of a call, and reports whether an outage begins with it.
func (b *breaker) record(err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch delos.KindOf(err) {
	case delos.KindUnavailable, delos.KindUnreachable:
		b.failed++
		return b.failed == outageAfter
	default:
		b.failed = 0
		return false
	}
}

// reset forgets what failed, once the API was seen to answer.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = 0
}
