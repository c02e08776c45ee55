//go:build browser

package plugin

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

var screenshots = flag.String("screenshots", "", "a directory for pictures of the page")

// chromium runs Chromium without a window. It gets a profile of its own, and makes no calls of its own.
func chromium(t *testing.T, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "chromium", append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(), "--virtual-time-budget=3000",
	}, arguments...)...)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return string(out)
}

// TestPageInBrowser opens the page in Chromium: its script runs, and no other, and nothing in it reaches the network. A page without its
// policy does, so the trap works.
func TestPageInBrowser(t *testing.T) {
	var reached atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(trap.Close)
	hostile := []string{
		`<script>document.title = "hacked"; fetch("%s")</script>`, `<img src="%s">`, `"><svg onload=fetch("%s")>`, `</title></style></table><iframe src="%s"></iframe>`,
		`<link rel=stylesheet href="%s">`, `javascript:fetch("%s")`, `{{.}}<meta http-equiv=refresh content="0;url=%s">`,
	}
	config := existingPage()
	for i, name := range hostile {
		config.Users[i].Username = fmt.Sprintf(name, trap.URL)
		config.ClientNames[fmt.Sprintf("cust_%d", i)] = fmt.Sprintf(name, trap.URL)
	}
	n := newTenant(t, config)
	n.declareSome(t)
	path := filepath.Join(t.TempDir(), "access.html")
	if got := n.run(t, "report", "-o", "html", "--file", path); got.Code != exitFindings {
		t.Fatalf("%+v", got)
	}
	page := "file://" + path

	seen := chromium(t, "--dump-dom", page)
	for _, want := range []string{`<span id="shown" role="status">48 of 48 shown</span>`, `<title>Access at 127.0.0.1:`, `<button type="button">Verdict</button>`} {
		if !strings.Contains(seen, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(seen, "<title>hacked") || strings.Contains(seen, "<iframe") || strings.Contains(seen, "<img") {
		t.Error("a name became markup")
	}
	if reached.Load() != 0 {
		t.Errorf("the page reached the network %d times", reached.Load())
	}
	control := filepath.Join(t.TempDir(), "control.html")
	if err := os.WriteFile(control, []byte(fmt.Sprintf(hostile[1], trap.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	chromium(t, "--dump-dom", "file://"+control)
	if reached.Load() == 0 {
		t.Error("a page with an image does not reach the network either, so the test shows nothing")
	}
	printed := filepath.Join(t.TempDir(), "access.pdf")
	chromium(t, "--no-pdf-header-footer", "--print-to-pdf="+printed, page)
	if info, err := os.Stat(printed); err != nil || info.Size() < 10_000 {
		t.Errorf("printed: %v, %v", info, err)
	}
	if *screenshots != "" {
		picture(t, *screenshots)
	}
}

// picture takes the pictures of the documents, with names that are none of an attacker.
func picture(t *testing.T, directory string) {
	t.Helper()
	n := newTenant(t, existingPage())
	n.declareSome(t)
	path := filepath.Join(t.TempDir(), "access.html")
	n.run(t, "report", "-o", "html", "--file", path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content = []byte(strings.ReplaceAll(strings.ReplaceAll(string(content), strings.TrimPrefix(n.url, "http://"), "api.example.com"), n.namespace, "access"))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]string{"report": "1400,1000", "report-narrow": "480,1100"} {
		chromium(t, "--screenshot="+filepath.Join(directory, name+".png"), "--window-size="+size, "file://"+path)
	}
	printed := filepath.Join(t.TempDir(), "access.pdf")
	chromium(t, "--no-pdf-header-footer", "--print-to-pdf="+printed, "file://"+path)
	if out, err := exec.CommandContext(t.Context(), "pdftoppm", "-png", "-r", "80", "-f", "1", "-l", "1", "-singlefile", printed, filepath.Join(directory, "report-print")).CombinedOutput(); err != nil {
		t.Fatalf("pdftoppm: %v\n%s", err, out)
	}
}

// existingPage is a platform with people.
func existingPage() delossim.Config {
	config := delossim.Config{ClientNames: map[string]string{}}
	names := []string{"anna.keller", "bruno.rossi", "chloe.martin", "daniel.novak", "eva.lindqvist", "felix.weber", "grace.hall", "hugo.silva", "ines.moreau", "jan.kowalski", "karin.berg", "luca.ferrari"}
	clients := []string{"Alder Partners", "Birch Holding", "Cedar Trading", "Dogwood Ltd", "Elm & Sons", "Fir Capital", "Hazel Bank", "Juniper AG"}
	for i, name := range names {
		user := delossim.User{UUID: fmt.Sprintf("user_%02d", i), Username: name, Relations: map[string]bool{}}
		for j := range 4 {
			user.Relations[fmt.Sprintf("cust_%d", (i+j*2)%len(clients))] = j == 0
		}
		config.Users = append(config.Users, user)
	}
	for i, name := range clients {
		config.ClientNames[fmt.Sprintf("cust_%d", i)] = name
	}
	return config
}

// declareSome declares most of what there is, and not all of it as it is.
func (n *tenant) declareSome(t *testing.T) {
	t.Helper()
	for i := range 12 {
		for j := range 4 {
			user, cuid := fmt.Sprintf("user_%02d", i), fmt.Sprintf("cust_%d", (i+j*2)%8)
			switch {
			case i == 4 && j == 0, i == 9 && j == 3:
				continue // undeclared
			case i == 7 && j == 0:
				n.RemoveRelation(user, cuid) // missing
			case i == 2 && j == 1:
				n.SetRelation(user, cuid, true) // of the other kind
			}
			binding := n.declare(t, objectName(user, cuid), user, cuid, j == 0)
			binding.Annotations = map[string]string{"access.delos.financial/requested-by": "lead@example.com"}
			binding.Spec.Justification = fmt.Sprintf("OPS-%d", 100+10*i+j)
			if err := kube.Update(t.Context(), binding); err != nil {
				t.Fatal(err)
			}
		}
	}
}
