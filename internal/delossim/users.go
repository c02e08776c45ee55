package delossim

import (
	"cmp"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"
)

// firstUserID is the default number of the first user, as in the documentation's sample.
const firstUserID = 12345

// User is a user of the platform with its relations. Its JSON is that of the simulator's data file and of
// [Server.Admin], not the API's.
type User struct {
	// UUID names the user in every call.
	UUID string `json:"uuid"`
	// ID is the platform's own number; zero takes the next one.
	ID int64 `json:"id,omitempty"`
	// PUID is the public id; empty takes a random one.
	PUID string `json:"puid,omitempty"`
	// Username is the name to log in with.
	Username string `json:"username"`
	// Name is the name for people.
	Name string `json:"name,omitempty"`
	// Comment is free text.
	Comment string `json:"comment,omitempty"`
	// Status is "NEW", "ACCEPT" or another of an open list; empty is "ACCEPT".
	Status string `json:"status,omitempty"`
	// Is2FA says that the user logs in with two factors.
	Is2FA bool `json:"is2fa,omitempty"`
	// IsDeleted marks the user as deleted: Get user still shows it, and it has no access.
	IsDeleted bool `json:"isDeleted,omitempty"`
	// CreateAt is when the user was made; zero is now.
	CreateAt time.Time `json:"createAt,omitzero"`
	// UpdateAt is when the user or a relation of it last changed; zero is now.
	UpdateAt time.Time `json:"updateAt,omitzero"`
	// Relations has isOwner by cuid.
	Relations map[string]bool `json:"relations"`
}

// AddUser adds the user, or replaces the one with that UUID, and adds the clients that it is related to.
func (s *Server) AddUser(user User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	user.ID = cmp.Or(user.ID, s.users.nextID)
	s.users.nextID = max(s.users.nextID, user.ID+1)
	if user.PUID == "" {
		user.PUID = "pub_" + strings.ToLower(rand.Text()[:8])
	}
	user.Status = cmp.Or(user.Status, "ACCEPT")
	if user.CreateAt.IsZero() {
		user.CreateAt = now
	}
	if user.UpdateAt.IsZero() {
		user.UpdateAt = now
	}
	user.Relations = maps.Clone(user.Relations)
	if user.Relations == nil {
		user.Relations = map[string]bool{}
	}
	for cuid := range user.Relations {
		s.users.clients[cuid] = true
	}
	s.users.byUUID[user.UUID] = &storedUser{User: user, shown: maps.Clone(user.Relations)}
	s.users.ordered = nil
}

// User returns the true user, without the lag.
func (s *Server) User(uuid string) (user User, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, found := s.users.byUUID[uuid]
	if !found {
		return User{}, false
	}
	return stored.copy(), true
}

// Users returns all true users, without the lag, in the order of their ID.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := []User{}
	for _, stored := range s.users.all() {
		users = append(users, stored.copy())
	}
	return users
}

// SoftDeleteUser marks the user as deleted. Get user still shows it with its relations, and the relations
// can be removed. New ones are refused with "User not found". It reports whether the user exists.
func (s *Server) SoftDeleteUser(uuid string) bool { return s.setDeleted(uuid, true) }

// RestoreUser undoes SoftDeleteUser. The remaining relations of the user give access again. It reports whether
// the user exists.
func (s *Server) RestoreUser(uuid string) bool { return s.setDeleted(uuid, false) }

func (s *Server) setDeleted(uuid string, deleted bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, found := s.users.byUUID[uuid]
	if found {
		user.IsDeleted, user.UpdateAt = deleted, s.now()
	}
	return found
}

// RemoveUser removes the user and its relations. It reports whether the user existed.
func (s *Server) RemoveUser(uuid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.users.byUUID[uuid]
	delete(s.users.byUUID, uuid)
	s.users.ordered = nil
	return found
}

// AddClient adds the client.
func (s *Server) AddClient(cuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users.clients[cuid] = true
}

// NameClient adds the client, with its name in List customers.
func (s *Server) NameClient(cuid, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users.clients[cuid], s.users.names[cuid] = true, name
}

// RemoveClient removes the client and every relation to it, at once. It reports whether the client existed.
func (s *Server) RemoveClient(cuid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.users.clients[cuid]
	delete(s.users.clients, cuid)
	for _, user := range s.users.byUUID {
		user.unrelate(cuid, writeTime{at: s.now()})
	}
	return found
}

