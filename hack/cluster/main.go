// Command cluster starts and ends a Kubernetes cluster of one node that runs pods, for tests and for people:
//
//	export KUBECONFIG=$(go run ./hack/cluster up)
//	go run ./hack/cluster down
//
// internal/sandbox/node explains the parts of the cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox/node"
)

const usage = "usage: cluster up|down [--name=NAME]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	if args[0] == node.InitCommand {
		return node.Init(ctx, args[1:])
	}
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	name := flags.String("name", "dev", "`name` of the cluster; several can be up")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return errors.New(usage)
	case args[0] == "up":
		cluster, err := node.Up(ctx, *name, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(cluster.Kubeconfig)
		return nil
	case args[0] == "down":
		return node.Down(ctx, *name)
	}
	return errors.New(usage)
}
