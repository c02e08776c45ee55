package delos

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
)

// maxUserBytes bounds the answer of Get user. The largest believable user, with 25,000 clients, has 1.4 MB;
// this is ten times as much.
const maxUserBytes = 16 << 20

// byteOrderMark may come before a body in UTF-8. It is no JSON, and is skipped.
const byteOrderMark = "\ufeff"

// shown is the content of an answer about a user.
type shown struct {
	// fields are the fields that may report an error.
	fields map[string]json.RawMessage
	// hasItem: there is an item that is not null.
	hasItem bool
	// ids are the values under the names of the user's id.
	ids              idents
	username, status string
	deleted          bool
	// problem is why the answer is no user although it is JSON.
	problem error
	// lists has a bit for each place in which there was a list of clients.
	lists kinds
	// relations has the kinds of access at each client that the lists show.
	relations map[string]kinds
	// unnamed: an entry leaves its client out.
	unnamed bool
	// foreign: an entry has a form in which it could be about any client.
	foreign bool
	// form has the names that the answer uses.
	form UserForm
}

// UserForm has the names that an answer uses where the documentation has more than one.
type UserForm struct {
	// UserID and ClientID are the names of the fields that have an id of the user, and of a client.
	UserID, ClientID []string
	// Clients are the places of the list of clients: item.clients, or clients beside item.
	Clients []string
}

func withName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// kinds are the kinds of access that the two lists of clients show at one client.
type kinds uint8

const (
	standard kinds = 1 << iota
	owner
	// unclear: the entry is about this client, but cannot be read.
	unclear
)

// The two places in which the list of clients may stand: in item or beside it.
const (
	inItem     = 0
	besideItem = 3
)

var placeNames = map[kinds]string{inItem: "item.clients", besideItem: "clients"}

const inOnePlace = standard | owner | unclear

// readShown reads an answer as it streams in, so that a user with very many clients costs little more than
// their ids. The error is that of the reader, or errNotUser if the answer is no JSON object.
func readShown(from io.Reader) (*shown, error) {
	tracked := &tracked{from: from}
	body := bufio.NewReader(tracked)
	if start, _ := body.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = body.Discard(len(byteOrderMark))
	}
	decoder := json.NewDecoder(body)
	decoder.UseNumber()
	s := &shown{fields: map[string]json.RawMessage{}, relations: map[string]kinds{}}
	err := s.readAll(decoder)
	if err != nil {
		// The rest tells whether the answer was whole.
		_, _ = io.Copy(io.Discard, body)
		err = errNotUser
	}
	if tracked.err != nil {
		return nil, tracked.err
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// tracked remembers the first error of a reader: the decoder's own errors can look the same.
type tracked struct {
	from io.Reader
	err  error
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && t.err == nil {
		t.err = err
	}
	return n, err
}

// bounded fails with errBound where a reader has more than left bytes.
type bounded struct {
	from io.Reader
	left int
}

var errBound = errors.New("more bytes than are read")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errBound
	}
	n, err := b.from.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, errBound
	}
	return n, err
}

func (s *shown) readAll(decoder *json.Decoder) error {
	first, err := decoder.Token()
	if err != nil {
		return err
	}
	if first != json.Delim('{') {
		return errNotUser
	}
	if err := eachField(decoder, func(name string) error { return s.readField(decoder, name) }); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errNotUser
	}
	return nil
}

func (s *shown) readField(decoder *json.Decoder, name string) error {
	switch {
	case name == "error", name == "code", name == "message":
		var value json.RawMessage
		err := decoder.Decode(&value)
		s.fields[name] = value
		return err
	case strings.EqualFold(name, "item"):
		return s.readItem(decoder)
	case strings.EqualFold(name, "clients"):
		return s.readClients(decoder, besideItem)
	default:
		return skip(decoder)
	}
}

func (s *shown) readItem(decoder *json.Decoder) error {
	first, err := decoder.Token()
	if err != nil {
		return err
	}
	switch {
	case first == nil:
		return nil
	case first != json.Delim('{') || s.hasItem:
		s.problem = errNotUser
		return skipRest(decoder, first)
	}
	s.hasItem = true
	return eachField(decoder, func(name string) error {
		switch {
		case strings.EqualFold(name, "clients"):
			return s.readClients(decoder, inItem)
		case strings.EqualFold(name, "uuid"), strings.EqualFold(name, "userId"):
			s.form.UserID = withName(s.form.UserID, name)
			return s.ids.read(decoder)
		case strings.EqualFold(name, "username"):
			return readText(decoder, &s.username)
		case strings.EqualFold(name, "status"):
			return readText(decoder, &s.status)
		case strings.EqualFold(name, "isDeleted"):
			return s.readDeleted(decoder)
		default:
			return skip(decoder)
		}
	})
}

