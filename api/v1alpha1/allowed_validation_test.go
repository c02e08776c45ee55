package v1alpha1_test

import (
	"fmt"
	"strings"
)

// The messages of the rules of allowed and revocations that are used more than once.
const (
	wantSelector = "selector goes with from: Selector, and only with it"
	wantGlob     = "must be a cuid or a glob of cuids: letters, digits, '_' and '-', " +
		"with '*' for any run of them and '?' for any single one, as in cust_*"
	wantPer = "must be a duration from 1s to 168h, as in 1h"
)

// everythingAllowed sets all fields of allowed and revocations.
const everythingAllowed = `
revocations: {max: 50, per: 1h0m0s}
allowed:
  namespaces:
    from: Selector
    selector:
      matchLabels: {division: bank}
      matchExpressions: [{key: stage, operator: In, values: [production]}]
  cuids: ["cust_*", "DoxdEEV-4IJq-zKeUYqrtqVDK", "team?"]
  owner: false
`

// selecting is a connection whose selector has the expressions.
func selecting(expressions string) string {
	return validConnection + "allowed: {namespaces: {from: Selector, selector: {matchExpressions: [" + expressions + "]}}}"
}

var wantExpressions = []string{"spec.allowed.namespaces.selector.matchExpressions: Invalid value: " +
	"each of matchExpressions needs the operator In or NotIn with values, or Exists or DoesNotExist without, " +
	"as in {key: stage, operator: In, values: [production]}"}

