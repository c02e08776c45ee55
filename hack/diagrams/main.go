// Command diagrams draws the Mermaid diagrams of the documents as SVG files into the directory that it is given, for the site, whose pages
// load nothing from elsewhere. A file has the beginning of the SHA-256 of its diagram as its name, so a diagram that was changed and not
// drawn again is missing. It needs npm, which fetches Mermaid, and Chromium, which runs it.
package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// mermaid is the package that draws, and the hash that the registry has of it.
const (
	mermaid   = "mermaid@12.3.0"
	integrity = "sha512-4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw=="
)

func main() {
	sandbox.Main("diagrams", func(c *sandbox.Command) {
		if len(os.Args) != 2 {
			c.Fatal("usage: go run ./hack/diagrams DIRECTORY")
		}
		draw(c, os.Args[1])
	})
}

var block = regexp.MustCompile("(?ms)^```mermaid\n(.*?)\n?^```$")

// draw writes a file for each diagram of docs, and removes those of diagrams that are gone.
func draw(t sandbox.T, directory string) {
	pages, err := filepath.Glob("docs/*.md")
	sandbox.Must(t, err)
	if len(pages) == 0 {
		t.Fatal("there is no docs: run this in the root of the repository")
	}
	temporary, err := os.MkdirTemp("", "clientbinding-diagrams-")
	sandbox.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(temporary) })
	fetch(t, temporary)
	sandbox.Must(t, os.RemoveAll(directory))
	sandbox.Must(t, os.MkdirAll(directory, 0o755))
	for _, page := range pages {
		text, err := os.ReadFile(page)
		sandbox.Must(t, err)
		for _, found := range block.FindAllSubmatch(text, -1) {
			// As Hugo has it: without the newline at the end.
			name := fmt.Sprintf("%x", sha256.Sum256(found[1]))[:16]
			sandbox.Must(t, os.WriteFile(filepath.Join(directory, name+".svg"), []byte(render(t, temporary, name, string(found[1]))), 0o644))
		}
	}
}

// fetch puts Mermaid's script into a directory.
func fetch(t sandbox.T, directory string) {
	pack := exec.CommandContext(t.Context(), "npm", "pack", "--silent", mermaid)
	pack.Dir, pack.Stderr = directory, os.Stderr
	archive, err := pack.Output()
	sandbox.Must(t, err)
	file := filepath.Join(directory, strings.TrimSpace(string(archive)))
	content, err := os.ReadFile(file)
	sandbox.Must(t, err)
	sum := sha512.Sum512(content)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		t.Fatal(fmt.Sprintf("%s has the hash %s, want %s", mermaid, got, integrity))
	}
	sandbox.Must(t, exec.CommandContext(t.Context(), "tar", "--extract", "--gzip", "--strip-components=2", "--directory="+directory, "--file="+file,
		"package/dist/mermaid.min.js").Run())
}

// page draws one diagram. Its labels are SVG's own text, and the result goes to Go as a text that no markup can end.
const page = `<!doctype html><meta charset="utf-8"><body><script src="mermaid.min.js"></script><pre id="out"></pre><script>
mermaid.initialize({startOnLoad: false, securityLevel: "strict", theme: "neutral", fontFamily: "DejaVu Sans, sans-serif", deterministicIds: true, htmlLabels: false, flowchart: {htmlLabels: false}, state: {htmlLabels: false}});
mermaid.render(%s, %s).then(drawn => out.textContent = encodeURIComponent(drawn.svg), failed => out.textContent = "!" + failed);
</script>`

var result = regexp.MustCompile(`<pre id="out">([^<]*)</pre>`)

// render draws one diagram in Chromium, with a profile of its own.
func render(t sandbox.T, directory, name, diagram string) string {
	quoted, err := json.Marshal(diagram)
	sandbox.Must(t, err)
	path := filepath.Join(directory, name+".html")
	sandbox.Must(t, os.WriteFile(path, fmt.Appendf(nil, page, fmt.Sprintf("%q", "diagram-"+name), quoted), 0o600))
	shown, err := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(directory, "profile"), "--virtual-time-budget=10000",
		"--dump-dom", "file://"+path).Output()
	sandbox.Must(t, err)
	out := result.FindSubmatch(shown)
	if out == nil || len(out[1]) == 0 || out[1][0] == '!' {
		t.Fatal(fmt.Sprintf("not drawn: %s\n%s", out, diagram))
	}
	drawn, err := url.PathUnescape(string(out[1]))
	sandbox.Must(t, err)
	return drawn
}
