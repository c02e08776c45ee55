// Package sandbox runs the operator and its environment on this machine: a real Kubernetes control plane, the
// simulated Delos platform, and the operator as a separate process with the shipped rights.
// Everything listens on loopback and keeps its files in one temporary directory.
//
// It is for tests and tools, never for the operator itself. Both start it in the same way, and it ends with them:
//
//	box := sandbox.Start(t, sandbox.Options{})
//	tenant := box.NewTenant(t, "team-a", delossim.Examples())
//	sandbox.Must(t, box.Operator.Start(t.Context()))
//
// In a test t is its *testing.T. In a program, or in the TestMain of a package, t is the [Command] of [Main].
package sandbox
