package main

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

func TestCallsOfATime(t *testing.T) {
	var made calls
	for _, milliseconds := range []int64{0, 100, 200, 300} {
		made = append(made, delossim.Call{Time: time.UnixMilli(milliseconds)})
	}
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
