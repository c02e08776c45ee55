package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// figures are measured numbers, by their names.
type figures map[string]float64

// What the plan starts from, as it was measured.
const (
	planStored       = "bytes in etcd for a binding"
	planServerMemory = "bytes of the API server's memory for a binding"
	planEmpty        = "bytes of the operator's memory without bindings"
	planCacheMemory  = "bytes of the operator's memory for a binding"
	planFreshCalls   = "calls for a fresh binding"
	planFreshServer  = "CPU seconds of the API server for a fresh binding"
	planCalls        = "calls for a binding and interval"
	planWrites       = "writes for a binding and interval"
	planOperatorCPU  = "CPU seconds of the operator for a check"
	planServerCPU    = "CPU seconds of the API server for a check"
)

// What the plan is held against: defaults of this project, of Kubernetes and of etcd.
const (
	// planInterval is the default interval, in seconds, and planRate the default rate of one connection, in calls a second.
	planInterval, planRate = 3600, 50
	// planQuota is etcd's default quota in bytes, and planLimit the memory limit of the Deployment.
	planQuota, planLimit = 2 << 30, 256 << 20
	// planVersions is how many versions etcd has of a binding that is new, and planCompaction for how many seconds: the API server compacts every
	// five minutes.
	planVersions, planCompaction = 3, 300
)

// keep notes a figure for the plan.
func (t *trial) keep(name string, value float64) { t.stage.results.Plan[name] = value }

// demand is what a number of bindings takes, in the units of its names.
type demand struct {
	etcd, etcdFilling, serverMemory, operatorMemory float64 // bytes
	callsPerHour, writesPerHour                     float64
	operatorCores, serverCores                      float64
	firstFill                                       float64 // seconds, at the rate of one connection
	shards                                          float64 // connections of the default rate that the checks take
}

// of computes what that many bindings take.
func (f figures) of(bindings float64) demand {
	perHour := 3600 / float64(planInterval)
	calls := bindings * f[planCalls] * perHour
	return demand{
		etcd:           bindings * f[planStored],
		etcdFilling:    bindings*f[planStored] + min(bindings, planRate/f[planFreshCalls]*planCompaction)*(planVersions-1)*f[planStored],
		serverMemory:   bindings * f[planServerMemory],
		operatorMemory: f[planEmpty] + bindings*f[planCacheMemory],
		callsPerHour:   calls,
		writesPerHour:  bindings * f[planWrites] * perHour,
		operatorCores:  calls / 3600 * f[planOperatorCPU],
		serverCores:    calls / 3600 * f[planServerCPU],
		firstFill:      bindings * f[planFreshCalls] / planRate,
		shards:         math.Ceil(calls / 3600 / planRate),
	}
}

// breaks says at how many bindings each limit is reached, the first first.
func (f figures) breaks() []line {
	type limit struct {
		what     string
		bindings float64
	}
	at := []limit{
		{"the rate of one connection (50 calls a second): checks take longer than an interval of 1h", planRate * planInterval / f[planCalls]},
		{"the memory limit of the Deployment (256 MiB)", (planLimit - f[planEmpty]) / f[planCacheMemory]},
		{"etcd's default quota (2 GiB)", planQuota / f[planStored]},
		{"one core of the operator, for checks", planInterval / f[planCalls] / f[planOperatorCPU]},
		{"one core of the API server, for checks", planInterval / f[planCalls] / f[planServerCPU]},
	}
	slices.SortFunc(at, func(a, b limit) int { return cmp.Compare(a.bindings, b.bindings) })
	var lines []line
	for _, limit := range at {
		lines = append(lines, line{What: limit.what, Value: thousands(limit.bindings)})
	}
	return lines
}

// table is the plan as tables.
func (f figures) table() string {
	start := [][]string{{"measured", ""}}
	for _, name := range []string{
		planStored, planServerMemory, planEmpty, planCacheMemory, planFreshCalls, planFreshServer, planCalls, planWrites, planOperatorCPU, planServerCPU,
	} {
		start = append(start, []string{name, fmt.Sprintf("%.4g", f[name])})
	}
	rows := [][]string{{"bindings"}, {"etcd, settled"}, {"etcd, while they are made at 50 calls a second"}, {"API server's memory for them"}, {"operator's memory"},
		{"calls an hour, at an interval of 1h"}, {"connections of 50 calls a second that takes"}, {"writes an hour"}, {"operator's cores"}, {"API server's cores"},
		{"hours until all are Ready, through one connection of 50 calls a second"}}
	for _, bindings := range []float64{10_000, 100_000, 1_000_000} {
		d := f.of(bindings)
		for i, value := range []string{
			thousands(bindings), gibibytes(d.etcd), gibibytes(d.etcdFilling), gibibytes(d.serverMemory), gibibytes(d.operatorMemory), thousands(d.callsPerHour),
			thousands(d.shards), thousands(d.writesPerHour), fmt.Sprintf("%.2f", d.operatorCores), fmt.Sprintf("%.2f", d.serverCores), fmt.Sprintf("%.1f", d.firstFill/3600),
		} {
			rows[i] = append(rows[i], value)
		}
	}
	limits := [][]string{{"what breaks, in this order", "at this many bindings"}}
	for _, l := range f.breaks() {
		limits = append(limits, []string{l.What, l.Value})
	}
	return table(start) + "\n" + table(rows) + "\n" + table(limits)
}

func gibibytes(bytes float64) string { return fmt.Sprintf("%.2f GiB", bytes/(1<<30)) }

// thousands is a number with spaces between its thousands, to three digits.
func thousands(n float64) string {
	if n >= 1000 {
		scale := math.Pow(10, math.Floor(math.Log10(n))-2)
		n = math.Round(n/scale) * scale
	}
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}
