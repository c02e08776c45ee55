package controller

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	firstRetry = 2 * time.Second
	lastRetry  = time.Minute
	// stalledRetry is the longest wait of a stalled object for its next try.
	stalledRetry = 10 * time.Minute
	// unverifiedAfter is the number of intervals after which a confirmation is too old for Ready to stay True.
	unverifiedAfter = 3
)

// Schedule says when objects are looked at again.
type Schedule struct {
	// Now is the clock.
	Now func() time.Time
	// StallAfter is the time that a failure may last before the object is Stalled.
	StallAfter time.Duration
	// Jitter spreads a wait, so that what fails together does not retry together.
	Jitter func(time.Duration) time.Duration
}

// Jitter is a Schedule's Jitter: it lengthens a wait by up to a tenth.
func Jitter(wait time.Duration) time.Duration {
	return wait + rand.N(wait/10+1)
}

// retry returns the wait of an object that has been failing for a while: as long again, which doubles
// it from one try to the next, within firstRetry and lastRetry. It needs no counter, so a restart does
// not begin it anew.
func (s Schedule) retry(failingFor time.Duration) time.Duration {
	return s.Jitter(min(max(failingFor, firstRetry), lastRetry))
}

// due returns when a confirmed object is to be looked at again. Each user has a time of its own within the interval, so the bindings of
// one user are read together, those of many users are spread evenly, and a restart moves nothing. The time is between a tenth of the
// interval after the confirmation and a whole interval later.
func due(user string, confirmed metav1.Time, interval time.Duration) time.Time {
	const steps = 1_000_000
	hash := fnv.New64a()
	// Writing to a hash never fails.
	_, _ = hash.Write([]byte(user))
	earliest := confirmed.Add(interval / 10)
	share := float64(hash.Sum64()%steps) / steps
	at := earliest.Truncate(interval).Add(time.Duration(share * float64(interval)))
	if at.Before(earliest) {
		return at.Add(interval)
	}
	return at
}
