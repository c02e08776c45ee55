package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	argoNamespace = "argocd"
	// argoAccount is as whom Argo CD acts. Its role, like the one that Argo CD ships with, has all verbs on everything.
	argoAccount = "argocd-application-controller"
)

// argo is the Argo CD that runs here.
type argo struct {
	// server is the address of its API.
	server string
	cli    string
	env    []string
}

// overlay installs Argo CD in the way the guide describes: its own manifests, and ours as a component.
const overlay = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: argocd
resources:
- %[1]s/manifests/crds
- %[1]s/manifests/config
- %[1]s/manifests/rbac
- others.yaml
components:
- %[2]s/config/argocd
`

// others is what comes with Argo CD besides, or is made by a part that does not run here.
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
func (s *stage) installArgo(ctx context.Context) error {
	dir := filepath.Join(s.box.Dir(), "install-argocd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	var relative []any
	for _, path := range []string{s.parts.argocd, root} {
		// kustomize takes no absolute paths.
		path, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		relative = append(relative, path)
	}
	for name, text := range map[string]string{"kustomization.yaml": fmt.Sprintf(overlay, relative...), "others.yaml": others} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	manifests, err := sandbox.Render(ctx, dir)
	if err != nil {
		return err
	}
	// A project needs its CRD.
	if err := s.cluster.Apply(ctx, manifests.Kind("CustomResourceDefinition")); err != nil {
		return err
	}
	if err := s.cluster.WaitForCRDs(ctx); err != nil {
		return err
	}
	return s.cluster.Apply(ctx, manifests)
}

// startArgo starts the parts of Argo CD that work here without pods.
func (s *stage) startArgo(ctx context.Context) error {
	kubeconfig := filepath.Join(s.box.Dir(), "argocd.kubeconfig")
	if err := s.cluster.ServiceAccountKubeconfig(ctx, argoNamespace, argoAccount, kubeconfig); err != nil {
		return err
	}
	env, err := s.argoEnvironment()
	if err != nil {
		return err
	}
	var ports [8]string
	for i := range ports {
		address, err := sandbox.FreeAddress(ctx)
		if err != nil {
			return err
		}
		ports[i] = address[strings.LastIndex(address, ":")+1:]
	}
	at := func(i int) string { return "127.0.0.1:" + ports[i] }
	s.argo = &argo{server: at(4), cli: filepath.Join(s.parts.argocd, "argocd"), env: env}
	for _, p := range []struct {
		name, path string
		args       []string
		ready      func(context.Context) bool
	}{
		{"redis", s.parts.redis, []string{"--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", ports[0]}, accepts(at(0))},
		{"argocd-repo-server", "", []string{"--address=127.0.0.1", "--port=" + ports[1], "--metrics-address=127.0.0.1", "--metrics-port=" + ports[2],
			"--redis=" + at(0), "--disable-tls", "--client-ca-path=", "--revision-cache-expiration=1s"}, healthy(at(2))},
		{"argocd-application-controller", "", []string{"--redis=" + at(0), "--repo-server=" + at(1), "--repo-server-plaintext",
			"--metrics-port=" + ports[3], "--app-resync=3", "--app-resync-jitter=0"}, healthy(at(3))},
		{"argocd-server", "", []string{"--address=127.0.0.1", "--port=" + ports[4], "--metrics-port=" + ports[5], "--insecure", "--disable-auth",
			"--redis=" + at(0), "--repo-server=" + at(1), "--repo-server-plaintext"}, healthy(at(4))},
		{"argocd-applicationset-controller", "", []string{"--metrics-addr=" + at(6), "--probe-addr=" + at(7), "--webhook-addr=127.0.0.1:0",
			"--argocd-repo-server=" + at(1), "--repo-server-plaintext"}, answers(at(6), "/metrics")},
	} {
		if p.path == "" {
			p.path = filepath.Join(s.parts.argocd, p.name)
		}
		_, err := s.box.StartProgram(ctx, sandbox.Program{
			Name: p.name, Path: p.path, Args: p.args, Env: env, Kubeconfig: kubeconfig, Ready: p.ready,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// argoEnvironment is that of all parts: what they write goes below the sandbox's directory.
func (s *stage) argoEnvironment() ([]string, error) {
	bin := filepath.Join(s.box.Dir(), "argocd-bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return nil, err
	}
	if err := os.Symlink(s.parts.kustomize, filepath.Join(bin, "kustomize")); err != nil {
		return nil, err
	}
	env := []string{
		"PATH=" + strings.Join([]string{bin, s.parts.argocd, os.Getenv("PATH")}, string(os.PathListSeparator)),
		// There is no pod around it.
		"ARGOCD_FAKE_IN_CLUSTER=true",
		"ARGOCD_GPG_ENABLED=false",
		"ARGOCD_ASK_PASS_SOCK=" + filepath.Join(s.box.Dir(), "argocd-ask-pass.sock"),
	}
	for _, name := range []string{"HOME", "TMPDIR", "ARGOCD_GNUPGHOME", "ARGOCD_GPG_DATA_PATH", "ARGOCD_TLS_DATA_PATH", "ARGOCD_SSH_DATA_PATH", "ARGOCD_PLUGINSOCKFILEPATH"} {
		dir := filepath.Join(s.box.Dir(), "argocd", strings.ToLower(name))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		env = append(env, name+"="+dir)
	}
	return env, nil
}

func healthy(address string) func(context.Context) bool { return answers(address, "/healthz") }

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
func (a *argo) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, a.cli, append([]string{"--server", a.server, "--plaintext"}, args...)...)
	cmd.Env = a.env
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("argocd %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), ctx.Err()
}

// newNamespace makes a namespace.
func (s *stage) newNamespace(ctx context.Context, name string) error {
	return s.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}
