package customizations

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	argo "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// actionTests is a file action_test.yaml.
type actionTests struct {
	DiscoveryTests []struct {
		InputPath string                `json:"inputPath"`
		Result    []argo.ResourceAction `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action               string `json:"action"`
		InputPath            string `json:"inputPath"`
		ExpectedOutputPath   string `json:"expectedOutputPath"`
		ExpectedErrorMessage string `json:"expectedErrorMessage"`
	} `json:"actionTests"`
}

func TestDiscovery(t *testing.T) {
	vm := lua.VM{ResourceOverrides: loadOverrides(t)}
	for _, kind := range kinds(t) {
		var file actionTests
		load(t, filepath.Join(kind, "actions", "action_test.yaml"), &file)
		for _, test := range file.DiscoveryTests {
			t.Run(filepath.Base(kind)+"/"+test.InputPath, func(t *testing.T) {
				object := loadObject(t, filepath.Join(kind, "actions", test.InputPath))
				scripts, err := vm.GetResourceActionDiscovery(object)
				if err != nil {
					t.Fatal(err)
				}
				got, err := vm.ExecuteResourceActionDiscovery(object, scripts)
				if err != nil {
					t.Fatal(err)
				}
				for _, actions := range [][]argo.ResourceAction{got, test.Result} {
					slices.SortFunc(actions, func(a, b argo.ResourceAction) int { return cmp.Compare(a.Name, b.Name) })
				}
				if diff := gocmp.Diff(test.Result, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

func TestActions(t *testing.T) {
	vm := lua.VM{ResourceOverrides: loadOverrides(t)}
	for _, kind := range kinds(t) {
		var file actionTests
		load(t, filepath.Join(kind, "actions", "action_test.yaml"), &file)
		for _, test := range file.ActionTests {
			t.Run(filepath.Base(kind)+"/"+test.Action+"/"+test.InputPath, func(t *testing.T) {
				object := loadObject(t, filepath.Join(kind, "actions", test.InputPath))
				action, err := vm.GetResourceAction(object, test.Action)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now().UTC().Truncate(time.Second)
				changed, err := vm.ExecuteResourceAction(object, action.ActionLua, nil)
				if message := messageOf(err); message != test.ExpectedErrorMessage {
					t.Fatalf("error %q, want %q", message, test.ExpectedErrorMessage)
				}
				if test.ExpectedErrorMessage != "" {
					return
				}
				if len(changed) != 1 || changed[0].K8SOperation != lua.PatchOperation {
					t.Fatalf("got %v, want one patch", changed)
				}
				got := changed[0].UnstructuredObj
				eraseTimes(t, got, object.GetAnnotations(), began)
				want := loadObject(t, filepath.Join(kind, "actions", test.ExpectedOutputPath))
				if diff := gocmp.Diff(numbers(want.Object), numbers(got.Object)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

func messageOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// eraseTimes checks that the time at the end of each annotation that the action set is that of the action, and puts the one of the
// expected output in its place.
func eraseTimes(t *testing.T, object *unstructured.Unstructured, before map[string]string, began time.Time) {
	t.Helper()
	annotations := object.GetAnnotations()
	for key, value := range annotations {
		if former, was := before[key]; was && former == value {
			continue
		}
		count, at, both := strings.Cut(value, "@")
		if !both {
			count, at = "", value
		} else {
			count += "@"
		}
		parsed, err := time.Parse(time.RFC3339, at)
		if err != nil || parsed.Before(began) || parsed.After(time.Now()) {
			t.Errorf("annotation %s: %s does not end with the time of the action (%v)", key, value, err)
		}
		annotations[key] = count + "0001-01-01T00:00:00Z"
	}
	object.SetAnnotations(annotations)
}

// numbers makes all numbers of one type: Lua has only one.
func numbers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		same := map[string]any{}
		for key, field := range value {
			same[key] = numbers(field)
		}
		return same
	case []any:
		var same []any
		for _, item := range value {
			same = append(same, numbers(item))
		}
		return same
	case int64:
		return float64(value)
	default:
		return value
	}
}
