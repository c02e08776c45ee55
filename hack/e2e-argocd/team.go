package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

const (
	john   = "user_abc123def"
	maria  = "158a190e-c4a9-4e6c-bf9b-4ef74ae345eb"
	nobody = "user_does_not_exist"
	cust   = "cust_789xyz"
	doxd   = "DoxdEEV-4IJq-zKeUYqrtqVDK"

	// The bindings of config/samples.
	johnOwns      = "john-owns-cust-789xyz"
	mariaUses     = "maria-uses-cust-789xyz"
	mariaOwnsDoxd = "maria-owns-doxdeev"
	nobodyUses    = "nobody-uses-cust-789xyz"

	team = "team-a"
)

// teamFiles are config/samples as a team would have them in its repository: as they are, but for the two things that
// only this machine knows, the address of its platform and the password of the account there. Those that are named in
// without are left out of the kustomization.
func (s *stage) teamFiles(dir string, without ...string) (map[string]string, error) {
	const samples = "config/samples"
	entries, err := os.ReadDir(samples)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	var resources []string
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(samples, entry.Name()))
		if err != nil {
			return nil, err
		}
		if entry.Name() == "kustomization.yaml" || slices.Contains(without, entry.Name()) {
			continue
		}
		files[filepath.Join(dir, entry.Name())] = string(text)
		resources = append(resources, entry.Name())
	}
	files[filepath.Join(dir, "kustomization.yaml")] = s.kustomization(resources)
	return files, nil
}

// kustomization lists resources, and has what only this machine knows.
func (s *stage) kustomization(resources []string) string {
	return fmt.Sprintf(`apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %s
patches:
- target: {kind: APIConnection}
  patch: '[{"op": "replace", "path": "/spec/url", "value": %q}]'
- target: {kind: Secret}
  patch: '[{"op": "replace", "path": "/stringData/%s", "value": %q}, {"op": "replace", "path": "/stringData/%s", "value": %q}]'
`, strings.Join(resources, "\n- "), s.platform.URL, v1alpha1.SecretKeyLogin, s.account.Login, v1alpha1.SecretKeyPassword, s.account.Password)
}

// play is all that a team does, in the order in which it would.
func (s *stage) play(ctx context.Context) error {
	for _, chapter := range []struct {
		heading string
		steps   func(context.Context) error
	}{
		{"A team delivers its bindings", s.playDelivery},
		{"Something is wrong", s.playTrouble},
		{"Suspension and expiry", s.playPauses},
		{"No differences, in any mode", s.playModes},
		{"Taking access away", s.playRemoval},
		{"Many client accounts", s.playAccounts},
		{"Who grants", s.playIdentity},
	} {
		s.report.Heading(chapter.heading)
		if err := chapter.steps(ctx); err != nil {
			return err
		}
	}
	return nil
}
