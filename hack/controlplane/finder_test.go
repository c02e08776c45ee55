package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

// machine stands in for the programs that the finder calls.
type machine struct {
	t          *testing.T
	installed  string // what setup-envtest has on the disk
	downloaded string // what it could download
	built      []string
}

func (m *machine) run(_ context.Context, c binaries.Command) (string, error) {
	none := errors.New("none")
	switch line := strings.Join(c.Args, " "); {
	case strings.HasPrefix(line, "go tool -n "):
		return "/setup-envtest\n", nil
	case line == "/setup-envtest use -i -p path 1.37.x":
		if m.installed == "" {
			return "", none
		}
		return m.installed, nil
	case line == "/setup-envtest list 1.37.x":
		if m.downloaded == "" {
			return "", none
		}
		return "(available)  v1.37.0  linux/amd64\n", nil
	case line == "/setup-envtest use -p path 1.37.x":
		return m.downloaded, nil
	case strings.HasPrefix(line, "go build "):
		output := c.Args[slices.Index(c.Args, "-o")+1]
		m.built = append(m.built, filepath.Base(output))
		fill(m.t, filepath.Dir(output), filepath.Base(output))
		return "", nil
	default:
		m.t.Errorf("unexpected command %q", line)
		return "", none
	}
}

func (m *machine) finder(cache string) *finder {
	r, quiet := release{kubernetes: "1.37.2"}, binaries.Reporter{Out: io.Discard}
	return &finder{
		cache:   cache,
		envtest: &envtest{run: m.run, modfile: "go.mod", release: r, report: quiet},
		builder: newBuilder(m.run, ".", r, quiet),
		release: r,
		report:  quiet,
	}
}

func TestFindTakesTheNearest(t *testing.T) {
	complete := func() string { return fill(t, t.TempDir(), required...) }
	cached, installed, downloaded, assets := complete(), complete(), complete(), complete()
	empty := filepath.Join(t.TempDir(), "cache")
	interrupted := fill(t, t.TempDir(), "etcd")

	for _, test := range []struct {
		name      string
		assets    string
		cache     string
		machine   machine
		want      string
		wantBuilt []string
	}{
		{name: "given", assets: assets, cache: cached, machine: machine{installed: installed}, want: assets},
		{name: "built earlier", cache: cached, machine: machine{installed: installed}, want: cached},
		{name: "installed", cache: empty, machine: machine{installed: installed, downloaded: downloaded}, want: installed},
		{name: "downloaded", cache: empty, machine: machine{downloaded: downloaded}, want: downloaded},
		{name: "download is incomplete", cache: interrupted, machine: machine{downloaded: t.TempDir()}, want: interrupted, wantBuilt: []string{"kube-apiserver", "kubectl"}},
		{name: "built now", cache: empty, want: empty, wantBuilt: required},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.machine.t = t
			got, err := test.machine.finder(test.cache).find(t.Context(), test.assets, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want || !slices.Equal(test.machine.built, test.wantBuilt) {
				t.Errorf("got %s, built %v; want %s, built %v", got, test.machine.built, test.want, test.wantBuilt)
			}
			if lacking := binaries.Missing(got, required); len(lacking) > 0 {
				t.Errorf("missing %v", lacking)
			}
		})
	}
}

func TestFindRefusesIncompleteAssets(t *testing.T) {
	m := &machine{t: t}
	assets := fill(t, t.TempDir(), "etcd", "kubectl")
	_, err := m.finder(fill(t, t.TempDir(), required...)).find(t.Context(), assets, nil)
	if err == nil || !strings.Contains(err.Error(), "KUBEBUILDER_ASSETS="+assets+" lacks the executable kube-apiserver;") {
		t.Errorf("got %v, want an error that names the missing file", err)
	}
}

func TestFindAddsWhatIsAskedFor(t *testing.T) {
	all := slices.Concat(required, optional)
	cached := fill(t, t.TempDir(), required...)
	assets := fill(t, t.TempDir(), required...)
	assetsWithAll := fill(t, t.TempDir(), all...)

	for _, test := range []struct {
		name      string
		assets    string
		want      string // "" for a directory of links in the cache
		wantBuilt []string
	}{
		{name: "given, has it", assets: assetsWithAll, want: assetsWithAll},
		{name: "cache lacks it", want: cached, wantBuilt: optional},
		{name: "given lacks it, cache has it by now", assets: assets},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := &machine{t: t}
			got, err := m.finder(cached).find(t.Context(), test.assets, optional)
			if err != nil {
				t.Fatal(err)
			}
			if lacking := binaries.Missing(got, all); len(lacking) > 0 {
				t.Errorf("missing %v", lacking)
			}
			if !slices.Equal(m.built, test.wantBuilt) {
				t.Errorf("built %v, want %v", m.built, test.wantBuilt)
			}
			if test.want != "" && got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if test.want == "" && !strings.HasPrefix(got, cached) {
				t.Errorf("got %s, want a directory under %s", got, cached)
			}
		})
	}
	if lacking := binaries.Missing(assets, optional); len(lacking) == 0 {
		t.Error("wrote into the directory given by KUBEBUILDER_ASSETS")
	}
}
