//go:build e2e

package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// As long as the API server does not serve the CRDs, no replica is ready. Once it does, both are.
func TestNotReadyWithoutCRDs(t *testing.T) {
	uninstall(t)
	for _, name := range []string{"clientbindings", "apiconnections"} {
		crd := &unstructured.Unstructured{}
		crd.SetAPIVersion("apiextensions.k8s.io/v1")
		crd.SetKind("CustomResourceDefinition")
		crd.SetName(name + ".access.delos.financial")
		sandbox.Must(t, client.IgnoreNotFound(kube.Delete(t.Context(), crd)))
		sandbox.Within(t, time.Minute, func() string { return stillThere(t.Context(), crd) })
	}
	restricted(t)
	run(t, helm("install", append([]string{chart, "--skip-crds", "--set", "crds.upgrade=false"}, flags(nil)...)...)...)
	for _, pod := range runningPods(t) {
		sandbox.Within(t, time.Minute, func() string {
			_, err := pods.CoreV1().Pods(pod.Namespace).ProxyGet("http", pod.Name, "8081", "readyz", nil).DoRaw(t.Context())
			// Before it listens, the API server answers with another one.
			if answer := apierrors.APIStatus(nil); !errors.As(err, &answer) || answer.Status().Code != http.StatusInternalServerError {
				return fmt.Sprintf("/readyz of %s says %v", pod.Name, err)
			}
			return ""
		})
	}
	if ready := readyPods(t, systemNamespace, operatorLabels); len(ready) != 0 {
		t.Errorf("%d replicas are ready", len(ready))
	}
	install(t)
}

// runningPods are the replicas, once all of them run.
func runningPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	sandbox.Within(t, time.Minute, func() string {
		sandbox.Must(t, kube.List(t.Context(), &list, client.InNamespace(systemNamespace), client.MatchingLabels(operatorLabels)))
		running := 0
		for _, pod := range list.Items {
			if statuses := pod.Status.ContainerStatuses; len(statuses) == 1 && statuses[0].State.Running != nil {
				running++
			}
		}
		if running != 2 || len(list.Items) != 2 {
			return "two replicas do not run yet"
		}
		return ""
	})
	return list.Items
}
