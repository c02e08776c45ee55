package delos

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// User is a user as Get user shows it.
type User struct {
	// UUID of the user; always the one that was asked for.
	UUID string
	// Username as people know it; may be empty.
	Username string
	// Status such as NEW or ACCEPT; the list is open.
	Status string
	// Deleted users have no access, even with relations.
	Deleted bool
	// Complete is false when the answer had no list of relations at all, or an entry in it that leaves its client
	// out: the answer alone then proves no absence of a relation.
	Complete bool
	// Foreign is true when an entry has a form that is not in the contract. It may be about any client: the answer then
	// proves no absence of a relation.
	Foreign bool
	// Form has the names that the answer uses where the documentation has more than one.
	Form UserForm

	lists     kinds
	relations map[string]kinds
	requestID string
}

// Relation reports whether the user is related to a client, and if so whether as its owner. Complete and Foreign tell
// whether the absence of a relation is proven.
//
// Its error is of type *Error, and of KindUnexpected: the answer has an entry about this client that cannot be read. It
// proves neither a relation nor its absence.
func (u *User) Relation(cuid string) (isOwner, related bool, err error) {
	kind, named := u.relations[cuid]
	if !named {
		for _, id := range u.Clients() {
			if strings.EqualFold(strings.TrimSpace(id), cuid) {
				return false, false, u.unexpected(errAlmost, inOtherCase(id, cuid))
			}
		}
		return false, false, nil
	}
	inside, beside := kind>>inItem&inOnePlace, kind>>besideItem&inOnePlace
	both := u.lists == 1<<inItem|1<<besideItem
	switch shown := inside | beside; {
	case shown&unclear != 0:
		return false, false, u.unexpected(errUnclear, "")
	case both && inside != beside:
		return false, false, u.unexpected(errTwoLists, "")
	case shown == standard|owner:
		return false, false, u.unexpected(errTwoKinds, "")
	default:
		return shown == owner, true, nil
	}
}

// Clients returns the sorted ids of all clients that the answer names. Relation tells the access at each.
func (u *User) Clients() []string { return slices.Sorted(maps.Keys(u.relations)) }

func (u *User) unexpected(what error, otherCase string) error {
	return &Error{Operation: OperationUser, Kind: KindUnexpected, Status: http.StatusOK, RequestID: u.requestID, Text: what.Error(), OtherCase: otherCase}
}

// inOtherCase returns an id if it differs from the one in the call only in its case, else "". It may be shown, since the one in the call has
// a known form.
func inOtherCase(id, asked string) string {
	if id != asked && strings.EqualFold(id, asked) {
		return id
	}
	return ""
}

// User reads a user (Get user).
//
// Its errors are of type *Error; KindUserNotFound when there is no such user, KindTooLarge when the answer is larger
// than 16 MiB.
func (c *Client) User(ctx context.Context, uuid string) (*User, error) {
	got, err := c.send(ctx, call{
		operation: OperationUser,
		method:    http.MethodGet,
		path:      []string{"v2", "user", uuid},
		user:      uuid,
	})
	if err != nil {
		return nil, err
	}
	user, err := got.shown.user(uuid)
	if err != nil {
		failure := &Error{Operation: OperationUser, Kind: KindUnexpected, Status: got.status, RequestID: got.requestID, Text: err.Error()}
		if got.shown != nil {
			failure.OtherCase = inOtherCase(got.shown.ids.one(), uuid)
		}
		return nil, failure
	}
	user.requestID = got.requestID
	return user, nil
}

type requestIDKey struct{}

