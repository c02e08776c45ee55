package delos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// listPageSize is the number of entries that a page is asked for, as in the documentation's sample.
	listPageSize = 50
	// listRestarts bounds how often a list is begun anew because it changed while it was read.
	listRestarts = 5
)

// UserFilter limits a list of users; an empty field does not.
type UserFilter struct {
	// CUID of a client to which the users are related.
	CUID string
	// Status of the users, such as ACCEPT.
	Status string
}

// Customer is a client account as List customers names it.
type Customer struct {
	// CUID is its id.
	CUID string
	// Name for people; may be empty.
	Name string
}

// Listing reads a list of the API, one page at a time. The fields around the entries, the end of a list and the largest page are
// not documented. So a list ends only with an empty page, or with one that has nothing new if the API's own total says that it is
// complete. If entries may have been left out, the list is begun anew, or ends with an error.
type Listing[T any] struct {
	api  *Client
	call call
	read func(*json.Decoder) (id string, entry T, err error)

	entries []T
	known   map[string]bool
	page    int
	size    int
	// first is the number of entries of the first page, and shorter tells that the last page had fewer than were asked for.
	first   int
	shorter bool
	// uneven: pages shorter than asked for came before others, for any size that was asked for.
	uneven bool
	// total is the number of entries that the API names; -1 when it names none. changed: it named another one before.
	total    int
	changed  bool
	resized  bool
	restarts int
}

// Users returns a list of the ids of users (List users).
func (c *Client) Users(filter UserFilter) *Listing[string] {
	return newListing(c, call{
		operation: OperationList,
		path:      []string{"v2", "user"},
		query:     filter.query(),
	}, func(decoder *json.Decoder) (string, string, error) {
		id, err := readEntry(decoder, []string{"uuid", "userId"}, nil, nil)
		return id, id, err
	})
}

// Customers returns a list of clients (List customers).
func (c *Client) Customers() *Listing[Customer] {
	return newListing(c, call{operation: OperationCustomers, path: []string{"v2", "customer"}},
		func(decoder *json.Decoder) (string, Customer, error) {
			var name string
			id, err := readEntry(decoder, []string{"cuid", "customerId"}, []string{"customerName", "name"}, &name)
			return id, Customer{CUID: id, Name: name}, err
		})
}

func newListing[T any](api *Client, call call, read func(*json.Decoder) (string, T, error)) *Listing[T] {
	call.method, call.maxBytes = http.MethodGet, maxUserBytes
	l := &Listing[T]{api: api, call: call, read: read, size: listPageSize}
	l.begin()
	return l
}

