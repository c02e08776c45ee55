package controller

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	ctrl "sigs.k8s.io/controller-runtime"
)

// beginSpan begins the span of a run. The log lines of the run have the id of its trace.
func beginSpan(ctx context.Context, tracer trace.Tracer, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	ctx, span := tracer.Start(ctx, name, trace.WithAttributes(attributes...))
	return ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithValues("traceID", span.SpanContext().TraceID().String())), span
}

// endSpan ends the span of a run. The text of an error is in the log.
func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
