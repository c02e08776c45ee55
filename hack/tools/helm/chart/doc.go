// Package chart tests the Helm chart with Helm's own packages. It compares the rendering with the output of kustomize for config/, and installs the
// chart on a real API server.
package chart
