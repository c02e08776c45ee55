package delos

import (
	"sync"
	"time"

	"github.com/pquerna/otp/totp"
)

// codePeriod is the time for which a time-based code is valid (RFC 6238, section 5.2), as in authenticator apps.
const codePeriod = 30 * time.Second

// codes yields the time-based codes of one account, none of them twice: an API that sees a code again must
// take it for a replay.
type codes struct {
	seed string

	mu sync.Mutex
	// used is the period of the last code, counted since 1970.
	used int64
}

// newCodes takes the present period's code as used, since a process that ended a moment ago may have used it.
func newCodes(seed string, now time.Time) *codes {
	return &codes{seed: seed, used: period(now)}
}

func period(now time.Time) int64 { return now.Unix() / int64(codePeriod/time.Second) }

// next returns a code that was not used yet; "" for an account without a second factor. When the present
// code was used, the error tells when the next one comes.
func (c *codes) next(now time.Time) (string, error) {
	if c.seed == "" {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if period(now) <= c.used {
		wait := time.Unix((c.used+1)*int64(codePeriod/time.Second), 0).Sub(now)
		return "", &Error{Operation: OperationLogin, Kind: KindAwaitingCode, RetryAfter: wait}
	}
	code, err := totp.GenerateCode(c.seed, now)
	if err != nil {
		return "", &Error{Operation: OperationLogin, Kind: KindInvalid, Text: "the seed of the one-time codes is not base32"}
	}
	c.used = period(now)
	return code, nil
}
