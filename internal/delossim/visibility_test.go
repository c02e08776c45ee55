package delossim_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestLagByTheClock(t *testing.T) {
	p := start(t, delossim.Settings{Lag: 3 * time.Second})
	shows := func(what string, want ...any) {
		t.Helper()
		if diff := cmp.Diff(append([]any{}, want...), clients(t, p.get(t, johnURL))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	p.put(t, bindURL, bindOwner)
	if diff := cmp.Diff(map[string]bool{cust: true}, p.Relations(john)); diff != "" {
		t.Errorf("the truth lags (-want +got):\n%s", diff)
	}
	shows("at once")
	p.Advance(2 * time.Second)
	p.put(t, bindURL, bindStandard)
	shows("before the lag has passed")
	p.Advance(time.Second)
	shows("the first write", bound(cust, true))
	p.Advance(2 * time.Second)
	shows("the second write", bound(cust, false))
	p.delete(t, custURL)
	shows("a removal at once", bound(cust, false))
	p.Advance(3 * time.Second)
	shows("a removal after the lag")
}

func TestLagByReads(t *testing.T) {
	p := start(t, delossim.Settings{LagReads: 2})
	p.put(t, bindURL, bindOwner)
	p.get(t, "/v2/user") // a listing is no Get user
	var shown []int
	for range 4 {
		shown = append(shown, len(clients(t, p.get(t, johnURL)).([]any)))
	}
	if diff := cmp.Diff([]int{0, 0, 1, 1}, shown); diff != "" {
		t.Errorf("clients shown by each read (-want +got):\n%s", diff)
	}
}

func TestDriftShowsAtOnceAndIsNotUndoneByOlderWrites(t *testing.T) {
	p := start(t, delossim.Settings{Lag: time.Second})
	p.put(t, bindURL, bindOwner)
	p.SetRelation(john, cust, false)
	for range 2 {
		if diff := cmp.Diff([]any{bound(cust, false)}, clients(t, p.get(t, johnURL))); diff != "" {
			t.Errorf("clients (-want +got):\n%s", diff)
		}
		p.Advance(time.Minute)
	}
}

func TestWithoutLagWritesShowEvenIfTheClockGoesBack(t *testing.T) {
	p := start(t, delossim.Settings{})
	p.put(t, bindURL, bindOwner)
	p.Advance(-time.Hour)
	if diff := cmp.Diff([]any{bound(cust, true)}, clients(t, p.get(t, johnURL))); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestAdjustingTheLagKeepsWritesInOrder(t *testing.T) {
	p := start(t, delossim.Settings{Lag: time.Hour})
	p.put(t, bindURL, bindOwner)
	p.Adjust(func(s *delossim.Settings) { s.Lag = time.Second })
	p.put(t, bindURL, bindStandard)
	p.Advance(time.Hour)
	if diff := cmp.Diff([]any{bound(cust, false)}, clients(t, p.get(t, johnURL))); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestShownIsWhatGetUserShowsWithoutBeingOne(t *testing.T) {
	p := start(t, delossim.Settings{LagReads: 1})
	p.put(t, bindURL, bindOwner)
	for range 2 {
		if diff := cmp.Diff(map[string]bool{}, p.Shown(john)); diff != "" {
			t.Errorf("before a read (-want +got):\n%s", diff)
		}
	}
	p.get(t, johnURL)
	if diff := cmp.Diff(map[string]bool{cust: true}, p.Shown(john)); diff != "" {
		t.Errorf("after a read (-want +got):\n%s", diff)
	}
	if shown := p.Shown("nobody"); shown != nil {
		t.Errorf("nobody has %v", shown)
	}
}
