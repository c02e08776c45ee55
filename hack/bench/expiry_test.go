package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestLateness(t *testing.T) {
	removal := func(user string, at int64, applied bool) delossim.Call {
		return delossim.Call{Op: delossim.OpUnrelate, User: user, Time: time.UnixMilli(at), Applied: applied}
	}
	of := deadlines{"late": time.UnixMilli(1000), "early": time.UnixMilli(2000), "stays": time.UnixMilli(3000)}
	got := lateness(of, calls{
		removal("late", 1100, false), // was not carried out
		removal("early", 1900, true),
		removal("late", 1300, true),
		removal("late", 1400, true), // once more
		removal("another", 5000, true),
	})
	if diff := cmp.Diff([]time.Duration{-100 * time.Millisecond, 300 * time.Millisecond}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
