//go:build site

package docs_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// site is the site that `make site` built.
const site = root + "/dist/site"

var screenshots = flag.String("screenshots", "", "a directory for pictures of the site")

// sitePages are all pages of the site, parsed, by their paths in it.
func sitePages(t *testing.T) map[string]*html.Node {
	t.Helper()
	pages := map[string]*html.Node{}
	err := fs.WalkDir(os.DirFS(site), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".html" {
			return err
		}
		content, err := os.ReadFile(filepath.Join(site, name))
		if err != nil {
			return err
		}
		pages[name], err = html.Parse(bytes.NewReader(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 20 {
		t.Fatalf("the site has %d pages; `make site` builds it", len(pages))
	}
	return pages
}

// TestSiteLinks follows each link within the site to its file and its heading. It checks the form of other links, and does not follow them.
// A page loads nothing from other sites.
func TestSiteLinks(t *testing.T) {
	pages := sitePages(t)
	ids := map[string][]string{}
	for name, page := range pages {
		for node := range page.Descendants() {
			if id := attribute(node, "id"); id != "" {
				ids[name] = append(ids[name], id)
			}
		}
	}
	for name, page := range pages {
		for node := range page.Descendants() {
			link, loads := attribute(node, "href"), node.Data == "link"
			if source := attribute(node, "src"); source != "" {
				link, loads = source, true
			}
			if link == "" {
				continue
			}
			to, err := url.Parse(link)
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case to.IsAbs() && loads:
				t.Errorf("%s loads %s from elsewhere", name, link)
			case to.IsAbs():
				if to.Scheme != "https" || to.Host == "" {
					t.Errorf("%s links to %s, which is no address of a page", name, link)
				}
			default:
				target := name
				if to.Path != "" {
					target = path.Join(path.Dir(name), to.Path)
				}
				if _, err := os.Stat(filepath.Join(site, target)); err != nil {
					t.Errorf("%s links to %s, which is not in the site", name, link)
				} else if to.Fragment != "" && !slices.Contains(ids[target], to.Fragment) {
					t.Errorf("%s links to %s, and %s has no such heading", name, link, target)
				}
			}
		}
	}
}

func attribute(node *html.Node, name string) string {
	for _, one := range node.Attr {
		if one.Key == name {
			return one.Val
		}
	}
	return ""
}

// frames shows all pages of the site, one below the other, and reports pages that are wider than their frame.
const frames = `<!doctype html><body><pre id="out">not done</pre><script>
const pages = %q.split(" "), out = [];
let left = pages.length;
for (const page of pages) {
	const frame = document.createElement("iframe");
	frame.width = %d; frame.height = 800; frame.src = page;
	frame.onload = () => {
		const shown = frame.contentDocument.documentElement;
		if (shown.scrollWidth > frame.contentWindow.innerWidth) out.push(page + " is " + shown.scrollWidth + " wide");
		if (!frame.contentDocument.querySelector("main h1")) out.push(page + " has no heading");
		if (--left == 0) document.getElementById("out").textContent = "done: " + out.join("; ");
	};
	document.body.append(frame);
}
</script>`

// TestSiteInBrowser opens each page in Chromium, at the width of a phone and of a desktop. Only tables, code and pictures, which scroll, are wider than the window.
func TestSiteInBrowser(t *testing.T) {
	var names []string
	for name := range sitePages(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	widths := map[string]int{"narrow": 400, "wide": 1500}
	handler := http.NewServeMux()
	handler.Handle("/", http.FileServer(http.Dir(site)))
	for name, width := range widths {
		handler.HandleFunc("/"+name+".html", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := fmt.Fprintf(w, frames, strings.Join(names, " "), width); err != nil {
				t.Error(err)
			}
		})
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	out := regexp.MustCompile(`<pre id="out">([^<]*)</pre>`)
	for name := range widths {
		shown := out.FindStringSubmatch(browse(t, "--window-size=1600,1000", "--dump-dom", server.URL+"/"+name+".html"))
		if shown == nil || shown[1] != "done: " {
			t.Errorf("%s: %v", name, shown)
		}
	}
	if *screenshots == "" {
		return
	}
	for name, page := range map[string]string{"site": "index.html", "site-concepts": "docs/concepts.html"} {
		for suffix, size := range map[string]string{"": "1500,1100", "-narrow": "500,1000"} {
			browse(t, "--screenshot="+filepath.Join(*screenshots, name+suffix+".png"), "--window-size="+size, server.URL+"/"+page)
		}
	}
}

// browse runs Chromium without a window, with a new profile and without background calls.
func browse(t *testing.T, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "chromium", append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(), "--virtual-time-budget=10000",
	}, arguments...)...)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return string(out)
}
