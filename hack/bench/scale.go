package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	dto "github.com/prometheus/client_model/go"
	"k8s.io/client-go/kubernetes"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// scaleLatency is how long each call of the platform takes.
	scaleLatency = 20 * time.Millisecond
	// loopHands is how many objects a loop, and who creates the operator's, work on at the same time.
	loopHands = 32
	// mostOfSafe and mostOfBare are how much longer the operator may take than the two loops.
	mostOfSafe, mostOfBare = 1.3, 2
	// mostWrites is how many writes to Kubernetes a fresh binding may cost, beside its creation; its users have one client each, so it costs
	// mostCalls calls.
	mostWrites, mostCalls = 2, 3
)

// playScale makes many bindings at once, and compares with a loop that does the same without a controller: bare (creation, call, read, one
// status), and crash-safe (the claim as well, before the call).
func playScale(t *trial) {
	t.Platform.Adjust(func(s *delossim.Settings) { s.Latency = scaleLatency })
	t.connect(longInterval, ample)
	for _, count := range t.scale {
		if count == 0 {
			continue
		}
		sandbox.Must(t, t.Operator.Stop())
		bare, safe := t.loop(count, false), t.loop(count, true)
		sandbox.Must(t, t.Operator.Start(t.Context()))
		t.await("connection ready", settleLimit, func() string {
			if ready := sandbox.Ready(t.connected().Status.Conditions); ready.Status != metav1.ConditionTrue {
				return sandbox.Describe(ready)
			}
			return ""
		})

		what := func(of string) string { return fmt.Sprintf("%d bindings, %s", count, of) }
		before, work := t.spent(), len(t.work())
		began := time.Now()
		from := t.created
		t.created += count
		t.with(loopHands, from, t.created, func(ctx context.Context, i int) error {
			binding := t.binding(i)
			t.Platform.AddUser(delossim.User{UUID: binding.Spec.UserUUID})
			return t.Kube.Create(ctx, binding)
		})
		t.await(what("Ready"), 10*settleLimit, func() string {
			if now := t.bindings.count(metav1.ConditionTrue, ""); now < t.created {
				return fmt.Sprintf("%d of %d", now, t.created)
			}
			return ""
		})
		took := time.Since(began)
		after := t.spent()

		t.measured(what("the bare loop"), precise(bare))
		t.measured(what("the crash-safe loop"), precise(safe))
		t.measured(what("the operator"), precise(took))
		atMost(t, what("as a multiple of the bare loop"), ratio(took.Seconds()/bare.Seconds()), mostOfBare)
		atMost(t, what("as a multiple of the crash-safe loop"), ratio(took.Seconds()/safe.Seconds()), mostOfSafe)
		waits := t.bindings.waits(from, t.created, t.binding)
		t.measured(what("from its creation to Ready, median and p99"), fmt.Sprint(precise(waits[len(waits)/2]), " ", precise(waits[len(waits)*99/100])))
		each := func(sum float64) ratio { return ratio(sum / float64(count)) }
		atMost(t, what("calls of the API each"), each(float64(len(t.work())-work)), mostCalls)
		atMost(t, what("writes to Kubernetes each"), each(after.writes-before.writes), mostWrites)
		t.measured(what("CPU of the API server each"), fmt.Sprintf("%.1f ms", 1000*float64(each(after.server-before.server))))
		t.measured(what("CPU of the operator each"), fmt.Sprintf("%.1f ms", 1000*float64(each(after.operator-before.operator))))
		t.memory(what("memory of the operator"))
	}
}

// with does something with the numbers from (including) to (not including), so many at the same time.
func (t *trial) with(hands, from, to int, do func(context.Context, int) error) {
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(hands)
	for i := from; i < to && ctx.Err() == nil; i++ {
		group.Go(func() error { return do(ctx, i) })
	}
	sandbox.Must(t, group.Wait())
}

