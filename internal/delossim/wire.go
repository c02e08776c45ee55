package delossim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// The types below repeat the JSON of docs/delos-api.md on purpose: see the package comment.

type relateBody struct {
	Relation *struct {
		CUID    string `json:"cuid"`
		IsOwner *bool  `json:"isOwner"`
	} `json:"relation"`
}

type flatRelateBody struct {
	CustomerID string `json:"customerId"`
	IsOwner    *bool  `json:"isOwner"`
}

type loginBody struct {
	Login    string `json:"login"`
	Password string `json:"password"`
	Code     string `json:"code"`
}

type loginAnswer struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
	UserID       string `json:"UserId"`
	ttls
}

type refreshAnswer struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
	GUID         string `json:"guid"`
	ttls
}

// ttls are lifetimes in seconds.
type ttls struct {
	AccessTTL  int64 `json:"accessTtl,omitempty"`
	RefreshTTL int64 `json:"refreshTtl,omitempty"`
}

// named has a user's id under one of its two documented names.
type named struct {
	UUID   string `json:"uuid,omitempty"`
	UserID string `json:"userId,omitempty"`
}

// writtenUser is the user as PUT and DELETE answer it: without its relations.
type writtenUser struct {
	named
	Username string    `json:"username"`
	Status   string    `json:"status"`
	Is2FA    bool      `json:"is2fa"`
	CreateAt time.Time `json:"createAt"`
	UpdateAt time.Time `json:"updateAt"`
	Name     string    `json:"name"`
	Comment  string    `json:"comment"`
}

// wholeUser is the user as Get user answers it.
type wholeUser struct {
	ID int64 `json:"id"`
	named
	Username  string    `json:"username"`
	Status    string    `json:"status"`
	Is2FA     bool      `json:"is2fa"`
	IsDeleted bool      `json:"isDeleted"`
	PUID      string    `json:"puid"`
	CreateAt  time.Time `json:"createAt"`
	UpdateAt  time.Time `json:"updateAt"`
	Name      string    `json:"name"`
	Comment   string    `json:"comment"`
	// Clients is nil to leave the field out, and points to a nil slice to say null.
	Clients *[]clientOfUser `json:"clients,omitempty"`
}

type clientOfUser struct {
	CustomerID string `json:"customerId,omitempty"`
	CUID       string `json:"cuid,omitempty"`
	IsOwner    bool   `json:"isOwner"`
}

type writtenAnswer struct {
	Item writtenUser `json:"item"`
}

type userAnswer struct {
	Item    wholeUser       `json:"item"`
	Clients *[]clientOfUser `json:"clients,omitempty"`
}

// listAnswer is our reading: the documentation of List users and of List customers shows no answer.
type listAnswer[T any] struct {
	Items *[]T     `json:"items,omitempty"`
	Meta  listMeta `json:"meta"`
}

type listMeta struct {
	Page     int `json:"page"`
	PageSize int `json:"pageSize"`
	// Total is a number or a text; nil leaves it out.
	Total any `json:"total,omitempty"`
}

// customer is a client as List customers answers it.
type customer struct {
	CustomerID   string `json:"customerId,omitempty"`
	CUID         string `json:"cuid,omitempty"`
	CustomerName string `json:"customerName"`
}

type errorText struct {
	Error string `json:"error"`
}

type gatewayError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details []any  `json:"details"`
}

// The gRPC codes that a gateway puts into its error bodies.
const (
	codeInvalidArgument  = 3
	codeNotFound         = 5
	codePermissionDenied = 7
	codeAlreadyExists    = 6
	codeUnimplemented    = 12
	codeInternal         = 13
	codeUnauthenticated  = 16
)

// answer is the platform's own answer to a call.
type answer struct {
	status  int
	body    []byte
	applied bool
}

// delivery is the delivered part of an answer.
type delivery struct {
	status int // as recorded; zero if none arrives
	send   func(http.ResponseWriter, *http.Request)
}

func (a answer) delivery() delivery {
	return delivery{status: a.status, send: func(w http.ResponseWriter, _ *http.Request) {
		a.writeHeader(w)
		// Here and in failures.go: an error says that the client has gone.
		_, _ = w.Write(a.body)
	}}
}

// writeHeader sends everything but the body.
func (a answer) writeHeader(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
}

// success answers a call that was carried out.
func success(value any) answer {
	return answer{status: http.StatusOK, body: encode(value), applied: true}
}

// failure answers a call that was refused, in the form that the settings ask for.
func (s Settings) failure(status, code int, format string, args ...any) answer {
	text := fmt.Sprintf(format, args...)
	if s.GatewayErrors {
		return gatewayFailure(status, code, text)
	}
	return answer{status: status, body: encode(errorText{text})}
}

func (s Settings) unauthorized() answer {
	return s.failure(s.unauthorizedStatus(), codeUnauthenticated, "Unauthorized")
}

func (s Settings) userNotFound(uuid string) answer {
	return s.failure(s.notFoundStatus(), codeNotFound, "User not found: %s", uuid)
}

func (s Settings) customerNotFound(cuid string) answer {
	return s.failure(s.notFoundStatus(), codeNotFound, "Customer not found: %s", cuid)
}

func (s Settings) invalid(reason error) answer {
	return s.failure(http.StatusBadRequest, codeInvalidArgument, "Invalid request: %v", reason)
}

// gatewayFailure is a refusal by the router in front of the platform, with all settings.
func gatewayFailure(status, code int, text string) answer {
	return answer{status: status, body: encode(gatewayError{Code: code, Message: text, Details: []any{}})}
}

// encode marshals one of the types above, none of which can fail.
func encode(value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return body
}

// decode reads a request's JSON strictly.
func decode(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
