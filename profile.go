//go:build profile

package main

import (
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// init serves the profile of the heap, in a build for measurements, where the environment asks for it.
func init() {
	address := os.Getenv("HEAP_PROFILE_ADDRESS")
	if address == "" {
		return
	}
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		_ = pprof.WriteHeapProfile(w) // the caller sees that it is cut
	})}
	go func() { _ = server.ListenAndServe() }() // what cannot be reached has failed
}
