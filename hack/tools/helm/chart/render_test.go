package chart_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../../../.."
	directory = root + "/charts/clientbinding-operator"
	system    = "clientbinding-system"
	release   = "clientbinding-operator"
)

var update = flag.Bool("update", false, "write the golden files")

func load(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.Load(directory)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// objects are the objects of a manifest, by kind, namespace and name.
type objects map[string]*unstructured.Unstructured

func (o objects) add(t *testing.T, manifest string) {
	t.Helper()
	for _, document := range strings.Split("\n"+manifest, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue
		}
		key := strings.TrimSpace(fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName()))
		if o[key] != nil {
			t.Fatalf("%s is there twice", key)
		}
		o[key] = object
	}
}

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// newest is a version of Kubernetes that has all that the chart can install.
var newest = common.KubeVersion{Version: "v1.36.0", Major: "1", Minor: "36"}

func render(text map[string]any, loaded *chart.Chart, options common.ReleaseOptions) (map[string]string, error) {
	return renderFor(newest, text, loaded, options)
}

func renderFor(version common.KubeVersion, text map[string]any, loaded *chart.Chart, options common.ReleaseOptions) (map[string]string, error) {
	options.Name, options.Namespace, options.Revision = release, system, 1
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = version
	settings, err := util.ToRenderValues(loaded, text, options, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, settings)
}

// installed returns the objects that the chart installs with these values: CRDs, and templates that are no hooks.
func installed(t *testing.T, text string) objects {
	t.Helper()
	loaded := load(t)
	files, err := render(values(t, text), loaded, common.ReleaseOptions{IsInstall: true})
	if err != nil {
		t.Fatal(err)
	}
	found := objects{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(path) == ".yaml" {
			found.add(t, files[path])
		}
	}
	maps.Copy(found, crds(t))
	return found
}

// built returns the objects that kustomize builds from directories of config/.
func built(t *testing.T, resource string, components ...string) objects {
	t.Helper()
	layer, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	kustomization := map[string]any{"resources": []string{relative(t, layer, resource)}}
	for _, component := range components {
		listed, _ := kustomization["components"].([]string)
		kustomization["components"] = append(listed, relative(t, layer, component))
	}
	content, err := yaml.Marshal(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layer, "kustomization.yaml"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), layer)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	found := objects{}
	found.add(t, string(manifest))
	return found
}

func relative(t *testing.T, from, to string) string {
	t.Helper()
	absolute, err := filepath.Abs(filepath.Join(root, "config", to))
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Rel(from, absolute)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// normalized returns the objects as texts, without allowed differences: the labels and annotations of the installing tool, and
// the namespace, which Helm does not create.
func normalized(t *testing.T, found objects) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for key, object := range found {
		if key == "Namespace /"+system {
			continue
		}
		for _, label := range []string{
			"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by",
			"app.kubernetes.io/version", "helm.sh/chart",
		} {
			unstructured.RemoveNestedField(object.Object, "metadata", "labels", label)
		}
		unstructured.RemoveNestedField(object.Object, "metadata", "annotations", "helm.sh/resource-policy")
		for _, field := range []string{"labels", "annotations"} {
			if rest, _, _ := unstructured.NestedMap(object.Object, "metadata", field); len(rest) == 0 {
				unstructured.RemoveNestedField(object.Object, "metadata", field)
			}
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		texts[key] = string(text)
	}
	return texts
}

func TestChartInstallsWhatKustomizeDoes(t *testing.T) {
	for _, test := range []struct {
		name, resource string
		components     []string
		values         string
	}{
		{"as they are", "default", nil, ""},
		{"some namespaces", "namespaced", nil, "namespaces: [team-a]"},
		{"policies that warn", "default", []string{"policy/warn"}, "policies: {enforcement: Warn}"},
		{"policies that tell the audit log", "default", []string{"policy/audit"}, "policies: {enforcement: Audit}"},
		{"no stamp", "default", []string{"policy-requester/off"}, "policies: {requester: false}"},
		{"finalizers are not put back", "default", []string{"policy-finalizers/off"}, "policies: {finalizers: false}"},
		{"finalizers are set at creation", "default", []string{"policy-creation"}, "policies: {creation: true}"},
		{"all Secrets", "default", []string{"cluster-credentials"}, "clusterCredentials: true"},
		{"Prometheus", "default", []string{"prometheus"}, "{serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}"},
		{"Grafana", "default", []string{"grafana"}, "dashboard: {enabled: true}"},
		{
			"terms", "examples/terms", nil,
			"policies: {terms: {standardNeedsGrant: false, ownerNeedsJustification: true, longestOwner: 720h, longestTemporary: 4380h}}",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, got := normalized(t, built(t, test.resource, test.components...)), normalized(t, installed(t, test.values))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-kustomize +chart:\n%s", diff)
			}
		})
	}
}

