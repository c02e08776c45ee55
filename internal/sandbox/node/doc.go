// Package node starts a Kubernetes cluster of one node that runs pods: for tests of what is shipped, and for people.
// With Docker it is a cluster of kind. Without, on Linux and as root, it is a real control plane, kubelet, containerd,
// kube-proxy and CoreDNS in namespaces of their own.
//
// All processes of the latter are below one init process in a PID namespace, everything that they mount is in a mount
// namespace, their files are on a tmpfs there, and their addresses and iptables rules are in a network namespace. So the
// kernel takes away all of it when the init process ends, however it ends. What is left are a directory and empty
// cgroups; Stop removes them, and the next Start of a cluster with the same name does where Stop could not.
package node
