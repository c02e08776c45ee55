package delossim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"
)

// defaultPadding is the default size of a padded answer in bytes: more than the operator reads.
const defaultPadding = 20 << 20

// Answer replaces the answer: by a 429 with Retry-After, a proxy's HTML page, a redirect, an error under a 200.
type Answer struct {
	Status int // zero is 200
	Header http.Header
	Body   string
}

// Reset resets the connection (TCP RST) without an answer.
//
// Go's http.Transport sends a GET again if a reused connection ends before an answer: such a call then comes
// twice unless its connection is new.
type Reset struct{}

// Hang sends nothing until the client gives up or Limit (zero: none) has passed, and then resets.
type Hang struct{ Limit time.Duration }

// HangAfterHeaders sends status and headers, and then hangs like [Hang].
type HangAfterHeaders struct{ Limit time.Duration }

// Truncate closes the connection halfway through the answer's body, before its Content-Length is reached.
type Truncate struct{}

// CutJSON sends the first half of the answer's body as if it were the whole: proper HTTP, broken JSON.
type CutJSON struct{}

// Pad puts white space before the answer's body until it has Bytes bytes (zero: 20 MiB). The JSON stays valid,
// so that only a reader's limit refuses it.
type Pad struct{ Bytes int }

// WrongUser answers a call about one user with the answer of another user. If no user has UUID, it sends
// the right answer with the wrong UUID. It does not change answers without a user.
type WrongUser struct{ UUID string }

// Rewrite replaces each Old by New in the answer's body: an entry of another form beside the right ones,
// an id in another case, a number instead of a string, a byte order mark.
type Rewrite struct{ Old, New string }

// Drip sends the answer one byte at a time, with Interval before each.
type Drip struct{ Interval time.Duration }

func (Answer) needsAnswer() bool           { return false }
func (Reset) needsAnswer() bool            { return false }
func (Hang) needsAnswer() bool             { return false }
func (HangAfterHeaders) needsAnswer() bool { return false }
func (Truncate) needsAnswer() bool         { return true }
func (CutJSON) needsAnswer() bool          { return true }
func (Pad) needsAnswer() bool              { return true }
func (WrongUser) needsAnswer() bool        { return true }
func (Rewrite) needsAnswer() bool          { return true }
func (Drip) needsAnswer() bool             { return true }

func (f Answer) spoil(*Server, request, answer) delivery {
	status := cmp.Or(f.Status, http.StatusOK)
	return delivery{status: status, send: func(w http.ResponseWriter, _ *http.Request) {
		if json.Valid([]byte(f.Body)) {
			w.Header().Set("Content-Type", "application/json")
		}
		for name, values := range f.Header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(f.Body))
	}}
}

func (Reset) spoil(*Server, request, answer) delivery {
	return delivery{send: func(w http.ResponseWriter, _ *http.Request) { reset(w) }}
}

func (f Hang) spoil(s *Server, _ request, _ answer) delivery {
	return delivery{send: func(w http.ResponseWriter, r *http.Request) {
		s.hang(r, f.Limit)
		reset(w)
	}}
}

func (f HangAfterHeaders) spoil(s *Server, _ request, genuine answer) delivery {
	status := cmp.Or(genuine.status, http.StatusOK)
	return delivery{status: status, send: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		flush(w)
		s.hang(r, f.Limit)
		reset(w)
	}}
}

func (Truncate) spoil(_ *Server, _ request, genuine answer) delivery {
	return delivery{status: genuine.status, send: func(w http.ResponseWriter, _ *http.Request) {
		// net/http closes the connection of a handler that wrote less than it declared.
		genuine.writeHeader(w)
		_, _ = w.Write(genuine.body[:len(genuine.body)/2])
	}}
}

func (CutJSON) spoil(_ *Server, _ request, genuine answer) delivery {
	genuine.body = genuine.body[:len(genuine.body)/2]
	return genuine.delivery()
}

func (f Pad) spoil(_ *Server, _ request, genuine answer) delivery {
	padding := max(0, cmp.Or(f.Bytes, defaultPadding)-len(genuine.body))
	genuine.body = append(bytes.Repeat([]byte{' '}, padding), genuine.body...)
	return genuine.delivery()
}

func (f WrongUser) spoil(s *Server, req request, genuine answer) delivery {
	if !genuine.applied {
		return genuine.delivery()
	}
	right, found := s.users.byUUID[req.user]
	if !found {
		return genuine.delivery()
	}
	user, shown := right.User, right.shown
	if wrong, found := s.users.byUUID[f.UUID]; found {
		user, shown = wrong.User, wrong.shown
	}
	user.UUID = f.UUID
	if req.op == OpUser {
		return success(s.settings.userAnswer(user, shown)).delivery()
	}
	return success(s.settings.writtenAnswer(user)).delivery()
}

func (f Rewrite) spoil(_ *Server, _ request, genuine answer) delivery {
	genuine.body = bytes.ReplaceAll(genuine.body, []byte(f.Old), []byte(f.New))
	return genuine.delivery()
}

func (f Drip) spoil(s *Server, _ request, genuine answer) delivery {
	return delivery{status: genuine.status, send: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(genuine.body)))
		w.WriteHeader(genuine.status)
		flush(w)
		for i := range genuine.body {
			if !s.wait(r.Context(), f.Interval) {
				reset(w)
				return
			}
			_, _ = w.Write(genuine.body[i : i+1])
			flush(w)
		}
	}}
}

// hang waits until the client has gone, the limit (if any) has passed, or the server is closed.
func (s *Server) hang(r *http.Request, limit time.Duration) {
	if limit > 0 {
		s.wait(r.Context(), limit)
		return
	}
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
}

// flush sends the buffered part of the answer, if the server can.
func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
}

// reset ends the connection with a RST: without it, an orderly close would look like a server that shuts down.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: net/http resets the stream
	}
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn() // below TLS, which would close in order
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
