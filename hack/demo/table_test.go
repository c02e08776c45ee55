package main

import (
	"strings"
	"testing"
)

const (
	header  = "NAME   READY   AGE\n"
	waiting = header + "john   False   0s\n"
	later   = header + "john   False   1s\n"
	ready   = header + "john   True    2s\n"
)

func TestTableShowsChanges(t *testing.T) {
	var out strings.Builder
	view := table{out: &out}
	for _, text := range []string{waiting, later, ready, ready} {
		view.show(text)
	}
	if want := waiting + "\n" + ready; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTableRedraws(t *testing.T) {
	var out strings.Builder
	view := table{out: &out, inPlace: true}
	view.show(waiting)
	view.show(later)
	want := "\x1b[?7l" + waiting + "\x1b[?7h" + "\x1b[2A\x1b[J" + "\x1b[?7l" + later + "\x1b[?7h"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
