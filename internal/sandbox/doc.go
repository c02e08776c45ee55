// Package sandbox runs what the operator works with on this machine: a real Kubernetes control plane, the
// simulated Delos platform, and the operator as a process of its own, with no more rights than it ships with.
// Everything listens on loopback and keeps its files in one temporary directory.
//
// It is for tests and tools, never for the operator itself. Both start it alike, and it ends with them:
//
//	box := sandbox.Start(t, sandbox.Options{})
//	tenant := box.NewTenant(t, "team-a", delossim.Examples())
//	sandbox.Must(t, box.Operator.Start(t.Context()))
//
// In a test t is its *testing.T; in a program, or the TestMain of a package, it is what [Main] hands over.
package sandbox
