package plugin

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// barPeriod and linePeriod are the times between two reports of progress: on a terminal, in one line, and elsewhere.
	barPeriod  = 200 * time.Millisecond
	linePeriod = 10 * time.Second
)

// progress reports the progress of a command.
type progress struct {
	out   io.Writer
	now   func() time.Time
	what  string
	width int
	bar   bool

	mu            sync.Mutex
	began, shown  time.Time
	before, total int
}

// progress begins to report the progress of a command. before is the number that an earlier run has read, and total
// the number of all; 0 while it is not known.
func (p *Program) progress(what string, before, total int) *progress {
	width, bar := terminal(p.Streams.ErrOut)
	now := p.Now()
	return &progress{out: p.Streams.ErrOut, now: p.Now, what: what, width: width, bar: bar, began: now, shown: now, before: before, total: total}
}

// at reports the number that was read.
func (p *progress) at(read int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, period := p.now(), linePeriod
	if p.bar {
		period = barPeriod
	}
	if now.Sub(p.shown) < period {
		return
	}
	p.shown = now
	if p.bar {
		fmt.Fprintf(p.out, "\r\x1b[K%s", p.line(read, now))
		return
	}
	fmt.Fprintln(p.out, p.line(read, now))
}

// done ends the report.
func (p *progress) done(read int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := ""
	if p.bar {
		start = "\r\x1b[K" // overwrites the last one
	}
	fmt.Fprintln(p.out, start+p.line(read, p.now()))
}

func (p *progress) line(read int, now time.Time) string {
	took := now.Sub(p.began)
	text := fmt.Sprintf("%s: %d", p.what, read)
	if p.total > 0 {
		text += fmt.Sprintf(" of %d", p.total)
	}
	if seconds := took.Seconds(); seconds >= 1 {
		perSecond := float64(read-p.before) / seconds
		text += fmt.Sprintf(", %.0f/s", perSecond)
		if p.total > read && perSecond > 0 {
			left := time.Duration(float64(p.total-read) / perSecond * float64(time.Second))
			text += fmt.Sprintf(", %s left", max(left.Round(time.Second), time.Second))
		}
	}
	if !p.bar || p.total == 0 {
		return text
	}
	const length = 24
	if p.width < len(text)+length+4 {
		return text
	}
	full := length * min(read, p.total) / p.total
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", length-full) + "] " + text
}
