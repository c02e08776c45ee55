package connection

import (
	"sync"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// outageAfter is how many failures in a row make an outage likely.
const outageAfter = 5

// breaker tells what may be an outage of the API from calls that fail now and then, and from users about whom every
// call fails.
type breaker struct {
	mu sync.Mutex
	// users are those about whom calls failed, since one did not.
	users map[string]bool
	// unanswered counts what failed since then and was about no user: calls without a whole answer, and probes.
	unanswered int
}

// record notes what came of a call about a user, "" for none, and reports whether that may be an outage.
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

// reset forgets what failed, once the API was seen to answer.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget()
}

func (b *breaker) forget() { b.users, b.unanswered = nil, 0 }
