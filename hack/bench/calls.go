package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// calls are what the platform was asked, in that order.
type calls []delossim.Call

// rateLimit is that of a connection.
type rateLimit struct{ perSecond, burst int32 }

// turns is how many runs use one connection with this limit at the same time, at most.
func (l rateLimit) turns() int { return connection.MostTurns(int(l.perSecond)) }

// of are the calls that are as asked for.
func (c calls) of(asked func(delossim.Call) bool) calls {
	return slices.DeleteFunc(slices.Clone(c), func(call delossim.Call) bool { return !asked(call) })
}

// between are the calls from a moment (including) to another (not including).
func (c calls) between(from, to time.Time) calls {
	return c.of(func(call delossim.Call) bool { return !call.Time.Before(from) && call.Time.Before(to) })
}

// after are the calls that came later than a moment.
func (c calls) after(moment time.Time) calls {
	return c.of(func(call delossim.Call) bool { return call.Time.After(moment) })
}

// refused tells the calls that were not answered with success.
func (c calls) refused() []string {
	var refused []string
	for _, call := range c {
		if call.Status < 200 || call.Status > 299 {
			refused = append(refused, fmt.Sprintf("%s %s answered %d", call.Method, call.Path, call.Status))
		}
	}
	return refused
}

// answered are the calls that got a status.
func (c calls) answered(status int) calls {
	return c.of(func(call delossim.Call) bool { return call.Status == status })
}

// length is how long it took from the first call to the last.
func (c calls) length() time.Duration {
	if len(c) == 0 {
		return 0
	}
	return c[len(c)-1].Time.Sub(c[0].Time)
}

// overdraft is by how many calls a token bucket was exceeded when it was at its lowest.
func (c calls) overdraft(limit rateLimit) int {
	tokens, lowest := float64(limit.burst), float64(0)
	for i, call := range c {
		if i > 0 {
			tokens += call.Time.Sub(c[i-1].Time).Seconds() * float64(limit.perSecond)
		}
		tokens = min(tokens, float64(limit.burst)) - 1
		lowest = min(lowest, tokens)
	}
	return int(-lowest)
}

// used is the part that was used of what a token bucket allows, from the first call to the last.
func (c calls) used(limit rateLimit) share {
	allowed := float64(limit.burst) + c.length().Seconds()*float64(limit.perSecond)
	return share(float64(len(c)) / allowed)
}

// timeFor is how long a number of calls takes at least.
func (l rateLimit) timeFor(calls int) time.Duration {
	return time.Duration(float64(max(calls-int(l.burst), 0)) / float64(l.perSecond) * float64(time.Second))
}

// since tells when the calls came.
func (c calls) since(moment time.Time) string {
	var times []string
	for _, call := range c {
		times = append(times, seconds(call.Time.Sub(moment)))
	}
	return strings.Join(times, ", ")
}
