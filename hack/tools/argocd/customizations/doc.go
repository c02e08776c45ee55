// Package customizations tests the health scripts and actions of config/argocd with Argo CD's own interpreter. It reads
// them from the generated patch of the ConfigMap, and enables only the default Lua libraries. The
// tests of Argo CD's repository enable all libraries, and so accept scripts that fail for users.
package customizations
