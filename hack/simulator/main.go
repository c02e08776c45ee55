// Command simulator runs the simulated Delos platform of internal/delossim: for the demo, for end-to-end
// tests, and to try the API with curl. It prints one line when it listens,
//
//	simulator listening api=http://127.0.0.1:41234 admin=http://127.0.0.1:41235
//
// and, when it is told to end, what it was asked to do. Nobody's data is in it: it starts from a data file, or
// from the example ids of docs/delos-api.md.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// passwordVariable gives the accounts' password where a flag would show it to all users of the machine.
	passwordVariable = "SIMULATOR_PASSWORD"

	// shutdownLimit is how long calls in progress get to finish.
	shutdownLimit = 5 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "simulator:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	listen, adminListen string
	allowOthers         bool
	certificate, key    string
	dataFile, password  string
	settings            delossim.Settings
}

func parseFlags(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("simulator", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` of the API; port 0 takes a free one")
	flags.StringVar(&o.adminListen, "admin-listen", "127.0.0.1:0", "`address` of the admin API, always on loopback; empty for none")
	flags.BoolVar(&o.allowOthers, "allow-non-loopback", false, "let --listen be reachable from other machines")
	flags.StringVar(&o.certificate, "tls-certificate", "", "PEM `file` with the certificate of the API, which is then served by https; the admin API stays plain http")
	flags.StringVar(&o.key, "tls-key", "", "PEM `file` with its key")
	flags.StringVar(&o.dataFile, "data", "", "JSON `file` with users, clients, accounts and tokens; without it, the documented examples")
	flags.StringVar(&o.password, "password", "", "password of the accounts that have none in the data; better given in "+passwordVariable)
	flags.DurationVar(&o.settings.AccessTTL, "access-ttl", delossim.DefaultAccessTTL, "how long an access token is good")
	flags.DurationVar(&o.settings.Latency, "latency", 0, "how long every call takes")
	flags.DurationVar(&o.settings.Lag, "lag", 0, "how long Get user does not show a write")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if (o.certificate == "") != (o.key == "") {
		return options{}, errors.New("--tls-certificate and --tls-key need each other")
	}
	if o.password == "" {
		o.password = getenv(passwordVariable)
	}
	return o, nil
}

// read reads what the data file holds, in the fields of [delossim.Config], or takes the platform's own examples if there is none, and makes sure that it
// can be worked with. An account without a password takes the one from the command line.
func read(file, password string) (delossim.Config, error) {
	config := delossim.Examples()
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return config, err
		}
		config = delossim.Config{}
		decoder := json.NewDecoder(bytes.NewReader(content))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&config); err != nil {
			return config, fmt.Errorf("data file %s: %w", file, err)
		}
	}
	for i := range config.Accounts {
		account := &config.Accounts[i]
		if account.Password == "" {
			account.Password = password
		}
		if err := account.Validate(); err != nil {
			return config, fmt.Errorf("%w (give a missing password by --password or %s)", err, passwordVariable)
		}
	}
	for _, user := range config.Users {
		if user.UUID == "" {
			return config, fmt.Errorf("user %q has no uuid", user.Username)
		}
	}
	return config, nil
}

// run serves until the context ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	o, err := parseFlags(args, getenv, stderr)
	if err != nil {
		return err
	}
	config, err := read(o.dataFile, o.password)
	if err != nil {
		return err
	}
	config.Settings = o.settings
	sim := delossim.New(config)

	api, err := listen(o.listen, o.allowOthers)
	if err != nil {
		return err
	}
	servers := []*http.Server{{Handler: sim, ReadHeaderTimeout: shutdownLimit}}
	scheme := "http"
	if o.certificate != "" {
		certificate, err := tls.LoadX509KeyPair(o.certificate, o.key)
		if err != nil {
			return errors.Join(err, api.Close())
		}
		api = tls.NewListener(api, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
		scheme = "https"
	}
	listeners := []net.Listener{api}
	line := "simulator listening api=" + scheme + "://" + api.Addr().String()
	if o.adminListen != "" {
		admin, err := listen(o.adminListen, false)
		if err != nil {
			return errors.Join(err, api.Close())
		}
		servers = append(servers, &http.Server{Handler: sim.Admin(), ReadHeaderTimeout: shutdownLimit})
		listeners = append(listeners, admin)
		line += " admin=http://" + admin.Addr().String()
	}
	fmt.Fprintln(stdout, line)

	err = serve(ctx, sim, servers, listeners)
	fmt.Fprintln(stdout, "simulator calls:", sim.Summary())
	return err
}

// serve runs the servers until the context ends or one of them fails, and then ends them all.
func serve(ctx context.Context, sim *delossim.Server, servers []*http.Server, listeners []net.Listener) error {
	failed := make(chan error, len(servers))
	for i, server := range servers {
		go func() { failed <- server.Serve(listeners[i]) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}

	sim.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	for _, server := range servers {
		if server.Shutdown(ctx) != nil {
			err = errors.Join(err, server.Close())
		}
	}
	return err
}

// listen opens the address. It looks at the address that it resolved to, and opens that one, so that no name
// that means something else a moment later gets past the check.
func listen(address string, allowOthers bool) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	if !allowOthers && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address", address)
	}
	return net.ListenTCP("tcp", resolved)
}
