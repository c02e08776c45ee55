// Command demo shows the operator at work on this machine: a real Kubernetes control plane, the simulated Delos
// platform, the operator as a process with the rights it ships with, and config/samples. It stays up until
// Ctrl-C; with --once it checks that all is as it should be, and ends.
//
// Nothing outlives it: neither a process nor a file.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// stage is everything that runs, and what is played on it.
type stage struct {
	sandbox.T
	*sandbox.Tenant

	report  *sandbox.Report
	samples samples
}

func main() {
	once := flag.Bool("once", false, "check the outcome and end, with an error if it is not as expected")
	flag.Parse()
	sandbox.Main("demo", func(c *sandbox.Command) { run(c, *once) })
}

// run is the whole demo, which ends with what the simulator recorded.
func run(c *sandbox.Command, once bool) {
	s := &stage{T: c, Tenant: &sandbox.Tenant{Namespace: "team-a"}, report: &sandbox.Report{Out: os.Stdout}}
	began := time.Now()
	c.Cleanup(func() {
		if s.Platform == nil {
			return
		}
		if once && !c.Failed() {
			fmt.Printf("All as expected, in %s.\n", sandbox.Seconds(time.Since(began)))
		}
		fmt.Println("The simulator recorded:", s.Platform.Summary())
	})
	s.Sandbox = sandbox.Start(c, sandbox.Options{Report: s.report})
	config := delossim.Examples()
	// A delay until writes show makes the reading back worth watching.
	config.Settings = delossim.Settings{Latency: latency, Lag: lag}
	s.report.Step("Starting the simulated Delos platform", func() { s.Platform = s.NewPlatform(c, config) })
	s.report.Step("Starting the operator", func() { sandbox.Must(c, s.Operator.Start(c.Context())) })
	s.report.Step("Applying config/samples", s.applySamples)
	fmt.Printf("The operator acts as ServiceAccount %s/%s; its log is %s\n",
		s.Deployment.Namespace, s.Deployment.ServiceAccount, s.Operator.LogFile)
	s.watch()
	if once {
		s.check()
	} else {
		s.invite()
	}
}
