package plugin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Verdict is what is declared of a relation, compared with what the API shows.
type Verdict string

// The verdicts, in the order in which they are shown. Those up to Unreadable are findings.
const (
	// Undeclared: there is access that no ClientBinding declares.
	Undeclared Verdict = "Undeclared"
	// OtherKind: there is access, as owner where standard is declared, or the other way round.
	OtherKind Verdict = "OtherKind"
	// Missing: access is declared and not there.
	Missing Verdict = "Missing"
	// ExpiredButThere: the access was to end, and has not.
	ExpiredButThere Verdict = "ExpiredButThere"
	// Held: the ClientBinding is deleted, and the brake of its connection holds the revocation.
	Held Verdict = "Held"
	// Revoking: the ClientBinding is deleted, and the access is still there.
	Revoking Verdict = "Revoking"
	// Suspended: the ClientBinding is suspended, and the access is not as declared.
	Suspended Verdict = "Suspended"
	// Unreadable: what the API says of this access cannot be read.
	Unreadable Verdict = "Unreadable"
	// AsDeclared: the access is there, as declared.
	AsDeclared Verdict = "AsDeclared"
	// Expired: the access was to end, and has.
	Expired Verdict = "Expired"
)

var verdicts = []Verdict{Undeclared, OtherKind, Missing, ExpiredButThere, Held, Revoking, Suspended, Unreadable, AsDeclared, Expired}

// IsFinding reports whether a verdict is one to act on.
func (v Verdict) IsFinding() bool { return v != AsDeclared && v != Expired }

// unknown is the access that could not be read.
const unknown v1alpha1.Access = "Unknown"

// entry is one relation, declared or not.
type entry struct {
	Client     string          `json:"client"`
	ClientName string          `json:"clientName,omitempty"`
	User       string          `json:"user"`
	Username   string          `json:"username,omitempty"`
	UserStatus string          `json:"userStatus,omitempty"`
	Declared   v1alpha1.Access `json:"declared"`
	Actual     v1alpha1.Access `json:"actual"`
	Verdict    Verdict         `json:"verdict"`
	// Why says more about the verdict.
	Why string `json:"why,omitempty"`
	// Binding is the ClientBinding that declares the access, or did so last, as namespace/name; Others are further ones.
	Binding string   `json:"binding,omitempty"`
	Others  []string `json:"others,omitempty"`
	// Requester is who last changed the declaration, as the admission policy for requesters stamped it.
	Requester     string     `json:"requester,omitempty"`
	DeclaredSince *time.Time `json:"declaredSince,omitempty"`
	Justification string     `json:"justification,omitempty"`
	ExpiresAt     *time.Time `json:"expiresAt,omitempty"`
	Reason        string     `json:"reason,omitempty"`
}

// compare puts together what is declared and what the API shows.
func compare(declared []v1alpha1.ClientBinding, people []person, now time.Time) []entry {
	bindings := map[pair][]v1alpha1.ClientBinding{}
	users := map[string]map[string]bool{}
	add := func(user, cuid string) {
		if users[user] == nil {
			users[user] = map[string]bool{}
		}
		users[user][cuid] = true
	}
	for _, binding := range declared {
		key := pair{binding.Spec.UserUUID, binding.Spec.CUID}
		bindings[key] = append(bindings[key], binding)
		add(key.user, key.cuid)
	}
	for _, one := range people {
		for _, has := range one.Access {
			add(one.UUID, has.CUID)
		}
	}
	var entries []entry
	for _, one := range people {
		for cuid := range users[one.UUID] {
			made := one.at(cuid)
			made.declare(bindings[pair{one.UUID, cuid}], now)
			if made.Declared != v1alpha1.AccessNone || made.Actual != v1alpha1.AccessNone || made.Binding != "" {
				entries = append(entries, made)
			}
		}
	}
	slices.SortFunc(entries, byVerdict)
	return entries
}

