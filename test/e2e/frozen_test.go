package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// A leader is frozen between the record of a grant and its call. Another process takes over, revokes, and lets the object go.
// The first process resumes, and does not send the call.
func TestFrozenLeader(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: "user_0"}}, Clients: []string{"cust_0"}})
	n.connect(t)
	binding := n.Binding("late", "user_0", "cust_0", true)
	recorded, name := make(chan struct{}), binding.Name
	var first func() error
	kubeconfig := beforeAPIServer(t, sync.OnceFunc(func() {
		if err := first(); err != nil {
			t.Error(err)
		}
		close(recorded)
	}), func(answered *http.Request, answer []byte) bool {
		return answered.Method == http.MethodPatch && strings.HasSuffix(answered.URL.Path, "/"+name+"/status") &&
			bytes.Contains(answer, []byte(`"inFlight"`))
	})
	frozen := operator.Aside(filepath.Join(t.TempDir(), "frozen.log"), "KUBECONFIG="+kubeconfig)
	first = func() error { return frozen.Freeze(t.Context()) }
	if err := frozen.Start(t.Context(), verbose); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = frozen.Kill()
		// Other tests have no rival, and no lease to wait for.
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: operatorName + ".access.delos.financial"}}
		if err := kube.Delete(context.WithoutCancel(t.Context()), lease); err != nil {
			t.Error(err)
		}
	})
	create(t, binding)
	select {
	case <-recorded:
	case <-time.After(time.Minute):
		t.Fatal("no call was recorded:", frozen.LogEnd())
	}

	if err := operator.Start(t.Context(), verbose); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := kube.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	// The lease, and the time in which the call may still arrive.
	sandbox.Within(t, 2*time.Minute, func() string { return n.gone(t, name) })
	if err := frozen.Thaw(); err != nil {
		t.Fatal(err)
	}
	sandbox.Within(t, 30*time.Second, func() string {
		if !frozen.Ended() {
			return "the former leader goes on: " + frozen.LogEnd()
		}
		return ""
	})

	if got := n.Platform.Count(delossim.OpRelate); got != 0 {
		t.Errorf("%d grants were sent: %s", got, n.Platform.Summary())
	}
	if diff := cmp.Diff(map[string]bool{}, n.Platform.Relations("user_0")); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
}

// beforeAPIServer is a proxy before the API server. It reports a matching answer before it passes the answer on.
// It returns a kubeconfig.
func beforeAPIServer(t *testing.T, tell func(), isOne func(answered *http.Request, answer []byte) bool) (kubeconfig string) {
	t.Helper()
	dir := t.TempDir()
	direct := filepath.Join(dir, "direct")
	if err := cluster.ServiceAccountKubeconfig(t.Context(), systemNamespace, operatorName, direct); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", direct)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(request *httputil.ProxyRequest) { request.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // watches
		ModifyResponse: func(response *http.Response) error {
			if response.Request.Method == http.MethodGet {
				return nil
			}
			answer, err := io.ReadAll(response.Body)
			if err != nil {
				return err
			}
			response.Body = io.NopCloser(bytes.NewReader(answer))
			if isOne(response.Request, answer) {
				tell()
			}
			return nil
		},
	})
	t.Cleanup(func() {
		proxy.CloseClientConnections()
		proxy.Close()
	})
	through := clientcmdapi.NewConfig()
	through.Clusters["proxy"] = &clientcmdapi.Cluster{Server: proxy.URL}
	through.Contexts["proxy"] = &clientcmdapi.Context{Cluster: "proxy"}
	through.CurrentContext = "proxy"
	kubeconfig = filepath.Join(dir, "proxied")
	if err := clientcmd.WriteToFile(*through, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}
