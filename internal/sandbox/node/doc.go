// Package node starts a Kubernetes cluster of one node that runs pods, for tests of the image and the chart, and for people.
// With Docker it is a cluster of kind. Without Docker, on Linux and as root, it is a real control plane, kubelet, containerd,
// kube-proxy and CoreDNS in separate namespaces.
//
// All processes of the latter are below one init process in a PID namespace, everything that they mount is in a mount
// namespace, their files are on a tmpfs there, and their addresses and iptables rules are in a network namespace. So the
// kernel removes all of it when the init process ends. A directory and empty cgroups remain.
// Stop removes them. If Stop could not run, the next Start of a cluster with the same name does.
package node
