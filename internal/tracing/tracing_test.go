package tracing

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans by OTLP/HTTP.
type receiver struct {
	mu    sync.Mutex
	spans []string
	token string
	about map[string]string
}

func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(request.Body)
	var sent collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &sent); err != nil {
		r.spans = append(r.spans, err.Error())
		return
	}
	r.token = request.Header.Get("Authorization")
	for _, resource := range sent.ResourceSpans {
		for _, attribute := range resource.Resource.Attributes {
			if strings.HasPrefix(attribute.Key, "service.") || attribute.Key == "team" {
				r.about[attribute.Key] = attribute.Value.GetStringValue()
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.spans = append(r.spans, request.URL.Path+" "+span.Name)
			}
		}
	}
}

func TestSpansAreSent(t *testing.T) {
	for _, test := range []struct {
		name  string
		env   map[string]string
		want  []string
		about map[string]string
	}{
		{
			name:  "base endpoint",
			env:   map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"},
			want:  []string{"/v1/traces run"},
			about: map[string]string{"service.name": "operator", "service.version": "v1"},
		},
		{
			name:  "endpoint of traces, and names of the environment",
			env:   map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/spans", "OTEL_SERVICE_NAME": "mine", "OTEL_RESOURCE_ATTRIBUTES": "team=red"},
			want:  []string{"/spans run"},
			about: map[string]string{"service.name": "mine", "service.version": "v1", "team": "red"},
		},
		{
			name:  "nothing is sampled",
			env:   map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_TRACES_SAMPLER": "always_off"},
			about: map[string]string{},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			takes := &receiver{about: map[string]string{}}
			server := httptest.NewServer(takes)
			t.Cleanup(server.Close)
			for name, value := range test.env {
				t.Setenv(name, strings.Replace(value, "URL", server.URL, 1))
			}
			tracing, err := FromEnvironment(t.Context(), "operator", "v1", logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			_, span := tracing.Tracer.Start(t.Context(), "run")
			span.End()
			tracing.End(t.Context())
			takes.mu.Lock()
			defer takes.mu.Unlock()
			if diff := cmp.Diff(test.want, takes.spans); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.about, takes.about); diff != "" {
				t.Errorf("resource (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOff(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no endpoint":         {},
		"disabled":            {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}},
		"no exporter":         {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}},
		"another exporter":    {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, want: "OTEL_TRACES_EXPORTER has to be otlp or none"},
		"another protocol":    {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: "OTEL_EXPORTER_OTLP_PROTOCOL has to be http/protobuf, which collectors take on port 4318: the operator speaks no other"},
		"no URL":              {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "user:secret@collector:4318"}, want: "OTEL_EXPORTER_OTLP_ENDPOINT has to be a URL, such as http://collector:4318"},
		"attributes unlike k": {env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_RESOURCE_ATTRIBUTES": "secret"}, want: "OTEL_RESOURCE_ATTRIBUTES cannot be read: write key=value, separated by commas"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			before := runtime.NumGoroutine()
			tracing, err := FromEnvironment(t.Context(), "operator", "v1", logr.Discard())
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want || tracing != (Tracing{}) {
				t.Errorf("got %+v and error %q, want nothing and %q", tracing, got, test.want)
			}
			tracing.End(t.Context())
			if after := runtime.NumGoroutine(); after > before {
				t.Errorf("%d goroutines more than before", after-before)
			}
		})
	}
}

// A collector that never answers holds up nobody who makes spans: this test would not end.
func TestCollectorThatDoesNotAnswer(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	tracing, err := FromEnvironment(t.Context(), "operator", "v1", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	// More than the queue of the SDK holds.
	for range 5000 {
		_, span := tracing.Tracer.Start(t.Context(), "run")
		span.End()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tracing.End(ctx)
}

func TestComplaintsAreFew(t *testing.T) {
	var lines []string
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &complaints{now: func() time.Time { return now }, log: funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})}
	for range 3 {
		c.Handle(errors.New("refused\nby " + strings.Repeat("x", 400)))
	}
	now = now.Add(complainEvery)
	c.Handle(errors.New("refused again"))
	want := []string{
		`"level"=0 "msg"="spans could not be sent; nothing else is affected" "error"="refused by ` + strings.Repeat("x", 289) + `…" "errorsNotLogged"=0`,
		`"level"=0 "msg"="spans could not be sent; nothing else is affected" "error"="refused again" "errorsNotLogged"=2`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
