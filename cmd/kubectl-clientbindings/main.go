// Command kubectl-clientbindings is the kubectl plugin `kubectl clientbindings`. It brings existing relations under Git, and
// shows who has access and who declared it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/delos-financial/clientbinding-operator/internal/plugin"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(plugin.Run(ctx, plugin.Program{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Version: version,
		Now:     time.Now,
		Getenv:  os.Getenv,
	}, os.Args[1:]))
}
