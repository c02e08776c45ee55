package plugin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// strangers are users of all kinds.
func strangers() delossim.Config {
	return delossim.Config{
		Users: []delossim.User{
			{UUID: john, Username: "john.smith", Relations: map[string]bool{cust: true, doxd: false}},
			{UUID: maria, Username: "maria\u2028\u202e: garcia", Status: "NEW", Relations: map[string]bool{doxd: true}},
			{UUID: "USER_ABC123DEF", Username: "another john", Relations: map[string]bool{cust: false}},
			{UUID: "user_gone", IsDeleted: true, Relations: map[string]bool{cust: true}},
			{UUID: "user_none"},
			{UUID: "user.odd", Relations: map[string]bool{cust: false}},
			{UUID: "user_odd", Relations: map[string]bool{"a client": false}},
		},
		ClientNames: map[string]string{cust: "Acme"},
	}
}

// undeclarable is what an import says of the strangers that it cannot declare.
const undeclarable = `Cannot be declared: user "user.odd" at client "cust_789xyz": a ClientBinding cannot have this userUUID: only letters, digits, '_' and '-' are allowed, 128 at most
Cannot be declared: user "user_gone" at client "cust_789xyz": the user is deleted, and has no access while that is so
Cannot be declared: user "user_odd" at client "a client": a ClientBinding cannot have this cuid: only letters, digits, '_' and '-' are allowed, 128 at most
`

func TestImport(t *testing.T) {
	n := newTenant(t, strangers())
	directory := filepath.Join(t.TempDir(), "access")
	want := result{"4 ClientBindings of 7 users in 2 files in " + directory + "\n" + undeclarable, exitFindings}
	files := map[string]string{
		"cust_789xyz.yaml": `# Written by kubectl clientbindings import from HOST: what the API showed.
---
# another john: standard access to Acme
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: user-abc123def-cust-789xyz-8bfb0e5890
  namespace: NAMESPACE
spec:
  cuid: cust_789xyz
  isOwner: false
  userUUID: USER_ABC123DEF
---
# john.smith: owner of Acme
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: user-abc123def-cust-789xyz-68590a49ac
  namespace: NAMESPACE
spec:
  cuid: cust_789xyz
  isOwner: true
  userUUID: user_abc123def
`,
		"doxdeev-4ijq-zkeuyqrtqvdk-18b7fd990c.yaml": `# Written by kubectl clientbindings import from HOST: what the API showed.
---
# maria: garcia: owner of DoxdEEV-4IJq-zKeUYqrtqVDK
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb-doxdeev-4ijq-zkeuyqrtqvdk-ee2681b517
  namespace: NAMESPACE
spec:
  cuid: DoxdEEV-4IJq-zKeUYqrtqVDK
  isOwner: true
  userUUID: 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb
---
# john.smith: standard access to DoxdEEV-4IJq-zKeUYqrtqVDK
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: user-abc123def-doxdeev-4ijq-zkeuyqrtqvdk-d79a300f6d
  namespace: NAMESPACE
spec:
  cuid: DoxdEEV-4IJq-zKeUYqrtqVDK
  isOwner: false
  userUUID: user_abc123def
`,
	}
	for _, run := range []string{"first", "second"} {
		expect(t, run+" run", want, n.run(t, "import", "--directory", directory))
		expect(t, "files of the "+run+" run", files, n.files(t, directory))
	}

	// What was imported can be applied, and is then no reason to import anything else.
	for _, content := range files {
		for _, binding := range decode(t, content) {
			binding.Namespace = n.namespace
			create(t, &binding)
		}
	}
	expect(t, "run after the files were applied", want, n.run(t, "import", "--directory", directory))
	expect(t, "files then", files, n.files(t, directory))
}

func decode(t *testing.T, content string) (bindings []v1alpha1.ClientBinding) {
	t.Helper()
	for _, document := range strings.Split(content, "---\n")[1:] {
		var binding v1alpha1.ClientBinding
		if err := yaml.Unmarshal([]byte(document), &binding); err != nil {
			t.Fatal(err)
		}
		bindings = append(bindings, binding)
	}
	return bindings
}