// loop does for many objects what has to be done for each, without a controller, and returns how long that took.
func (t *trial) loop(count int, crashSafe bool) time.Duration {
	api := &loopAPI{url: t.Platform.URL, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: loopHands}}}
	sandbox.Must(t, api.login(t.Context()))
	// Not where bindings are watched: these are not the operator's.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "loop-"}}
	t.Create(t, namespace)
	objects := make([]*v1alpha1.ClientBinding, count)
	for i := range objects {
		objects[i] = t.Binding(fmt.Sprintf("loop-%05d", i), fmt.Sprintf("looped-%05d", i), cuid, false)
		objects[i].Namespace = namespace.Name
		t.Platform.AddUser(delossim.User{UUID: objects[i].Spec.UserUUID})
		t.Platform.RemoveRelation(objects[i].Spec.UserUUID, cuid)
	}
	began := time.Now()
	t.with(loopHands, 0, count, func(ctx context.Context, i int) error {
		binding := objects[i]
		if err := t.Kube.Create(ctx, binding); err != nil {
			return err
		}
		if crashSafe {
			if err := t.status(ctx, binding, func(status *v1alpha1.ClientBindingStatus) {
				status.Claim = &v1alpha1.Claim{Origin: v1alpha1.OriginCreated, Connection: v1alpha1.ClaimConnection{
					Namespace: binding.Namespace, Name: v1alpha1.DefaultConnectionName, Host: "delos.example.com",
				}}
			}); err != nil {
				return err
			}
		}
		if err := errors.Join(api.relate(ctx, binding.Spec.UserUUID), api.get(ctx, binding.Spec.UserUUID)); err != nil {
			return err
		}
		now := metav1.Now()
		return t.status(ctx, binding, func(status *v1alpha1.ClientBindingStatus) {
			status.ObservedGeneration, status.LastConfirmedTime, status.Access = binding.Generation, &now, v1alpha1.AccessStandard
			status.Conditions = []metav1.Condition{{
				Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonBound, LastTransitionTime: now,
				ObservedGeneration: binding.Generation, Message: "Get user shows that the user has standard access to the client",
			}}
		})
	})
	took := time.Since(began)
	for _, binding := range objects {
		binding.ResourceVersion = ""
	}
	t.each(0, count, func(ctx context.Context, i int) error { return remove(ctx, t.Kube, objects[i]) })
	return took
}

func (t *trial) status(ctx context.Context, binding *v1alpha1.ClientBinding, change func(*v1alpha1.ClientBindingStatus)) error {
	before := binding.DeepCopy()
	change(&binding.Status)
	return t.Kube.Status().Patch(ctx, binding, client.MergeFrom(before))
}

// loopAPI calls the Delos API as a script would.
type loopAPI struct {
	url, token string
	http       *http.Client
}

func (a *loopAPI) login(ctx context.Context) error {
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	err := a.call(ctx, http.MethodPost, "/v2/auth/login", map[string]string{"login": sandbox.Account.Login, "password": sandbox.Account.Password}, &answer)
	a.token = answer.AccessToken
	return err
}

func (a *loopAPI) relate(ctx context.Context, user string) error {
	return a.call(ctx, http.MethodPut, "/v2/user/"+user+"/relate-client", map[string]any{"relation": map[string]any{"cuid": cuid, "isOwner": false}}, nil)
}

func (a *loopAPI) get(ctx context.Context, user string) error {
	return a.call(ctx, http.MethodGet, "/v2/user/"+user, nil, nil)
}

func (a *loopAPI) call(ctx context.Context, method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := a.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: HTTP %d", method, path, response.StatusCode)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(content, answer)
}

// spending is what was used since the start: writes of ClientBindings and of events beside creations of ClientBindings, and seconds of CPU.
type spending struct{ writes, server, operator float64 }

func (t *trial) spent() (s spending) {
	clients, err := kubernetes.NewForConfig(t.Cluster.Config)
	sandbox.Must(t, err)
	text, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	sandbox.Must(t, err)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	sandbox.Must(t, err)
	for _, metric := range families["apiserver_request_total"].GetMetric() {
		label := labelsOf(metric)
		ours := slices.Contains([]string{"clientbindings", "events"}, label["resource"])
		writes := slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, label["verb"])
		if ours && writes && (label["resource"] != "clientbindings" || label["verb"] != "POST") {
			s.writes += metric.GetCounter().GetValue()
		}
	}
	s.server = families["process_cpu_seconds_total"].GetMetric()[0].GetCounter().GetValue()
	used, err := t.Operator.CPU(t.Context())
	sandbox.Must(t, err)
	s.operator = used.Seconds()
	return s
}

func labelsOf(metric *dto.Metric) map[string]string {
	labels := map[string]string{}
	for _, pair := range metric.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}
