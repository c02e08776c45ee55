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

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// loop does for many objects what has to be done for each, without a controller, and returns when each was done.
func (t *trial) loop(count int, crashSafe bool) []time.Duration {
	api := &loopAPI{url: t.Platform.URL, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: hands}}}
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
	done := make([]time.Duration, count)
	began := time.Now()
	t.each(0, count, func(ctx context.Context, i int) error {
		err := t.loopOnce(ctx, api, objects[i], crashSafe)
		done[i] = time.Since(began)
		return err
	})
	t.stage.clearBindings()
	slices.Sort(done)
	return done
}

func (t *trial) loopOnce(ctx context.Context, api *loopAPI, binding *v1alpha1.ClientBinding, crashSafe bool) error {
	if err := t.Kube.Create(ctx, binding); err != nil {
		return err
	}
	if crashSafe {
		if err := t.patchStatus(ctx, binding, loopClaim()); err != nil {
			return err
		}
	}
	if err := errors.Join(api.relate(ctx, binding.Spec.UserUUID), api.get(ctx, binding.Spec.UserUUID)); err != nil {
		return err
	}
	return t.patchStatus(ctx, binding, loopResult())
}

func (t *trial) patchStatus(ctx context.Context, binding *v1alpha1.ClientBinding, status map[string]any) error {
	text, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	return t.Kube.Status().Patch(ctx, binding, client.RawPatch(types.MergePatchType, text))
}

// loopClaim is what the crash-safe loop writes before the call.
func loopClaim() map[string]any {
	return map[string]any{"claim": map[string]any{
		"origin":     v1alpha1.OriginCreated,
		"connection": map[string]any{"namespace": "team-a", "name": v1alpha1.DefaultConnectionName, "host": "delos.example.com"},
	}}
}

// loopResult is what both loops write after the read.
func loopResult() map[string]any {
	now := time.Now().UTC().Format(time.RFC3339)
	return map[string]any{
		"observedGeneration": 1, "lastConfirmedTime": now, "access": v1alpha1.AccessStandard,
		"conditions": []map[string]any{{
			"type": v1alpha1.ConditionReady, "status": metav1.ConditionTrue, "reason": v1alpha1.ReasonBound, "lastTransitionTime": now,
			"observedGeneration": 1, "message": "Get user shows that the user has standard access to the client",
		}},
	}
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
