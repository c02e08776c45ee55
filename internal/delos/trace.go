package delos

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// beginSpan begins the span of a request. Spans leave the cluster, so they have no address, no body and no text of the API.
func (c *Client) beginSpan(ctx context.Context, call call) (context.Context, trace.Span) {
	return c.config.Tracer.Start(ctx, string(call.operation), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", call.method),
		attribute.String("server.address", c.config.BaseURL.Hostname()),
		attribute.String("delos.request_id", call.requestID),
	))
}

func endSpan(span trace.Span, got answer, err error) {
	if got.status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", got.status))
	}
	if kind := KindOf(err); kind != KindNone {
		span.SetAttributes(attribute.String("error.type", kind.String()))
		span.SetStatus(otelcodes.Error, "")
	}
	span.End()
}
