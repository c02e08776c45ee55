package controller

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	firstRetry = 2 * time.Second
	lastRetry  = time.Minute
	// stalledRetry is how often an object that stalled is tried all the same.
	stalledRetry = 10 * time.Minute
	// unverifiedAfter is after how many intervals without a look a confirmed state is no longer
	// vouched for.
	unverifiedAfter = 3
)

// Schedule says when objects are looked at again.
type Schedule struct {
	// Now is the clock.
	Now func() time.Time
	// StallAfter is how long a failure may pass for a passing one.
	StallAfter time.Duration
	// Jitter spreads a wait, so that what fails together does not retry together.
	Jitter func(time.Duration) time.Duration
}

// Jitter lengthens a wait by up to a tenth.
func Jitter(wait time.Duration) time.Duration {
	return wait + rand.N(wait/10+1)
}

// retry returns the wait of an object that has been failing for a while: as long again, which doubles
// it from one try to the next, within firstRetry and lastRetry. It needs no counter, so a restart does
// not begin it anew.
func (s Schedule) retry(failingFor time.Duration) time.Duration {
	return s.Jitter(min(max(failingFor, firstRetry), lastRetry))
}

// due returns when a confirmed object is to be looked at again: an interval after it was confirmed,
// give or take a tenth. The tenth follows from the object, so that a restart does not move it.
func due(uid types.UID, confirmed metav1.Time, interval time.Duration) time.Time {
	const steps = 1000
	hash := fnv.New32a()
	// Writing to a hash never fails.
	_, _ = hash.Write([]byte(uid))
	_, _ = hash.Write([]byte(confirmed.UTC().Format(time.RFC3339)))
	share := float64(hash.Sum32()%(2*steps+1))/steps - 1
	return confirmed.Add(interval + time.Duration(share*float64(interval)/10))
}
