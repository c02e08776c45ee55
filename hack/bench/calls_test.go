package main

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// at makes calls at times given in milliseconds.
func at(milliseconds ...int) calls {
	var made calls
	for _, ms := range milliseconds {
		made = append(made, delossim.Call{Time: time.UnixMilli(int64(ms)), Status: 200})
	}
	return made
}

func TestBucket(t *testing.T) {
	limit := rateLimit{perSecond: 10, burst: 2}
	for name, test := range map[string]struct {
		calls     calls
		overdraft int
		used      share
	}{
		"burst, then the rate":           {at(0, 0, 100, 200, 300, 400), 0, 1},
		"one too many":                   {at(0, 0, 0, 200, 300, 400), 1, 1},
		"a quiet time saves only tokens": {at(0, 5000, 5000, 5000, 5000), 2, 5.0 / 52},
		"half of the rate":               {at(0, 200, 400, 600, 800, 1000), 0, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.calls.overdraft(limit); got != test.overdraft {
				t.Errorf("overdraft %d, want %d", got, test.overdraft)
			}
			if got := test.calls.used(limit); got != test.used {
				t.Errorf("used %s, want %s", got, test.used)
			}
		})
	}
}

func TestCallsOfATime(t *testing.T) {
	made := at(0, 100, 200, 300)
	if got := len(made.between(time.UnixMilli(100), time.UnixMilli(300))); got != 2 {
		t.Errorf("%d between", got)
	}
	if got := len(made.after(time.UnixMilli(100))); got != 2 {
		t.Errorf("%d after", got)
	}
	if len(made) != 4 {
		t.Errorf("the record itself was changed: %d are left", len(made))
	}
}
