package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startLimit is how long the operator may take until it says that it is ready.
	startLimit = 30 * time.Second
	// stopLimit is how long it may take to end when it is asked to.
	stopLimit = 20 * time.Second
)

// Operator is the operator as a process: it can be stopped, killed and started again.
type Operator struct {
	// LogFile is where all its processes write to, one after the other.
	LogFile string

	binary, kubeconfig string
	args               []string

	mu      sync.Mutex
	process *os.Process
	// ended is closed when the process has; nil when there is none.
	ended chan struct{}
}

// BuildOperator builds the operator from source, and prepares it to run as its ServiceAccount with the flags of
// its Deployment. The flags of go build, such as -race, are added to those it needs.
func (s *Sandbox) BuildOperator(ctx context.Context, cluster *ControlPlane, deployment Deployment, flags ...string) (*Operator, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	o := &Operator{
		LogFile:    filepath.Join(s.dir, "operator.log"),
		binary:     filepath.Join(s.dir, "clientbinding-operator"),
		kubeconfig: filepath.Join(s.dir, "operator.kubeconfig"),
		args:       append(slices.Clone(deployment.Args), "--leader-election-namespace="+deployment.Namespace, "--allow-http-loopback"),
	}
	build := command(ctx, "go", append(append([]string{"build", "-buildvcs=false", "-o", o.binary}, flags...), ".")...)
	build.Dir = root
	if _, err := run(ctx, build); err != nil {
		return nil, err
	}
	s.onClose(o.Stop)
	return o, cluster.ServiceAccountKubeconfig(ctx, deployment.Namespace, deployment.ServiceAccount, o.kubeconfig)
}

// Start starts a process and returns when it is ready. Its flags win over those of the Deployment.
func (o *Operator) Start(ctx context.Context, flags ...string) error {
	probes, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	ended, err := o.launch(append(slices.Concat(o.args, []string{"--health-probe-bind-address=" + probes, "--metrics-bind-address=0"}), flags...))
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startLimit, true, func(ctx context.Context) (bool, error) {
		select {
		case <-ended:
			return false, errors.New("it ended")
		default:
			return answers(ctx, "http://"+probes+"/readyz"), nil
		}
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("starting the operator: %w\n%s", err, o.LogEnd())
	}
	return err
}

func (o *Operator) launch(args []string) (ended chan struct{}, err error) {
	log, err := os.OpenFile(o.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended != nil {
		return nil, errors.New("the operator runs already")
	}
	// Not bound to a context: it ends when it is told to, also when the caller is in a hurry.
	cmd := exec.Command(o.binary, args...) //nolint:noctx // see above
	// Nothing of this process's environment: no proxy, and no kubeconfig but its own.
	cmd.Env = []string{"KUBECONFIG=" + o.kubeconfig}
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C in the terminal is for the caller alone, who ends the parts in their order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended = make(chan struct{})
	o.process, o.ended = cmd.Process, ended
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	return ended, nil
}

// Stop asks the process to end and waits until it has. It is no error if there is none.
func (o *Operator) Stop() error { return o.end(syscall.SIGTERM) }

// Kill ends the process without a warning (SIGKILL) and waits until it is gone. It is no error if there is none.
func (o *Operator) Kill() error { return o.end(syscall.SIGKILL) }

func (o *Operator) end(signal os.Signal) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended == nil {
		return nil
	}
	if err := o.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var err error
	select {
	case <-o.ended:
	case <-time.After(stopLimit):
		err = errors.Join(fmt.Errorf("the operator did not end within %s and was killed", stopLimit), o.process.Kill())
		<-o.ended
	}
	o.process, o.ended = nil, nil
	return err
}

// Log returns what all the processes wrote.
func (o *Operator) Log() (string, error) {
	text, err := os.ReadFile(o.LogFile)
	return string(text), err
}

// LogEnd is the end of the log, for the report of a failure.
func (o *Operator) LogEnd() string {
	const length = 2000
	text, err := os.ReadFile(o.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-length):]))
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := listen(ctx)
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// answers reports whether a GET is answered with 200.
func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
