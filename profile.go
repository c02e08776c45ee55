//go:build profile

package main

import (
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// init serves the heap profile if the environment names an address. Only builds for measurements contain it.
func init() {
	address := os.Getenv("HEAP_PROFILE_ADDRESS")
	if address == "" {
		return
	}
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		_ = pprof.WriteHeapProfile(w) // a profile that is cut short does not decode
	})}
	go func() { _ = server.ListenAndServe() }() // a measurement that does not reach it fails
}
