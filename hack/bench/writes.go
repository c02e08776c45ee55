package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// writeRounds is how often each kind of write is measured; what counts is the median.
const writeRounds = 3

// writeKind is a way to write a status, and what is written to.
type writeKind struct {
	name string
	// crd changes a copy of the CRD in a group of its own, to which no admission policy applies; nil for the CRD as it is shipped.
	crd func(*apiextensionsv1.CustomResourceDefinition)
	// write writes a status, as a merge patch onto the version that was read unless it is set.
	write func(ctx context.Context, r dynamic.ResourceInterface, o object, status map[string]any) (object, error)
	// statuses are written one after the other; those that the operator wrote unless they are set.
	statuses func(operators []map[string]any) []map[string]any
	// watches of all objects run meanwhile; and without managed fields the objects have none.
	watches         int
	noManagedFields bool
}

// object is one that is written.
type object = *unstructured.Unstructured

// writeCost is what one write of a kind costs, in milliseconds of processor time, and how many bytes the object has then.
type writeCost struct {
	Kind   string  `json:"kind"`
	Create float64 `json:"createMilliseconds"`
	Server float64 `json:"serverMilliseconds"`
	Etcd   float64 `json:"etcdMilliseconds"`
	Bytes  int     `json:"bytes"`
}

var asIs = func(*apiextensionsv1.CustomResourceDefinition) {}

var writeKinds = []writeKind{
	{name: "the loop's claim and result", statuses: func([]map[string]any) []map[string]any { return []map[string]any{loopClaim(), loopResult()} }},
	{name: "the operator's claim and result"},
	{name: "its claim alone", statuses: func(operators []map[string]any) []map[string]any { return operators[:1] }},
	{name: "the same, with one watch", watches: 1},
	{name: "the same, with two watches", watches: 2},
	{name: "without managed fields", noManagedFields: true},
	{name: "as JSON patch", write: func(ctx context.Context, r dynamic.ResourceInterface, o object, status map[string]any) (object, error) {
		return patch(ctx, r, o, types.JSONPatchType, []map[string]any{{"op": "add", "path": "/status", "value": status}}, metav1.FieldValidationWarn)
	}},
	{name: "without validation of unknown fields", write: func(ctx context.Context, r dynamic.ResourceInterface, o object, status map[string]any) (object, error) {
		return patch(ctx, r, o, types.MergePatchType, mergeBody(o, status), metav1.FieldValidationIgnore)
	}},
	{name: "as PUT", write: func(ctx context.Context, r dynamic.ResourceInterface, o object, status map[string]any) (object, error) {
		o = o.DeepCopy()
		o.Object["status"] = status
		return r.UpdateStatus(ctx, o, metav1.UpdateOptions{FieldManager: writeManager})
	}},
	{name: "as server-side apply", write: func(ctx context.Context, r dynamic.ResourceInterface, o object, status map[string]any) (object, error) {
		applied := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{"name": o.GetName()}, "status": status,
		}}
		return r.ApplyStatus(ctx, o.GetName(), applied, metav1.ApplyOptions{FieldManager: writeManager, Force: true})
	}},
	{name: "a copy of the CRD, without policies", crd: asIs},
	{name: "a copy without CEL rules", crd: func(c *apiextensionsv1.CustomResourceDefinition) {
		eachSchema(c, func(s *apiextensionsv1.JSONSchemaProps) { s.XValidations = nil })
	}},
	{name: "a copy whose claim and user are atomic", crd: func(c *apiextensionsv1.CustomResourceDefinition) {
		atomic(c, "claim")
		atomic(c, "user")
	}},
	{name: "a copy whose status is atomic", crd: func(c *apiextensionsv1.CustomResourceDefinition) { atomic(c, "") }},
	{name: "a copy without patterns", crd: func(c *apiextensionsv1.CustomResourceDefinition) {
		eachSchema(c, func(s *apiextensionsv1.JSONSchemaProps) { s.Pattern = "" })
	}},
	{name: "a copy without selectable fields", crd: func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions[0].SelectableFields = nil }},
	{name: "a copy without a schema", crd: func(c *apiextensionsv1.CustomResourceDefinition) {
		c.Spec.Versions[0].SelectableFields, c.Spec.Versions[0].AdditionalPrinterColumns = nil, nil
		c.Spec.Versions[0].Schema.OpenAPIV3Schema = &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
	}},
}

