package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestScale plays small rounds and a small crowd, so that the program that measures works when it is needed. How long anything takes is
// not looked at.
func TestScale(t *testing.T) {
	size := short
	size.scale = []population{{20, 1}, {20, 10}}
	size.population, size.strangers, size.rests = population{20, 5}, 5, 100*time.Millisecond
	s := start(t)
	s.playAll(chosen(t, []string{"scale", "memory", "restart"}), size)

	file := filepath.Join(t.TempDir(), "scale.json")
	s.results.write(t, file)
	kept := readResults(t, file)
	if diff := cmp.Diff(s.results, kept, cmp.AllowUnexported(round{})); diff != "" {
		t.Errorf("the file of the results (-made +read):\n%s", diff)
	}
	type outcome struct {
		population
		calls, writes float64
		curves        []string
	}
	var got []outcome
	for _, r := range kept.Rounds {
		o := outcome{population: r.population, calls: r.Figures[callsOfEach], writes: r.Figures[writesOfEach]}
		for by, curve := range r.Curves {
			if len(curve) == r.Bindings && slices.IsSorted(curve) {
				o.curves = append(o.curves, by)
			}
		}
		slices.Sort(o.curves)
		got = append(got, o)
	}
	want := []outcome{
		{population{20, 1}, 3, mostWrites, []string{"bare loop", "crash-safe loop", "operator"}},
		{population{20, 10}, 0, mostWrites, []string{"operator"}},
	}
	for i := range got {
		if got[i].PerUser > 1 {
			got[i].calls = 0 // how many arrive together depends on the machine
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("rounds (-want +got):\n%s", diff)
	}
	for _, name := range []string{"memory", "restart"} {
		if len(kept.Checks[name]) == 0 {
			t.Errorf("nothing of %s is kept", name)
		}
	}
	if kept.Heap == "" {
		t.Error("no profile of the heap is kept")
	}
}

// TestDocument holds the tables of docs/scale.md to the file of what was measured.
func TestDocument(t *testing.T) {
	r := readResults(t, "../../"+kept)
	text, err := os.ReadFile("../../" + document)
	sandbox.Must(t, err)
	if diff := cmp.Diff(r.fill(t, string(text)), string(text)); diff != "" {
		t.Errorf("`make scale` writes these tables (-want +got):\n%s", diff)
	}
}

func TestMedians(t *testing.T) {
	run := func(bindings int, seconds, calls float64) round {
		return round{
			population: population{bindings, 1}, Figures: figures{operatorSeconds: seconds, callsOfEach: calls},
			Curves: map[string][]float64{"operator": {seconds}},
		}
	}
	got := medians([]round{run(9, 5, 1), run(2, 1, 3), run(9, 4, 3), run(2, 2, 2), run(9, 6, 2)})
	if diff := cmp.Diff([]round{run(2, 1, 2), run(9, 5, 2)}, got, cmp.AllowUnexported(round{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
