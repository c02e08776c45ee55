package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// Addresses in the cluster's own network namespace. They reach no process outside.
const (
	nodeAddress  = "10.244.0.1"
	podNetwork   = "10.244.0.0/24"
	apiServer    = "127.0.0.1:6443"
	services     = "10.96.0.0/16"
	nodeName     = "node"
	pauseImage   = "localhost/clientbinding-cluster/pause:1"
	containerdAt = "/run/containerd/containerd.sock"
	// networkPlugins is where Debian has the CNI plugins.
	networkPlugins = "/usr/lib/cni"
	// token is an administrator's. It is valid only for this cluster, which listens on loopback.
	token = "administrator"
	// partLimit is how long a part of the cluster may take.
	partLimit = 2 * time.Minute
)

// run starts all parts, and returns when pods can run.
func (s settings) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	if err := errors.Join(ownFiles(), ownNetwork(ctx), makeCgroups(title(s.Name))); err != nil {
		return err
	}
	// The parts write all files below the directory.
	if err := os.Setenv("TMPDIR", s.Directory); err != nil {
		return err
	}
	box, err := sandbox.New()
	if err != nil {
		return err
	}
	n := &parts{settings: s, box: box, dir: box.Dir()}
	if err := n.writeFiles(); err != nil {
		return err
	}
	var first errgroup.Group
	first.Go(func() error { return n.startControlPlane(ctx) })
	first.Go(func() error { return n.startContainerd(ctx) })
	if err := first.Wait(); err != nil {
		return err
	}
	if err := n.startRest(ctx); err != nil {
		return err
	}
	address, err := forward(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	return n.writeKubeconfig(filepath.Join(s.Directory, "kubeconfig"), address)
}

// ownFiles mounts private directories where all parts write to by default.
func ownFiles() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leaving the mounts of others alone: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, path := range []string{"/run", "/var/lib", "/var/log"} {
		if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", path, err)
		}
	}
	return nil
}

