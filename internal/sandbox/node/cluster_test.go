//go:build e2e

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"
)

// starterVariable has this test program start a cluster of that name, and be killed.
const starterVariable = "CLUSTER_STARTER"

func TestMain(m *testing.M) {
	if name := os.Getenv(starterVariable); name != "" {
		if _, err := Start(context.Background(), name, os.Stderr); err != nil {
			panic(err)
		}
		fmt.Println("up")
		select {}
	}
	os.Exit(m.Run())
}

// However a cluster ends, nothing is left of it.
func TestNothingIsLeft(t *testing.T) {
	const name = "left"
	// Other tests of this machine have files in the usual place.
	t.Setenv("TMPDIR", t.TempDir())
	for _, test := range []struct {
		what string
		do   func(*testing.T)
	}{
		{"stopped", func(t *testing.T) {
			cluster, err := Start(t.Context(), name, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(traces(t, name), directory(name)) {
				t.Error("traces are not found")
			}
			if err := cluster.Stop(); err != nil {
				t.Error(err)
			}
		}},
		{"up and down", func(t *testing.T) {
			if _, err := Up(t.Context(), name, t.Output()); err != nil {
				t.Fatal(err)
			}
			if err := Down(t.Context(), name); err != nil {
				t.Error(err)
			}
		}},
		{"interrupted while it starts", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				_ = wait.PollUntilContextCancel(ctx, time.Millisecond, true, func(context.Context) (bool, error) {
					// The first files of its parts are there.
					found, err := filepath.Glob(filepath.Join(directory(name), "*", "*.log"))
					return len(found) > 0, err
				})
				cancel()
			}()
			if _, err := Start(ctx, name, t.Output()); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}},
		{"starter killed", func(t *testing.T) {
			kill(t, name)
			if err := Down(t.Context(), name); err != nil {
				t.Error(err)
			}
		}},
		{"starter killed, and the next one starts and stops", func(t *testing.T) {
			kill(t, name)
			cluster, err := Start(t.Context(), name, t.Output())
			if err != nil {
				t.Fatal(err)
			}
			if err := cluster.Stop(); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			before := traces(t, name)
			test.do(t)
			if diff := cmp.Diff(before, traces(t, name)); diff != "" {
				t.Errorf("left behind (-before +after):\n%s", diff)
			}
		})
	}
}

// kill starts a cluster by another process, and kills that.
func kill(t *testing.T, name string) {
	t.Helper()
	starter := exec.Command(os.Args[0])
	starter.Env = append(os.Environ(), starterVariable+"="+name)
	starter.Stderr = t.Output()
	said, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	up := make([]byte, 3)
	if _, err := said.Read(up); string(up) != "up\n" {
		t.Errorf("it said %q (%v)", up, err)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = starter.Wait()
}

// traces are what a cluster could leave behind on this machine.
func traces(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{filepath.Join(os.TempDir(), "*"), "/run/netns/*", "/var/lib/cni/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, _ fs.DirEntry, _ error) error {
		if strings.Contains(path, title(name)) {
			found = append(found, path)
		}
		return nil
	})
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		if command, _ := os.ReadFile(path); bytes.Contains(command, []byte(title(name))) || bytes.Contains(command, []byte("--name="+name+"\x00")) {
			found = append(found, string(command))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, strings.Split(string(mounts), "\n")...)
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range interfaces {
		found = append(found, one.Name)
	}
	slices.Sort(found)
	return found
}
