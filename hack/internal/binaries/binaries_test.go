package binaries

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// compiler stands in for the go command: it writes half a file where it is told to fail.
type compiler struct {
	failing string
	built   []string
}

func (c *compiler) run(_ context.Context, _ io.Writer, args ...string) (string, error) {
	what, output := args[len(args)-1], args[slices.Index(args, "-o")+1]
	if what == c.failing {
		return "", errors.Join(errors.New("the compiler says no"), os.WriteFile(output, nil, 0o755))
	}
	c.built = append(c.built, what)
	return "", os.WriteFile(output, []byte(what), 0o755)
}

var programs = map[string]string{"etcd": "package/etcd", "kubectl": "package/kubectl"}

func TestTwoRunsBuildOnce(t *testing.T) {
	c := &compiler{}
	b := &Binaries{Packages: programs, Dir: filepath.Join(t.TempDir(), "not", "yet"), Go: c.run}
	var runs errgroup.Group
	for range 2 {
		runs.Go(func() error { return b.Build(t.Context(), []string{"etcd", "kubectl"}) })
	}
	if err := runs.Wait(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"package/etcd", "package/kubectl"}, c.built); diff != "" {
		t.Errorf("built (-want +got):\n%s", diff)
	}
}

func TestOnlyWholeBinariesAreThere(t *testing.T) {
	b := &Binaries{Packages: programs, Dir: t.TempDir(), Go: (&compiler{failing: "package/kubectl"}).run}
	if err := b.Build(t.Context(), []string{"etcd", "kubectl"}); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff([]string{"kubectl"}, Missing(b.Dir, []string{"etcd", "kubectl"})); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}
