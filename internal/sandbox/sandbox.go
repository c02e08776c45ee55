package sandbox

import (
	"errors"
	"os"
	"slices"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Sandbox is a directory with the programs that were started in it.
type Sandbox struct {
	// The parts that [Start] starts and installs.

	Cluster *ControlPlane
	// Kube acts as an administrator.
	Kube client.Client
	// Deployment has the operator's flags and identity.
	Deployment Deployment
	Operator   *Operator

	dir string

	mu    sync.Mutex
	stops []func() error
}

// New makes an empty sandbox.
func New() (*Sandbox, error) {
	dir, err := os.MkdirTemp("", "clientbinding-sandbox-")
	if err != nil {
		return nil, err
	}
	return &Sandbox{dir: dir}, nil
}

// Dir has all files of the sandbox.
func (s *Sandbox) Dir() string { return s.dir }

// Close stops everything, the last started first, and removes the directory. It may be called again.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stop := range slices.Backward(s.stops) {
		errs = append(errs, stop())
	}
	s.stops = nil
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// onClose registers the stop of a part. It may be called when the part has ended already.
func (s *Sandbox) onClose(stop func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stops = append(s.stops, stop)
}
