package controller

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// truth is how the platform was at each moment, and who has to answer for it.
type truth struct {
	relations map[relationKey]*relationTruth
}

type relationKey struct{ user, cuid string }

// relationTruth is the whole history of one relation.
type relationTruth struct {
	history []moment
	// owed: the operator made the relation or adopted it, so that some object has to answer for it.
	owed bool
	// lied: the platform said that it removed the relation, and did not.
	lied bool
}

// moment is how a relation was from one time on.
type moment struct {
	from time.Time
	// access is what the user has, and relation what the platform keeps: a user who is deleted has no access.
	access, relation level
	cause            string
}

// level is what a user may do.
type level string

const (
	nothing    level = "none"
	standard   level = "standard"
	ownerLevel level = "owner"
)

func levelOf(isOwner bool) level {
	if isOwner {
		return ownerLevel
	}
	return standard
}

func newTruth() truth { return truth{relations: map[relationKey]*relationTruth{}} }

func (w *walk) relationKeys() []relationKey {
	var keys []relationKey
	for _, user := range w.users {
		for _, cuid := range w.clients {
			keys = append(keys, relationKey{user, cuid})
		}
	}
	return keys
}

// now is how a relation is.
func (r *relationTruth) now() moment { return r.history[len(r.history)-1] }

// note records what the platform is like after something happened to it.
func (w *walk) note(cause string) {
	for _, key := range w.relationKeys() {
		is := moment{from: w.clock.Now(), access: nothing, relation: nothing, cause: cause}
		if user, found := w.platform.User(key.user); found {
			if isOwner, related := user.Relations[key.cuid]; related {
				is.relation = levelOf(isOwner)
			}
			if !user.IsDeleted {
				is.access = is.relation
			}
		}
		w.record(key, is)
	}
}

func (w *walk) record(key relationKey, is moment) {
	known := w.truth.relations[key]
	if known == nil {
		known = &relationTruth{history: []moment{is}}
		w.truth.relations[key] = known
		return
	}
	was := known.now()
	if was.access == is.access && was.relation == is.relation {
		return
	}
	known.history = append(known.history, is)
	w.log("      %s on %s is now %s (%s)", strings.TrimPrefix(key.user, "model-"), key.cuid, is.relation, is.cause)
	if is.relation == nothing {
		known.owed, known.lied = false, false
	}
	if was.relation == nothing && is.relation != nothing {
		known.owed = is.cause == byOperator || is.cause == byLateCall
	}
}

const (
	// byOperator is the cause of what the operator's calls changed.
	byOperator = "by the operator"
	// byLateCall is the cause of what one of them changed that arrived when nobody waited for it any more.
	byLateCall = "by a late call of the operator"
)

// noteCall records what a call changed and showed.
func (w *walk) noteCall(call delossim.Call) {
	switch call.Op {
	case delossim.OpRelate, delossim.OpUnrelate:
		key := relationKey{call.User, call.CUID}
		if call.Op == delossim.OpUnrelate && !call.Applied && call.Status/100 == 2 && w.truth.relations[key] != nil {
			w.truth.relations[key].lied = true
		}
		if w.delivering {
			w.note(byLateCall)
		} else {
			w.note(byOperator)
		}
	case delossim.OpUser:
		for _, cuid := range w.clients {
			key := relationKey{call.User, cuid}
			if known := w.truth.relations[key]; known != nil {
				w.current.saw[key] = append(w.current.saw[key], known.now())
			}
		}
	}
}

// within reports whether a relation was ever as told within the second that a status calls by its beginning.
func (r *relationTruth) within(second time.Time, is func(moment) bool) bool {
	end := second.Add(time.Second)
	for i, m := range r.history {
		begins := m.from
		over := i+1 < len(r.history) && r.history[i+1].from.Before(second)
		if begins.Before(end) && !over && is(m) {
			return true
		}
	}
	return false
}

// relationOf is what a PUT or DELETE is about.
func (w *walk) relationOf(request *http.Request, body []byte) relationKey {
	segments := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	at := slices.Index(segments, "user")
	key := relationKey{user: segments[at+1]}
	if request.Method == http.MethodDelete {
		key.cuid = segments[len(segments)-1]
		return key
	}
	key.cuid, _ = w.asked(body)
	return key
}

// asked is what a PUT asks for.
func (w *walk) asked(body []byte) (cuid string, isOwner bool) {
	var sent struct {
		Relation struct {
			CUID    string `json:"cuid"`
			IsOwner bool   `json:"isOwner"`
		} `json:"relation"`
	}
	w.must(json.Unmarshal(body, &sent))
	return sent.Relation.CUID, sent.Relation.IsOwner
}
