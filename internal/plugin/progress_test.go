package plugin

import (
	"bytes"
	"testing"
	"time"
)

// TestProgress: a terminal shows a bar in one line, anything else a line now and then.
func TestProgress(t *testing.T) {
	for reason, test := range map[string]struct {
		bar   bool
		total int
		want  string
	}{
		"a terminal":              {true, 400, "\r\x1b[K[############............] users read: 200 of 400, 10/s, 20s left\r\x1b[K[########################] users read: 400 of 400, 19/s\n"},
		"a terminal and no total": {true, 0, "\r\x1b[Kusers read: 200, 10/s\r\x1b[Kusers read: 400, 19/s\n"},
		"a file":                  {false, 400, "users read: 200 of 400, 10/s, 20s left\nusers read: 400 of 400, 19/s\n"},
	} {
		t.Run(reason, func(t *testing.T) {
			var out bytes.Buffer
			at := now
			p := &progress{out: &out, now: func() time.Time { return at }, what: "users read", width: 100, bar: test.bar, began: now, shown: now, before: 100, total: test.total}
			at = now.Add(10 * time.Second)
			p.at(200)
			p.at(201) // too soon
			at = now.Add(16 * time.Second)
			p.done(400)
			expect(t, "output", test.want, out.String())
		})
	}
}
