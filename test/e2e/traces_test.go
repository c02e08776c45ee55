package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// The operator's spans arrive at a real collector of OpenTelemetry and contain no secret, although the API repeats all secrets of
// its requests. The log has the ids of the traces. When the collector is gone, the operator still revokes access.
func TestTraces(t *testing.T) {
	collector, address := startCollector(t)
	n := newTenant(t, crowd())
	front := &echo{platform: n.Platform, secrets: map[string]bool{}}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	create(t, n.Secret(secretName, account))
	create(t, n.connection(server.URL))
	n.bindCrowd(t)
	aside := operator.Aside(filepath.Join(t.TempDir(), "operator.log"), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+address, "OTEL_BSP_SCHEDULE_DELAY=100")
	if err := aside.Start(t.Context(), verbose, "--leader-elect=false"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := aside.Stop(); err != nil {
			t.Error(err)
		}
	})

	sandbox.Within(t, 40*time.Second, func() string {
		printed, log := read(t, collector), read(t, aside)
		for _, span := range []string{"connection", "relation", "login", "get-user", "relate-client"} {
			if !regexp.MustCompile(`Name +: ` + span + `\n`).MatchString(printed) {
				return "no span " + span
			}
		}
		if !strings.Contains(printed, "service.name: Str(clientbinding-operator)") {
			return "no name of the service"
		}
		for _, line := range regexp.MustCompile(`"traceID":"([0-9a-f]{32})"`).FindAllStringSubmatch(log, -1) {
			if strings.Contains(printed, line[1]) {
				return ""
			}
		}
		return "no trace of the log"
	})
	printed := read(t, collector)
	front.mu.Lock()
	for secret := range front.secrets {
		if strings.Contains(printed, secret) {
			t.Errorf("a span has a secret: %.12s…", secret)
		}
	}
	if len(front.secrets) < 2 {
		t.Errorf("%d secrets were sent: nothing to look for", len(front.secrets))
	}
	front.over = true
	front.mu.Unlock()

	if err := collector.Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range waiting {
		if err := kube.Delete(t.Context(), n.Binding(fmt.Sprintf("binding-%d", i), "", "", false)); err != nil {
			t.Fatal(err)
		}
	}
	sandbox.Within(t, time.Minute, func() string { return n.each(func(name string) string { return n.gone(t, name) }) })
}

// startCollector builds and starts a collector that prints the received spans, and returns its address for OTLP/HTTP.
func startCollector(t *testing.T) (started *sandbox.StartedProgram, address string) {
	t.Helper()
	directory := t.TempDir()
	program, config := filepath.Join(directory, "collector"), filepath.Join(directory, "collector.yaml")
	if _, err := sandbox.Go(t.Context(), nil, "build", "-C", "hack/tools/collector", "-o", program, "."); err != nil {
		t.Fatal(err)
	}
	address, err := sandbox.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(`
receivers: {otlp: {protocols: {http: {endpoint: "`+address+`"}}}}
exporters: {debug: {verbosity: detailed, use_internal_logger: false}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	started, err = box.StartProgram(t.Context(), sandbox.Program{
		Name: "collector", Path: program, Args: []string{"--config=file:" + config},
		Ready: func(ctx context.Context) bool {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				return false
			}
			return connection.Close() == nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return started, address
}

func read(t *testing.T, of interface{ Log() (string, error) }) string {
	t.Helper()
	text, err := of.Log()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