// globs is a list of that many.
func globs(count int) string {
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf("cust%d", i)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

var apiConnectionAllowed = []attempt{
	{reason: "all that can be said about who may use it", is: validConnection + everythingAllowed},
	{reason: "who may use it may change", was: validConnection + everythingAllowed, is: validConnection + "allowed: {owner: false}"},
	{
		reason: "nothing about who may use it, said aloud",
		is:     validConnection + "allowed: {}",
		want:   []string{"spec.allowed: Invalid value: 0: spec.allowed in body should have at least 1 properties"},
	},

	// namespaces
	{reason: "its own namespace", is: validConnection + "allowed: {namespaces: {from: Same}}"},
	{reason: "all namespaces", is: validConnection + "allowed: {namespaces: {from: All}}"},
	{reason: "a selector that takes all", is: validConnection + "allowed: {namespaces: {from: Selector, selector: {}}}"},
	{
		reason: "nothing about namespaces",
		is:     validConnection + "allowed: {namespaces: {}}",
		want:   []string{"spec.allowed.namespaces: Invalid value: 0: spec.allowed.namespaces in body should have at least 1 properties"},
	},
	{
		reason: "namespaces of a kind that there is not",
		is:     validConnection + "allowed: {namespaces: {from: Own}}",
		want: []string{
			`spec.allowed.namespaces.from: Unsupported value: "Own": supported values: "Same", "All", "Selector"`, unchecked,
		},
	},
	{
		reason: "Selector without one",
		is:     validConnection + "allowed: {namespaces: {from: Selector}}",
		want:   []string{`spec.allowed.namespaces.selector: Invalid value: ` + wantSelector},
	},
	{
		reason: "a selector that would not count beside All",
		is:     validConnection + "allowed: {namespaces: {from: All, selector: {matchLabels: {division: bank}}}}",
		want:   []string{`spec.allowed.namespaces.selector: Invalid value: ` + wantSelector},
	},
	{
		reason: "a selector that would not count without from",
		is:     validConnection + "allowed: {namespaces: {selector: {matchLabels: {division: bank}}}}",
		want:   []string{`spec.allowed.namespaces.selector: Invalid value: ` + wantSelector},
	},

	{reason: "a selector with each of the operators", is: selecting("{key: a, operator: In, values: [b]}, {key: a, operator: NotIn, values: [b, c]}, " +
		"{key: a, operator: Exists}, {key: a, operator: DoesNotExist, values: []}")},
	{reason: "an operator that there is not", is: selecting("{key: stage, operator: Equals, values: [test]}"), want: wantExpressions},
	{reason: "an operator in lower case", is: selecting("{key: stage, operator: in, values: [test]}"), want: wantExpressions},
	{reason: "an operator that lacks its values", is: selecting("{key: a, operator: Exists}, {key: stage, operator: NotIn}"), want: wantExpressions},
	{reason: "an operator with values that it does not take", is: selecting("{key: stage, operator: Exists, values: [test]}"), want: wantExpressions},

	// cuids
	{reason: "any client, said aloud", is: validConnection + "allowed: {cuids: ['*']}"},
	{reason: "as many clients as there may be", is: validConnection + "allowed: {cuids: " + globs(256) + "}"},
	{
		reason: "more clients than there may be",
		is:     validConnection + "allowed: {cuids: " + globs(257) + "}",
		want:   []string{"spec.allowed.cuids: Too many: 257: must have at most 256 items", unchecked},
	},
	{
		reason: "no client at all",
		is:     validConnection + "allowed: {cuids: []}",
		want:   []string{"spec.allowed.cuids: Invalid value: 0: spec.allowed.cuids in body should have at least 1 items"},
	},
	{
		reason: "a client twice",
		is:     validConnection + "allowed: {cuids: [cust_1, cust_1]}",
		want:   []string{`spec.allowed.cuids[1]: Duplicate value: "cust_1"`},
	},
	{
		reason: "an empty glob",
		is:     validConnection + "allowed: {cuids: ['']}",
		want: []string{
			`spec.allowed.cuids[0]: Invalid value: "": spec.allowed.cuids[0] in body should be at least 1 chars long`,
			`spec.allowed.cuids[0]: Invalid value: "": ` + wantGlob,
		},
	},
	{reason: "the longest glob", is: validConnection + "allowed: {cuids: [" + strings.Repeat("c", 128) + "]}"},
	{
		reason: "a glob too long",
		is:     validConnection + "allowed: {cuids: [" + longer(128) + "]}",
		want:   []string{"spec.allowed.cuids[0]: Too long: may not be more than 128 bytes", unchecked},
	},
	{
		reason: "a class of characters, which no glob here has",
		is:     validConnection + "allowed: {cuids: ['cust_[0-9]']}",
		want:   invalid("spec.allowed.cuids[0]", "cust_[0-9]", wantGlob),
	},

	// revocations
	{reason: "none without approval", is: validConnection + "revocations: {max: 0, per: 1s}"},
	{reason: "the highest limit over the longest time", is: validConnection + "revocations: {max: 100000, per: 168h}"},
	{
		reason: "no limit",
		is:     validConnection + "revocations: {per: 1h}",
		want:   []string{"spec.revocations.max: Required value", unchecked},
	},
	{
		reason: "a limit over no time",
		is:     validConnection + "revocations: {max: 50}",
		want:   []string{"spec.revocations.per: Required value", unchecked},
	},
	{
		reason: "a limit below none",
		is:     validConnection + "revocations: {max: -1, per: 1h}",
		want:   []string{"spec.revocations.max: Invalid value: -1: spec.revocations.max in body should be greater than or equal to 0"},
	},
	{
		reason: "a limit beyond all measure",
		is:     validConnection + "revocations: {max: 100001, per: 1h}",
		want:   []string{"spec.revocations.max: Invalid value: 100001: spec.revocations.max in body should be less than or equal to 100000"},
	},
	{reason: "a limit over too short a time", is: validConnection + "revocations: {max: 50, per: 999ms}", want: invalid("spec.revocations.per", "999ms", wantPer)},
	{reason: "a limit over too long a time", is: validConnection + "revocations: {max: 50, per: 169h}", want: invalid("spec.revocations.per", "169h", wantPer)},
	{
		reason: "a limit over a time in too many words",
		is:     validConnection + "revocations: {max: 50, per: 1h1h1h1h1h1h1h1h1h}",
		want:   invalid("spec.revocations.per", "1h1h1h1h1h1h1h1h1h", wantPer),
	},
	{
		reason: "a limit over a time in plain words",
		is:     validConnection + "revocations: {max: 50, per: 'a day and a half, or so'}",
		want:   invalid("spec.revocations.per", "a day and a half, or so", wantPer),
	},
	{
		reason: "a limit over a time too long to be looked at",
		is:     validConnection + "revocations: {max: 50, per: " + longer(64) + "}",
		want:   []string{"spec.revocations.per: Too long: may not be more than 64 bytes", unchecked},
	},
}

var apiConnectionCounts = []attempt{
	{
		reason: "what the brake remembers",
		is: `
bindings: 0
revocationsHeld: 0
revocations:
  recent: [{since: "2026-11-23T16:00:00Z", count: 1}]
  approval: {value: 25@2026-11-23T16:00:00Z, time: "2026-11-23T16:00:00Z", remaining: 0}
`,
	},
	{
		reason: "fewer bindings than none",
		is:     "bindings: -1",
		want:   []string{"status.bindings: Invalid value: -1: bindings in body should be greater than or equal to 0"},
	},
	{
		reason: "fewer held than none",
		is:     "revocationsHeld: -1",
		want:   []string{"status.revocationsHeld: Invalid value: -1: revocationsHeld in body should be greater than or equal to 0"},
	},
	{
		reason: "a brake that remembers nothing",
		is:     "revocations: {}",
		want:   []string{"status.revocations: Invalid value: 0: revocations in body should have at least 1 properties"},
	},
	{
		reason: "more counts than are kept",
		is:     "revocations: {recent: [" + strings.Repeat("{since: '2026-11-23T16:00:00Z', count: 1}, ", 33) + "]}",
		want:   []string{"status.revocations.recent: Too many: 33: must have at most 32 items", unchecked},
	},
	{
		reason: "an approval of no value",
		is:     "revocations: {approval: {time: '2026-11-23T16:00:00Z', remaining: 1}}",
		want:   []string{"status.revocations.approval.value: Required value", unchecked},
	},
	{
		reason: "an approval of an empty value",
		is:     "revocations: {approval: {value: '', time: '2026-11-23T16:00:00Z', remaining: 1}}",
		want: []string{
			`status.revocations.approval.value: Invalid value: "": revocations.approval.value in body should be at least 1 chars long`,
		},
	},
	{
		reason: "an approval of an overlong value",
		is:     "revocations: {approval: {value: " + longer(256) + ", time: '2026-11-23T16:00:00Z', remaining: 1}}",
		want:   []string{"status.revocations.approval.value: Too long: may not be more than 256 bytes", unchecked},
	},
	{
		reason: "an approval since nobody knows when",
		is:     "revocations: {approval: {value: '25', remaining: 1}}",
		want:   []string{"status.revocations.approval.time: Required value", unchecked},
	},
	{
		reason: "an approval of nobody knows how many",
		is:     "revocations: {approval: {value: '25', time: '2026-11-23T16:00:00Z'}}",
		want:   []string{"status.revocations.approval.remaining: Required value", unchecked},
	},
	{
		reason: "an approval of fewer than none",
		is:     "revocations: {approval: {value: '25', time: '2026-11-23T16:00:00Z', remaining: -1}}",
		want: []string{
			"status.revocations.approval.remaining: Invalid value: -1: " +
				"revocations.approval.remaining in body should be greater than or equal to 0",
		},
	},
}
