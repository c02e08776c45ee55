package delos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// User is what Get user shows of a user.
type User struct {
	// UUID of the user; always the one that was asked for.
	UUID string
	// Username as people know it; may be empty.
	Username string
	// Status such as NEW or ACCEPT; the list is open.
	Status string
	// Deleted users have no access, whatever their relations say.
	Deleted bool
	// RelationsListed is false when the answer had no list of relations at all, which reads as an
	// empty list but is no proof of one.
	RelationsListed bool

	owners map[string]bool
}

// Relation reports whether the user is related to a client, and if so whether as its owner.
func (u *User) Relation(cuid string) (isOwner, related bool) {
	isOwner, related = u.owners[cuid]
	return isOwner, related
}

// User reads a user (Get user).
//
// Its errors are of type *Error; KindUserNotFound when there is no such user.
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
	user, err := decodeUser(got.body, uuid)
	if err != nil {
		return nil, &Error{Operation: OperationUser, Kind: KindUnexpected, Status: got.status, RequestID: got.requestID, Text: err.Error()}
	}
	return user, nil
}

type requestIDKey struct{}

// WithRequestID returns a context under which Relate and Unrelate send an id that the caller has made, so that it can
// be written down before the call. A call that is repeated after a 401 has it both times.
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
	type relation struct {
		CUID    string `json:"cuid"`
		IsOwner bool   `json:"isOwner"`
	}
	got, err := c.send(ctx, call{
		operation: OperationRelate,
		method:    http.MethodPut,
		requestID: requestIDOf(ctx),
		path:      []string{"v2", "user", uuid, "relate-client"},
		user:      uuid,
		cuid:      cuid,
		body: struct {
			Relation relation `json:"relation"`
		}{relation{CUID: cuid, IsOwner: isOwner}},
	})
	if err == nil {
		err = checkWritten(OperationRelate, got, uuid)
	}
	return got.requestID, err
}

// Unrelate takes a user's access to a client away, of whichever kind it is (Remove bind client).
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

// wireUser is a user in an answer. The documentation names some fields in two ways; both are read.
type wireUser struct {
	UUID     string          `json:"uuid"`
	UserID   string          `json:"userId"`
	Username string          `json:"username"`
	Status   string          `json:"status"`
	Deleted  bool            `json:"isDeleted"`
	Clients  *[]wireRelation `json:"clients"`
}

func (u *wireUser) id() (string, error) {
	return oneOf(u.UUID, u.UserID, "uuid", "userId")
}

// wireRelation is a relation in an answer. An absent isOwner is false, as protocol buffers leave
// out a field of that value.
type wireRelation struct {
	CUID       string `json:"cuid"`
	CustomerID string `json:"customerId"`
	IsOwner    bool   `json:"isOwner"`
}

// envelope is what surrounds a user. The documentation does not say whether clients stands inside
// of item or beside it; both are read.
type envelope struct {
	Item    *wireUser       `json:"item"`
	Clients *[]wireRelation `json:"clients"`
}

func decodeUser(body []byte, uuid string) (*User, error) {
	var parsed envelope
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, errNotUser
	}
	if parsed.Item == nil {
		return nil, errNotUser
	}
	if err := checkID(parsed.Item, uuid); err != nil {
		return nil, err
	}
	user := &User{
		UUID:     uuid,
		Username: clean(parsed.Item.Username),
		Status:   clean(parsed.Item.Status),
		Deleted:  parsed.Item.Deleted,
		owners:   map[string]bool{},
	}
	for _, list := range []*[]wireRelation{parsed.Item.Clients, parsed.Clients} {
		if list == nil {
			continue
		}
		owners, err := decodeRelations(*list)
		if err != nil {
			return nil, err
		}
		if user.RelationsListed && !maps.Equal(owners, user.owners) {
			return nil, errTwoLists
		}
		user.RelationsListed, user.owners = true, owners
	}
	return user, nil
}

func decodeRelations(list []wireRelation) (map[string]bool, error) {
	owners := make(map[string]bool, len(list))
	for _, relation := range list {
		cuid, err := oneOf(relation.CUID, relation.CustomerID, "cuid", "customerId")
		if err != nil {
			return nil, err
		}
		if isOwner, known := owners[cuid]; known && isOwner != relation.IsOwner {
			return nil, errTwoKinds
		}
		owners[cuid] = relation.IsOwner
	}
	return owners, nil
}

var (
	errNotUser  = decodeError("the answer is not a user in JSON")
	errTwoLists = decodeError("the answer lists the user's clients twice, and not the same ones")
	errTwoKinds = decodeError("the answer lists a client twice, as owned and as not owned")
	errOtherID  = decodeError("the answer is about another user than was asked for")
)

// decodeError is what is wrong with an answer, in words that repeat nothing of it.
type decodeError string

func (e decodeError) Error() string { return string(e) }

// oneOf returns a value that may stand under either of two names, but not differently under both.
func oneOf(first, second, firstName, secondName string) (string, error) {
	switch {
	case first == "" && second == "":
		return "", decodeError(fmt.Sprintf("the answer has neither %s nor %s where one is due", firstName, secondName))
	case first != "" && second != "" && first != second:
		return "", decodeError(fmt.Sprintf("the answer has both %s and %s, and they differ", firstName, secondName))
	case first != "":
		return first, nil
	default:
		return second, nil
	}
}

func checkID(item *wireUser, uuid string) error {
	id, err := item.id()
	if err != nil {
		return err
	}
	if id != uuid {
		return errOtherID
	}
	return nil
}

// checkWritten looks at the answer to a write. An empty one is good enough, since Get user decides;
// one that is not JSON, or is about somebody else, did not come from the operation that was asked for.
func checkWritten(operation Operation, got answer, uuid string) error {
	if len(got.body) == 0 {
		return nil
	}
	var parsed envelope
	err := error(errNotUser)
	if json.Unmarshal(got.body, &parsed) == nil {
		if parsed.Item == nil {
			return nil
		}
		err = checkID(parsed.Item, uuid)
	}
	if err == nil {
		return nil
	}
	return &Error{Operation: operation, Kind: KindUnexpected, Status: got.status, RequestID: got.requestID, Text: err.Error()}
}
