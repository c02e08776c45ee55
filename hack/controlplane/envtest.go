package main

import (
	"context"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

const (
	// indexTimeout bounds the question whether there is anything to download. It decides how long
	// a machine without access to GitHub waits before it builds instead.
	indexTimeout = 10 * time.Second
	// downloadTimeout bounds the download of some 80 MB over a slow line.
	downloadTimeout = 5 * time.Minute
)

// envtest asks setup-envtest for the control plane that controller-runtime publishes for tests.
type envtest struct {
	run     binaries.Runner
	modfile string // of the module that pins setup-envtest
	release release
	report  binaries.Reporter
}

// assets returns a complete directory that is installed already or could be downloaded, or "".
// Nothing here is an error: a build is always possible.
func (e *envtest) assets(ctx context.Context) string {
	tool, err := e.tool(ctx)
	if err != nil {
		e.report.Say("setup-envtest cannot be run: %v", err)
		return ""
	}
	// Any patch release will do; "x" prefers one that is on the disk.
	version := e.release.major() + "." + e.release.minor() + ".x"

	if dir := e.complete(e.run(ctx, binaries.Command{Args: []string{tool, "use", "-i", "-p", "path", version}})); dir != "" {
		return dir
	}
	listed, err := e.run(ctx, binaries.Command{Args: []string{tool, "list", version}, Timeout: indexTimeout})
	if err != nil {
		e.report.Say("nothing can be downloaded: %v", err)
		return ""
	}
	if strings.TrimSpace(listed) == "" {
		e.report.Say("setup-envtest has no Kubernetes %s to download", version)
		return ""
	}
	var dir string
	err = e.report.Step("downloading Kubernetes "+version+" with setup-envtest", func() error {
		out, err := e.run(ctx, binaries.Command{Args: []string{tool, "use", "-p", "path", version}, Timeout: downloadTimeout})
		dir = e.complete(out, err)
		return err
	})
	if err != nil {
		e.report.Say("%v", err)
	}
	return dir
}

// tool returns the path of the setup-envtest executable, compiled if it was not yet. It is run by
// its path, since a timeout that killed "go tool" would leave its child behind.
func (e *envtest) tool(ctx context.Context) (string, error) {
	out, err := e.run(ctx, binaries.Command{Args: []string{"go", "tool", "-n", "-modfile=" + e.modfile, "setup-envtest"}})
	return strings.TrimSpace(out), err
}

// complete returns the directory that setup-envtest printed, if it holds what is required.
func (e *envtest) complete(out string, err error) string {
	dir := strings.TrimSpace(out)
	if err != nil || dir == "" || len(binaries.Missing(dir, required)) > 0 {
		return ""
	}
	return dir
}