// ownNetwork sets up the network namespace: a bridge for the pods, with the node's address.
func ownNetwork(ctx context.Context) error {
	for _, command := range []string{
		"link set lo up",
		"link add cni0 type bridge",
		"address add " + nodeAddress + "/24 dev cni0",
		"link set cni0 up",
		// The API server asks for one, kube-proxy too.
		"route add default dev cni0",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

// parts are the programs of a cluster.
type parts struct {
	settings

	box *sandbox.Sandbox
	dir string
	// kube is an administrator's client; kubeconfig a file for the parts.
	kube       kubernetes.Interface
	kubeconfig string
}

//go:embed files.txt
var filesText string

// writeFiles writes the configuration of all parts, and the credentials of the API server's callers.
func (n *parts) writeFiles() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	n.kubeconfig = n.file("admin.kubeconfig")
	files := map[string]string{
		"accounts.key": string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
		"tokens.csv":   token + ",administrator,administrator,system:masters\n",
	}
	configuration, err := template.New("").Parse(filesText)
	if err != nil {
		return err
	}
	for _, part := range configuration.Templates() {
		var text strings.Builder
		if err := part.Execute(&text, map[string]string{
			"Kubeconfig": n.kubeconfig, "NodeAddress": nodeAddress, "NodeName": nodeName, "PodNetwork": podNetwork,
			"PauseImage": pauseImage, "NetworkPlugins": networkPlugins, "NetworkConfig": n.dir, "Containerd": containerdAt, "Cgroup": "/" + title(n.Name),
		}); err != nil {
			return err
		}
		files[part.Name()] = text.String()
	}
	for name, text := range files {
		if name == "" {
			continue
		}
		if err := os.WriteFile(n.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *parts) file(name string) string { return filepath.Join(n.dir, name) }

// start starts a program of the control plane or of the node.
func (n *parts) start(ctx context.Context, path string, ready func(context.Context) bool, args ...string) error {
	_, err := n.box.StartProgram(ctx, sandbox.Program{
		Name: filepath.Base(path), Path: path, Args: args, Kubeconfig: n.kubeconfig, Ready: ready,
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.dir, "TMPDIR=" + n.dir},
	})
	return err
}

func healthy(url string) func(context.Context) bool {
	return func(ctx context.Context) bool { return sandbox.Answers(ctx, url) }
}

// startControlPlane starts etcd and the API server, which signs its certificate itself.
func (n *parts) startControlPlane(ctx context.Context) error {
	if err := n.start(ctx, filepath.Join(n.Assets, "etcd"), healthy("http://127.0.0.1:2379/readyz"),
		"--data-dir="+n.file("etcd"), "--unsafe-no-fsync", "--listen-peer-urls=http://127.0.0.1:0",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"); err != nil {
		return err
	}
	return n.start(ctx, filepath.Join(n.Assets, "kube-apiserver"), n.apiServerReady,
		"--etcd-servers=http://127.0.0.1:2379", "--cert-dir="+n.dir, "--bind-address=0.0.0.0", "--secure-port=6443",
		"--advertise-address="+nodeAddress, "--kubelet-preferred-address-types=InternalIP", "--service-cluster-ip-range="+services, "--authorization-mode=RBAC",
		"--token-auth-file="+n.file("tokens.csv"), "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+n.file("accounts.key"), "--service-account-signing-key-file="+n.file("accounts.key"))
}

// apiServerReady reports whether the API server can be used, and prepares its client.
func (n *parts) apiServerReady(ctx context.Context) bool {
	if err := n.writeKubeconfig(n.kubeconfig, apiServer); err != nil {
		return false // it has not written its certificate yet
	}
	config, err := clientcmd.BuildConfigFromFlags("", n.kubeconfig)
	if err != nil {
		return false
	}
	config.QPS, config.Burst = -1, -1
	if n.kube, err = kubernetes.NewForConfig(rest.AddUserAgent(config, title(n.Name))); err != nil {
		return false
	}
	_, err = n.kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err == nil
}

// writeKubeconfig writes one for an administrator who reaches the API server at an address.
func (n *parts) writeKubeconfig(file, address string) error {
	certificate, err := os.ReadFile(n.file("apiserver.crt"))
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[n.Name] = &clientcmdapi.Cluster{Server: "https://" + address, CertificateAuthorityData: certificate, TLSServerName: "localhost"}
	config.AuthInfos[n.Name] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[n.Name] = &clientcmdapi.Context{Cluster: n.Name, AuthInfo: n.Name}
	config.CurrentContext = n.Name
	return clientcmd.WriteToFile(*config, file)
}

// startContainerd starts containerd, with the image that holds the namespaces of each pod.
func (n *parts) startContainerd(ctx context.Context) error {
	if err := n.start(ctx, "/usr/bin/containerd", func(ctx context.Context) bool {
		return exec.CommandContext(ctx, "ctr", "version").Run() == nil
	}, "--config="+n.file("containerd.toml")); err != nil {
		return err
	}
	here := &Cluster{}
	return here.LoadBinary(ctx, pauseImage, filepath.Join(n.Programs, pauseProgram))
}

// startRest starts the parts that need the API server, and waits until a pod could run.
func (n *parts) startRest(ctx context.Context) error {
	certificates := "--cert-dir=" + n.dir
	var group errgroup.Group
	for _, part := range []struct {
		path  string
		ready func(context.Context) bool
		args  []string
	}{
		{filepath.Join(n.Assets, sandbox.ControllerManager), n.accountsAreMade, []string{
			"--kubeconfig=" + n.kubeconfig, certificates, "--leader-elect=false", "--use-service-account-credentials=false",
			"--root-ca-file=" + n.file("apiserver.crt"), "--service-account-private-key-file=" + n.file("accounts.key"),
			// It lists every kind for each deleted namespace.
			"--kube-api-qps=200", "--kube-api-burst=400",
		}},
		{filepath.Join(n.Assets, "kube-scheduler"), listens("127.0.0.1:10259"), []string{"--kubeconfig=" + n.kubeconfig, certificates, "--leader-elect=false"}},
		{filepath.Join(n.Assets, "kube-proxy"), healthy("http://127.0.0.1:10256/livez"), []string{"--config=" + n.file("proxy.yaml")}},
		{filepath.Join(n.Assets, "kubelet"), n.nodeIsReady, []string{
			"--config=" + n.file("kubelet.yaml"), "--kubeconfig=" + n.kubeconfig, certificates,
			"--hostname-override=" + nodeName, "--node-ip=" + nodeAddress,
		}},
		{filepath.Join(n.Programs, dnsProgram), resolves, []string{"-conf=" + n.file("Corefile")}},
	} {
		group.Go(func() error { return n.start(ctx, part.path, part.ready, part.args...) })
	}
	return group.Wait()
}

func listens(address string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	}
}

// accountsAreMade reports whether a namespace has its ServiceAccount and its ConfigMap of certificates, which each pod needs.
func (n *parts) accountsAreMade(ctx context.Context) bool {
	_, noAccount := n.kube.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	_, noAuthority := n.kube.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
	return noAccount == nil && noAuthority == nil
}

func (n *parts) nodeIsReady(ctx context.Context) bool {
	node, err := n.kube.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// resolves reports whether the cluster's DNS knows the Service kubernetes.
func resolves(ctx context.Context) bool {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(nodeAddress, "53"))
	}}
	_, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	return err == nil
}
