package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// tracedSpan is what a trace shows of one span.
type tracedSpan struct {
	Name       string
	Attributes map[string]string
	Calls      []tracedSpan
}

// Each run is one span, with its calls as children, and the platform is told which. Nothing else is sent anywhere.
func TestTraceOfARun(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	w := newWorld(t)
	w.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	w.restart()
	w.connect()
	w.platform.Inject(delossim.Fault{Op: delossim.OpUser, Failure: delossim.Answer{Status: 503}, Times: 1})
	recorder.Reset()
	w.bind(nil)
	w.reconcile()
	w.clock.Advance(firstRetry)
	w.reconcile()

	var ids []string
	for _, call := range w.platform.Calls() {
		ids = append(ids, call.RequestID)
	}
	if len(ids) != 4 {
		t.Fatalf("calls with the ids %q, want 4", ids)
	}
	host := w.host()
	run := map[string]string{"clientbinding.user": john, "clientbinding.cuid": acme, "clientbinding.host": host}
	call := func(name, method, id, status string, more ...string) tracedSpan {
		attributes := map[string]string{
			"http.request.method": method, "server.address": "127.0.0.1", "delos.request_id": id, "http.response.status_code": status,
		}
		for i := 0; i < len(more); i += 2 {
			attributes[more[i]] = more[i+1]
		}
		return tracedSpan{Name: name, Attributes: attributes}
	}
	want := []tracedSpan{
		{Name: "relation", Attributes: run, Calls: []tracedSpan{call("get-user", "GET", ids[0], "503", "error.type", "API unavailable")}},
		{Name: "relation", Attributes: run, Calls: []tracedSpan{call("get-user", "GET", ids[1], "200"), call("relate-client", "PUT", ids[2], "200"), call("get-user", "GET", ids[3], "200")}},
	}
	if diff := cmp.Diff(want, traces(recorder.Ended())); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	told := map[string]bool{}
	for _, call := range w.platform.Calls() {
		told[call.Traceparent] = true
	}
	for _, span := range recorder.Ended() {
		if parent := "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"; span.Name() != "relation" && !told[parent] {
			t.Errorf("the platform was not told of %s %s", span.Name(), parent)
		}
	}
}

// Without tracing the platform is sent no header of it.
func TestNoTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.connect()
	w.bind(nil)
	w.reconcile()

	for _, call := range w.platform.Calls() {
		if call.Traceparent != "" {
			t.Errorf("%s was sent the header traceparent %q", call.Op, call.Traceparent)
		}
	}
}

// traces are the spans without a parent, each with its children, as they ended.
func traces(ended []sdktrace.ReadOnlySpan) (found []tracedSpan) {
	shown := func(span sdktrace.ReadOnlySpan) tracedSpan {
		attributes := map[string]string{}
		for _, pair := range span.Attributes() {
			attributes[string(pair.Key)] = pair.Value.String()
		}
		return tracedSpan{Name: span.Name(), Attributes: attributes}
	}
	for _, span := range ended {
		if span.Parent().IsValid() {
			continue
		}
		root := shown(span)
		for _, child := range ended {
			if child.Parent().SpanID() == span.SpanContext().SpanID() {
				root.Calls = append(root.Calls, shown(child))
			}
		}
		found = append(found, root)
	}
	return found
}
