package delossim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// shownCalls is the default number of calls that GET /calls shows.
const shownCalls = 20

// Admin is a small JSON API to read and change the platform from outside. It does not authenticate its
// clients: serve it on loopback, and never together with the platform's own API.
//
//	GET    /users                            all users with their true relations
//	POST   /users                            a User: adds or replaces it
//	DELETE /users/{uuid}                     removes it
//	PUT    /users/{uuid}/deleted             {"deleted": true}: deletes it softly, or restores it
//	PUT    /users/{uuid}/relations/{cuid}    {"isOwner": true}: relates without the API
//	DELETE /users/{uuid}/relations/{cuid}    removes a relation without the API
//	GET    /clients                          all cuids
//	POST   /clients                          {"cuid": "cust_789xyz", "name": "Acme"}
//	POST   /faults                           see [Fault]: {"kind": "answer", "operation": "relate", "times": 1,
//	                                         "status": 429, "header": {"Retry-After": "5"}}
//	DELETE /faults                           removes all faults
//	PUT    /settings                         {"latency": "200ms", "lag": "3s", "bareToken": true, "flatRelation": true}:
//	                                         absent settings stay
//	POST   /sessions/revoke                  revokes all sessions
//	GET    /calls?last=20                    the summary and the last calls
//	DELETE /calls                            forgets them
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, operation func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			result, err := operation(r)
			answerAdmin(w, result, err)
		})
	}
	handle("GET /users", func(*http.Request) (any, error) { return s.Users(), nil })
	handle("POST /users", s.adminAddUser)
	handle("DELETE /users/{uuid}", func(r *http.Request) (any, error) {
		return empty{}, found(s.RemoveUser(r.PathValue("uuid")))
	})
	handle("PUT /users/{uuid}/deleted", s.adminSetDeleted)
	handle("PUT /users/{uuid}/relations/{cuid}", s.adminSetRelation)
	handle("DELETE /users/{uuid}/relations/{cuid}", func(r *http.Request) (any, error) {
		return empty{}, found(s.RemoveRelation(r.PathValue("uuid"), r.PathValue("cuid")))
	})
	handle("GET /clients", func(*http.Request) (any, error) { return s.Clients(), nil })
	handle("POST /clients", s.adminAddClient)
	handle("POST /faults", s.adminInject)
	handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return empty{}, nil })
	handle("PUT /settings", s.adminAdjust)
	handle("POST /sessions/revoke", func(*http.Request) (any, error) { s.RevokeSessions(); return empty{}, nil })
	handle("GET /calls", s.adminCalls)
	handle("DELETE /calls", func(*http.Request) (any, error) { s.ResetCalls(); return empty{}, nil })
	return mux
}

// empty is an answer without content: {}.
type empty struct{}

// notFoundError answers 404; every other error is the caller's and answers 400.
type notFoundError struct{}

func (notFoundError) Error() string { return "not found" }

func found(ok bool) error {
	if !ok {
		return notFoundError{}
	}
	return nil
}

// answerAdmin sends the result or the error.
func answerAdmin(w http.ResponseWriter, result any, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, notFoundError{}):
		status, result = http.StatusNotFound, errorText{err.Error()}
	case err != nil:
		status, result = http.StatusBadRequest, errorText{err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(result) // the client has gone
}

// readAdmin reads the request's body strictly.
func readAdmin(r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 2*defaultPadding))
	if err != nil {
		return err
	}
	return decode(body, into)
}

func (s *Server) adminAddUser(r *http.Request) (any, error) {
	var user User
	if err := readAdmin(r, &user); err != nil {
		return nil, err
	}
	if user.UUID == "" {
		return nil, errors.New("no uuid")
	}
	s.AddUser(user)
	added, _ := s.User(user.UUID)
	return added, nil
}

func (s *Server) adminSetDeleted(r *http.Request) (any, error) {
	var body struct {
		Deleted *bool `json:"deleted"`
	}
	if err := readAdmin(r, &body); err != nil {
		return nil, err
	}
	if body.Deleted == nil {
		return nil, errors.New("no deleted")
	}
	return empty{}, found(s.setDeleted(r.PathValue("uuid"), *body.Deleted))
}

func (s *Server) adminSetRelation(r *http.Request) (any, error) {
	var body struct {
		IsOwner *bool `json:"isOwner"`
	}
	if err := readAdmin(r, &body); err != nil {
		return nil, err
	}
	if body.IsOwner == nil {
		return nil, errors.New("no isOwner")
	}
	return empty{}, found(s.SetRelation(r.PathValue("uuid"), r.PathValue("cuid"), *body.IsOwner))
}