// WithRequestID returns a context with which Relate and Unrelate send the caller's request id, so that the caller can record it
// before the call. A call that is repeated after a 401 has it both times.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Relate gives a user access to a client, as its owner or with standard access (Bind client). It
// overwrites a relation that exists. Success is no proof that the relation is there: User tells.
// The id is the one under which the request was sent last; a failure has it, too.
func (c *Client) Relate(ctx context.Context, uuid, cuid string, isOwner bool) (requestID string, err error) {
	got, err := c.send(ctx, call{
		operation: OperationRelate,
		method:    http.MethodPut,
		requestID: requestIDOf(ctx),
		path:      []string{"v2", "user", uuid, "relate-client"},
		user:      uuid,
		cuid:      cuid,
		body:      c.config.Dialect.relation(cuid, isOwner),
	})
	if err == nil {
		err = checkWritten(OperationRelate, got, uuid)
	}
	switch KindOf(err) {
	case KindNone, KindAlreadyRelated:
		c.taken.relation.Store(true)
	}
	return got.requestID, err
}

// Unrelate takes a user's access to a client away, of either kind (Remove bind client).
// Success is no proof that the relation is gone: User tells. The id is the one under which the request was sent
// last; a failure has it, too.
func (c *Client) Unrelate(ctx context.Context, uuid, cuid string) (requestID string, err error) {
	got, err := c.send(ctx, call{
		operation: OperationUnrelate,
		method:    http.MethodDelete,
		requestID: requestIDOf(ctx),
		path:      []string{"v2", "user", uuid, "relate-client", cuid},
		user:      uuid,
		cuid:      cuid,
	})
	if err == nil {
		err = checkWritten(OperationUnrelate, got, uuid)
	}
	return got.requestID, err
}

// user returns the user of an answer, if it is the one in the call.
func (s *shown) user(uuid string) (*User, error) {
	if s == nil || !s.hasItem {
		return nil, errNotUser
	}
	if err := s.ids.check(uuid); err != nil {
		return nil, err
	}
	if s.problem != nil {
		return nil, s.problem
	}
	return &User{
		UUID:      uuid,
		Username:  s.username,
		Status:    s.status,
		Deleted:   s.deleted,
		Complete:  s.lists != 0 && !s.unnamed,
		Foreign:   s.foreign,
		Form:      s.form,
		lists:     s.lists,
		relations: s.relations,
	}, nil
}

// check returns an error unless the ids of an item are those of the user in the call.
func (i *idents) check(uuid string) error {
	switch {
	case len(i.named) > 1:
		return errTwoIDs
	case i.one() == "":
		return errNoID
	case i.one() != uuid:
		return errOtherID
	default:
		return nil
	}
}

const (
	errNotUser  = decodeError("the answer is not a user in JSON")
	errDeleted  = decodeError("isDeleted is neither true nor false in the answer")
	errNoID     = decodeError("the answer has neither uuid nor userId where one is due")
	errTwoIDs   = decodeError("the answer has two ids of the user, and they differ")
	errOtherID  = decodeError("the answer is about another user than was asked for")
	errUnclear  = decodeError("the answer has an entry about this client that cannot be read")
	errAlmost   = decodeError("the answer has an entry about a client whose id differs from this one's only in its case or in spaces")
	errTwoLists = decodeError("the answer lists the user's clients twice, and the lists differ about this client")
	errTwoKinds = decodeError("the answer lists this client twice, as owned and as not owned")
)

// decodeError says what is wrong with an answer, in words that repeat nothing of it.
type decodeError string

func (e decodeError) Error() string { return string(e) }

// checkWritten looks at the answer to a write. An empty one is good enough, since Get user decides;
// one that is not JSON, or is about another user, did not come from the operation that was asked for.
func checkWritten(operation Operation, got answer, uuid string) error {
	if len(got.body) == 0 {
		return nil
	}
	written, err := readShown(bytes.NewReader(got.body))
	switch {
	case err != nil:
	case written.hasItem:
		err = written.ids.check(uuid)
	default:
		err = written.problem
	}
	if err == nil {
		return nil
	}
	return &Error{Operation: operation, Kind: KindUnexpected, Status: got.status, RequestID: got.requestID, Text: err.Error()}
}
