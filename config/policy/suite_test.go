// Package policy_test tests the admission policies of config/default on a real API server, with users who have only the
// roles of config/rbac.
package policy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/apiservertest"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Shared by all tests of this package.
var (
	environment = &envtest.Environment{}
	cluster     *rest.Config
	// kube acts as an administrator of the group system:masters, to whom our policies do not apply.
	kube   client.Client
	scheme = runtime.NewScheme()
	// auditLog is the file of the API server's audit log.
	auditLog string
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := withAuditLog(func() int { return apiservertest.Run(m, environment, prepare) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withAuditLog has the API server of what is run write an audit log.
func withAuditLog(run func() int) (code int, err error) {
	directory, err := os.MkdirTemp("", "policy-test-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := writeAuditLog(directory); err != nil {
		return 0, err
	}
	return run(), nil
}

// prepare applies config/default.
func prepare(config *rest.Config) error {
	cluster = config
	// Tests change policies and roles often, and should not wait for the rate limit.
	cluster.QPS = -1
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	strict, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	kube = client.WithFieldValidation(strict, "Strict")
	return install(context.Background())
}

// writeAuditLog has the API server write the metadata of all writes to our kinds into a file.
func writeAuditLog(directory string) error {
	policy := filepath.Join(directory, "audit-policy.yaml")
	auditLog = filepath.Join(directory, "audit.log")
	content := `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete]
  resources: [{group: access.delos.financial}]
- level: None
`
	environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", auditLog)
	return os.WriteFile(policy, []byte(content), 0o600)
}

// install applies config/default, the CRDs first, and waits until its policies are in force.
func install(ctx context.Context) error {
	manifests, err := sandbox.Render(ctx, "config/default")
	if err != nil {
		return err
	}
	crds := envtest.CRDInstallOptions{}
	for _, manifest := range manifests.Kind("CustomResourceDefinition") {
		crd, err := asCRD(manifest)
		if err != nil {
			return err
		}
		crds.CRDs = append(crds.CRDs, crd)
	}
	if _, err := envtest.InstallCRDs(cluster, crds); err != nil {
		return err
	}
	if err := apply(ctx, manifests); err != nil {
		return err
	}
	return inForce(ctx)
}
