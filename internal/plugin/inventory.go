package plugin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Verdict is the result of comparing a declared relation with the API.
type Verdict string

// The verdicts, in the order in which they are shown. Those up to Unreadable are findings.
const (
	// Undeclared: no ClientBinding declares the access.
	Undeclared Verdict = "Undeclared"
	// NotAllowed: its APIConnection does not allow the ClientBinding, does not exist, or leads to another host than the claim, so that
	// it declares no access.
	NotAllowed Verdict = "NotAllowed"
	// OtherKind: the user is owner where standard access is declared, or the other way round.
	OtherKind Verdict = "OtherKind"
	// Missing: the declared access does not exist.
	Missing Verdict = "Missing"
	// ExpiredButThere: the access was to end, and has not.
	ExpiredButThere Verdict = "ExpiredButThere"
	// Held: the ClientBinding is deleted, and the brake of its connection holds the revocation.
	Held Verdict = "Held"
	// Revoking: the ClientBinding is deleted, and the access is still there.
	Revoking Verdict = "Revoking"
	// Suspended: the ClientBinding is suspended, and the access is not as declared.
	Suspended Verdict = "Suspended"
	// Conflict: another ClientBinding, which is older, declares the same relation, and holds it.
	Conflict Verdict = "Conflict"
	// Unreadable: the API's answer about this access cannot be read.
	Unreadable Verdict = "Unreadable"
	// AsDeclared: the access is as declared.
	AsDeclared Verdict = "AsDeclared"
	// Expired: the access was to end, and has.
	Expired Verdict = "Expired"
	// Replaced: the ClientBinding has ended, and another one declares the relation, or has ended later.
	Replaced Verdict = "Replaced"
)

var verdicts = []Verdict{Undeclared, NotAllowed, OtherKind, Missing, ExpiredButThere, Held, Revoking, Suspended, Conflict, Unreadable, AsDeclared, Expired, Replaced}

// IsFinding reports whether a person has to act on a verdict.
func (v Verdict) IsFinding() bool { return v != AsDeclared && v != Expired && v != Replaced }

// unknown is the access that could not be read.
const unknown v1alpha1.Access = "Unknown"

