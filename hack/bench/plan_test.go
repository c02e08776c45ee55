package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestPlan(t *testing.T) {
	measured := figures{
		planStored: 2048, planServerMemory: 20480, planEmpty: 64 << 20, planCacheMemory: 8192, planFreshCalls: 3, planFreshServer: 0.01,
		planCalls: 1, planWrites: 0.5, planOperatorCPU: 0.0009, planServerCPU: 0.0045,
	}
	want := demand{
		// 5,000 bindings are made in the five minutes of which etcd has all three versions.
		etcd: 2048e5, etcdFilling: 2048e5 + 5000*2*2048, serverMemory: 20480e5, operatorMemory: 64<<20 + 8192e5,
		callsPerHour: 1e5, writesPerHour: 5e4, operatorCores: 0.025, serverCores: 0.125, firstFill: 6000, shards: 1,
	}
	if diff := cmp.Diff(want, measured.of(100_000), cmp.AllowUnexported(demand{}), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("100,000 bindings (-want +got):\n%s", diff)
	}
	breaks := []line{
		{What: "the memory limit of the Deployment (256 MiB)", Value: "24 600"},
		{What: "the rate of one connection (50 calls a second): checks take longer than an interval of 1h", Value: "180 000"},
		{What: "one core of the API server, for checks", Value: "800 000"},
		{What: "etcd's default quota (2 GiB)", Value: "1 050 000"},
		{What: "one core of the operator, for checks", Value: "4 000 000"},
	}
	if diff := cmp.Diff(breaks, measured.breaks()); diff != "" {
		t.Errorf("what breaks (-want +got):\n%s", diff)
	}
}
