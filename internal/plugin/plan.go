package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// plan is the cluster after the manifests.
type plan struct {
	// bindings are all ClientBindings by their name, as they would be.
	bindings map[key]v1alpha1.ClientBinding
	// touched are those that a manifest has, or that would be deleted; in their order.
	touched []key
	// refused are the changes that would not happen, with the reasons.
	refused []string
	// platforms are the APIs by the name of the connection.
	platforms map[key]*platform
}

// manifests reads the ClientBindings of the files. Objects of other kinds are left out.
func (d *diffing) manifests() (found []*unstructured.Unstructured, err error) {
	namespace, err := d.namespace()
	if err != nil {
		return nil, err
	}
	builder := resource.NewBuilder(d.cluster).Unstructured().Local().Flatten()
	files := slices.DeleteFunc(slices.Clone(d.files), func(file string) bool { return file == "-" })
	if len(files) < len(d.files) {
		builder = builder.Stream(d.program.Streams.In, "standard input")
	}
	if len(files) > 0 || d.kustomize != "" {
		builder = builder.FilenameParam(false, &resource.FilenameOptions{Filenames: files, Kustomize: d.kustomize, Recursive: d.recursive})
	}
	infos, err := builder.Do().Infos()
	if err != nil {
		return nil, fmt.Errorf("reading the manifests: %w", err)
	}
	for _, info := range infos {
		object, is := info.Object.(*unstructured.Unstructured)
		if !is || object.GroupVersionKind().Group != v1alpha1.GroupVersion.Group || object.GetKind() != "ClientBinding" {
			continue
		}
		if object.GetNamespace() == "" {
			object.SetNamespace(namespace)
		}
		found = append(found, object)
	}
	return found, nil
}

// plan applies the manifests to a copy, and sends dry runs to the API server.
func (d *diffing) plan(ctx context.Context, kube client.Client, there []v1alpha1.ClientBinding, manifests []*unstructured.Unstructured) (*plan, error) {
	p := &plan{bindings: map[key]v1alpha1.ClientBinding{}, platforms: map[key]*platform{}}
	for _, binding := range there {
		p.bindings[client.ObjectKeyFromObject(&binding)] = binding
	}
	namespaces, kept := map[string]bool{}, map[key]bool{}
	for _, manifest := range manifests {
		name := client.ObjectKeyFromObject(manifest)
		namespaces[name.Namespace], kept[name] = true, true
		refusal, err := apply(ctx, kube, manifest)
		if err != nil {
			return nil, err
		}
		if refusal != "" {
			p.refused = append(p.refused, fmt.Sprintf("refused: ClientBinding %s: %s", name, refusal))
			continue
		}
		wanted, err := typed(manifest)
		if err != nil {
			return nil, fmt.Errorf("ClientBinding %s: %w", name, err)
		}
		after, exists := p.bindings[name]
		if !exists {
			after = *wanted
			after.CreationTimestamp = metav1.NewTime(d.program.Now())
		}
		after.Spec = wanted.Spec
		p.bindings[name] = after
		p.touched = append(p.touched, name)
	}
	if d.prune {
		if err := d.pruned(ctx, kube, p, namespaces, kept); err != nil {
			return nil, err
		}
	}
	return p, d.leaveOut(ctx, kube, p)
}

// leaveOut leaves out bindings that would wait for a missing APIConnection, and says so.
func (d *diffing) leaveOut(ctx context.Context, kube client.Client, p *plan) (failed error) {
	p.touched = slices.DeleteFunc(p.touched, func(name key) bool {
		binding := p.bindings[name]
		_, err := d.connect(ctx, kube, p, d.connectionOf(&binding))
		if apierrors.IsNotFound(err) {
			p.refused = append(p.refused, fmt.Sprintf("ClientBinding %s would wait: %s%s", name, err, d.hint(&binding)))
			return true
		}
		failed = errors.Join(failed, err)
		return false
	})
	return failed
}

// typed reads a manifest.
func typed(manifest *unstructured.Unstructured) (*v1alpha1.ClientBinding, error) {
	text, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	binding := &v1alpha1.ClientBinding{}
	if err := json.Unmarshal(text, binding); err != nil {
		return nil, err
	}
	if len(binding.UnreadableFields) > 0 {
		return nil, fmt.Errorf("fields that cannot be read: %s", binding.UnreadableFields)
	}
	return binding, nil
}

// apply sends a dry run of a manifest to the API server.
func apply(ctx context.Context, kube client.Client, manifest *unstructured.Unstructured) (refusal string, err error) {
	if manifest.GetName() == "" {
		return "metadata.name is missing", nil
	}
	for _, name := range []string{manifest.GetName(), manifest.GetNamespace()} {
		if problems := content.IsPathSegmentName(name); len(problems) > 0 {
			return fmt.Sprintf("the name %q %s", name, strings.Join(problems, ", ")), nil
		}
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	return refusalOf(kube.Patch(ctx, manifest.DeepCopy(), client.RawPatch(types.ApplyPatchType, text),
		client.DryRunAll, client.FieldOwner("kubectl-clientbindings"), client.ForceOwnership))
}

// refusalOf separates a refusal by the API server from other errors.
func refusalOf(err error) (refusal string, failed error) {
	var status apierrors.APIStatus
	if meta.IsNoMatchError(err) {
		return visible(err.Error()), nil
	}
	if err != nil && strings.HasPrefix(err.Error(), "failed to create typed patch object") {
		return visible(err.Error()), nil // a field that does not exist, which the API server calls its own fault
	}
	if errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500 && !apierrors.IsTooManyRequests(err) && !apierrors.IsUnauthorized(err) {
		return visible(pattern.ReplaceAllString(err.Error(), "must be $1")), nil
	}
	return "", err
}

// pattern is what the API server says of a time in a wrong form: the regular expression, which begins with an example for people.
var pattern = regexp.MustCompile(`[\w.]+ in body should match '\^\(([^)]*)\)\{0\}[^']*'`)

// pruned deletes the bindings that are not in the manifests from the copy.
func (d *diffing) pruned(ctx context.Context, kube client.Client, p *plan, namespaces map[string]bool, kept map[key]bool) error {
	matches, err := labels.Parse(d.selector)
	if err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	for _, name := range slices.SortedFunc(maps.Keys(p.bindings), byName) {
		binding := p.bindings[name]
		if !namespaces[name.Namespace] || kept[name] || !binding.DeletionTimestamp.IsZero() || !matches.Matches(labels.Set(binding.Labels)) {
			continue
		}
		refusal, err := refusalOf(kube.Delete(ctx, binding.DeepCopy(), client.DryRunAll))
		if err != nil {
			return err
		}
		if refusal != "" {
			p.refused = append(p.refused, fmt.Sprintf("refused: deletion of ClientBinding %s: %s", name, refusal))
			continue
		}
		at := metav1.NewTime(d.program.Now())
		binding.DeletionTimestamp = &at
		p.bindings[name] = binding
		p.touched = append(p.touched, name)
	}
	return nil
}

func byName(a, b key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// connect returns the API of a binding.
func (d *diffing) connect(ctx context.Context, kube client.Client, p *plan, name key) (*platform, error) {
	if platform := p.platforms[name]; platform != nil {
		return platform, nil
	}
	var platform *platform
	var err error
	if d.url != "" {
		name = key{}
		if p.platforms[name] != nil {
			return p.platforms[name], nil
		}
		platform, err = d.direct()
	} else {
		platform, err = d.through(ctx, kube, name)
	}
	if err == nil {
		p.platforms[name] = platform
	}
	return platform, err
}
