package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Manifests are Kubernetes objects, in the order for applying them.
type Manifests []*unstructured.Unstructured

func parseManifests(text string) (Manifests, error) {
	var manifests Manifests
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return manifests, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			manifests = append(manifests, object)
		}
	}
}

// Kind returns the manifests of one kind.
func (m Manifests) Kind(kind string) Manifests {
	var found Manifests
	for _, object := range m {
		if object.GetKind() == kind {
			found = append(found, object)
		}
	}
	return found
}

// document is the manifests as one document that kubectl reads.
func (m Manifests) document() (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	for _, object := range m {
		if err := encoder.Encode(object); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

// Deployment has the parts of the operator's Deployment that its process here uses.
type Deployment struct {
	// Namespace and ServiceAccount are the operator's identity.
	Namespace, ServiceAccount string
	// Args are the operator's flags.
	Args []string
}

// splitDeployment takes the operator's Deployment out of the manifests.
func splitDeployment(all Manifests) (Deployment, Manifests, error) {
	found := all.Kind("Deployment")
	if len(found) != 1 {
		return Deployment{}, nil, fmt.Errorf("there are %d Deployments instead of one", len(found))
	}
	var deployed appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found[0].Object, &deployed); err != nil {
		return Deployment{}, nil, err
	}
	pod := deployed.Spec.Template.Spec
	if len(pod.Containers) != 1 || pod.ServiceAccountName == "" {
		return Deployment{}, nil, fmt.Errorf("the Deployment needs one container and a ServiceAccount")
	}
	var rest Manifests
	for _, object := range all {
		if object != found[0] {
			rest = append(rest, object)
		}
	}
	return Deployment{
		Namespace:      deployed.Namespace,
		ServiceAccount: pod.ServiceAccountName,
		Args:           pod.Containers[0].Args,
	}, rest, nil
}
