// Package customizations tries the health scripts and actions of config/argocd with Argo CD's own interpreter, and as
// Argo CD would be given them: from the generated patch of its ConfigMap, with the closed set of Lua libraries. The
// tests of Argo CD's repository run such scripts with all libraries, and let pass what then fails for users.
package customizations
