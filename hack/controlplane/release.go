package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/delos-financial/clientbinding-operator/hack/internal/binaries"
)

// release is the pinned version of what gets downloaded or built, without the leading "v".
type release struct {
	kubernetes string
}

// major and minor are the parts of the version that an API server reports on their own.
func (r release) major() string { return strings.Split(r.kubernetes, ".")[0] }
func (r release) minor() string { return strings.Split(r.kubernetes, ".")[1] }

// readRelease reads the version of Kubernetes from the go.mod of the tool module that builds it.
func readRelease(ctx context.Context, run binaries.Runner, module string) (release, error) {
	version, err := binaries.Version(ctx, run, module, "k8s.io/kubernetes")
	if err != nil {
		return release{}, err
	}
	if strings.Count(version, ".") < 2 {
		return release{}, fmt.Errorf("%s/go.mod: %q is no version of k8s.io/kubernetes", module, version)
	}
	return release{kubernetes: version}, nil
}

// ldflags stamps the version as Kubernetes' own build does. Without it the binaries call themselves
// v0.0.0-master, and API server and kubectl disagree about what they support.
func (r release) ldflags() string {
	flags := ""
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=v%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
			pkg, r.kubernetes, r.major(), r.minor())
	}
	return flags
}
