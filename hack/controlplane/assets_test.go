package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

// fill writes an executable file for each name and returns the directory.
func fill(t *testing.T, dir string, names ...string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestParseExtra(t *testing.T) {
	for _, test := range []struct {
		with    string
		want    []string
		wantErr bool
	}{
		{with: ""},
		{with: "kube-controller-manager", want: []string{"kube-controller-manager"}},
		{with: "kubelet,kube-proxy", want: []string{"kubelet", "kube-proxy"}},
		{with: "cloud-controller-manager", wantErr: true},
		{with: "kube-controller-manager,", wantErr: true},
	} {
		got, err := parseExtra(test.with)
		if !slices.Equal(got, test.want) || (err != nil) != test.wantErr {
			t.Errorf("parseExtra(%q) = %v, %v; want %v, error: %v", test.with, got, err, test.want, test.wantErr)
		}
	}
}

func TestCombineFollowsItsBase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "both")
	built := fill(t, t.TempDir(), optional...)
	// Twice the same, then another base: links are kept or replaced, never in the way.
	first, second := fill(t, t.TempDir(), required...), fill(t, t.TempDir(), required...)
	for _, base := range []string{first, first, second} {
		if err := combine(dir, base, built, optional); err != nil {
			t.Fatal(err)
		}
		if lacking := binaries.Missing(dir, slices.Concat(required, optional)); len(lacking) > 0 {
			t.Fatalf("missing %v", lacking)
		}
		if content, _ := os.ReadFile(filepath.Join(dir, "etcd")); string(content) != base {
			t.Errorf("etcd is that of %s, want %s", content, base)
		}
	}
}
