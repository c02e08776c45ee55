package delossim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecordKeepsTheLastCallsAndCountsAll(t *testing.T) {
	r := newRecord(3)
	for status := range 8 {
		r.add(request{op: OpUser}, time.Time{}, status, true)
		var kept []int
		for _, call := range r.all() {
			kept = append(kept, call.Status)
		}
		want := []int{status - 2, status - 1, status}[max(0, 2-status):]
		if diff := cmp.Diff(want, kept); diff != "" {
			t.Errorf("kept (-want +got):\n%s", diff)
		}
	}
	if r.counts[OpUser] != 8 {
		t.Errorf("counted %d calls of 8", r.counts[OpUser])
	}
}