// TestImportPart: filters hold also where the API ignores them, and files say what they are told to.
func TestImportPart(t *testing.T) {
	n := newTenant(t, strangers())
	n.Inject(delossim.Fault{Op: delossim.OpCustomers, Failure: delossim.Answer{Status: 403}})
	directory := t.TempDir()
	got := n.run(t, "import", "-d", directory, "--by", "user", "--client", doxd, "--status", "NEW", "--connection", "default", "--justification", "OPS-1: adopted")
	expect(t, "result", result{"1 ClientBinding of 1 user in 1 file in " + directory + "\n", exitClean}, got)
	expect(t, "files", map[string]string{maria + ".yaml": `# Written by kubectl clientbindings import from HOST: what the API showed.
---
# maria: garcia: owner of DoxdEEV-4IJq-zKeUYqrtqVDK
apiVersion: access.delos.financial/v1alpha1
kind: ClientBinding
metadata:
  name: 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb-doxdeev-4ijq-zkeuyqrtqvdk-ee2681b517
  namespace: NAMESPACE
spec:
  cuid: DoxdEEV-4IJq-zKeUYqrtqVDK
  isOwner: true
  justification: 'OPS-1: adopted'
  userUUID: 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb
`}, n.files(t, directory))

	// The user alone, by an account that may not list: with the caller's own credentials, and through another connection.
	n.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Answer{Status: 403}})
	directory = t.TempDir()
	own := map[string]string{"DELOS_LOGIN": login, "DELOS_PASSWORD": password}
	got, _ = n.runWith(t.Context(), own, "import", "-d", directory, "--user", "user_abc123def", "--client", cust, "--url", n.url, "--connection", "platform/delos")
	expect(t, "result", result{"1 ClientBinding of 1 user in 1 file in " + directory + "\n", exitClean}, got)
	references := regexp.MustCompile(`(?s)connectionRef:.*cuid`).FindString(n.files(t, directory)["cust_789xyz.yaml"])
	expect(t, "connectionRef", "connectionRef:\n    name: delos\n    namespace: platform\n  cuid", references)
}

// TestImportElsewhere: what a ClientBinding of another name declares is not declared once more. What an earlier import wrote and is no
// longer so is named.
func TestImportElsewhere(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: john, Relations: map[string]bool{cust: true, doxd: true}}}})
	directory := t.TempDir()
	expect(t, "first run", result{"2 ClientBindings of 1 user in 2 files in " + directory + "\n", exitClean}, n.run(t, "import", "-d", directory))
	n.RemoveRelation(john, doxd)
	by := &v1alpha1.ClientBinding{ObjectMeta: n.meta("john"), Spec: v1alpha1.ClientBindingSpec{UserUUID: john, CUID: cust, IsOwner: true}}
	create(t, by)
	expect(t, "second run", result{"0 ClientBindings of 1 user in 0 files in " + directory + `
Declared already: user user_abc123def at client cust_789xyz, by ClientBinding NAMESPACE/john
Of an earlier import: ` + directory + `/cust_789xyz.yaml. Remove it: the API no longer shows what it declares, or another ClientBinding declares it
Of an earlier import: ` + directory + `/` + fileName(doxd) + `. Remove it: the API no longer shows what it declares, or another ClientBinding declares it
`, exitFindings}, n.run(t, "import", "-d", directory))
}

// TestImportWithoutBindings: a person who may not read ClientBindings can import, and is told what this leaves open.
func TestImportWithoutBindings(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: []delossim.User{{UUID: john, Relations: map[string]bool{cust: true}}}})
	permit(t, n.namespace, "importer", []string{"apiconnections", "secrets"}, "get")
	directory := t.TempDir()
	got, said := n.runWith(t.Context(), nil, "import", "-d", directory, "--as", "importer")
	expect(t, "import", result{"1 ClientBinding of 1 user in 1 file in " + directory + "\n", exitClean}, got)
	expect(t, "notes", `users listed: 1
users read: 1 of 1
Note: you may not read ClientBindings of all namespaces, so only those of NAMESPACE are looked at
Note: you may not read these ClientBindings either, so the import may declare what they declare already: have the right given to you
`, said)
}

