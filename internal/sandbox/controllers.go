package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// ControllerManager is the name of the binary that StartControllers starts. Request it as an extra binary of [Assets].
const ControllerManager = "kube-controller-manager"

// StartControllers runs a part of kube-controller-manager beside an API server, as an administrator. It empties and removes deleted
// namespaces, collects the dependents of deleted objects, and gives Kubernetes' own roles view, edit and
// admin their rights.
func (s *Sandbox) StartControllers(ctx context.Context, cluster *ControlPlane) error {
	p := &process{
		LogFile:    filepath.Join(s.dir, ControllerManager+".log"),
		name:       ControllerManager,
		binary:     filepath.Join(cluster.Assets, ControllerManager),
		kubeconfig: cluster.Kubeconfig,
	}
	if _, err := os.Stat(p.binary); err != nil {
		return fmt.Errorf("%s cannot be started: %w; \"make controlplane\" finds or builds one", ControllerManager, err)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	certificates := filepath.Join(s.dir, ControllerManager)
	s.onClose(p.Stop)
	return p.start(ctx, []string{
		"--kubeconfig=" + cluster.Kubeconfig,
		"--controllers=namespace-controller,garbage-collector-controller,clusterrole-aggregation-controller",
		"--bind-address=" + host, "--secure-port=" + port, "--cert-dir=" + certificates,
		"--leader-elect=false",
		// One identity for all controllers, that of the kubeconfig, because their rights are not under test.
		"--use-service-account-credentials=false",
		// It lists every kind for each deleted namespace. With the default limit tests would wait for it.
		"--kube-api-qps=200", "--kube-api-burst=400",
	}, func(ctx context.Context) bool {
		web, err := trusting(filepath.Join(certificates, ControllerManager+".crt"))
		if err != nil {
			return false // it has not written its certificate yet
		}
		defer web.CloseIdleConnections()
		return answers(ctx, web, "https://"+address+"/healthz")
	})
}

// trusting returns a client for a server that has signed its certificate itself.
func trusting(certificate string) (*http.Client, error) {
	pem, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", certificate)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &http.Client{Transport: transport, Timeout: time.Second}, nil
}