// Clients returns the known cuids, sorted.
func (s *Server) Clients() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.users.clients))
}

// Relations returns the true isOwner by cuid, without the lag; nil if the user does not exist.
func (s *Server) Relations(uuid string) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, found := s.users.byUUID[uuid]
	if !found {
		return nil
	}
	return maps.Clone(user.Relations)
}

// SetRelation relates the user to the client without the API, shown at once. It adds a missing client. It
// reports whether the user exists.
func (s *Server) SetRelation(uuid, cuid string, isOwner bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, found := s.users.byUUID[uuid]
	if found {
		s.users.clients[cuid] = true
		user.relate(cuid, isOwner, writeTime{at: s.now()})
	}
	return found
}

// RemoveRelation removes a relation without the API, shown at once. It reports whether the relation existed.
func (s *Server) RemoveRelation(uuid, cuid string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, found := s.users.byUUID[uuid]
	if !found {
		return false
	}
	_, related := user.Relations[cuid]
	user.unrelate(cuid, writeTime{at: s.now()})
	return related
}

// now is the clock's time as the platform writes it: UTC, whole seconds (docs/delos-api.md has "2024-01-15T10:30:00Z").
func (s *Server) now() time.Time { return s.clock().UTC().Truncate(time.Second) }

// directory has the users and clients of the platform.
type directory struct {
	byUUID  map[string]*storedUser
	clients map[string]bool
	// names are those of clients, by their cuid.
	names map[string]string
	// ordered are the users in the order of their ID; nil when it is out of date.
	ordered []*storedUser
	nextID  int64
}

func newDirectory() directory {
	return directory{byUUID: map[string]*storedUser{}, clients: map[string]bool{}, names: map[string]string{}, nextID: firstUserID}
}

// all returns the users in the order of their ID.
func (d *directory) all() []*storedUser {
	if d.ordered == nil {
		d.ordered = slices.SortedFunc(maps.Values(d.byUUID), func(a, b *storedUser) int {
			return cmp.Or(cmp.Compare(a.ID, b.ID), strings.Compare(a.UUID, b.UUID))
		})
	}
	return d.ordered
}

// copy returns the user detached from the store.
func (u *storedUser) copy() User {
	user := u.User
	user.Relations = maps.Clone(u.Relations)
	return user
}

// userAnswer is the answer of Get user: the user with the shown clients.
func (s Settings) userAnswer(user User, shown map[string]bool) userAnswer {
	result := userAnswer{Item: s.wholeUser(user)}
	if s.ClientsAtTop {
		result.Clients = s.clients(shown)
	} else {
		result.Item.Clients = s.clients(shown)
	}
	return result
}

func (s Settings) wholeUser(user User) wholeUser {
	return wholeUser{
		ID:        user.ID,
		named:     s.named(user.UUID),
		Username:  user.Username,
		Status:    user.Status,
		Is2FA:     user.Is2FA,
		IsDeleted: user.IsDeleted,
		PUID:      user.PUID,
		CreateAt:  user.CreateAt,
		UpdateAt:  user.UpdateAt,
		Name:      user.Name,
		Comment:   user.Comment,
	}
}

func (s Settings) customer(cuid, name string) customer {
	if s.NameCUID {
		return customer{CUID: cuid, CustomerName: name}
	}
	return customer{CustomerID: cuid, CustomerName: name}
}

func (s Settings) writtenAnswer(user User) writtenAnswer {
	return writtenAnswer{Item: writtenUser{
		named:    s.named(user.UUID),
		Username: user.Username,
		Status:   user.Status,
		Is2FA:    user.Is2FA,
		CreateAt: user.CreateAt,
		UpdateAt: user.UpdateAt,
		Name:     user.Name,
		Comment:  user.Comment,
	}}
}

func (s Settings) named(uuid string) named {
	if s.NameUserID {
		return named{UserID: uuid}
	}
	return named{UUID: uuid}
}

// clients is the list of clients, sorted by cuid.
func (s Settings) clients(relations map[string]bool) *[]clientOfUser {
	list := []clientOfUser{}
	for _, cuid := range slices.Sorted(maps.Keys(relations)) {
		one := clientOfUser{CustomerID: cuid, IsOwner: relations[cuid]}
		if s.NameCUID {
			one.CustomerID, one.CUID = "", cuid
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		switch s.EmptyClients {
		case EmptyOmitted:
			return nil
		case EmptyNull:
			list = nil
		}
	}
	return &list
}
