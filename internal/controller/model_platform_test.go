package controller

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// arrivesWithin is how long a call may be under way that its sender no longer waits for. The operator reckons with
// twice the timeout of the connection, from the beginning of the call.
const arrivesWithin = 15 * time.Second

// lateCall is a call that is under way.
type lateCall struct {
	request  *http.Request
	body     []byte
	deadline time.Time
	about    relationKey
	// by is the object for which it was made.
	by types.NamespacedName
	// givenUp: nobody answers any more for what it does.
	givenUp bool
}

// ServeHTTP stands before the platform. The walk may lose or delay what comes by.
func (w *walk) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	w.handOver()
	defer w.handOver()
	body, err := io.ReadAll(request.Body)
	// What the dead still send, and net/http on its own account when it repeats a call, reaches nobody.
	if err != nil || request.UserAgent() != w.serving.Load() {
		panic(http.ErrAbortHandler)
	}
	if w.meets(request, body) != goesOn {
		panic(http.ErrAbortHandler)
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	w.platform.ServeHTTP(writer, request)
}

// meets is what becomes of a call before it reaches the platform.
func (w *walk) meets(request *http.Request, body []byte) (becomes fate) {
	becomes = isLost
	w.watched(func() {
		p := w.operator
		at := beforeAPIRead
		if changes(request) {
			at = beforeAPIWrite
			w.checkWrite(request, body)
		}
		becomes = p.interrupt(at)
		if w.delayed && at == beforeAPIWrite && becomes == goesOn {
			w.delayed, becomes = false, isLate
		}
		switch becomes {
		case isLate:
			w.delay(request, body, p.busy[len(p.busy)-1].key)
		case isLost:
			w.log("    %s %s: lost", request.Method, w.path(request.URL.Path))
		}
	})
	return becomes
}

// path is a path without what is the same for all of a walk, and without what no two walks share: a refresh token.
func (w *walk) path(path string) string {
	if before, _, found := strings.Cut(path, "/auth/refresh/"); found {
		return strings.TrimPrefix(before, "/v2") + "auth/refresh"
	}
	return strings.ReplaceAll(strings.TrimPrefix(path, "/v2/"), w.users[0][:strings.LastIndex(w.users[0], "-")+1], "")
}

func changes(request *http.Request) bool {
	return request.Method == http.MethodPut || request.Method == http.MethodDelete
}

func (w *walk) delay(request *http.Request, body []byte, by types.NamespacedName) {
	call := &lateCall{request: request.Clone(context.WithoutCancel(request.Context())), body: body, deadline: w.clock.Now().Add(arrivesWithin)}
	call.about, call.by = w.relationOf(request, body), by
	w.late = append(w.late, call)
	w.log("    %s %s: late", request.Method, w.path(request.URL.Path))
}

// deliver lets a late call arrive.
func (w *walk) deliver(call *lateCall) {
	w.late = slices.DeleteFunc(w.late, func(other *lateCall) bool { return other == call })
	w.log("%s %s arrives late", call.request.Method, w.path(call.request.URL.Path))
	call.request.Body = io.NopCloser(bytes.NewReader(call.body))
	w.delivering = true
	defer func() { w.delivering = false }()
	func() {
		// What a fault makes of the answer is of no interest.
		defer func() {
			what := recover()
			if err, isError := what.(error); what != nil && (!isError || !errors.Is(err, http.ErrAbortHandler)) {
				panic(what)
			}
		}()
		w.platform.ServeHTTP(httptest.NewRecorder(), call.request)
	}()
	if call.givenUp {
		w.truth.relations[call.about].owed = false
	}
	w.stopIfBroken()
}

// called is told of each call that the platform has carried out, before its answer goes out.
func (w *walk) called(call delossim.Call) {
	defer w.handOver()
	w.watched(func() {
		w.calls++
		w.platform.ResetCalls()
		applied := ""
		if !call.Applied {
			applied = ", not carried out"
		}
		w.log("    %s %s: %d%s", call.Method, w.path(call.Path), call.Status, applied)
		w.noteCall(call)
		if w.delivering || w.operator == nil {
			return
		}
		at := afterAPIRead
		if call.Op == delossim.OpRelate || call.Op == delossim.OpUnrelate {
			at = afterAPIWrite
		}
		w.operator.interrupt(at)
	})
}
