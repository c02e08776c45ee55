package sandbox

import (
	"context"
	"net/http"
	"path/filepath"
)

// Program is another program that runs beside the operator.
type Program struct {
	// Name is what it is called in errors, and that of its log.
	Name string
	// Path is the executable.
	Path string
	Args []string
	// Env is its environment, besides KUBECONFIG.
	Env []string
	// Kubeconfig is with which it talks to the API server, if it does.
	Kubeconfig string
	// Ready reports whether it can be used.
	Ready func(context.Context) bool
}

// StartedProgram is a program that runs.
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

// FreeAddress is an address of this machine that nobody listens on, and that nobody else reaches.
func FreeAddress(ctx context.Context) (string, error) { return freeAddress(ctx) }

// Answers reports whether a GET is answered with 200.
func Answers(ctx context.Context, url string) bool { return answers(ctx, http.DefaultClient, url) }
