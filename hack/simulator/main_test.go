package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// startSimulator runs the simulator until end is called, which returns what it said last.
func startSimulator(t *testing.T, args ...string) (api, admin string, end func() string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, func(string) string { return "secret" }, writer, io.Discard)
		writer.CloseWithError(err)
		done <- err
	}()
	lines := bufio.NewReader(reader)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addresses := regexp.MustCompile(`^simulator listening api=(https?://127\.0\.0\.1:\d+)(?: admin=(http://127\.0\.0\.1:\d+))?\n$`).FindStringSubmatch(line)
	if addresses == nil {
		t.Fatalf("first line: %q", line)
	}
	return addresses[1], addresses[2], func() string {
		stop()
		rest, err := io.ReadAll(lines)
		if err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		return string(rest)
	}
}

func status(t *testing.T, method, url, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestRunsWithExamples(t *testing.T) {
	api, admin, end := startSimulator(t, "--access-ttl=1m", "--lag=1s")
	for _, step := range []struct {
		method, url, body string
		want              int
	}{
		{"POST", api + "/v2/auth/login", `{"login": "operator@example.com", "password": "secret"}`, 200},
		{"POST", api + "/v2/auth/login", `{"login": "operator@example.com", "password": "wrong"}`, 401},
		{"GET", api + "/v2/user/user_abc123def", "", 401},
		{"GET", api + "/users", "", 404},
		{"GET", admin + "/users", "", 200},
		{"PUT", admin + "/users/158a190e-c4a9-4e6c-bf9b-4ef74ae345eb/relations/DoxdEEV-4IJq-zKeUYqrtqVDK", `{"isOwner": true}`, 200},
	} {
		if got := status(t, step.method, step.url, step.body); got != step.want {
			t.Errorf("%s %s: status %d, want %d", step.method, step.url, got, step.want)
		}
	}
	const want = "simulator calls: PUT relate-client 0, GET user 1, DELETE relate-client 0, logins 2, refreshes 0, others 1\n"
	if got := end(); got != want {
		t.Errorf("last words %q, want %q", got, want)
	}
}

// With a certificate the API is served by https, to those who trust it.
func TestServesTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for kind, content := range map[string][]byte{"CERTIFICATE": certificate, "PRIVATE KEY": der} {
		files[kind] = filepath.Join(t.TempDir(), "pem")
		if err := os.WriteFile(files[kind], pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api, _, _ := startSimulator(t, "--tls-certificate="+files["CERTIFICATE"], "--tls-key="+files["PRIVATE KEY"])
	roots := x509.NewCertPool()
	trusted, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(trusted)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	defer web.CloseIdleConnections()
	response, err := web.Get(api + "/v2/user/user_abc123def")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestRunsWithData(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.json")
	content := `{"users": [{"uuid": "a", "username": "b", "relations": {"c": true}}], "clients": ["d"],
		"accounts": [{"login": "l", "password": "p", "totpSeed": "MZXW6YTB"}], "tokens": ["t"]}`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	api, admin, end := startSimulator(t, "--data", file, "--admin-listen", "")
	if admin != "" {
		t.Errorf("admin API at %s", admin)
	}
	if got := status(t, http.MethodPost, api+"/v2/auth/login", `{"login": "l", "password": "p"}`); got != http.StatusUnauthorized {
		t.Errorf("logged in without a code: status %d", got)
	}
	end()
}

func TestRefusesToStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.json")
	noEnvironment := func(string) string { return "" }
	for name, test := range map[string]struct {
		args []string
		data string
		want string
	}{
		"on every address":      {args: []string{"--password=p", "--listen=:0"}, want: ":0 is not a loopback address"},
		"on another address":    {args: []string{"--password=p", "--listen=192.0.2.1:0"}, want: "192.0.2.1:0 is not a loopback address"},
		"admin anywhere else":   {args: []string{"--password=p", "--allow-non-loopback", "--admin-listen=0.0.0.0:0"}, want: "0.0.0.0:0 is not a loopback address"},
		"without a password":    {want: "account operator@example.com has no password"},
		"without its data":      {args: []string{"--data=/nonexistent"}, want: "no such file"},
		"with a misspelt field": {args: []string{"--data", file}, data: `{"user": []}`, want: `unknown field "user"`},
		"with a bad seed":       {args: []string{"--data", file}, data: `{"accounts": [{"login": "l", "password": "p", "totpSeed": "1"}]}`, want: "TOTP seed"},
		"with a nameless user":  {args: []string{"--data", file}, data: `{"users": [{"username": "b"}]}`, want: `user "b" has no uuid`},
		"with an argument":      {args: []string{"now"}, want: `unexpected argument "now"`},
		"with an unknown flag":  {args: []string{"--no"}, want: "not defined"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(test.data), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := run(ctx, test.args, noEnvironment, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestListensElsewhereIfAllowed(t *testing.T) {
	listener, err := listen("0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("listens on %s", listener.Addr())
	}
}
