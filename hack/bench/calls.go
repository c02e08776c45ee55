package main

import (
	"slices"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// calls are what the platform was asked, in that order.
type calls []delossim.Call

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
