package delossim

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
)

// defaultPageSize is the number of entries of a page if the call names none.
const defaultPageSize = 50

// perform carries the call out on the state.
func (s *Server) perform(req *request) answer {
	switch {
	case req.wrongMethod:
		// As a gRPC gateway answers a known path with another method.
		return gatewayFailure(http.StatusNotImplemented, codeUnimplemented, "Method Not Allowed")
	case req.op == OpOther:
		return gatewayFailure(http.StatusNotFound, codeNotFound, "Not Found")
	case req.op == OpLogin:
		return s.login(req)
	case req.op == OpRefresh:
		return s.refresh(req)
	case !s.sessions.authorize(req.header.Get("Authorization"), s.settings.BareToken, s.clock()):
		return s.settings.unauthorized()
	default:
		return s.performAs(req, s.sessions.account(req.header.Get("Authorization")))
	}
}

// performAs carries out a call of an account about users.
func (s *Server) performAs(req *request, account Account) answer {
	switch {
	case account.SeesNobody && req.op == OpList:
		return success(listAnswer[wholeUser]{Items: &[]wholeUser{}})
	case account.SeesNobody:
		return s.settings.userNotFound(req.user)
	case account.ReadOnly && (req.op == OpRelate || req.op == OpUnrelate):
		return s.settings.failure(http.StatusForbidden, codePermissionDenied, "Permission denied")
	case account.NoCustomers && req.op == OpCustomers:
		return s.settings.failure(http.StatusForbidden, codePermissionDenied, "Permission denied")
	case req.op == OpUser:
		return s.user(req)
	case req.op == OpRelate:
		return s.relate(req)
	case req.op == OpUnrelate:
		return s.unrelate(req)
	case req.op == OpCustomers:
		return s.customers(req)
	default:
		return s.list(req)
	}
}

// user is Get user.
func (s *Server) user(req *request) answer {
	user, found := s.users.byUUID[req.user]
	if !found {
		return s.settings.userNotFound(req.user)
	}
	return success(s.settings.userAnswer(user.User, user.read(s.clock())))
}

// relate is Bind client.
func (s *Server) relate(req *request) answer {
	wanted, err := req.relation(s.settings.FlatRelation)
	if err != nil {
		return s.settings.invalid(err)
	}
	user, found := s.users.byUUID[req.user]
	if !found || user.IsDeleted {
		return s.settings.userNotFound(req.user)
	}
	if !s.users.clients[wanted.cuid] {
		return s.settings.customerNotFound(wanted.cuid)
	}
	isOwner, exists := user.Relations[wanted.cuid]
	if exists && s.settings.refusesToOverwrite(isOwner, wanted.isOwner) {
		return s.settings.failure(s.settings.alreadyRelatedStatus(), codeAlreadyExists,
			"User already related to this customer")
	}
	user.relate(wanted.cuid, wanted.isOwner, s.writeTime())
	return success(s.settings.writtenAnswer(user.User))
}

// unrelate is Remove bind client. A user that was deleted softly can still be unrelated.
func (s *Server) unrelate(req *request) answer {
	onlyOwner, given, err := req.ownerFilter()
	if err != nil {
		return s.settings.invalid(err)
	}
	user, found := s.users.byUUID[req.user]
	if !found {
		return s.settings.userNotFound(req.user)
	}
	if !s.users.clients[req.cuid] {
		return s.settings.customerNotFound(req.cuid)
	}
	isOwner, exists := user.Relations[req.cuid]
	if exists && given && isOwner != onlyOwner {
		exists = false
	}
	if !exists && s.settings.RefuseAbsent {
		return s.settings.failure(s.settings.notFoundStatus(), codeNotFound, "Relation not found: %s", req.cuid)
	}
	if exists {
		user.unrelate(req.cuid, s.writeTime())
	}
	return success(s.settings.writtenAnswer(user.User))
}

// list is List users. The filter by cuid uses the relations that Get user would show.
func (s *Server) list(req *request) answer {
	cuid, uuid, status := req.query.Get("cuid"), req.query.Get("uuid"), req.query.Get("status")
	var matching []*storedUser
	for _, user := range s.users.all() {
		_, related := user.peek(s.clock())[cuid]
		if cuid != "" && !related || uuid != "" && uuid != user.UUID || status != "" && status != user.Status {
			continue
		}
		matching = append(matching, user)
	}
	return onePage(s, req, matching, func(user *storedUser) wholeUser {
		item := s.settings.wholeUser(user.User)
		if s.settings.ListClients {
			item.Clients = s.settings.clients(user.peek(s.clock()))
		}
		return item
	})
}