// byVerdict puts findings first, and owners before others.
func byVerdict(a, b entry) int {
	owner := func(e entry) int {
		if e.Actual == v1alpha1.AccessOwner || e.Declared == v1alpha1.AccessOwner {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(slices.Index(verdicts, a.Verdict), slices.Index(verdicts, b.Verdict)),
		cmp.Compare(owner(a), owner(b)), cmp.Compare(a.Client, b.Client), cmp.Compare(a.User, b.User))
}

// at is what the API shows of a user at a client.
func (p person) at(cuid string) entry {
	made := entry{Client: cuid, User: p.UUID, Username: p.Username, UserStatus: p.Status, Actual: v1alpha1.AccessNone}
	i := slices.IndexFunc(p.Access, func(has relation) bool { return has.CUID == cuid })
	switch {
	case p.Deleted:
		made.Why = "the user is deleted in the API"
	case p.Absent:
		made.Why = "the API knows no such user"
	case i >= 0 && p.Access[i].Problem != "":
		made.Actual, made.Why = unknown, p.Access[i].Problem
	case i >= 0:
		made.Actual = accessOf(p.Access[i].Owner)
	case p.Problem != "":
		made.Actual, made.Why = unknown, p.Problem
	}
	return made
}

func accessOf(owner bool) v1alpha1.Access {
	if owner {
		return v1alpha1.AccessOwner
	}
	return v1alpha1.AccessStandard
}

// declare adds what ClientBindings declare, and judges.
func (e *entry) declare(bindings []v1alpha1.ClientBinding, now time.Time) {
	e.Declared = v1alpha1.AccessNone
	// The oldest that has not ended declares the access, as for the operator; else the one that ended last says why there is none.
	slices.SortFunc(bindings, func(a, b v1alpha1.ClientBinding) int {
		return cmp.Or(
			compareBool(ended(&a, now), ended(&b, now)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	for i := range bindings {
		name := bindings[i].Namespace + "/" + bindings[i].Name
		if i > 0 {
			e.Others = append(e.Others, name)
			continue
		}
		e.describe(&bindings[i], name)
	}
	if len(bindings) == 0 {
		e.judge(nil, now)
		return
	}
	e.judge(&bindings[0], now)
}

func (e *entry) describe(binding *v1alpha1.ClientBinding, name string) {
	e.Binding = name
	e.Requester = binding.Annotations[v1alpha1.RequestedByAnnotation]
	since := binding.CreationTimestamp.UTC()
	e.DeclaredSince = &since
	e.Justification = binding.Spec.Justification
	if at := binding.Spec.ExpiresAt; at != nil {
		utc := at.UTC()
		e.ExpiresAt = &utc
	}
	for _, condition := range binding.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			e.Reason = condition.Reason
		}
	}
}

// judge compares. The binding is the one that declares the access, or did so last.
func (e *entry) judge(binding *v1alpha1.ClientBinding, now time.Time) {
	active := binding != nil && !ended(binding, now)
	if active {
		e.Declared = accessOf(binding.Spec.IsOwner)
	}
	switch {
	case e.Actual == unknown:
		e.Verdict = Unreadable
	case binding == nil:
		e.Verdict = Undeclared
	case active:
		e.Verdict = e.judgeActive(binding)
	default:
		e.Verdict = e.judgeEnded(binding)
	}
}

// judgeActive compares the access with what a binding declares.
func (e *entry) judgeActive(binding *v1alpha1.ClientBinding) Verdict {
	switch {
	case e.Declared == e.Actual:
		return AsDeclared
	case binding.Spec.Suspend != nil && *binding.Spec.Suspend:
		return Suspended
	case e.Actual == v1alpha1.AccessNone:
		return Missing
	default:
		return OtherKind
	}
}

// judgeEnded says what became of access that was to end.
func (e *entry) judgeEnded(binding *v1alpha1.ClientBinding) Verdict {
	deleted, there := !binding.DeletionTimestamp.IsZero(), e.Actual != v1alpha1.AccessNone
	switch {
	case deleted && e.Reason == v1alpha1.ReasonRevocationHeld:
		return Held
	case deleted && there:
		return Revoking
	case there:
		return ExpiredButThere
	default:
		return Expired
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// count is how many entries have each verdict.
func count(entries []entry) map[Verdict]int {
	counts := map[Verdict]int{}
	for _, one := range entries {
		counts[one.Verdict]++
	}
	return counts
}

// inWords says how many entries have which verdict.
func (v Verdict) inWords() string {
	return map[Verdict]string{
		Undeclared: "undeclared", OtherKind: "of the other kind", Missing: "missing", ExpiredButThere: "expired and still there",
		Held: "held by the brake on revocations", Revoking: "being revoked", Suspended: "suspended and not as declared",
		Unreadable: "unreadable", AsDeclared: "as declared", Expired: "expired",
	}[v]
}

func countInWords(entries []entry) string {
	counts := count(entries)
	var parts []string
	for _, verdict := range verdicts {
		if counts[verdict] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[verdict], verdict.inWords()))
		}
	}
	if len(parts) == 0 {
		return "no relations"
	}
	return fmt.Sprintf("%d relations: %s", len(entries), strings.Join(parts, ", "))
}