// entry is one relation, declared or not, or a further ClientBinding that declares it.
type entry struct {
	// Client is "" where an answer may hide access to any client.
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
	// Binding is the ClientBinding that declares the access, or did so last, as namespace/name.
	Binding string `json:"binding,omitempty"`
	// Requester is who last changed the declaration, as the admission policy for requesters stamped it.
	Requester     string     `json:"requester,omitempty"`
	DeclaredSince *time.Time `json:"declaredSince,omitempty"`
	Justification string     `json:"justification,omitempty"`
	ExpiresAt     *time.Time `json:"expiresAt,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	// Bare: no ClientBinding that is allowed declares the relation.
	Bare bool `json:"-"`
}

// compare compares the declared relations with those that the API shows. barred has the reasons why ClientBindings may not hold a relation.
func compare(declared []v1alpha1.ClientBinding, barred map[key]string, people []person, now time.Time) []entry {
	bindings := map[pair][]v1alpha1.ClientBinding{}
	users := map[string]map[string]bool{}
	add := func(user, cuid string) {
		if users[user] == nil {
			users[user] = map[string]bool{}
		}
		users[user][cuid] = true
	}
	for _, binding := range declared {
		of := pair{binding.Spec.UserUUID, binding.Spec.CUID}
		bindings[of] = append(bindings[of], binding)
		add(of.user, of.cuid)
	}
	for _, one := range people {
		for _, has := range one.Access {
			add(one.UUID, has.CUID)
		}
	}
	var entries []entry
	for _, one := range people {
		if one.Problem != "" && !one.Absent {
			// The user's other access is not known, so no relation of the user counts as declared.
			entries = append(entries, entry{User: one.UUID, Username: one.Username, UserStatus: one.Status, Declared: v1alpha1.AccessNone, Actual: unknown, Verdict: Unreadable, Why: one.Problem})
		}
		for cuid := range users[one.UUID] {
			entries = append(entries, one.at(cuid).judged(bindings[pair{one.UUID, cuid}], barred, now)...)
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
		cmp.Compare(owner(a), owner(b)), cmp.Compare(a.Client, b.Client), cmp.Compare(a.User, b.User), cmp.Compare(a.Binding, b.Binding))
}

// at is the access of a user at a client, as the API shows it.
func (p person) at(cuid string) entry {
	made := entry{Client: cuid, User: p.UUID, Username: p.Username, UserStatus: p.Status, Actual: v1alpha1.AccessNone}
	i := slices.IndexFunc(p.Access, func(has relation) bool { return has.CUID == cuid })
	almost := slices.IndexFunc(p.Access, func(has relation) bool { return strings.EqualFold(has.CUID, cuid) })
	switch {
	case p.Deleted:
		made.Why = "the user is deleted in the API"
	case p.Absent:
		made.Why = "the API knows no such user"
	case i >= 0 && p.Access[i].Problem != "":
		made.Actual, made.Why = unknown, p.Access[i].Problem
	case i >= 0:
		made.Actual = accessOf(p.Access[i].Owner)
	case almost >= 0:
		made.Actual, made.Why = unknown, didYouMean(p.Access[almost].CUID)
	case p.Problem != "":
		made.Actual, made.Why = unknown, p.Problem
	}
	return made
}

// didYouMean says that the API has an id that differs from the requested one only in its case.
func didYouMean(id string) string {
	return fmt.Sprintf("the API shows %q, which differs only in its case: did you mean that one?", id)
}

// almost does so for a client; "" if the API has the client, or no similar one.
func almost(names map[string]string, cuid string) string {
	if _, is := names[cuid]; is {
		return ""
	}
	for _, other := range sortedKeys(names) {
		if strings.EqualFold(other, cuid) {
			return didYouMean(other)
		}
	}
	return ""
}

func accessOf(owner bool) v1alpha1.Access {
	if owner {
		return v1alpha1.AccessOwner
	}
	return v1alpha1.AccessStandard
}

// judged compares a relation of the API with the ClientBindings that declare it. Each of them has an entry.
func (e entry) judged(bindings []v1alpha1.ClientBinding, barred map[key]string, now time.Time) (entries []entry) {
	if len(bindings) == 0 {
		e.judge(nil, now)
		return []entry{e}
	}
	slices.SortFunc(bindings, byForce(now))
	why := func(binding v1alpha1.ClientBinding) string { return barred[client.ObjectKeyFromObject(&binding)] }
	holder := slices.IndexFunc(bindings, func(binding v1alpha1.ClientBinding) bool { return why(binding) == "" })
	for i := range bindings {
		one, binding := e, &bindings[i]
		one.describe(binding)
		one.judge(binding, now)
		switch {
		case why(*binding) != "":
			one.Verdict, one.Why, one.Bare = NotAllowed, why(*binding), holder < 0
		case i == holder || !ended(binding, now) && idle(binding):
		case ended(binding, now):
			one.Verdict, one.Why = Replaced, "ClientBinding "+bindings[holder].Namespace+"/"+bindings[holder].Name+" stands for the relation"
		default:
			one.Verdict, one.Why = Conflict, "ClientBinding "+bindings[holder].Namespace+"/"+bindings[holder].Name+" is older, and holds the relation"
		}
		entries = append(entries, one)
	}
	return entries
}

// byForce sorts the holder of a relation first: the oldest ClientBinding that has not ended, as for the operator; or else one that is
// being deleted; or else the youngest. Idle ones come last.
func byForce(now time.Time) func(a, b v1alpha1.ClientBinding) int {
	return func(a, b v1alpha1.ClientBinding) int {
		if ended(&a, now) && ended(&b, now) {
			return cmp.Or(compareBool(a.DeletionTimestamp.IsZero(), b.DeletionTimestamp.IsZero()), byAge(b, a))
		}
		return cmp.Or(
			compareBool(!ended(&a, now) && idle(&a), !ended(&b, now) && idle(&b)),
			compareBool(ended(&a, now), ended(&b, now)), byAge(a, b))
	}
}

// byAge puts the older ClientBinding first, as the operator does.
func byAge(a, b v1alpha1.ClientBinding) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), byName(client.ObjectKeyFromObject(&a), client.ObjectKeyFromObject(&b)))
}

func (e *entry) describe(binding *v1alpha1.ClientBinding) {
	e.Binding = binding.Namespace + "/" + binding.Name
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

// judge compares the access with the binding that declares it, or declared it last.
func (e *entry) judge(binding *v1alpha1.ClientBinding, now time.Time) {
	e.Declared = v1alpha1.AccessNone
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

// judgeEnded compares access that was to end.
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

// count is the number of entries of each verdict.
func count(entries []entry) map[Verdict]int {
	counts := map[Verdict]int{}
	for _, one := range entries {
		counts[one.Verdict]++
	}
	return counts
}

// inWords names a verdict in a summary.
func (v Verdict) inWords() string {
	return map[Verdict]string{
		Undeclared: "undeclared", NotAllowed: "not allowed", OtherKind: "of the other kind", Missing: "missing", ExpiredButThere: "expired and still there",
		Held: "held by the brake on revocations", Revoking: "being revoked", Suspended: "suspended and not as declared",
		Conflict: "declared twice", Unreadable: "unreadable", AsDeclared: "as declared", Expired: "expired", Replaced: "declared anew",
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
	relations := map[pair]bool{}
	for _, one := range entries {
		relations[pair{one.User, one.Client}] = true
	}
	return fmt.Sprintf("%s: %s", amount(len(relations), "relation"), strings.Join(parts, ", "))
}
