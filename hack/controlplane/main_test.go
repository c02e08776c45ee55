package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

// fill writes an executable file for each name and returns the directory.
func fill(t *testing.T, dir string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindTakesTheFirst(t *testing.T) {
	const manager = "kube-controller-manager"
	complete := func(more ...string) string { return fill(t, t.TempDir(), slices.Concat(required, more)...) }
	incomplete := func() string { return fill(t, t.TempDir(), "etcd", "kubectl") }
	for name, test := range map[string]struct {
		assets, cache, downloaded, with string
		want                            string // of assets, cache, downloaded; or a part of the error
		built                           []string
	}{
		"given":                        {assets: complete(), cache: complete(), want: "assets"},
		"given with more":              {assets: complete(manager), cache: complete(), with: manager, want: "assets"},
		"given, incomplete":            {assets: incomplete(), cache: complete(), want: "lacks the executable kube-apiserver;"},
		"given without what is wanted": {assets: complete(), cache: complete(manager), with: manager, want: "lacks the executable " + manager},
		"built earlier":                {cache: complete(), downloaded: complete(), want: "cache"},
		"downloaded":                   {cache: t.TempDir(), downloaded: complete(), want: "downloaded"},
		"download is incomplete":       {cache: incomplete(), downloaded: incomplete(), want: "cache", built: []string{"kube-apiserver"}},
		"built now":                    {cache: t.TempDir(), want: "cache", built: required},
		"more is wanted":               {cache: complete(), downloaded: complete(), with: manager, want: "cache", built: []string{manager}},
		"unknown":                      {cache: complete(), with: "kube-nothing", want: "there is no kube-nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			var compiled []string
			built := &binaries.Binaries{Packages: packages, Dir: test.cache, Go: func(_ context.Context, _ io.Writer, args ...string) (string, error) {
				output := args[slices.Index(args, "-o")+1]
				compiled = append(compiled, strings.TrimPrefix(filepath.Base(output), ".building-"))
				fill(t, filepath.Dir(output), filepath.Base(output))
				return "", nil
			}}
			got, err := find(t.Context(), test.assets, test.with, built, func(context.Context) string { return test.downloaded })
			if want, is := map[string]string{"assets": test.assets, "cache": test.cache, "downloaded": test.downloaded}[test.want]; is {
				if got != want || err != nil {
					t.Errorf("got %s, %v; want %s", got, err, want)
				}
			} else if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if diff := cmp.Diff(test.built, compiled); diff != "" {
				t.Errorf("built (-want +got):\n%s", diff)
			}
		})
	}
}
