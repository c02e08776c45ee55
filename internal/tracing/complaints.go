package tracing

import (
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-logr/logr"
)

const (
	// complainEvery is the shortest time between two lines about spans.
	complainEvery = time.Minute
	// longestComplaint is the number of characters at which an error is cut.
	longestComplaint = 300
)

// complaints logs errors about spans, at most one line in complainEvery.
type complaints struct {
	log logr.Logger
	now func() time.Time

	mu      sync.Mutex
	written time.Time
	skipped int
}

// Handle takes one error of the SDK or the exporter.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.written.IsZero() && now.Sub(c.written) < complainEvery {
		c.skipped++
		return
	}
	c.log.Info("spans could not be sent; nothing else is affected", "error", shown(err.Error()), "errorsNotLogged", c.skipped)
	c.written, c.skipped = now, 0
}

// shown makes a text fit for the log: no control characters, and not too long. A collector may have written parts of it.
func shown(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > longestComplaint {
		text = string(runes[:longestComplaint]) + "…"
	}
	return text
}