// TestImportResumes: an import that is interrupted leaves no YAML, and the next one reads only what is missing.
func TestImportResumes(t *testing.T) {
	seen := after(delossim.OpUser, 60)
	n := newTenant(t, delossim.Config{Users: crowd(60), OnCall: seen.call})
	directory := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	n.Inject(delossim.Fault{Op: delossim.OpUser, User: "user_00040", Failure: delossim.Hang{}})
	done := make(chan result)
	go func() {
		got, said := n.runWith(ctx, nil, "import", "-d", directory, "--requests-per-second", "1000")
		got.Out += said
		done <- got
	}()
	select {
	case <-seen.reached:
	case got := <-done:
		t.Fatalf("ended before: %+v", got)
	}
	interrupt()
	got := <-done
	if got.Code != exitFailed || !strings.Contains(got.Out, "run the same command to go on") {
		t.Errorf("interrupted: %+v", got)
	}
	left := n.files(t, directory)
	if len(left) != 1 || left[journalName] == "" {
		t.Errorf("an interrupted import left %v", left)
	}
	kept := strings.Count(left[journalName], "\n") - 1

	n.ClearFaults()
	before := n.Count(delossim.OpUser)
	// A line that was not finished counts for nothing.
	if err := os.WriteFile(filepath.Join(directory, journalName), []byte(left[journalName]+`{"uuid": "user_`), 0o600); err == nil {
		restore(t, n, directory)
	} else {
		t.Fatal(err)
	}
	expect(t, "result", result{"120 ClientBindings of 60 users in 97 files in " + directory + "\n", exitClean}, n.run(t, "import", "-d", directory))
	if read := n.Count(delossim.OpUser) - before; read != 60-kept {
		t.Errorf("%d users were read the second time, and %d the first time", read, kept)
	}
	if _, err := os.Stat(filepath.Join(directory, journalName)); err == nil {
		t.Error("the journal is still there")
	}
}

// counter tells when there were so many calls of an operation.
type counter struct {
	op      delossim.Operation
	left    atomic.Int64
	reached chan struct{}
}

func after(op delossim.Operation, calls int64) *counter {
	c := &counter{op: op, reached: make(chan struct{})}
	c.left.Store(calls)
	return c
}

func (c *counter) call(call delossim.Call) {
	if call.Op == c.op && c.left.Add(-1) == 0 {
		close(c.reached)
	}
}

// restore undoes the masking of the journal.
func restore(t *testing.T, n *tenant, directory string) {
	t.Helper()
	path := filepath.Join(directory, journalName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.ReplaceAll(content, []byte("HOST"), []byte(strings.TrimPrefix(n.url, "http://")))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImportFails tells what failed, and writes nothing.
func TestImportFails(t *testing.T) {
	for reason, test := range map[string]struct {
		arrange   func(*tenant)
		arguments []string
		want      string
	}{
		"credentials refused": {
			arrange: func(n *tenant) { n.SetPassword(login, "another") },
			want:    "Error: listing users: login: login refused (HTTP 401): Unauthorized",
		},
		"an unclear list": {
			arrange: func(n *tenant) {
				n.Inject(delossim.Fault{Op: delossim.OpList, Failure: delossim.Rewrite{Old: "items", New: "users"}})
			},
			want: "the answer has no items, but something else",
		},
		"no connection":         {arguments: []string{"--connection", "other"}, want: `apiconnections.access.delos.financial "other" not found`},
		"a host that is denied": {arguments: []string{"--allowed-api-hosts", "api.example.com"}, want: "Error: spec.url leads to HOST, which --allowed-api-hosts does not allow\n"},
		"no credentials":        {arguments: []string{"--url", "https://api.example.com"}, want: "--url needs credentials"},
		"by something else":     {arguments: []string{"--by", "group"}, want: `--by is "group"`},
	} {
		t.Run(reason, func(t *testing.T) {
			n := newTenant(t, strangers())
			if test.arrange != nil {
				test.arrange(n)
			}
			directory := t.TempDir()
			got := n.run(t, append([]string{"import", "-d", directory}, test.arguments...)...)
			if got.Code != exitFailed || !strings.Contains(got.Out, test.want) || strings.Contains(got.Out, password) {
				t.Errorf("got %+v, want an error with %q", got, test.want)
			}
			for name := range n.files(t, directory) {
				if strings.HasSuffix(name, ".yaml") {
					t.Errorf("left %s", name)
				}
			}
		})
	}
}

// TestImportIsPatient: what fails in passing is tried again, after the time that the API asks for.
func TestImportIsPatient(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: crowd(3)})
	for _, op := range []delossim.Operation{delossim.OpList, delossim.OpUser, delossim.OpCustomers} {
		n.Inject(delossim.Fault{Op: op, Times: 1, Failure: delossim.Answer{Status: 503, Header: http.Header{"Retry-After": {"1"}}}})
	}
	directory := t.TempDir()
	expect(t, "result", result{"6 ClientBindings of 3 users in 6 files in " + directory + "\n", exitClean}, n.run(t, "import", "-d", directory))
	expect(t, "calls", delossim.Summary{Login: 1, List: 3, User: 4, Customers: 3}, n.Summary())
}

