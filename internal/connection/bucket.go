package connection

import "time"

// bucket holds the tokens of a connection's rate. Time is counted in place of tokens, so that nothing is rounded.
type bucket struct {
	interval time.Duration // in which one token comes
	burst    int
	// emptyAt is the time at which the bucket is empty; in the future while it owes tokens.
	emptyAt time.Time
}

func newBucket(perSecond, burst int) bucket {
	return bucket{interval: time.Second / time.Duration(perSecond), burst: burst}
}

// wait is the time until a token is there; zero or less when one is.
func (b *bucket) wait(now time.Time) time.Duration {
	return b.emptyAt.Add(b.interval).Sub(now)
}

// take takes a token, also one that is not there yet.
func (b *bucket) take(now time.Time) {
	if full := now.Add(-time.Duration(b.burst) * b.interval); b.emptyAt.Before(full) {
		b.emptyAt = full
	}
	b.emptyAt = b.emptyAt.Add(b.interval)
}

// giveBack puts a token back that was taken and not used.
func (b *bucket) giveBack() { b.emptyAt = b.emptyAt.Add(-b.interval) }
