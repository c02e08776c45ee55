package main

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func TestParseFlags(t *testing.T) {
	got, err := parseFlags([]string{"--leader-elect", "--dry-run", "--concurrent=3", "--stall-after=1m", "--allowed-api-hosts=*.example,api.test:8443",
		"--default-connection=platform/delos.eu", "--namespaces=team-a,platform", "--connection-selector=shard in (a, b)"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	type choice struct {
		LeaderElect bool
		DryRun      bool
		Concurrent  int
		StallAfter  time.Duration
		Hosts       []string
		Connection  string
		Namespaces  []string
		Selector    string
		Shards      string
	}
	want := choice{true, true, 3, time.Minute, []string{"*.example", "api.test:8443"}, "platform/delos.eu", []string{"team-a", "platform"},
		"shard in (a,b)", "shards; --namespaces=team-a,platform; --default-connection=platform/delos.eu"}
	if diff := cmp.Diff(want, choice{got.leaderElect, got.dryRun, got.concurrent, got.stallAfter, got.hosts(), got.connections.Default.String(), got.connections.Namespaces,
		got.selector.String(), got.sharedIdentity()}); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestOnlyTheDocumentedHostIsAllowedUnlessToldOtherwise(t *testing.T) {
	got, err := parseFlags(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stagep.tst-apidmndelss.com"}, got.hosts()); diff != "" {
		t.Errorf("allowed hosts (-want +got):\n%s", diff)
	}
}

func TestBadFlags(t *testing.T) {
	for argument, want := range map[string]string{
		"--concurrent=0":                         "--concurrent is 0: it must be at least 1",
		"--stall-after=0s":                       "--stall-after is 0s: it must be longer than 0s",
		"--allowed-api-hosts=a,,b":               `--allowed-api-hosts: "" is not a glob of hosts, such as *.example.com or api.example.com:8443`,
		"--allowed-api-hosts=":                   `--allowed-api-hosts: "" is not a glob of hosts, such as *.example.com or api.example.com:8443`,
		"--allowed-api-hosts=[a":                 `--allowed-api-hosts: "[a" is not a glob of hosts, such as *.example.com or api.example.com:8443`,
		"--default-connection=delos":             `--default-connection: "delos" is not the namespace/name of an APIConnection, such as platform/delos`,
		"--default-connection=platform/":         `--default-connection: "platform/" is not the namespace/name of an APIConnection, such as platform/delos`,
		"--default-connection=/delos":            `--default-connection: "/delos" is not the namespace/name of an APIConnection, such as platform/delos`,
		"--default-connection=a.b/delos":         `--default-connection: "a.b/delos" is not the namespace/name of an APIConnection, such as platform/delos`,
		"--default-connection=platform/team/one": `--default-connection: "platform/team/one" is not the namespace/name of an APIConnection, such as platform/delos`,
		"--namespaces=":                          `--namespaces: "" is not the name of a namespace, such as team-a`,
		"--namespaces=team-a,":                   `--namespaces: "" is not the name of a namespace, such as team-a`,
		"--namespaces=team-a, team-b":            `--namespaces: " team-b" is not the name of a namespace, such as team-a`,
		"--connection-selector=shard=a":          "--connection-selector: it needs --leader-elect, which keeps two shards from serving the same host",
		"--connection-selector=":                 "--connection-selector: it selects all APIConnections: leave the flag out",
		"--connection-selector=,":                `--connection-selector: "," is not a label selector such as shard=a: found ',', expected: !, identifier, or 'end of string'`,
		"reconcile":                              `unknown argument "reconcile": all settings are flags, see --help`,
		"--stall-after=soon":                     `invalid value "soon" for flag -stall-after: parse error`,
		"--metrics-address=:443":                 "flag provided but not defined: -metrics-address",
	} {
		t.Run(argument, func(t *testing.T) {
			_, err := parseFlags([]string{argument}, io.Discard)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if err := command(t.Context(), []string{"--version"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("clientbinding-operator dev (commit unknown, "+runtime.Version()+")\n", out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestBadTrials(t *testing.T) {
	for arguments, want := range map[string]string{
		"":                   "--connection is missing",
		"--connection=delos": `--connection: "delos" is not the namespace/name of an APIConnection, such as platform/delos`,
		"--connection=platform/delos --user=user_1":     "--user and --cuid belong together",
		"--connection=platform/delos --cuid=cust_1":     "--user and --cuid belong together",
		"--connection=platform/delos --userUUID=user_1": "flag provided but not defined: -userUUID",
	} {
		t.Run(arguments, func(t *testing.T) {
			err := command(t.Context(), append([]string{"trial"}, strings.Fields(arguments)...), io.Discard, io.Discard)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestDefaultConnectionIsServed(t *testing.T) {
	_, err := parseFlags([]string{"--default-connection=platform/delos", "--namespaces=team-a"}, io.Discard)
	if want := "--default-connection is in namespace platform, which --namespaces does not name"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLogLeavesOutNothing(t *testing.T) {
	var log bytes.Buffer
	logger := newLogger(zap.Options{DestWriter: &log})

	for range 1000 {
		logger.Info("audit")
	}

	if got := strings.Count(log.String(), "audit"); got != 1000 {
		t.Errorf("%d of 1000 lines were written", got)
	}
}
