// Package binaries builds programs from the Go modules that hack/tools pins, once, and keeps them in the user's cache.
package binaries
