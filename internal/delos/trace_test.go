package delos

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// BenchmarkCall is a call without tracing, and with spans that go nowhere.
func BenchmarkCall(b *testing.B) {
	address := answering(b, 200, `[{"user": {"uuid": "`+john+`"}}]`)
	for name, change := range map[string]func(*Config){
		"off": func(*Config) {},
		"on":  func(config *Config) { config.Tracer = sdktrace.NewTracerProvider().Tracer("bench") },
	} {
		b.Run(name, func(b *testing.B) {
			api := newAPI(b, address, change)
			b.ReportAllocs()
			for b.Loop() {
				if err := api.Check(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
