//go:build e2e

package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// As long as the API server does not serve the CRDs, no replica is ready, and each says why.
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
	sandbox.Within(t, time.Minute, func() string {
		var list corev1.PodList
		sandbox.Must(t, kube.List(t.Context(), &list, client.InNamespace(systemNamespace), client.MatchingLabels(operatorLabels)))
		told := 0
		for _, pod := range list.Items {
			// A container that has not started has no log.
			log, _ := pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
			if strings.Contains(string(log), "finding the CRD of ClientBinding (is it installed?)") {
				told++
			}
		}
		if told != 2 {
			return fmt.Sprintf("%d replicas say what is missing", told)
		}
		return ""
	})
	if ready := readyPods(t, systemNamespace, operatorLabels); len(ready) != 0 {
		t.Errorf("%d replicas are ready", len(ready))
	}
	uninstall(t)
	install(t)
}
