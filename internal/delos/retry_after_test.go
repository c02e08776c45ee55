package delos

import (
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		reason, value string
		want          time.Duration
	}{
		{"none", "", 0},
		{"seconds", "7", 7 * time.Second},
		{"seconds with space around", " 7 ", 7 * time.Second},
		{"no seconds", "0", 0},
		{"an hour at most", "3601", time.Hour},
		{"more than fits", "4294967296", time.Hour},
		{"more than fits anywhere", "99999999999999999999999", time.Hour},
		{"negative", "-7", 0},
		{"a fraction", "1.5", 0},
		{"words", "soon", 0},
		{"a date", "Sun, 01 Mar 2026 12:01:30 GMT", 90 * time.Second},
		{"a date in an obsolete form", "Sunday, 01-Mar-26 12:01:30 GMT", 90 * time.Second},
		{"now", "Sun, 01 Mar 2026 12:00:00 GMT", 0},
		{"a date that has passed", "Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"a date that is far off", "Fri, 31 Dec 9999 23:59:59 GMT", time.Hour},
	} {
		t.Run(test.reason, func(t *testing.T) {
			if got := retryAfter(test.value, start); got != test.want {
				t.Errorf("%q: got %s, want %s", test.value, got, test.want)
			}
		})
	}
}
