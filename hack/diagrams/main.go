// Command diagrams draws the Mermaid diagrams of the documents as SVG files into the directory that it is given, for the site, whose pages
// load nothing from elsewhere. A file has the beginning of the SHA-256 of its diagram as its name, so a diagram that was changed and not
// drawn again is missing. It needs npm, which fetches Mermaid, and Chromium, which runs it.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// mermaid is the package that draws, and the hash that the registry has of it.
const (
	mermaid   = "mermaid@12.3.0"
	integrity = "sha512-4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw=="
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run ./hack/diagrams DIRECTORY")
	}
	if err := draw(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

var block = regexp.MustCompile("(?ms)^```mermaid\n(.*?)\n?^```$")

// draw writes a file for each diagram of docs, and removes those of diagrams that are gone.
func draw(ctx context.Context, directory string) error {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		return err
	}
	diagrams := map[string]string{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		for _, found := range block.FindAllSubmatch(text, -1) {
			// As Hugo has it: without the newline at the end.
			diagrams[fmt.Sprintf("%x", sha256.Sum256(found[1]))[:16]] = string(found[1])
		}
	}
	if len(diagrams) == 0 {
		return errors.New("docs has no diagrams: run this in the root of the repository")
	}
	temporary, err := os.MkdirTemp("", "clientbinding-diagrams-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	if err := fetch(ctx, temporary); err != nil {
		return err
	}
	if err := os.RemoveAll(directory); err != nil {
		return err
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	for name, diagram := range diagrams {
		drawn, err := render(ctx, temporary, name, diagram)
		if err != nil {
			return fmt.Errorf("%s\n%w", diagram, err)
		}
		if err := os.WriteFile(filepath.Join(directory, name+".svg"), []byte(drawn), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// fetch puts Mermaid's script into a directory.
func fetch(ctx context.Context, directory string) error {
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", mermaid)
	pack.Dir, pack.Stderr = directory, os.Stderr
	if err := pack.Run(); err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}
	archives, err := filepath.Glob(filepath.Join(directory, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack left %v (%w)", archives, err)
	}
	content, err := os.ReadFile(archives[0])
	if err != nil {
		return err
	}
	sum := sha512.Sum512(content)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return fmt.Errorf("%s has the hash %s, want %s", mermaid, got, integrity)
	}
	return exec.CommandContext(ctx, "tar", "--extract", "--gzip", "--strip-components=2", "--directory="+directory, "--file="+archives[0],
		"package/dist/mermaid.min.js").Run()
}

// page draws one diagram. Its labels are SVG's own text, and the result goes to Go as a text that no markup can end.
const page = `<!doctype html><meta charset="utf-8"><body><script src="mermaid.min.js"></script><pre id="out"></pre><script>
mermaid.initialize({startOnLoad: false, securityLevel: "strict", theme: "neutral", fontFamily: "DejaVu Sans, sans-serif", deterministicIds: true, htmlLabels: false, flowchart: {htmlLabels: false}, state: {htmlLabels: false}});
mermaid.render(%s, %s).then(drawn => out.textContent = encodeURIComponent(drawn.svg), failed => out.textContent = "!" + failed);
</script>`

var result = regexp.MustCompile(`<pre id="out">([^<]*)</pre>`)

// render draws one diagram in Chromium, with a profile of its own.
func render(ctx context.Context, directory, name, diagram string) (string, error) {
	quoted, err := json.Marshal(diagram)
	if err != nil {
		return "", err
	}
	path := filepath.Join(directory, name+".html")
	if err := os.WriteFile(path, fmt.Appendf(nil, page, fmt.Sprintf("%q", "diagram-"+name), quoted), 0o600); err != nil {
		return "", err
	}
	shown, err := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(directory, "profile"), "--virtual-time-budget=10000",
		"--dump-dom", "file://"+path).Output()
	if err != nil {
		return "", fmt.Errorf("chromium: %w", err)
	}
	out := result.FindSubmatch(shown)
	if out == nil || len(out[1]) == 0 || out[1][0] == '!' {
		return "", fmt.Errorf("not drawn: %s", out)
	}
	return url.PathUnescape(string(out[1]))
}
