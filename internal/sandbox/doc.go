// Package sandbox runs what the operator works with on this machine: a real Kubernetes control plane, the
// simulated Delos platform, and the operator as a process of its own, with no more rights than it ships with.
// Everything listens on loopback and keeps its files in one temporary directory.
//
// It is for tests and tools, never for the operator itself. A caller starts the parts it needs; Close stops
// them all, in reverse order, however far it came:
//
//	box, err := sandbox.New()
//	defer box.Close()
//	cluster, err := box.StartControlPlane(ctx, assets)
//	err = box.StartControllers(ctx, cluster) // for namespaces that end
//	deployment, err := cluster.Install(ctx)
//	platform, err := box.StartSimulator(ctx, config)
//	operator, err := box.BuildOperator(ctx, cluster, deployment)
//	err = operator.Start(ctx)
package sandbox
