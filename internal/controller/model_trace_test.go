package controller

import (
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// told is how many lines of the trace a violation is told with.
const told = 120

// trace is what happened in a walk, line by line.
type trace struct{ lines []string }

func (t *trace) last(lines int) string {
	return strings.Join(t.lines[max(0, len(t.lines)-lines):], "\n")
}

// log adds a line to the trace.
func (w *walk) log(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	// Where the platform listens is the one thing that two walks of one seed do not share.
	line = strings.ReplaceAll(line, w.host, "HOST")
	w.trace.lines = append(w.trace.lines, fmt.Sprintf("%4d %s %s", w.step, w.clock.Now().UTC().Format("02 15:04:05.0"), line))
}

// violation is what ends a walk: a promise that was broken, or a test that cannot go on.
type violation string

// violated ends the walk.
func (w *walk) violated(about client.Object, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if about != nil {
		about = about.DeepCopyObject().(client.Object)
		about.SetManagedFields(nil)
		object, err := yaml.Marshal(about)
		if err != nil {
			object = []byte(err.Error())
		}
		text += "\n" + string(object)
	}
	panic(violation(text))
}

// must ends the walk when the test itself fails.
func (w *walk) must(err error) {
	if err != nil {
		panic(violation("the test itself: " + err.Error()))
	}
}

// watched does something on whatever goroutine and keeps its violation for the one that walks.
func (w *walk) watched(do func()) {
	defer func() {
		switch what := recover().(type) {
		case nil:
		case violation:
			if w.broken == nil {
				w.broken = &what
			}
		default:
			panic(what)
		}
	}()
	do()
}

// stopIfBroken passes on what watched kept.
func (w *walk) stopIfBroken() {
	if w.broken != nil {
		panic(*w.broken)
	}
}

// report fails the test with a violation and what led to it.
func (w *walk) report(what violation) {
	w.t.Errorf("seed %d, step %d of %d: %s\n\nWhat happened before:\n%s\n\nReplay with: go test ./internal/controller -run '^TestModel$' -count=1 -args -model.seed=%d -model.steps=%d",
		w.seed, w.step, w.steps, what, w.trace.last(told), w.seed, w.steps)
}
