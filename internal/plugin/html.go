package plugin

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the parts of the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

//go:embed page.tmpl
var pageText string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is a report as one HTML page that loads nothing else and cannot reach the network. Its content security policy allows only the style and
// the script of this file, for any content of names.
type page struct {
	*report
	Policy  string
	Style   template.CSS
	Script  template.JS
	Scope   string
	Bars    []bar
	Clients []clientSum
	// Relations is the number of relations, and Findings the number of findings among them.
	Relations, Findings int
}

// bar is one line of the chart.
type bar struct {
	Verdict Verdict
	Words   string
	Count   int
	// Width of the bar, in hundredths of the widest.
	Width   int
	Y, TopY int
	Finding bool
}

// clientSum counts the relations of a client.
type clientSum struct {
	Client, Name               string
	Owners, Standard, Findings int
}

const barHeight = 26

func asHTML(made *report, out io.Writer) error {
	p := page{
		report: made,
		Policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", hashOf(pageStyle), hashOf(pageScript)),
		Style:  template.CSS(pageStyle),
		Script: template.JS(pageScript),
		Scope:  made.scope(),
	}
	most := 1
	for _, number := range made.Counts {
		most = max(most, number)
	}
	for _, verdict := range verdicts {
		if number := made.Counts[verdict]; number > 0 {
			y := len(p.Bars) * barHeight
			p.Bars = append(p.Bars, bar{verdict, verdict.inWords(), number, max(100*number/most, 1), y + 17, y + 4, verdict.IsFinding()})
		}
	}
	clients := map[string]*clientSum{}
	counted, found := map[pair]bool{}, map[pair]bool{}
	for _, one := range made.Entries {
		sum, of := clients[one.Client], pair{one.User, one.Client}
		if sum == nil {
			sum = &clientSum{Client: one.Client, Name: one.ClientName}
			clients[one.Client] = sum
		}
		switch {
		case counted[of]: // by another ClientBinding of the same relation
		case one.Actual == v1alpha1.AccessOwner:
			sum.Owners++
		case one.Actual == v1alpha1.AccessStandard:
			sum.Standard++
		}
		counted[of] = true
		if one.Verdict.IsFinding() && !found[of] {
			found[of] = true
			sum.Findings++
		}
	}
	p.Relations, p.Findings = len(counted), len(found)
	for _, sum := range clients {
		p.Clients = append(p.Clients, *sum)
	}
	slices.SortFunc(p.Clients, func(a, b clientSum) int {
		return cmp.Or(cmp.Compare(b.Findings, a.Findings), cmp.Compare(a.Client, b.Client))
	})
	return pageTemplate.Execute(out, p)
}

// AskedClients are the requested clients; none for all.
func (p page) AskedClients() []string { return p.report.Clients }

// All is how many relations there are, in words.
func (p page) All() string { return amount(p.Relations, "relation") }

// ChartHeight is the height of the chart.
func (p page) ChartHeight() int { return len(p.Bars) * barHeight }

// hashOf is the hash of a text, as a content security policy has it.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