// writeManager is the field manager of all these writes.
const writeManager = "bench"

// playWrites has the operator make one binding, and writes what it wrote again and again, in several ways.
func playWrites(t *trial) {
	t.connect()
	statuses := t.operatorsStatuses()
	sandbox.Must(t, t.Operator.Stop())
	text, err := os.ReadFile("config/crd/bases/access.delos.financial_clientbindings.yaml")
	sandbox.Must(t, err)
	shipped := &apiextensionsv1.CustomResourceDefinition{}
	sandbox.Must(t, yaml.Unmarshal(text, shipped))
	costs := make([][]writeCost, len(writeKinds))
	for i, kind := range writeKinds {
		if kind.crd != nil {
			t.install(shipped, kind, i)
		}
	}
	for range writeRounds {
		for i, kind := range writeKinds {
			costs[i] = append(costs[i], t.cost(kind, t.groupOf(kind, i), statuses))
			t.stage.clearBindings()
		}
	}
	t.stage.results.Writes = nil
	for i, kind := range writeKinds {
		median := func(value func(writeCost) float64) float64 {
			slices.SortFunc(costs[i], func(a, b writeCost) int { return int(1e6 * (value(a) - value(b))) })
			return value(costs[i][len(costs[i])/2])
		}
		cost := writeCost{
			Kind: kind.name, Bytes: costs[i][0].Bytes,
			Create: median(func(c writeCost) float64 { return c.Create }),
			Server: median(func(c writeCost) float64 { return c.Server }),
			Etcd:   median(func(c writeCost) float64 { return c.Etcd }),
		}
		t.measured(kind.name, fmt.Sprintf("API server %.2f ms, etcd %.2f ms (%d bytes); its creation %.2f ms", cost.Server, cost.Etcd, cost.Bytes, cost.Create))
		t.stage.results.Writes = append(t.stage.results.Writes, cost)
	}
}

// operatorsStatuses are the statuses that the operator writes of a new binding, in this order.
func (t *trial) operatorsStatuses() (statuses []map[string]any) {
	kube, err := dynamic.NewForConfig(t.Cluster.Config)
	sandbox.Must(t, err)
	watch, err := kube.Resource(v1alpha1.GroupVersion.WithResource("clientbindings")).Namespace(t.Namespace).Watch(t.Context(), metav1.ListOptions{})
	sandbox.Must(t, err)
	defer watch.Stop()
	t.bind(1, t.Platform, nil)
	for event := range watch.ResultChan() {
		object, is := event.Object.(*unstructured.Unstructured)
		if !is {
			t.Fatal(fmt.Sprintf("the watch of ClientBindings ended with %v", event.Object))
		}
		status, _, err := unstructured.NestedMap(object.Object, "status")
		sandbox.Must(t, err)
		if status["claim"] == nil {
			continue
		}
		statuses = append(statuses, status)
		if status["lastConfirmedTime"] != nil {
			break
		}
	}
	for _, status := range statuses {
		text, err := json.Marshal(status)
		sandbox.Must(t, err)
		t.measured("the operator writes", string(text))
	}
	return statuses
}

func (t *trial) groupOf(kind writeKind, i int) schema.GroupVersionResource {
	group := v1alpha1.GroupVersion.WithResource("clientbindings")
	if kind.crd != nil {
		group.Group = fmt.Sprintf("copy%d.access.delos.financial", i)
	}
	return group
}

func (t *trial) install(shipped *apiextensionsv1.CustomResourceDefinition, kind writeKind, i int) {
	group := t.groupOf(kind, i).Group
	copied := shipped.DeepCopy()
	copied.Name, copied.Spec.Group = "clientbindings."+group, group
	copied.Spec.Names.ShortNames, copied.Spec.Names.Categories = nil, nil
	kind.crd(copied)
	text, err := json.Marshal(copied)
	sandbox.Must(t, err)
	_, err = t.Cluster.Kubectl(t.Context(), string(text), "create", "-f", "-")
	sandbox.Must(t, err)
	sandbox.Must(t, t.Cluster.WaitForCRDs(t.Context()))
}