func (s *Server) adminAddClient(r *http.Request) (any, error) {
	var body struct {
		CUID string `json:"cuid"`
		Name string `json:"name"`
	}
	if err := readAdmin(r, &body); err != nil {
		return nil, err
	}
	if body.CUID == "" {
		return nil, errors.New("no cuid")
	}
	s.NameClient(body.CUID, body.Name)
	return empty{}, nil
}

func (s *Server) adminInject(r *http.Request) (any, error) {
	var body adminFault
	if err := readAdmin(r, &body); err != nil {
		return nil, err
	}
	fault, err := body.fault()
	if err != nil {
		return nil, err
	}
	s.Inject(fault)
	return empty{}, nil
}

func (s *Server) adminAdjust(r *http.Request) (any, error) {
	var body struct {
		Latency      *duration `json:"latency"`
		Lag          *duration `json:"lag"`
		BareToken    *bool     `json:"bareToken"`
		FlatRelation *bool     `json:"flatRelation"`
	}
	if err := readAdmin(r, &body); err != nil {
		return nil, err
	}
	s.Adjust(func(settings *Settings) {
		if body.Latency != nil {
			settings.Latency = time.Duration(*body.Latency)
		}
		if body.Lag != nil {
			settings.Lag = time.Duration(*body.Lag)
		}
		if body.BareToken != nil {
			settings.BareToken = *body.BareToken
		}
		if body.FlatRelation != nil {
			settings.FlatRelation = *body.FlatRelation
		}
	})
	return empty{}, nil
}

func (s *Server) adminCalls(r *http.Request) (any, error) {
	last, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("last"), strconv.Itoa(shownCalls)))
	if err != nil || last < 0 {
		return nil, errors.New("last is no number")
	}
	calls := s.Calls()
	summary := s.Summary()
	return struct {
		Summary Summary `json:"summary"`
		Text    string  `json:"text"`
		Calls   []Call  `json:"calls"`
	}{summary, summary.String(), append([]Call{}, calls[max(0, len(calls)-last):]...)}, nil
}

// adminFault is a [Fault] in JSON.
type adminFault struct {
	Operation Operation `json:"operation"`
	User      string    `json:"user"`
	Skip      int       `json:"skip"`
	Times     int       `json:"times"`
	Delay     duration  `json:"delay"`
	Apply     bool      `json:"apply"`
	// Kind is delay, answer, reset, hang, hang-after-headers, truncate, cut-json, pad, wrong-user, rewrite or drip. The
	// other fields are those of this failure.
	Kind     string            `json:"kind"`
	Status   int               `json:"status"`
	Header   map[string]string `json:"header"`
	Body     string            `json:"body"`
	Limit    duration          `json:"limit"`
	Bytes    int               `json:"bytes"`
	UUID     string            `json:"uuid"`
	Old      string            `json:"old"`
	New      string            `json:"new"`
	Interval duration          `json:"interval"`
}

func (f adminFault) fault() (Fault, error) {
	operations := []Operation{OpAny, OpLogin, OpRefresh, OpUser, OpRelate, OpUnrelate, OpList, OpCustomers, OpOther}
	if !slices.Contains(operations, f.Operation) {
		return Fault{}, fmt.Errorf("unknown operation %q", f.Operation)
	}
	fault := Fault{
		Op:    f.Operation,
		User:  f.User,
		Skip:  f.Skip,
		Times: f.Times,
		Delay: time.Duration(f.Delay),
		Apply: f.Apply,
	}
	if f.Kind == "delay" {
		return fault, nil
	}
	failure, err := f.failure()
	fault.Failure = failure
	return fault, err
}

func (f adminFault) failure() (Failure, error) {
	switch f.Kind {
	case "answer":
		if f.Status < 200 || f.Status > 599 {
			return nil, fmt.Errorf("status is %d", f.Status)
		}
		header := http.Header{}
		for name, value := range f.Header {
			header.Set(name, value)
		}
		return Answer{Status: f.Status, Header: header, Body: f.Body}, nil
	case "reset":
		return Reset{}, nil
	case "hang":
		return Hang{Limit: time.Duration(f.Limit)}, nil
	case "hang-after-headers":
		return HangAfterHeaders{Limit: time.Duration(f.Limit)}, nil
	case "truncate":
		return Truncate{}, nil
	case "cut-json":
		return CutJSON{}, nil
	case "pad":
		return Pad{Bytes: f.Bytes}, nil
	case "wrong-user":
		return WrongUser{UUID: f.UUID}, nil
	case "rewrite":
		return Rewrite{Old: f.Old, New: f.New}, nil
	case "drip":
		return Drip{Interval: time.Duration(f.Interval)}, nil
	default:
		return nil, fmt.Errorf("unknown kind %q", f.Kind)
	}
}

// duration is a time.Duration spelt "200ms" in JSON.
type duration time.Duration

// UnmarshalText reads what time.ParseDuration does.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}
