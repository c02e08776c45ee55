// Dashboard writes the dashboard for Grafana as JSON into the file that is named.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: dashboard FILE")
	}
	built, err := build()
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		log.Fatal(err)
	}
	if err := check(text); err != nil {
		log.Fatalf("Grafana's schema does not take the dashboard: %v", err)
	}
	if err := os.WriteFile(os.Args[1], append(text, '\n'), 0o600); err != nil {
		log.Fatal(err)
	}
}

// check reads a dashboard by Grafana's schema, which refuses fields that it does not know, also in the options of panels and in queries.
func check(text []byte) error {
	plugins.RegisterDefaultPlugins()
	read := dashboard.NewDashboard()
	// The error is never nil: it has the problems, of which there may be none.
	if err := read.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		return err
	}
	return read.Validate()
}

var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("$datasource")}

func build() (dashboard.Dashboard, error) {
	builder := dashboard.NewDashboardBuilder("ClientBinding operator").
		Uid("clientbinding-operator").
		Description("Who has access that was declared, and what hinders it. docs/metrics.md of the operator explains the metrics.").
		Tags([]string{"clientbinding-operator"}).
		Readonly().
		Refresh("1m").
		Time("now-6h", "now").
		Timezone(common.TimeZoneBrowser).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(dashboard.NewQueryVariableBuilder("connection").Label("Connection").Datasource(source).
			Query(dashboard.StringOrMap{String: cog.ToPtr("label_values(clientbinding_connection_interval_seconds, connection)")}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
			Multi(true).IncludeAll(true).AllValue(".*"))
	// A panel keeps its id as long as its place: links to it have the id.
	for i, panel := range numbers {
		builder.WithPanel(panel.stat().Id(uint32(1 + i)))
	}
	for i, panel := range graphs {
		builder.WithPanel(panel.timeseries().Id(uint32(101 + i)))
	}
	built, err := builder.Build()
	if err != nil {
		return built, err
	}
	for i := range built.Templating.List {
		// The builders set these of each variable; Grafana knows them of intervals alone.
		variable := &built.Templating.List[i]
		variable.Auto, variable.AutoMin, variable.AutoCount = nil, nil, nil
	}
	return built, nil
}

// Every replica tells of the objects; the max over them is one of them.
const (
	ofConnection = `connection=~"$connection"`
	byState      = `max by (connection, state, reason) (clientbinding_bindings{` + ofConnection + `})`
)

// number is a panel with one value; more than bad is red, where bad is not 0.
type number struct {
	title, about, unit, query string
	bad                       float64
}

var numbers = []number{
	{"Ready", "ClientBindings whose access is as declared, or that have expired and are revoked", units.Short,
		`sum(max by (connection, state, reason) (clientbinding_bindings{state="Ready",` + ofConnection + `})) or vector(0)`, 0},
	{"Stalled", "ClientBindings that need help", units.Short,
		`sum(max by (connection, state, reason) (clientbinding_bindings{state="Stalled",` + ofConnection + `})) or vector(0)`, 1},
	{"Revocations pending", "Access that is to end and was not yet seen gone", units.Short,
		`sum(max by (connection, reason) (clientbinding_revocations_pending{` + ofConnection + `})) or vector(0)`, 0},
	{"Oldest revocation", "How long it has been due", units.Seconds,
		`max(clientbinding_revocation_oldest_age_seconds{` + ofConnection + `}) or vector(0)`, 600},
	{"Expired, not revoked", "ClientBindings that have expired and whose access was not yet seen gone", units.Short,
		`sum(max by (connection) (clientbinding_bindings_expired_unrevoked{` + ofConnection + `})) or vector(0)`, 1},
	{"Expiring within a day", "ClientBindings whose access ends within a day", units.Short,
		`sum(max by (connection) (clientbinding_bindings_expiring{` + ofConnection + `})) or vector(0)`, 0},
	{"Connections not ready", "APIConnections whose condition Ready is not true: their bindings make no calls", units.Short,
		`count(max by (connection) (clientbinding_connection_ready{` + ofConnection + `}) == 0) or vector(0)`, 1},
	{"Policies not enforced", "Shipped admission policies that do not refuse what they should, or that the operator may not read", units.Short,
		`count(max by (kind, policy) (clientbinding_admission_policies{state!="Enforced"}) == 1) or vector(0)`, 1},
}

func (n number) stat() *stat.PanelBuilder {
	steps := []dashboard.Threshold{{Color: "green"}}
	if n.bad > 0 {
		steps = append(steps, dashboard.Threshold{Color: "red", Value: cog.ToPtr(n.bad)})
	}
	return stat.NewPanelBuilder().Title(n.title).Description(n.about).Datasource(source).Unit(n.unit).Height(4).Span(3).
		GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)).
		Orientation(common.VizOrientationAuto).ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		WithTarget(prometheus.NewDataqueryBuilder().Datasource(source).Expr(n.query).RefId("A"))
}

// query is a line or more of a graph.
type query struct{ expression, legend string }

type graph struct {
	title, about, unit string
	stacked            bool
	queries            []query
}

