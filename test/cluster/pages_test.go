//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// TestInstallPage types each block of README.md and docs/install.md that says that it is run here, as an administrator of the cluster. There is no
// release yet: for its image, chart and manifest those of this clone are taken. The blocks that apply manifests come first, then those about Helm.
func TestInstallPage(t *testing.T) {
	assets := strings.TrimSpace(run(t, "go", "run", "./hack/controlplane"))
	image := repository + ":" + version
	run(t, "make", "build-installer", "IMG="+image)
	directory := filepath.Join(root, "dist", "page")
	sandbox.Must(t, os.MkdirAll(directory, 0o750))
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	// Helm as a reader has it, but for the image.
	helm := fmt.Sprintf("#!/bin/sh\ncase \"$1\" in install|upgrade) set -- \"$@\" --set image.repository=%s --set image.tag=%s ;; esac\nexec %s \"$@\"\n",
		repository, version, filepath.Join(root, "bin", "helm"))
	sandbox.Must(t, os.WriteFile(filepath.Join(directory, "helm"), []byte(helm), 0o700))
	replace := strings.NewReplacer(
		"oci://ghcr.io/delos-financial/charts/clientbinding-operator", filepath.Join(root, chart), "CHART", filepath.Join(root, chart),
		"https://github.com/delos-financial/clientbinding-operator/releases/download/VERSION/install.yaml", filepath.Join(root, "dist", "install.yaml"),
		"https://github.com/delos-financial/clientbinding-operator//config/default?ref=VERSION", "../../config/default",
		"newName: registry.example.com/clientbinding-operator", "newName: "+repository+"\n  newTag: "+version,
	)
	environment := append(os.Environ(), "KUBECONFIG="+machine.Kubeconfig, "PATH="+directory+":"+assets+":"+os.Getenv("PATH"))
	block := regexp.MustCompile("(?ms)^ *<!-- run in test/cluster: [^\n]+ -->\n^ *```sh\n(.*?)^ *```$")
	kustomization := regexp.MustCompile("(?ms)^```yaml\n([^`]*?^kind: Kustomization\n.*?)^```$")
	var applying, helming []string
	for _, page := range []string{"README.md", "docs/install.md"} {
		content, err := os.ReadFile(filepath.Join(root, page))
		sandbox.Must(t, err)
		text := replace.Replace(string(content))
		if found := kustomization.FindStringSubmatch(text); found != nil {
			sandbox.Must(t, os.WriteFile(filepath.Join(directory, "kustomization.yaml"), []byte(found[1]), 0o600))
		}
		for _, found := range block.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(strings.TrimSpace(found[1]), "kubectl apply") {
				applying = append(applying, found[1])
			} else {
				helming = append(helming, found[1])
			}
		}
	}
	if len(applying) < 3 || len(helming) < 7 {
		t.Errorf("found %d blocks that apply manifests and %d about Helm", len(applying), len(helming))
	}
	const rollout = "\nkubectl rollout status -n " + systemNamespace + " deployment/" + operatorName + " --timeout=1m"
	uninstall(t)
	for _, script := range applying {
		sh(t, directory, environment, script+rollout)
	}
	sh(t, directory, environment, "kubectl delete --ignore-not-found --wait -f ../install.yaml")
	installed := false
	for _, script := range helming {
		installs := strings.Contains(script, "helm install")
		if installs && installed {
			uninstall(t)
		} else if !installs && !installed {
			install(t)
		}
		if strings.Contains(script, "--wait") {
			script += rollout
		}
		sh(t, directory, environment, script)
		installed = !strings.Contains(script, "helm uninstall")
	}
}

// sh runs a script as a reader would, but that it ends at the first command that fails.
func sh(t *testing.T, directory string, environment []string, script string) {
	t.Helper()
	command := exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "-eo", "pipefail", "-c", script)
	command.Dir, command.Env = directory, environment
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s\n%v\n%s", script, err, out)
	}
}
