package apiservertest

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

func TestWithoutAnAPIServerItSaysWhatToDo(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", "")
	_, err := run(nil, &envtest.Environment{}, nil)
	if err == nil || !strings.Contains(err.Error(), `run "make test"`) {
		t.Errorf("got %v", err)
	}
}

func TestFailedPreparationLeavesNothingRunning(t *testing.T) {
	failure := errors.New("cannot prepare")
	var host string
	_, err := run(nil, &envtest.Environment{}, func(cluster *rest.Config) error {
		host = cluster.Host
		return failure
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	server, err := url.Parse(host)
	if err != nil {
		t.Fatal(err)
	}
	if connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Host); err == nil {
		t.Error("the API server still runs", connection.Close())
	}
}
