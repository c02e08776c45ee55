//go:build e2e

package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	simulatorName = "simulator"
	// dataKey, certificateKey and keyKey are in the simulator's Secret.
	dataKey, certificateKey, keyKey = "data.json", "tls.crt", "tls.key"
	adminPort                       = 9000
	apiPort                         = 8443
)

// platform is a simulated platform that runs as a pod.
type platform struct {
	// URL is the API's, in the cluster.
	URL string
	// CABundle is its self-signed certificate.
	CABundle string

	admin string
}

// newPlatform starts a platform in a new namespace, which is deleted at the end of the test.
func newPlatform(t *testing.T, name string, config delossim.Config) *platform {
	t.Helper()
	namespace := newNamespace(t, name)
	host := simulatorName + "." + namespace + ".svc"
	certificate, key := selfSigned(t, host)
	data, err := json.Marshal(map[string]any{
		"users": config.Users, "clients": config.Clients, "accounts": []delossim.Account{sandbox.Account},
	})
	sandbox.Must(t, err)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: simulatorName, Labels: map[string]string{"app": simulatorName}}
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{dataKey: data, certificateKey: certificate, keyKey: key}},
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Selector: meta.Labels,
			Ports:    []corev1.ServicePort{{Port: 443, TargetPort: intstr.FromInt32(apiPort)}},
		}},
		simulator(meta),
	} {
		sandbox.Must(t, kube.Create(t.Context(), object))
	}
	return &platform{
		URL:      "https://" + host,
		CABundle: string(certificate),
		admin:    "http://" + forward(t, theOnlyPod(t, meta), adminPort),
	}
}

// simulator is the Deployment: as restricted as the operator itself is.
func simulator(meta metav1.ObjectMeta) *appsv1.Deployment {
	const files = "/etc/simulator/"
	return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels},
			Spec: corev1.PodSpec{
				AutomountServiceAccountToken:  ptr.To(false),
				TerminationGracePeriodSeconds: ptr.To[int64](1),
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), RunAsGroup: ptr.To[int64](65532), FSGroup: ptr.To[int64](65532),
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{{
					Name:            simulatorName,
					Image:           simulatorImage,
					ImagePullPolicy: corev1.PullNever,
					Args: []string{
						"--data=" + files + dataKey, "--tls-certificate=" + files + certificateKey, "--tls-key=" + files + keyKey,
						"--allow-non-loopback", fmt.Sprintf("--listen=:%d", apiPort), fmt.Sprintf("--admin-listen=127.0.0.1:%d", adminPort),
					},
					ReadinessProbe: &corev1.Probe{
						ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(apiPort)}},
						PeriodSeconds: 1,
					},
					SecurityContext: &corev1.SecurityContext{
						AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
						Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
					},
					VolumeMounts: []corev1.VolumeMount{{Name: "files", MountPath: files, ReadOnly: true}},
				}},
				Volumes: []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}}},
			},
		},
	}}
}

// selfSigned makes a certificate for a host that is its own authority, and the key, in PEM.
func selfSigned(t *testing.T, host string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	sandbox.Must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 24),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	sandbox.Must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	sandbox.Must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// theOnlyPod waits until one of the pods of a Deployment is ready, and returns it.
func theOnlyPod(t *testing.T, meta metav1.ObjectMeta) *corev1.Pod {
	t.Helper()
	var ready *corev1.Pod
	sandbox.Within(t, time.Minute, func() string {
		found := readyPods(t, meta.Namespace, meta.Labels)
		if len(found) != 1 {
			return fmt.Sprintf("%d pods of %s are ready", len(found), meta.Name)
		}
		ready = &found[0]
		return ""
	})
	return ready
}

// forward makes a port of a pod reachable from here, as kubectl port-forward does, and returns the address.
func forward(t *testing.T, pod *corev1.Pod, port int) string {
	t.Helper()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	sandbox.Must(t, err)
	url := pods.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	stop, ready := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop) })
	forwarder, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url),
		[]string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, io.Discard)
	sandbox.Must(t, err)
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		t.Fatal(err)
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	ports, err := forwarder.GetPorts()
	sandbox.Must(t, err)
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local)
}

// ask asks the simulator's admin API.
func (p *platform) ask(t *testing.T, method, path string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.admin+path, nil)
	sandbox.Must(t, err)
	response, err := http.DefaultClient.Do(request)
	sandbox.Must(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	sandbox.Must(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", method, path, response.Status, body)
	}
	if into != nil {
		sandbox.Must(t, json.NewDecoder(bytes.NewReader(body)).Decode(into))
	}
}

// relations have isOwner by "user client", for all users.
func (p *platform) relations(t *testing.T) map[string]bool {
	t.Helper()
	var users []delossim.User
	p.ask(t, http.MethodGet, "/users", &users)
	all := map[string]bool{}
	for _, user := range users {
		for cuid, isOwner := range user.Relations {
			all[user.UUID+" "+cuid] = isOwner
		}
	}
	return all
}

// writes are the numbers of changes of each relation, by "PUT user client" or "DELETE user client".
func (p *platform) writes(t *testing.T) map[string]int {
	t.Helper()
	var answer struct {
		Calls []delossim.Call `json:"calls"`
	}
	p.ask(t, http.MethodGet, "/calls?last=1000000", &answer)
	counts := map[string]int{}
	for _, call := range answer.Calls {
		if call.Op == delossim.OpRelate || call.Op == delossim.OpUnrelate {
			counts[call.Method+" "+call.User+" "+call.CUID]++
		}
	}
	return counts
}

// forgetCalls makes writes count from now on.
func (p *platform) forgetCalls(t *testing.T) {
	t.Helper()
	p.ask(t, http.MethodDelete, "/calls", nil)
}
