//go:build metrics

package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// prometheus is a running Prometheus.
type prometheus struct{ url string }

// startPrometheus starts a Prometheus that scrapes addresses of the operator each second, as an account with the shipped role, and evaluates
// the shipped alerts.
func startPrometheus(t *testing.T, addresses ...string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs("../../config/prometheus/rules.yaml")
	sandbox.Must(t, err)
	directory := t.TempDir()
	token := filepath.Join(directory, "token")
	sandbox.Must(t, os.WriteFile(token, []byte(readersToken(t)), 0o600))
	config, err := yaml.Marshal(map[string]any{
		"global":     map[string]any{"scrape_interval": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{rules},
		"scrape_configs": []any{map[string]any{
			"job_name": "clientbinding-operator", "scheme": "https", "scrape_timeout": "1s",
			"authorization":  map[string]any{"credentials_file": token},
			"tls_config":     map[string]any{"insecure_skip_verify": true},
			"static_configs": []any{map[string]any{"targets": addresses}},
		}},
	})
	sandbox.Must(t, err)
	sandbox.Must(t, os.WriteFile(filepath.Join(directory, "prometheus.yml"), config, 0o600))
	listen, err := sandbox.FreeAddress(t.Context())
	sandbox.Must(t, err)
	p := &prometheus{url: "http://" + listen}
	_, err = box.StartProgram(t.Context(), sandbox.Program{
		Name: "prometheus", Path: "/usr/bin/prometheus",
		Args: []string{
			"--config.file=" + filepath.Join(directory, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(directory, "data"),
			"--web.listen-address=" + listen,
		},
		Ready: func(ctx context.Context) bool { return sandbox.Answers(ctx, p.url+"/-/ready") },
	})
	sandbox.Must(t, err)
	return p
}

// readersToken is a token of an account with the shipped role for Prometheus.
func readersToken(t *testing.T) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: box.Deployment.Namespace, Name: "prometheus"}}
	box.Create(t, account, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "clientbinding-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	})
	request := &authenticationv1.TokenRequest{}
	sandbox.Must(t, box.Kube.SubResource("token").Create(t.Context(), account, request))
	return request.Status.Token
}

// sample is a time in seconds and a value, as Prometheus writes it.
type sample [2]any

func (s sample) value() float64 {
	value, _ := strconv.ParseFloat(s[1].(string), 64)
	return value
}

// series is one of a result.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  sample            `json:"value,omitzero"`
	Values []sample          `json:"values,omitempty"`
}

// labels are those of a series, sorted, as in `connection=ns/name reason=Bound`.
func (s series) labels() string {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(s.Metric)) {
		labels = append(labels, name+"="+s.Metric[name])
	}
	return strings.Join(labels, " ")
}

// instant is the result of an expression at a time.
func (p *prometheus) instant(ctx context.Context, expression string, at time.Time) (map[string]float64, error) {
	found, err := p.ask(ctx, "/api/v1/query", url.Values{"query": {expression}, "time": {unix(at)}})
	values := map[string]float64{}
	for _, series := range found {
		values[series.labels()] = series.Value.value()
	}
	return values, err
}

// over is the result of an expression between two times, for each second.
func (p *prometheus) over(ctx context.Context, expression string, from, to time.Time) ([]series, error) {
	return p.ask(ctx, "/api/v1/query_range", url.Values{"query": {expression}, "start": {unix(from)}, "end": {unix(to)}, "step": {"1"}})
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func (p *prometheus) ask(ctx context.Context, path string, query url.Values) ([]series, error) {
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []series `json:"result"`
		} `json:"data"`
	}
	if err := p.get(ctx, path+"?"+query.Encode(), &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s: %s", query.Get("query"), answer.Error)
	}
	return answer.Data.Result, nil
}

func (p *prometheus) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	return json.NewDecoder(response.Body).Decode(answer)
}