// customers is List customers, in the order of their cuid.
func (s *Server) customers(req *request) answer {
	cuid, name := req.query.Get("customerId"), req.query.Get("customerName")
	var matching []string
	for _, known := range slices.Sorted(maps.Keys(s.users.clients)) {
		if cuid == "" && name == "" || known == cuid || name != "" && s.users.names[known] == name {
			matching = append(matching, known)
		}
	}
	return onePage(s, req, matching, func(cuid string) customer {
		return s.settings.customer(cuid, s.users.names[cuid])
	})
}

// onePage answers the requested page.
func onePage[T, I any](s *Server, req *request, all []T, item func(T) I) answer {
	number, err := req.number("meta.page", 0, 0)
	if err != nil {
		return s.settings.invalid(err)
	}
	asked, err := req.number("meta.pageSize", defaultPageSize, 1)
	if err != nil {
		return s.settings.invalid(err)
	}
	size, step := asked, asked
	if limit := s.settings.MaxPageSize; limit > 0 {
		size = min(asked, limit)
		if !s.settings.PagesAsAsked {
			step = size
		}
	}
	start := min(number*step, len(all))
	if s.settings.LastPageAgain && start == len(all) && start > 0 {
		start = (len(all) - 1) / step * step
	}
	items := []I{}
	for _, one := range all[start:min(start+size, len(all))] {
		items = append(items, item(one))
	}
	result := listAnswer[I]{Items: &items, Meta: listMeta{Page: number, PageSize: asked, Total: len(all)}}
	if s.settings.OmitEmptyItems && len(items) == 0 {
		result.Items = nil
	}
	switch {
	case s.settings.OmitTotal:
		result.Meta.Total = nil
	case s.settings.TextTotal:
		result.Meta.Total = strconv.Itoa(len(all))
	}
	return success(result)
}

// refusesToOverwrite reports whether a PUT of wanted on a relation that has isOwner is refused.
func (s Settings) refusesToOverwrite(isOwner, wanted bool) bool {
	switch s.Existing {
	case RefuseChange:
		return isOwner != wanted
	case RefuseRepeat:
		return true
	default:
		return false
	}
}

// relation is the body of a Bind client call.
type relation struct {
	cuid    string
	isOwner bool
}

// relation reads the body of a Bind client call, in the flat form or in the nested one.
func (r *request) relation(flat bool) (relation, error) {
	if err := r.wantJSON(); err != nil {
		return relation{}, err
	}
	if flat {
		return r.flatRelation()
	}
	var body relateBody
	if err := decode(r.body, &body); err != nil {
		return relation{}, err
	}
	switch {
	case body.Relation == nil:
		return relation{}, errors.New("no relation")
	case body.Relation.CUID == "":
		return relation{}, errors.New("no relation.cuid")
	case body.Relation.IsOwner == nil:
		return relation{}, errors.New("no relation.isOwner")
	}
	return relation{cuid: body.Relation.CUID, isOwner: *body.Relation.IsOwner}, nil
}

func (r *request) flatRelation() (relation, error) {
	var body flatRelateBody
	if err := decode(r.body, &body); err != nil {
		return relation{}, err
	}
	switch {
	case body.CustomerID == "":
		return relation{}, errors.New("no customerId")
	case body.IsOwner == nil:
		return relation{}, errors.New("no isOwner")
	}
	return relation{cuid: body.CustomerID, isOwner: *body.IsOwner}, nil
}

// readRelation notes the relation of the call for the record, as far as it is known.
func (r *request) readRelation() {
	switch r.op {
	case OpRelate:
		wanted, err := r.relation(false)
		if err != nil {
			wanted, err = r.relation(true)
		}
		if err == nil {
			r.cuid, r.isOwner = wanted.cuid, &wanted.isOwner
		}
	case OpUnrelate:
		if isOwner, given, err := r.ownerFilter(); err == nil && given {
			r.isOwner = &isOwner
		}
	}
}

// ownerFilter reads the optional query of Remove bind client.
func (r *request) ownerFilter() (isOwner, given bool, err error) {
	switch value := r.query.Get("relation.isOwner"); {
	case !r.query.Has("relation.isOwner"):
		return false, false, nil
	case value == "true" || value == "false":
		return value == "true", true, nil
	default:
		return false, false, fmt.Errorf("relation.isOwner is %q", value)
	}
}

// number reads a whole number of at least low from the query.
func (r *request) number(name string, absent, low int) (int, error) {
	if !r.query.Has(name) {
		return absent, nil
	}
	n, err := strconv.Atoi(r.query.Get(name))
	if err != nil || n < low {
		return 0, fmt.Errorf("%s is %q", name, r.query.Get(name))
	}
	return n, nil
}

// wantJSON refuses a body that does not say it is JSON: the documentation lists the header.
func (r *request) wantJSON() error {
	mediaType, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return fmt.Errorf("Content-Type is %q", r.header.Get("Content-Type"))
	}
	return nil
}
