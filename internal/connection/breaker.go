package connection

import (
	"sync"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// outageAfter is the number of failures in a row that makes an outage likely.
const outageAfter = 5

// breaker tells a likely outage of the API from calls that fail now and then, and from users about whom every call fails.
type breaker struct {
	mu sync.Mutex
	// users are those about whom calls have failed since the last success.
	users map[string]bool
	// unanswered counts the other failures since then: calls without a whole answer, and probes.
	unanswered int
}

// record notes the result of a call about a user, "" for a probe, and reports whether an outage is likely.
func (b *breaker) record(user string, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch kind := delos.KindOf(err); {
	case kind == delos.KindUnreachable, kind == delos.KindUnavailable && user == "":
		b.unanswered++
	case kind == delos.KindUnavailable:
		if b.users == nil {
			b.users = map[string]bool{}
		}
		if len(b.users) < outageAfter {
			b.users[user] = true
		}
	default:
		b.forget()
		return false
	}
	return len(b.users)+b.unanswered >= outageAfter
}

// reset forgets the failures, once the API has answered.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
}

func (b *breaker) forget() { b.users, b.unanswered = nil, 0 }
