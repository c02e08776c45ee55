package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// action is something to try: a person is shown it as a command line, and --once does the same.
type action interface {
	fmt.Stringer
	do(ctx context.Context, s *stage) error
}

// kubectl is a call of kubectl.
type kubectl []string

func (k kubectl) String() string {
	words := []string{"kubectl"}
	for _, arg := range k {
		words = append(words, quote(arg))
	}
	return strings.Join(words, " ")
}

func (k kubectl) do(ctx context.Context, s *stage) error {
	_, err := s.Cluster.Kubectl(ctx, "", k...)
	return err
}

// call is a request to the simulator's admin API.
type call struct{ method, url, body string }

func (c call) String() string {
	return fmt.Sprintf("curl -X %s %s -d %s", c.method, c.url, quote(c.body))
}

func (c call) do(ctx context.Context, _ *stage) error {
	request, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", c, response.Status, text)
	}
	return err
}

var harmless = regexp.MustCompile(`^[A-Za-z0-9_./:=@-]+$`)

// quote makes one word of a text for a shell.
func quote(text string) string {
	if harmless.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// on is a call of kubectl about a binding.
func on(binding v1alpha1.ClientBinding, verb string, flags ...string) action {
	return append(kubectl{verb, "clientbinding", binding.Name, "--namespace", binding.Namespace}, flags...)
}

func promote(binding v1alpha1.ClientBinding) action {
	return on(binding, "patch", "--type=merge", "--patch", `{"spec":{"isOwner":true}}`)
}

func remove(binding v1alpha1.ClientBinding) action { return on(binding, "delete") }

func (s *stage) createUser(uuid string) action {
	return call{http.MethodPost, s.Platform.AdminURL + "/users", fmt.Sprintf(`{"uuid": %q, "username": "late.arrival"}`, uuid)}
}

func (s *stage) drift(binding v1alpha1.ClientBinding) action {
	return call{http.MethodPut,
		fmt.Sprintf("%s/users/%s/relations/%s", s.Platform.AdminURL, binding.Spec.UserUUID, binding.Spec.CUID),
		fmt.Sprintf(`{"isOwner": %t}`, !binding.Spec.IsOwner)}
}
