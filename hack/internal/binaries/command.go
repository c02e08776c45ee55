package binaries

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Command is one call of another program.
type Command struct {
	Args    []string
	Env     []string      // added to the environment
	Timeout time.Duration // none if zero
}

// Runner runs a command and returns its standard output. Tests put their own in place of [Execute].
type Runner func(context.Context, Command) (string, error)

// Execute runs a command. What it wrote to stderr is shown only if it fails, as part of the error.
func Execute(ctx context.Context, c Command) (string, error) {
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Asked politely, the go command removes its work directory and ends its compilers.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second

	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