var graphs = []graph{
	{"ClientBindings by state and reason", "The reason is that of the condition Ready", units.Short, true, []query{
		{`sum by (state, reason) (` + byState + `)`, "{{state}} / {{reason}}"},
	}},
	{"Revocations pending", "Deleted or expired ClientBindings whose access was not yet seen gone", units.Short, true, []query{
		{`sum by (reason) (max by (connection, reason) (clientbinding_revocations_pending{` + ofConnection + `}))`, "{{reason}}"},
	}},
	{"Oldest revocation", "How long it has been due", units.Seconds, false, []query{
		{`max by (connection, reason) (clientbinding_revocation_oldest_age_seconds{` + ofConnection + `})`, "{{connection}} {{reason}}"},
	}},
	{"Oldest confirmation, in intervals", "More than three mean that access is not looked at, or cannot be read", units.Short, false, []query{
		{`max by (connection) (clientbinding_confirmation_oldest_age_seconds{` + ofConnection + `}) / max by (connection) (clientbinding_connection_interval_seconds)`, "{{connection}}"},
	}},
	{"Drift", "Access that was changed on the platform: corrected, and not corrected yet", units.Short, false, []query{
		{`sum by (connection) (increase(clientbinding_drifts_corrected_total{` + ofConnection + `}[$__rate_interval]))`, "{{connection}} corrected"},
		{`max by (connection) (clientbinding_bindings_drifted{` + ofConnection + `})`, "{{connection}} not corrected"},
	}},
	{"Access with an end", "ClientBindings with expiresAt", units.Short, false, []query{
		{`sum(max by (connection) (clientbinding_bindings_expiring{` + ofConnection + `}))`, "ends within a day"},
		{`sum(max by (connection) (clientbinding_bindings_expired_unrevoked{` + ofConnection + `}))`, "expired, not revoked"},
	}},
	{"Sessions", "1: the API can be used; 0: refused credentials, or an outage", units.Short, false, []query{
		{`max by (connection) (clientbinding_api_session_open{` + ofConnection + `})`, "{{connection}}"},
	}},
	{"Calls of the Delos API", "By operation, and by class of the HTTP status; none without a whole answer", units.RequestsPerSecond, true, []query{
		{`sum by (operation, status) (rate(clientbinding_api_calls_total{` + ofConnection + `}[$__rate_interval]))`, "{{operation}} {{status}}"},
	}},
	{"How long calls take", "Until the last byte of the answer", units.Seconds, false, []query{
		{`histogram_quantile(0.99, sum by (le) (rate(clientbinding_api_call_duration_seconds_bucket{` + ofConnection + `}[$__rate_interval])))`, "99 of 100"},
		{`histogram_quantile(0.5, sum by (le) (rate(clientbinding_api_call_duration_seconds_bucket{` + ofConnection + `}[$__rate_interval])))`, "half"},
	}},
	{"Calls under way, and runs that wait", "A run waits for the rate limit, for one of the slots of the connection, or because the API asked for patience", units.Short, false, []query{
		{`sum by (connection) (clientbinding_api_calls_in_flight{` + ofConnection + `})`, "{{connection}} under way"},
		{`sum by (connection) (increase(clientbinding_api_waits_total{` + ofConnection + `}[$__rate_interval]))`, "{{connection}} waits"},
	}},
	{"Time left of access tokens", "The operator renews that of a session. The one in a Secret has to be replaced", units.Seconds, false, []query{
		{`max by (connection) (clientbinding_api_session_expiry_timestamp_seconds{` + ofConnection + `}) - time()`, "{{connection}} session"},
		{`min by (connection) (clientbinding_token_expiry_timestamp_seconds{` + ofConnection + `}) - time()`, "{{connection}} Secret"},
	}},
	{"Outages", "How often calls failed so often in a row that they were stopped", units.Short, false, []query{
		{`sum by (connection) (increase(clientbinding_api_outages_total{` + ofConnection + `}[$__rate_interval]))`, "{{connection}}"},
	}},
	{"Not written, not read", "Audit lines that the file of --audit-log did not take, and deleted ClientBindings that were let go unread", units.Short, false, []query{
		{`sum(increase(clientbinding_audit_failures_total[$__rate_interval]))`, "audit lines not written"},
		{`sum by (connection) (increase(clientbinding_released_unread_total{` + ofConnection + `}[$__rate_interval]))`, "{{connection}} let go unread"},
	}},
	{"Operator", "It leads, it sees each kind, and its policies are in force: all is well at the top", units.Short, false, []query{
		{`max(leader_election_master_status{name="clientbinding-operator.access.delos.financial"})`, "leader"},
		{`1 - max by (kind) (clientbinding_watch_failing)`, "sees {{kind}}"},
	}},
	{"Alerts", "Alerts of the operator that fire", units.Short, true, []query{
		{`count by (alertname) (ALERTS{alertname=~"ClientBinding.+",alertstate="firing"})`, "{{alertname}}"},
	}},
}

func (g graph) timeseries() *timeseries.PanelBuilder {
	panel := timeseries.NewPanelBuilder().Title(g.title).Description(g.about).Datasource(source).Unit(g.unit).Min(0).Height(8).Span(8).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if g.stacked {
		panel.FillOpacity(30).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
	}
	for i, query := range g.queries {
		panel.WithTarget(prometheus.NewDataqueryBuilder().Datasource(source).Expr(query.expression).LegendFormat(query.legend).RefId(string(rune('A' + i))))
	}
	return panel
}
