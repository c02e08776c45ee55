package main

import "testing"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		scenarios int // 0 for an error
		size      sizes
	}{
		"everything":          {nil, len(scenarios), full},
		"short":               {[]string{"--short"}, len(scenarios), short},
		"two in this order":   {[]string{"rate", "lockout"}, 2, full},
		"no such scenario":    {[]string{"speed"}, 0, full},
		"no number of lives":  {[]string{"--lives=-1"}, 0, sizes{}},
		"no flag after names": {[]string{"rate", "--short"}, 0, full},
	} {
		t.Run(name, func(t *testing.T) {
			plan, size, err := parse(test.arguments)
			if len(plan) != test.scenarios || (err != nil) != (test.scenarios == 0) || size != test.size {
				t.Errorf("got %d scenarios of %+v, %v", len(plan), size, err)
			}
		})
	}
	_, size, err := parse([]string{"--short", "--lives=3", "--bindings=4"})
	want := short
	want.lives, want.bound = 3, 4
	if err != nil || size != want {
		t.Errorf("got %+v, %v", size, err)
	}
}
