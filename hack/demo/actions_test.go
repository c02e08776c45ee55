package main

import (
	"os/exec"
	"testing"
)

// What people are told to paste is what --once does.
func TestCommandLines(t *testing.T) {
	for _, test := range []struct {
		do   action
		want string
	}{
		{kubectl{"patch", "cb", "john", "--patch", `{"spec":{"isOwner":true}}`},
			`kubectl patch cb john --patch '{"spec":{"isOwner":true}}'`},
		{call{"POST", "http://127.0.0.1:1/users", `{"uuid": "it's"}`},
			`curl -X POST http://127.0.0.1:1/users -d '{"uuid": "it'\''s"}'`},
	} {
		if got := test.do.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestQuotedWordsReachTheShellWhole(t *testing.T) {
	for _, word := range []string{"", "plain", "two words", "it's", `$HOME "x" \`, "a\nb"} {
		got, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quote(word)).Output()
		if err != nil || string(got) != word {
			t.Errorf("%q arrives as %q (%v)", word, got, err)
		}
	}
}
