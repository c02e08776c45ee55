package main

import "testing"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		scenarios int // 0 for an error
		size      sizes
	}{
		"everything":            {nil, len(scenarios), full},
		"short":                 {[]string{"--short"}, len(scenarios), short},
		"two in this order":     {[]string{"neighbours", "writes"}, 2, full},
		"no such scenario":      {[]string{"speed"}, 0, full},
		"no file to write from": {[]string{"--document"}, 0, sizes{}},
		"no runs":               {[]string{"--runs=0"}, 0, sizes{}},
		"no flag after names":   {[]string{"scale", "--short"}, 0, full},
	} {
		t.Run(name, func(t *testing.T) {
			plan, o, err := parse(test.arguments)
			if len(plan) != test.scenarios || (err != nil) != (test.scenarios == 0) || o.sizes != test.size {
				t.Errorf("got %d scenarios of %+v, %v", len(plan), o, err)
			}
		})
	}
	_, o, err := parse([]string{"--short", "--runs=5", "--json=scale.json", "--document"})
	want := options{sizes: short, json: "scale.json", document: true}
	want.runs = 5
	if err != nil || o != want {
		t.Errorf("got %+v, %v", o, err)
	}
}
