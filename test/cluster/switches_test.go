//go:build e2e

package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// monitoring is the module with the Prometheus operator's CRDs.
const monitoring = "github.com/prometheus-operator/prometheus-operator@v0.92.0"

// What a switch adds or leaves out is as said, the API server takes it, and access is given and taken away all the same.
func TestSwitches(t *testing.T) {
	installMonitoring(t)
	install(t)
	usual := objects(t)
	n := newTenant(t, crowd(20))
	n.connect(t)
	user := 0
	for _, test := range []struct {
		name        string
		values      []string
		added, left []string
	}{
		{name: "Prometheus", values: []string{"serviceMonitor.enabled=true", "prometheusRule.enabled=true"}, added: []string{
			"PrometheusRule clientbinding-system/clientbinding-operator", "ServiceMonitor clientbinding-system/clientbinding-operator",
		}},
		{name: "credentials of all namespaces", values: []string{"clusterCredentials=true"}, added: []string{
			"ClusterRoleBinding clientbinding-operator-credentials",
		}},
		{name: "connections", values: []string{
			"connections[0].namespace=" + n.Namespace, "connections[0].name=another", "connections[0].spec.url=" + n.platform.URL,
			"connections[0].spec.credentials.secretRef.name=" + sandbox.CredentialsName, "connections[0].spec.caBundle=" + n.platform.CABundle,
		}, added: []string{"APIConnection " + n.Namespace + "/another"}},
		{name: "one replica without what is for more", values: []string{
			"replicas=1", "podDisruptionBudget.enabled=false", "priorityClass.create=false", "priorityClass.name=", "networkPolicy.enabled=false",
		}, left: []string{
			"NetworkPolicy clientbinding-system/clientbinding-operator", "PodDisruptionBudget clientbinding-system/clientbinding-operator",
			"PriorityClass clientbinding-operator",
		}},
		{name: "narrow network", values: []string{
			"networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring", "networkPolicy.egress.to[0].ipBlock.cidr=10.0.0.0/8",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			install(t, test.values...)
			now := objects(t)
			want := append(slices.Clone(usual), test.added...)
			want = slices.DeleteFunc(want, func(object string) bool { return slices.Contains(test.left, object) })
			slices.Sort(want)
			if diff := cmp.Diff(want, now); diff != "" {
				t.Errorf("objects of the release (-want +got):\n%s", diff)
			}
			n.giveAndTake(t, user)
			user++
		})
	}
	t.Run("policies", func(t *testing.T) {
		for _, enforcement := range []string{"Warn", "Audit", "Off"} {
			install(t, "policies.enforcement="+enforcement, "policies.requester=false", "policies.finalizers=false")
			kinds := map[string]bool{}
			for _, object := range objects(t) {
				kind, _, _ := strings.Cut(object, " ")
				kinds[kind] = true
			}
			if got, want := kinds["ValidatingAdmissionPolicy"], enforcement != "Off"; got != want {
				t.Errorf("%s: there are policies: %t, want %t", enforcement, got, want)
			}
			if kinds["MutatingAdmissionPolicy"] {
				t.Errorf("%s: there are mutating policies", enforcement)
			}
			n.giveAndTake(t, user)
			user++
		}
	})
	t.Run("namespaces", func(t *testing.T) {
		binding := n.bindingOf(user)
		n.Create(t, binding)
		sandbox.Within(t, time.Minute, func() string { return n.allReady(t, 1) })
		// The operator keeps the RoleBinding that was made by hand, since it is in use: to delete it would not make room for that of the release.
		run(t, helm("upgrade", append([]string{chart, "--take-ownership", "--wait", "--timeout=2m"}, flags([]string{"namespaces={" + n.Namespace + "}"})...)...)...)
		rights := n.CredentialsBinding()
		sandbox.Must(t, kube.Get(t.Context(), client.ObjectKeyFromObject(rights), rights))
		if diff := cmp.Diff([]string{v1alpha1.InUseFinalizer}, rights.Finalizers); diff != "" {
			t.Errorf("finalizers of the RoleBinding that was taken over (-want +got):\n%s", diff)
		}
		n.Delete(t, binding)
		sandbox.Within(t, time.Minute, func() string { return stillThere(t.Context(), binding) })
		n.giveAndTake(t, user)
		install(t)
	})
}

// giveAndTake gives access to a user, and revokes it.
func (n *tenant) giveAndTake(t *testing.T, user int) {
	t.Helper()
	binding := n.bindingOf(user)
	sandbox.Within(t, time.Minute, func() string { return sayError(kube.Create(t.Context(), n.bindingOf(user))) })
	sandbox.Within(t, time.Minute, func() string { return n.allReady(t, 1) })
	n.Delete(t, binding)
	sandbox.Within(t, time.Minute, func() string { return stillThere(t.Context(), n.bindingOf(user)) })
	if diff := cmp.Diff(map[string]bool{}, n.platform.relations(t)); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

func sayError(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// objects are the names of the release's objects. The API server has each of them.
func objects(t *testing.T) []string {
	t.Helper()
	var names []string
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(run(t, "bin/helm", "get", "manifest", "--namespace="+systemNamespace, operatorName)), 4096)
	for {
		object := &unstructured.Unstructured{}
		if decoder.Decode(object) != nil {
			break
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Error(err)
		}
		names = append(names, strings.TrimPrefix(fmt.Sprintf("%s %s", object.GetKind(), strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/")), " "))
	}
	slices.Sort(names)
	return names
}

// installMonitoring installs the CRDs of the Prometheus operator.
func installMonitoring(t *testing.T) {
	t.Helper()
	var module struct{ Dir string }
	sandbox.Must(t, json.Unmarshal([]byte(run(t, "go", "mod", "download", "-json", monitoring)), &module))
	for _, name := range []string{"servicemonitors", "prometheusrules"} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "example", "prometheus-operator-crd", "monitoring.coreos.com_"+name+".yaml"))
		sandbox.Must(t, err)
		crd := &unstructured.Unstructured{}
		sandbox.Must(t, utilyaml.Unmarshal(text, &crd.Object))
		crd.SetManagedFields(nil)
		sandbox.Must(t, kube.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(crd), client.ForceOwnership, client.FieldOwner("e2e")))
	}
}
