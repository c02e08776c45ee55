// Package tracing sends spans to a collector of OpenTelemetry, if the standard environment variables name one.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// endWithin bounds the time in which the last spans are sent at the end of the process.
const endWithin = 2 * time.Second

// Tracing makes spans and sends them.
type Tracing struct {
	// Tracer makes spans; nil when tracing is off.
	Tracer   trace.Tracer
	provider *sdktrace.TracerProvider
}

// FromEnvironment returns tracing as the environment variables of OpenTelemetry configure it. It is off, and nothing runs, unless they
// name an endpoint. An error says which variable is wrong, and repeats no value that may be a secret. Spans that cannot be sent are
// dropped, with one line in the log a minute at most.
func FromEnvironment(ctx context.Context, service, version string, log logr.Logger) (Tracing, error) {
	endpoint, wanted, err := configured()
	if !wanted || err != nil {
		return Tracing{}, err
	}
	// The SDK would log values of variables that it does not understand, and OTEL_EXPORTER_OTLP_HEADERS has secrets.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(&complaints{log: log, now: time.Now})
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return Tracing{}, fmt.Errorf("sending spans to the endpoint that %s names: %w", endpoint, err)
	}
	// Attributes from the environment override the operator's own.
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)),
		resource.WithFromEnv(),
	)
	if err != nil {
		return Tracing{}, errors.New("OTEL_RESOURCE_ATTRIBUTES cannot be read: write key=value, separated by commas")
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return Tracing{Tracer: provider.Tracer(service), provider: provider}, nil
}

// End sends the remaining spans, within endWithin, and stops.
func (t Tracing) End(ctx context.Context) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// configured returns the variable that names the endpoint, and whether spans are wanted.
func configured() (endpoint string, wanted bool, err error) {
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if os.Getenv(variable) != "" {
			endpoint = variable
			break
		}
	}
	if endpoint == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return "", false, nil
	}
	switch os.Getenv("OTEL_TRACES_EXPORTER") {
	case "", "otlp":
	case "none":
		return "", false, nil
	default:
		return "", false, errors.New("OTEL_TRACES_EXPORTER has to be otlp or none")
	}
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		protocol := os.Getenv(variable)
		if protocol != "" && protocol != "http/protobuf" {
			return "", false, fmt.Errorf("%s has to be http/protobuf, which collectors take on port 4318: the operator speaks no other", variable)
		}
		if protocol != "" {
			break
		}
	}
	parsed, err := url.Parse(strings.TrimSpace(os.Getenv(endpoint)))
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "", false, fmt.Errorf("%s has to be a URL, such as http://collector:4318", endpoint)
	}
	return endpoint, true, nil
}
