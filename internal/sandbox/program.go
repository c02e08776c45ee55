package sandbox

import (
	"context"
	"net/http"
	"path/filepath"
)

// Program is another program that runs beside the operator.
type Program struct {
	// Name is its name in errors, and the name of its log.
	Name string
	// Path is the executable.
	Path string
	Args []string
	// Env is its environment, besides KUBECONFIG.
	Env []string
	// Kubeconfig is for its calls to the API server, if it makes any.
	Kubeconfig string
	// Ready reports whether it can be used.
	Ready func(context.Context) bool
}

// StartedProgram is a running program.
type StartedProgram struct{ process }

// StartProgram starts a program, and returns when it is ready.
func (s *Sandbox) StartProgram(ctx context.Context, program Program) (*StartedProgram, error) {
	p := &StartedProgram{process{
		LogFile:    filepath.Join(s.dir, program.Name+".log"),
		name:       program.Name,
		binary:     program.Path,
		kubeconfig: program.Kubeconfig,
		variables:  program.Env,
	}}
	s.onClose(p.Stop)
	return p, p.start(ctx, program.Args, program.Ready)
}

// FreeAddress is a loopback address without a listener.
func FreeAddress(ctx context.Context) (string, error) { return freeAddress(ctx) }

// Answers reports whether a GET is answered with 200.
func Answers(ctx context.Context, url string) bool { return answers(ctx, http.DefaultClient, url) }