func (f UserFilter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{"cuid": f.CUID, "status": f.Status} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

func (l *Listing[T]) begin() {
	l.entries, l.known, l.page, l.first = nil, map[string]bool{}, 0, 0
	l.shorter, l.uneven, l.total, l.changed = false, false, -1, false
}

// Entries returns the entries that were read so far, each once, in the order of the API. They are complete once Next has reported the end.
func (l *Listing[T]) Entries() []T { return l.entries }

// Total returns the number of entries that the API names.
func (l *Listing[T]) Total() (total int, known bool) { return l.total, l.total >= 0 }

// Next reads the next page, and reports whether that was the end. After an error the same page is read again.
//
// Its errors are of type *Error; KindUnexpected when the list is not in the contract, or may not be complete.
func (l *Listing[T]) Next(ctx context.Context) (done bool, err error) {
	asked := l.call
	asked.query = url.Values{"meta.page": {strconv.Itoa(l.page)}, "meta.pageSize": {strconv.Itoa(l.size)}}
	for name, values := range l.call.query {
		asked.query[name] = values
	}
	got, err := l.api.send(ctx, asked)
	if err != nil {
		return false, err
	}
	page, err := l.decode(got.body)
	if err == nil {
		done, err = l.take(page)
	}
	if err != nil {
		return false, &Error{
			Operation: l.call.operation, Kind: KindUnexpected, Status: got.status, RequestID: got.requestID,
			Text: fmt.Sprintf("page %d of the list: %s", l.page, err),
		}
	}
	return done, nil
}

// take adds a page to the list, and reports whether that was the end.
func (l *Listing[T]) take(page listPage[T]) (done bool, err error) {
	if len(page.entries) == 0 {
		return l.end(page.total)
	}
	if page.total >= 0 {
		if page.total < l.total {
			return false, l.restart() // An entry that went may have moved another one to a page that was read already.
		}
		l.changed = l.changed || l.total >= 0 && page.total != l.total
		l.total = page.total
	}
	if l.page == 0 {
		l.first = len(page.entries)
	}
	if !slices.ContainsFunc(page.ids, func(id string) bool { return !l.known[id] }) {
		if l.total >= 0 && len(l.entries) >= l.total {
			return true, nil
		}
		return false, errRepeats
	}
	if l.shorter {
		// The API gives no larger pages. Whether it counts them by their own length or by the one that was asked for is not known,
		// and does not matter if both are the same.
		if !l.resized {
			l.resized, l.size = true, l.first
			l.begin()
			return false, nil
		}
		l.uneven = true
	}
	l.shorter = len(page.entries) < l.size
	for i, id := range page.ids {
		if !l.known[id] {
			l.known[id] = true
			l.entries = append(l.entries, page.entries[i])
		}
	}
	l.page++
	return false, nil
}

// end judges a list that came to an empty page.
func (l *Listing[T]) end(total int) (done bool, err error) {
	if l.page == 0 {
		l.total = total
	}
	switch complete := len(l.entries) >= l.total; {
	case !complete && l.changed:
		return false, l.restart()
	case !complete:
		return false, listError(fmt.Sprintf("the API says that there are %d entries, and its pages had %d", l.total, len(l.entries)))
	case l.uneven && l.total < 0:
		return false, errUneven
	default:
		return true, nil
	}
}

func (l *Listing[T]) restart() error {
	if l.restarts++; l.restarts > listRestarts {
		return errChanges
	}
	l.begin()
	return nil
}

const (
	errRepeats   = listError("it has only entries of the pages before: the API may not count pages as it should")
	errUneven    = listError("pages shorter than asked for came before others, and the API does not say how many entries there are: some may have been left out")
	errChanges   = listError("the list changed each time while it was read")
	errNotList   = listError("the answer is not a list in JSON")
	errNoItems   = listError("the answer has no items, but something else")
	errNoEntryID = listError("an entry has no id, or two that differ")
)

// listError says why an answer is no list, or why the list may not be complete.
type listError string

func (e listError) Error() string { return string(e) }

// listPage is one page of a list.
type listPage[T any] struct {
	ids     []string
	entries []T
	// total is the number of entries of the whole list that the page names; -1 when it names none.
	total int
}

// decode reads a page. An absent or null list is an empty one, as protocol buffers write it, unless another field could be the
// list.
func (l *Listing[T]) decode(body []byte) (listPage[T], error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	result := listPage[T]{total: -1}
	listed, other := false, false
	first, err := decoder.Token()
	if err != nil || first != json.Delim('{') {
		return result, errNotList
	}
	err = eachField(decoder, func(name string) error {
		switch {
		case strings.EqualFold(name, "items"):
			if listed {
				return errNotList
			}
			listed, err = l.decodeItems(decoder, &result)
			return err
		case strings.EqualFold(name, "meta"):
			return readTotal(decoder, &result.total)
		default:
			value, err := scalar(decoder)
			_, composed := value.(json.Delim)
			other = other || composed
			return err
		}
	})
	var known listError
	switch {
	case errors.As(err, &known):
		return result, known
	case err != nil:
		return result, errNotList
	case !listed && other:
		return result, errNoItems
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return result, errNotList
	}
	return result, nil
}

func (l *Listing[T]) decodeItems(decoder *json.Decoder, into *listPage[T]) (listed bool, err error) {
	first, err := decoder.Token()
	switch {
	case err != nil:
		return false, err
	case first == nil:
		return false, nil
	case first != json.Delim('['):
		return false, errNotList
	}
	for decoder.More() {
		id, entry, err := l.read(decoder)
		if err != nil {
			return false, err
		}
		into.ids, into.entries = append(into.ids, id), append(into.entries, entry)
	}
	_, err = decoder.Token()
	return true, err
}

// readTotal reads meta.total, which a gRPC gateway writes as a text if it has 64 bits.
func readTotal(decoder *json.Decoder, into *int) error {
	first, err := decoder.Token()
	if err != nil || first != json.Delim('{') {
		return errors.Join(err, skipRest(decoder, first))
	}
	return eachField(decoder, func(name string) error {
		if !strings.EqualFold(name, "total") {
			return skip(decoder)
		}
		value, err := scalar(decoder)
		switch value := value.(type) {
		case nil:
			return err
		case string, json.Number:
			total, bad := strconv.ParseUint(fmt.Sprint(value), 10, 31)
			if bad != nil {
				return listError("meta.total is no number of entries")
			}
			*into = int(total)
			return err
		default:
			return listError("meta.total is no number of entries")
		}
	})
}

// readEntry reads an entry of a list: its id, which has several names, and its name for people.
func readEntry(decoder *json.Decoder, idNames, texts []string, text *string) (id string, err error) {
	first, err := decoder.Token()
	if err != nil {
		return "", err
	}
	if first != json.Delim('{') {
		return "", errNoEntryID
	}
	var ids idents
	err = eachField(decoder, func(name string) error {
		switch {
		case foldedIn(idNames, name):
			return ids.read(decoder)
		case foldedIn(texts, name):
			return readText(decoder, text)
		default:
			return skip(decoder)
		}
	})
	if err == nil && ids.one() == "" {
		err = errNoEntryID
	}
	return ids.one(), err
}

func foldedIn(names []string, name string) bool {
	return slices.ContainsFunc(names, func(known string) bool { return strings.EqualFold(known, name) })
}
