// Package chart tries the Helm chart with Helm's own packages: what it renders, against what kustomize builds from config/, and what Helm does
// with it on a real API server.
package chart