// cost writes the statuses of many objects in one way, and measures what a write costs.
func (t *trial) cost(kind writeKind, group schema.GroupVersionResource, statuses []map[string]any) writeCost {
	kube, err := dynamic.NewForConfig(t.Cluster.Config)
	sandbox.Must(t, err)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "writes-"}}
	t.Create(t, namespace)
	resource := kube.Resource(group).Namespace(namespace.Name)
	objects := make([]object, t.written)
	for i := range objects {
		objects[i] = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group.GroupVersion().String(), "kind": "ClientBinding", "metadata": map[string]any{"name": fmt.Sprintf("written-%04d", i)},
			"spec": map[string]any{"userUUID": fmt.Sprintf("user-%04d", i), "cuid": cuid, "isOwner": false},
		}}
	}
	change := func(do func(context.Context, object) (object, error)) (serverMilliseconds, etcdMilliseconds float64) {
		before := t.used()
		t.each(0, t.written, func(ctx context.Context, i int) (err error) {
			objects[i], err = do(ctx, objects[i])
			return err
		})
		after := t.used()
		return 1000 * (after.serverCPU - before.serverCPU) / float64(t.written), 1000 * (after.etcdCPU - before.etcdCPU) / float64(t.written)
	}
	cost := writeCost{Kind: kind.name}
	cost.Create, _ = change(func(ctx context.Context, o object) (object, error) {
		return resource.Create(ctx, o, metav1.CreateOptions{FieldManager: writeManager})
	})
	if kind.noManagedFields {
		change(func(ctx context.Context, o object) (object, error) {
			return resource.Patch(ctx, o.GetName(), types.MergePatchType, []byte(`{"metadata":{"managedFields":[{}]}}`), metav1.PatchOptions{})
		})
	}
	for range kind.watches {
		watch, err := kube.Resource(group).Watch(t.Context(), metav1.ListOptions{})
		sandbox.Must(t, err)
		defer watch.Stop()
		go func() {
			for range watch.ResultChan() {
			}
		}()
	}
	if kind.statuses != nil {
		statuses = kind.statuses(statuses)
	}
	for _, status := range statuses {
		server, etcd := change(func(ctx context.Context, o object) (object, error) {
			if kind.write != nil {
				return kind.write(ctx, resource, o, status)
			}
			return patch(ctx, resource, o, types.MergePatchType, mergeBody(o, status), metav1.FieldValidationWarn)
		})
		cost.Server += server / float64(len(statuses))
		cost.Etcd += etcd / float64(len(statuses))
	}
	text, err := json.Marshal(objects[0])
	sandbox.Must(t, err)
	cost.Bytes = len(text)
	return cost
}

// mergeBody is a merge patch of the status, onto the version that was read.
func mergeBody(o object, status map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{"resourceVersion": o.GetResourceVersion()}, "status": status}
}

func patch(ctx context.Context, r dynamic.ResourceInterface, o object, kind types.PatchType, body any, validation string) (object, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return r.Patch(ctx, o.GetName(), kind, text, metav1.PatchOptions{FieldManager: writeManager, FieldValidation: validation}, "status")
}

// atomic has one manager for a field of the status with all that is in it, or for the whole status.
func atomic(crd *apiextensionsv1.CustomResourceDefinition, field string) {
	properties := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties
	name := "status"
	if field != "" {
		properties, name = properties["status"].Properties, field
	}
	schema := properties[name]
	schema.XMapType = ptr.To("atomic")
	properties[name] = schema
}

func eachSchema(crd *apiextensionsv1.CustomResourceDefinition, change func(*apiextensionsv1.JSONSchemaProps)) {
	var walk func(*apiextensionsv1.JSONSchemaProps)
	walk = func(s *apiextensionsv1.JSONSchemaProps) {
		change(s)
		for name, property := range s.Properties {
			walk(&property)
			s.Properties[name] = property
		}
		if s.Items != nil && s.Items.Schema != nil {
			walk(s.Items.Schema)
		}
	}
	walk(crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
}

// writeTable has a row for each kind of write.
func (r *results) writeTable() string {
	rows := [][]string{{"the write", "API server, ms", "etcd, ms", "creation before it, API server, ms", "object, bytes"}}
	for _, c := range r.Writes {
		rows = append(rows, []string{c.Kind, fmt.Sprintf("%.2f", c.Server), fmt.Sprintf("%.2f", c.Etcd), fmt.Sprintf("%.2f", c.Create), fmt.Sprint(c.Bytes)})
	}
	return table(rows)
}
