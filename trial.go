package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clusterconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	reconcilers "github.com/delos-financial/clientbinding-operator/internal/controller"
	"github.com/delos-financial/clientbinding-operator/internal/trial"
)

// try is the command `clientbinding-operator trial`, which `helm test` runs. It is a client of the API server, and reconciles nothing.
func try(ctx context.Context, arguments []string, out, usage io.Writer) error {
	flags := flag.NewFlagSet(name+" trial", flag.ContinueOnError)
	flags.SetOutput(usage)
	connection := flags.String("connection", "", "The namespace/name of the APIConnection that the operator is to look at.")
	user := flags.String("user", "", "The uuid of a user to whom access is given and taken away again; none when empty.")
	cuid := flags.String("cuid", "", "The client of that access. The user must have no access to it.")
	timeout := flags.Duration("timeout", 2*time.Minute, "How long all of it may take.")
	clusterconfig.RegisterFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	named, err := reconcilers.ParseConnectionName(*connection)
	switch {
	case err != nil:
		return fmt.Errorf("--connection: %w", err)
	case named.Name == "":
		return errors.New("--connection is missing")
	case (*user == "") != (*cuid == ""):
		return errors.New("--user and --cuid belong together")
	}
	config, err := clusterconfig.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (see --kubeconfig): %w", err)
	}
	config.UserAgent = userAgent(thisBuild())
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	kube, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	ctx, done := context.WithTimeout(ctx, *timeout)
	defer done()
	return (&trial.Trial{Kube: kube, Connection: named, User: *user, CUID: *cuid, Out: out, Now: time.Now}).Run(ctx)
}