// TestSwitches compares the changes by each of testdata/*.values.yaml with its golden file.
func TestSwitches(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".values.yaml"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := changes(t, installed(t, ""), installed(t, string(text)))
			golden := strings.TrimSuffix(path, ".values.yaml") + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-%s +rendered; `go test -update` writes it:\n%s", golden, diff)
			}
			lint(t, string(text))
		})
	}
}

// changes lists the objects that are no longer installed, and has the new and changed objects in full.
func changes(t *testing.T, before, after objects) string {
	t.Helper()
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if after[key] == nil {
			fmt.Fprintf(&text, "# not installed: %s\n", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if before[key] != nil && cmp.Equal(before[key], after[key]) {
			continue
		}
		written, err := yaml.Marshal(after[key].Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "---\n%s", written)
	}
	return text.String()
}

func TestLint(t *testing.T) { lint(t, "") }

// lint runs `helm lint --strict`.
func lint(t *testing.T, text string) {
	t.Helper()
	linter := action.NewLint()
	linter.Strict, linter.Namespace, linter.KubeVersion = true, system, &newest
	for _, err := range linter.Run([]string{directory}, values(t, text)).Errors {
		t.Error(err)
	}
}

// TestUpgradeHasTheCRDsAsHooks: Helm upgrades no CRD of crds/ by itself.
func TestUpgradeHasTheCRDsAsHooks(t *testing.T) {
	loaded, want := load(t), crds(t)
	for _, crd := range want {
		annotations := crd.GetAnnotations()
		annotations["helm.sh/hook"] = "pre-upgrade"
		crd.SetAnnotations(annotations)
	}
	for text, want := range map[string]objects{"": want, "crds: {upgrade: false}": {}} {
		files, err := render(values(t, text), loaded, common.ReleaseOptions{IsUpgrade: true})
		if err != nil {
			t.Fatal(err)
		}
		got := objects{}
		got.add(t, files["clientbinding-operator/templates/crds.yaml"])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", text, diff)
		}
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"replica: 1":                             "additional properties 'replica' not allowed",
		"replicas: two":                          "at '/replicas': got string, want integer",
		"policies: {enforcement: deny}":          "at '/policies/enforcement': value must be one of 'Deny', 'Warn', 'Audit', 'Off'",
		"policies: {terms: {longestOwner: 30d}}": "at '/policies/terms/longestOwner'",
		"allowedAPIHosts: []":                    "at '/allowedAPIHosts': minItems: got 0, want 1",
		"defaultConnection: delos":               "at '/defaultConnection'",
		"namespaces: [Team A]":                   "at '/namespaces/0'",
		"shards: ['a,b']":                        "at '/shards/0'",
		"image: {digest: latest}":                "at '/image/digest'",
		"extraArgs: [dry-run]":                   "at '/extraArgs/0'",
		"priorityClass: {name: ''}":              "at '/priorityClass/name': minLength: got 0, want 1",
		"connections: [{name: delos, namespace: platform, spec: {url: 'https://api.example.com', credentials: {login: me, password: secret}}}]": "at '/connections/0/spec/credentials'",
	} {
		if _, err := render(values(t, text), load(t), common.ReleaseOptions{IsInstall: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestOlderKubernetes: without mutating admission policies the chart says what to leave out, and then goes without.
func TestOlderKubernetes(t *testing.T) {
	older := common.KubeVersion{Version: "v1.35.2", Major: "1", Minor: "35"}
	_, err := renderFor(older, nil, load(t), common.ReleaseOptions{IsInstall: true})
	if want := "set policies.requester and policies.finalizers to false"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := renderFor(older, values(t, "policies: {requester: false, finalizers: false}"), load(t), common.ReleaseOptions{IsInstall: true}); err != nil {
		t.Error(err)
	}
}

// TestSchemaHasAllValues, and no others.
func TestSchemaHasAllValues(t *testing.T) {
	loaded := load(t)
	schema := map[string]any{}
	if err := yaml.Unmarshal(loaded.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	var check func(path string, schema, value map[string]any)
	check = func(path string, schema, value map[string]any) {
		properties, closed := schema["properties"].(map[string]any)
		if !closed {
			return
		}
		want, got := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(value))
		want = slices.DeleteFunc(want, func(name string) bool { return path+name == "global" }) // Helm's own
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -values.schema.json +values.yaml:\n%s", path, diff)
		}
		for name := range value {
			inner, _ := value[name].(map[string]any)
			property, _ := properties[name].(map[string]any)
			if inner != nil {
				check(path+name+".", property, inner)
			}
		}
	}
	check("", schema, loaded.Values)
}