// TestNames: names follow from the ids alone, are valid, and are different ones for different ids.
func TestNames(t *testing.T) {
	valid := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	ids := []string{"a", "A", "_", "-", "a-b", "a_b", "A_B", "a--b", strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("_", 128)}
	objects, files := map[string]pair{}, map[string]string{}
	for _, user := range ids {
		name := strings.ToLower(fileName(user))
		if other, taken := files[name]; taken {
			t.Errorf("%s and %s have the file %s", other, user, name)
		}
		files[name] = user
		for _, cuid := range ids {
			name := objectName(user, cuid)
			if other, taken := objects[name]; taken || !valid.MatchString(name) || len(name) > 253 {
				t.Errorf("%v has the name %s, as %v", pair{user, cuid}, name, other)
			}
			objects[name] = pair{user, cuid}
		}
	}
}

// process is the plugin as a process of its own, with the caller's own credentials.
func (n *tenant) process(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, append(arguments, "--url", n.url, "--requests-per-second", "10000", "-n", "team-a")...)
	command.Env = []string{"DELOS_LOGIN=" + login, "DELOS_PASSWORD=" + password, "KUBECONFIG=/dev/null"}
	return command
}

// build builds the plugin, once, beside the kubeconfig of the tests.
var build = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(filepath.Dir(kubeconfig), "kubectl-clientbindings")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../../cmd/kubectl-clientbindings").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return binary, err
})

// TestImportKilled: whenever an import is killed, each file that is there is whole, and the next import leaves nothing else.
func TestImportKilled(t *testing.T) {
	n := newTenant(t, delossim.Config{Users: crowd(1000)})
	directory := t.TempDir()
	first := n.process(t, "import", "-d", directory)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = first.Wait()
		close(ended)
	}()
	for wrote := false; !wrote; {
		select {
		case <-ended:
			t.Fatal("it ended by itself")
		default:
		}
		yaml, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		wrote = len(yaml) > 0
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	left := n.files(t, directory)
	if out, err := n.process(t, "import", "-d", directory).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	whole := n.files(t, directory)
	for name, content := range left {
		if strings.HasSuffix(name, ".yaml") && content != whole[name] {
			t.Errorf("%s was not whole:\n%s", name, content)
		}
	}
	for name := range whole {
		if !strings.HasSuffix(name, ".yaml") {
			t.Errorf("%s is still there", name)
		}
	}
	if len(whole) != 100 {
		t.Errorf("%d files, want 100", len(whole))
	}
}

// maxMemory is what a process may hold at most while it imports 20,000 users, in KiB.
const maxMemory = 150 << 10

// held starts a process, and returns what tells how much memory it held at most, in KiB, once it has ended. The rusage of a child would
// count what its parent holds.
func held(t *testing.T, process *exec.Cmd) func() int {
	t.Helper()
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s*(\d+) kB`)
	most := make(chan int)
	go func() {
		status, memory := fmt.Sprintf("/proc/%d/status", process.Process.Pid), 0
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			text, err := os.ReadFile(status)
			found := peak.FindSubmatch(text)
			if err != nil || found == nil {
				most <- memory
				return
			}
			memory, _ = strconv.Atoi(string(found[1])) // it is digits
		}
	}()
	return func() int {
		_ = process.Wait() // how it ended is in its files
		return <-most
	}
}

// TestImportOfMany imports 20,000 users by a process of its own, which is interrupted once.
func TestImportOfMany(t *testing.T) {
	const users = 20_000
	half := after(delossim.OpUser, users/2)
	n := newTenant(t, delossim.Config{Users: crowd(users), OnCall: half.call})
	directory := t.TempDir()
	first := n.process(t, "import", "-d", directory)
	ended := held(t, first)
	<-half.reached
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	memory := ended()
	for name := range n.files(t, directory) {
		if name != journalName {
			t.Errorf("an interrupted import left %s", name)
		}
	}
	t.Logf("%d users read, at most %d MiB", n.Count(delossim.OpUser), memory>>10)
	memory = max(memory, held(t, n.process(t, "import", "-d", directory))())
	t.Logf("%d users read, at most %d MiB", n.Count(delossim.OpUser), memory>>10)
	if memory == 0 || memory > maxMemory {
		t.Errorf("it held %d KiB", memory)
	}
	if again := n.Count(delossim.OpUser) - users; again < 0 || again > 2*parallel {
		t.Errorf("%d users were read twice", again)
	}
	declared := map[string]int{}
	for name, content := range n.files(t, directory) {
		declared[name] = strings.Count(content, "kind: ClientBinding")
	}
	want := map[string]int{}
	for i := range 100 {
		want[fmt.Sprintf("cust_%d.yaml", i)] = 2 * users / 100
	}
	if diff := cmp.Diff(want, declared); diff != "" {
		t.Errorf("ClientBindings in files (-want +got):\n%s", diff)
	}
}