// readDeleted reads the mark of a deleted user. Too much depends on it to guess an unclear one.
func (s *shown) readDeleted(decoder *json.Decoder) error {
	value, err := scalar(decoder)
	switch value := value.(type) {
	case bool:
		s.deleted = s.deleted || value
	case nil:
	default:
		s.problem = errDeleted
	}
	return err
}

func (s *shown) readClients(decoder *json.Decoder, place kinds) error {
	first, err := decoder.Token()
	if err != nil {
		return err
	}
	switch first {
	case nil:
		return nil
	case json.Delim('['):
	default:
		s.problem = errNotUser
		return skipRest(decoder, first)
	}
	s.lists |= 1 << place
	s.form.Clients = withName(s.form.Clients, placeNames[place])
	for decoder.More() {
		if err := s.readClient(decoder, place); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}

// readClient reads one entry of a list of clients. Only the client's id and isOwner matter.
func (s *shown) readClient(decoder *json.Decoder, place kinds) error {
	first, err := decoder.Token()
	if err != nil {
		return err
	}
	if first == nil {
		s.unnamed = true
		return nil
	}
	if first != json.Delim('{') {
		if id, named := idOf(first); named {
			s.note(id, unclear, place)
		} else {
			s.foreign = true
		}
		return skipRest(decoder, first)
	}
	var (
		ids   idents
		kind  kinds
		other bool
	)
	err = eachField(decoder, func(name string) error {
		switch {
		case strings.EqualFold(name, "cuid"), strings.EqualFold(name, "customerId"):
			s.form.ClientID = withName(s.form.ClientID, name)
			return ids.read(decoder)
		case strings.EqualFold(name, "isOwner"):
			value, err := scalar(decoder)
			kind |= kindOfOwner(value)
			return err
		default:
			other = true
			return skip(decoder)
		}
	})
	if err != nil {
		return err
	}
	if kind == 0 {
		kind = standard // protocol buffers leave out a field that is false
	}
	switch {
	case ids.one() != "":
		s.note(ids.one(), kind, place)
	case len(ids.named) > 0:
		for _, id := range ids.named {
			s.note(id, unclear, place)
		}
	case ids.empty && !ids.odd && !other:
		s.unnamed = true
	default:
		s.foreign = true
	}
	return nil
}

func (s *shown) note(id string, kind, place kinds) { s.relations[id] |= kind << place }

func kindOfOwner(value json.Token) kinds {
	switch value {
	case true:
		return owner
	case false:
		return standard
	default:
		return unclear
	}
}

// idents are the values under the names of an id.
type idents struct {
	// named are the ids that can be read, each once.
	named []string
	// empty: one of them is null or "".
	empty bool
	// odd: one of them has a form that no id has.
	odd bool
}

func (i *idents) read(decoder *json.Decoder) error {
	value, err := scalar(decoder)
	if err != nil {
		return err
	}
	id, named := idOf(value)
	switch {
	case value == nil, value == "":
		i.empty = true
	case !named:
		i.odd = true
	case len(i.named) == 0 || i.named[0] != id:
		i.named = append(i.named, id)
	}
	return nil
}

// one returns the id; "" where there is none, or more than one.
func (i *idents) one() string {
	if len(i.named) == 1 {
		return i.named[0]
	}
	return ""
}

// idOf reads an id. A number is read as its digits.
func idOf(value json.Token) (id string, named bool) {
	switch value := value.(type) {
	case string:
		return value, value != ""
	case json.Number:
		digits := value.String()
		return digits, !strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	default:
		return "", false
	}
}

// readText reads a value that is only displayed: a text or a number, and nothing else.
func readText(decoder *json.Decoder, into *string) error {
	value, err := scalar(decoder)
	switch value := value.(type) {
	case string:
		*into = clean(value)
	case json.Number:
		*into = clean(value.String())
	}
	return err
}

// eachField calls read with the name of each field of an object whose first token was read. read has to read
// the value.
func eachField(decoder *json.Decoder, read func(name string) error) error {
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		if err := read(name.(string)); err != nil { //nolint:forcetypeassert // the decoder lets nothing else be a name
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

// scalar reads a value; of an object or a list it returns the first delimiter, and skips the rest.
func scalar(decoder *json.Decoder) (json.Token, error) {
	value, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	return value, skipRest(decoder, value)
}

// ignored is a value that is not kept.
type ignored struct{}

// UnmarshalJSON takes everything.
func (*ignored) UnmarshalJSON([]byte) error { return nil }

func skip(decoder *json.Decoder) error { return decoder.Decode(&ignored{}) }

// skipRest skips what is left of a value whose first token was read.
func skipRest(decoder *json.Decoder, first json.Token) error {
	switch first {
	case json.Delim('{'):
		return eachField(decoder, func(string) error { return skip(decoder) })
	case json.Delim('['):
		for decoder.More() {
			if err := skip(decoder); err != nil {
				return err
			}
		}
		_, err := decoder.Token()
		return err
	default:
		return nil
	}
}
