//go:build argocd

package argocd

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	argoNamespace = "argocd"
	// argoAccount is Argo CD's account. Its role, like the shipped one, has all verbs on everything.
	argoAccount = "argocd-application-controller"
)

// argoCD is the running Argo CD.
type argoCD struct {
	// server is the address of its API.
	server     string
	cli        string
	env        []string
	controller *sandbox.StartedProgram
}

// overlay installs Argo CD as in the guide: its own manifests, and ours as a component.
const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: argocd
resources:
- %[1]s/source/manifests/crds
- %[1]s/source/manifests/base/config
- %[1]s/source/manifests/cluster-rbac/application-controller
- others.yaml
components:
- %[2]s/config/argocd
`

// others are further objects of Argo CD, and objects of parts that do not run here.
const others = `apiVersion: v1
kind: Namespace
metadata:
  name: argocd
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: argocd-application-controller
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata:
  name: default
spec:
  sourceRepos: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
`

// installArgo applies Argo CD's manifests, with the health and the actions of our kinds.
func installArgo(c *sandbox.Command) {
	dir := filepath.Join(box.Dir(), "install-argocd")
	sandbox.Must(c, os.Mkdir(dir, 0o700))
	var relative []any
	for _, path := range []string{os.Getenv("ARGOCD_ASSETS"), root} {
		path, err := filepath.Abs(path)
		sandbox.Must(c, err)
		// kustomize takes no absolute paths.
		path, err = filepath.Rel(dir, path)
		sandbox.Must(c, err)
		relative = append(relative, path)
	}
	for name, text := range map[string]string{"kustomization.yaml": fmt.Sprintf(overlay, relative...), "others.yaml": others} {
		sandbox.Must(c, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	manifests, err := sandbox.Render(c.Context(), dir)
	sandbox.Must(c, err)
	// A project needs its CRD.
	sandbox.Must(c, box.Cluster.Apply(c.Context(), manifests.Kind("CustomResourceDefinition")))
	sandbox.Must(c, box.Cluster.WaitForCRDs(c.Context()))
	sandbox.Must(c, box.Cluster.Apply(c.Context(), manifests))
}

// startArgo starts the parts of Argo CD that work here without pods.
func startArgo(c *sandbox.Command) {
	kubeconfig := filepath.Join(box.Dir(), "argocd.kubeconfig")
	sandbox.Must(c, box.Cluster.ServiceAccountKubeconfig(c.Context(), argoNamespace, argoAccount, kubeconfig))
	programs, env := os.Getenv("ARGOCD_ASSETS"), argoEnvironment(c)
	var ports [8]string
	for i := range ports {
		address, err := sandbox.FreeAddress(c.Context())
		sandbox.Must(c, err)
		ports[i] = address[strings.LastIndex(address, ":")+1:]
	}
	at := func(i int) string { return "127.0.0.1:" + ports[i] }
	cli := filepath.Join(programs, "argocd")
	run := func(path, name string, ready func(context.Context) bool, args ...string) *sandbox.StartedProgram {
		started, err := box.StartProgram(c.Context(), sandbox.Program{
			Name: name, Path: path, Args: args, Env: append(slices.Clone(env), "ARGOCD_BINARY_NAME="+name), Kubeconfig: kubeconfig, Ready: ready,
		})
		sandbox.Must(c, err)
		return started
	}
	redis, err := exec.LookPath("redis-server")
	sandbox.Must(c, err)
	run(redis, "redis-server", accepts(at(0)), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", ports[0])
	run(cli, "argocd-repo-server", answers(at(2), "/healthz"),
		"--address=127.0.0.1", "--port="+ports[1], "--metrics-address=127.0.0.1", "--metrics-port="+ports[2],
		"--redis="+at(0), "--disable-tls", "--client-ca-path=", "--revision-cache-expiration=1s")
	argo = &argoCD{server: at(4), cli: cli, env: env}
	argo.controller = run(cli, "argocd-application-controller", answers(at(3), "/healthz"),
		"--redis="+at(0), "--repo-server="+at(1), "--repo-server-plaintext", "--metrics-port="+ports[3], "--app-resync=3", "--app-resync-jitter=0")
	run(cli, "argocd-server", answers(at(4), "/healthz"),
		"--address=127.0.0.1", "--port="+ports[4], "--metrics-port="+ports[5], "--insecure", "--disable-auth",
		"--redis="+at(0), "--repo-server="+at(1), "--repo-server-plaintext")
	run(cli, "argocd-applicationset-controller", answers(at(6), "/metrics"),
		"--metrics-addr="+at(6), "--probe-addr="+at(7), "--webhook-addr=127.0.0.1:0", "--argocd-repo-server="+at(1), "--repo-server-plaintext")
}

// argoEnvironment is the environment of all parts: their files go below the sandbox's directory.
func argoEnvironment(c *sandbox.Command) []string {
	bin := filepath.Join(box.Dir(), "argocd-bin")
	sandbox.Must(c, os.Mkdir(bin, 0o700))
	path, err := kustomize(c)
	sandbox.Must(c, err)
	sandbox.Must(c, os.Symlink(path, filepath.Join(bin, "kustomize")))
	// Called by the repo server, also where signatures are not checked. A module's files have no run bit.
	for _, name := range []string{"git-verify-wrapper.sh", "gpg-wrapper.sh"} {
		script, err := os.ReadFile(filepath.Join(os.Getenv("ARGOCD_ASSETS"), "source", "hack", name))
		sandbox.Must(c, err)
		sandbox.Must(c, os.WriteFile(filepath.Join(bin, name), script, 0o700))
	}
	env := []string{
		"PATH=" + strings.Join([]string{bin, os.Getenv("ARGOCD_ASSETS"), os.Getenv("PATH")}, string(os.PathListSeparator)),
		// There is no pod around it.
		"ARGOCD_FAKE_IN_CLUSTER=true",
		"ARGOCD_GPG_ENABLED=false",
		"ARGOCD_ASK_PASS_SOCK=" + filepath.Join(box.Dir(), "argocd-ask-pass.sock"),
	}
	for _, name := range []string{"HOME", "TMPDIR", "ARGOCD_GNUPGHOME", "ARGOCD_GPG_DATA_PATH", "ARGOCD_TLS_DATA_PATH", "ARGOCD_SSH_DATA_PATH", "ARGOCD_PLUGINSOCKFILEPATH"} {
		dir := filepath.Join(box.Dir(), "argocd", strings.ToLower(name))
		sandbox.Must(c, os.MkdirAll(dir, 0o700))
		env = append(env, name+"="+dir)
	}
	return env
}

func answers(address, path string) func(context.Context) bool {
	return func(ctx context.Context) bool { return sandbox.Answers(ctx, "http://"+address+path) }
}

func accepts(address string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	}
}

// run calls Argo CD's command line, as a person would.
func (a *argoCD) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := a.try(t, args...)
	sandbox.Must(t, err)
	return out
}

func (a *argoCD) try(t *testing.T, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), a.cli, append([]string{"--server", a.server, "--plaintext"}, args...)...)
	cmd.Env = a.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("argocd %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// print shows the output for a person, for the guide.
func (a *argoCD) print(t *testing.T, args ...string) {
	t.Helper()
	if *show {
		t.Logf("$ argocd %s\n%s", strings.Join(args, " "), a.run(t, args...))
	}
}
