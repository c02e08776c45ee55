package main

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// report tells what was measured and checked.
type report struct {
	// failed: at least one check did.
	failed bool
	// checks are all lines, for the documents.
	checks []line
}

// line is a number that was measured, and what it has to be, if it was judged.
type line struct {
	What   string `json:"what"`
	Value  string `json:"value"`
	Wanted string `json:"wanted,omitempty"`
	Failed bool   `json:"failed,omitempty"`
}

// measured tells a number that is not judged.
func (r *report) measured(what string, value any) {
	r.checks = append(r.checks, line{What: what, Value: fmt.Sprint(value)})
	fmt.Printf("        %s: %v\n", what, value)
}

// check tells a number, what it has to be, and whether it is.
func (r *report) check(ok bool, what string, value any, wanted string) {
	verdict := "ok"
	if !ok {
		verdict = "FAILED"
		r.failed = true
	}
	r.checks = append(r.checks, line{What: what, Value: fmt.Sprint(value), Wanted: wanted, Failed: !ok})
	fmt.Printf("%-6s  %s: %v (wanted: %s)\n", verdict, what, value, wanted)
}

func (r *report) exactly(what string, got, want int) {
	r.check(got == want, what, got, fmt.Sprint(want))
}

func (r *report) none(what string, found []string) {
	value := "none"
	if len(found) > 0 {
		value = fmt.Sprintf("%d, such as %s", len(found), found[0])
	}
	r.check(len(found) == 0, what, value, "none")
}

func atMost[N cmp.Ordered](t *trial, what string, got, limit N) {
	t.check(got <= limit, what, got, fmt.Sprintf("at most %v", limit))
}

func atLeast[N cmp.Ordered](t *trial, what string, got, limit N) {
	t.check(got >= limit, what, got, fmt.Sprintf("at least %v", limit))
}

// span is a time that is printed with a tenth of a second.
type span time.Duration

func (s span) String() string { return seconds(time.Duration(s)) }

// precise is a time that is printed with hundredths of a second.
type precise time.Duration

func (p precise) String() string { return fmt.Sprintf("%.2fs", time.Duration(p).Seconds()) }

// share is a part of a whole that is printed in percent.
type share float64

func (s share) String() string { return fmt.Sprintf("%.1f %%", float64(s)*100) }

// megabytes are bytes that are printed in MiB.
type megabytes float64

func (m megabytes) String() string { return fmt.Sprintf("%.1f MiB", float64(m)/mebibyte) }

// ratio is a number that is printed with two digits.
type ratio float64

func (r ratio) String() string { return fmt.Sprintf("%.2f", float64(r)) }

// rounded is the number as it is printed.
func (r ratio) rounded() ratio { return ratio(math.Round(float64(r)*100) / 100) }

func seconds(d time.Duration) string { return sandbox.Seconds(d) }
