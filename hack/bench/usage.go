package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// usage is what was used since the start of each process.
type usage struct {
	// writes to the API server, by resource; creations of ClientBindings, which people make, are not among them.
	writes map[string]float64
	// serverCPU and etcdCPU are seconds of processor time, and server bytes of memory of the API server.
	serverCPU, etcdCPU, server float64
	operator                   sandbox.Usage
}

// operators are the resources that the operator may write, beside its lease.
var operators = []string{"clientbindings", "apiconnections", "secrets", "rolebindings", "events"}

// writesOf sums up what was written of some resources.
func (u usage) writesOf(resources ...string) (sum float64) {
	for _, resource := range resources {
		sum += u.writes[resource]
	}
	return sum
}

// used reads what was used, as each process tells.
func (t *trial) used() usage {
	clients, err := kubernetes.NewForConfig(t.Cluster.Config)
	sandbox.Must(t, err)
	text, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	sandbox.Must(t, err)
	server := t.metrics(text)
	etcd := t.metrics(t.stage.etcd(http.MethodGet, "/metrics", nil))
	u := usage{
		writes:    map[string]float64{},
		serverCPU: gauge(server, "process_cpu_seconds_total"),
		etcdCPU:   gauge(etcd, "process_cpu_seconds_total"),
		server:    gauge(server, "process_resident_memory_bytes"),
	}
	for _, metric := range server["apiserver_request_total"].GetMetric() {
		labels := map[string]string{}
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		creates := labels["resource"] == "clientbindings" && labels["verb"] == "POST"
		if !creates && slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, labels["verb"]) {
			u.writes[labels["resource"]] += metric.GetCounter().GetValue()
		}
	}
	if !t.Operator.Ended() {
		u.operator, err = t.Operator.Usage()
		sandbox.Must(t, err)
	}
	return u
}

func (t *trial) metrics(text []byte) map[string]*dto.MetricFamily {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	sandbox.Must(t, err)
	return families
}

// gauge is the value of a metric without labels.
func gauge(families map[string]*dto.MetricFamily, name string) float64 {
	for _, metric := range families[name].GetMetric() {
		return metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
	}
	return 0
}

// bindingsInEtcd are the keys of all ClientBindings, for etcd's JSON API.
var bindingsInEtcd = map[string]any{
	"key":       base64.StdEncoding.EncodeToString([]byte("/registry/access.delos.financial/clientbindings/")),
	"range_end": base64.StdEncoding.EncodeToString([]byte("/registry/access.delos.financial/clientbindings0")),
}

// clearBindings removes all ClientBindings with one request of etcd: by way of the API server that takes minutes.
func (s *stage) clearBindings() { s.etcd(http.MethodPost, "/v3/kv/deleterange", bindingsInEtcd) }

// stored is how many bytes etcd has for a ClientBinding, on average: its key and its value, without former versions.
func (s *stage) stored() float64 {
	var answer struct {
		KVs []struct{ Key, Value []byte }
	}
	sandbox.Must(s, json.Unmarshal(s.etcd(http.MethodPost, "/v3/kv/range", bindingsInEtcd), &answer))
	bytes := 0
	for _, kv := range answer.KVs {
		bytes += len(kv.Key) + len(kv.Value)
	}
	return float64(bytes) / float64(len(answer.KVs))
}

func (s *stage) etcd(method, path string, body any) []byte {
	text, err := json.Marshal(body)
	sandbox.Must(s, err)
	request, err := http.NewRequestWithContext(s.Context(), method, s.Cluster.Etcd+path, bytes.NewReader(text))
	sandbox.Must(s, err)
	response, err := http.DefaultClient.Do(request)
	sandbox.Must(s, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	sandbox.Must(s, err)
	if response.StatusCode != http.StatusOK {
		s.Fatal(fmt.Sprintf("etcd answers %s: %s", response.Status, answer))
	}
	return answer
}
