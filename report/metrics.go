package report

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"pitr"
)

// metric is one value that a run can tell a monitor.
type metric struct {
	name, kind, help string
	// kept says that the value of an earlier run stands until a later one has a new one: a run that failed must not make
	// the time of the last good one disappear.
	kept bool
}

// metrics are all values there are; their order is that of the file. docs/operations.md has the same table.
var metrics = []metric{
	{name: "pitr_last_run_timestamp_seconds", kind: "gauge", help: "When the last run ended, or when a service last said that it is alive."},
	{name: "pitr_last_exit_code", kind: "gauge", help: "Exit code of the last run; of a service that runs, 0."},
	{name: "pitr_last_duration_seconds", kind: "gauge", help: "How long the last run took; of a service, how long it has been running."},
	{name: "pitr_last_success_timestamp_seconds", kind: "gauge", help: "When the last run ended that did what it should.", kept: true},
	{name: "pitr_last_verified_timestamp_seconds", kind: "gauge", help: "When the last check of the whole repository found no damage.", kept: true},
	{name: "pitr_restorable_through_timestamp_seconds", kind: "gauge", help: "The newest moment that a restore can reach.", kept: true},
	{name: "pitr_archive_holes", kind: "gauge", help: "Spans that the archive does not have.", kept: true},
	{name: "pitr_snapshots", kind: "gauge", help: "Snapshots in the repository.", kept: true},
	{name: "pitr_snapshot_documents", kind: "gauge", help: "Documents of the newest snapshot that this command took.", kept: true},
	{name: "pitr_snapshot_bytes", kind: "gauge", help: "Bytes of these documents.", kept: true},
	{name: "pitr_snapshot_stored_bytes", kind: "gauge", help: "Bytes that the repository spends on them.", kept: true},
	{name: "pitr_verify_findings", kind: "gauge", help: "Findings of the last check, damage or not."},
	{name: "pitr_archive_waiting", kind: "gauge", help: "1 while the archiver waits for the server, else 0."},
	{name: "pitr_archive_through_timestamp_seconds", kind: "gauge", help: "The newest entry that is in the archive.", kept: true},
	{name: "pitr_archive_majority_timestamp_seconds", kind: "gauge", help: "The newest majority point that the archiver saw."},
	{name: "pitr_archive_oldest_timestamp_seconds", kind: "gauge", help: "The oldest entry that the server still had when it was last asked."},
	{name: "pitr_archive_segments_total", kind: "counter", help: "Segments that this run archived."},
	{name: "pitr_archive_entries_total", kind: "counter", help: "Entries that this run archived."},
	{name: "pitr_archive_bytes_total", kind: "counter", help: "Bytes of these entries."},
}

// Metrics are the values of one command for a file in the text format of Prometheus. There are two labels and each has one
// value in a file: the number of series is bounded, whatever is in the database.
type Metrics struct {
	Cluster, Command string
	// Values are by name, such as pitr_last_exit_code.
	Values map[string]float64
}

// Text renders the file; a name that no table has is refused.
func (m Metrics) Text() (string, error) {
	var out strings.Builder
	written := 0
	labels := fmt.Sprintf(`{cluster="%s",command="%s"}`, labelEscaper.Replace(m.Cluster), labelEscaper.Replace(m.Command))
	for _, each := range metrics {
		value, ok := m.Values[each.name]
		if !ok {
			continue
		}
		written++
		fmt.Fprintf(&out, "# HELP %s %s\n# TYPE %s %s\n%s%s %s\n", each.name, each.help, each.name, each.kind, each.name, labels,
			strconv.FormatFloat(value, 'f', -1, 64))
	}
	if written != len(m.Values) {
		return "", pitr.Errorf(pitr.KindUnexpected, "render metrics", "", "a value has a name that no metric has: %v", m.Values)
	}
	return out.String(), nil
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

var labelReader = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")

var metricLine = regexp.MustCompile(`^(pitr_[a-z_]+)\{cluster="((?:[^"\\]|\\.)*)",command="((?:[^"\\]|\\.)*)"\} (\S+)$`)

// Keep takes over, from the file that the run before left, what this run has no new value for. A file that somebody else
// wrote, or another command, has nothing to keep.
func (m *Metrics) Keep(before string) {
	if m.Values == nil {
		m.Values = map[string]float64{}
	}
	for line := range strings.Lines(before) {
		match := metricLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if match == nil || labelReader.Replace(match[3]) != m.Command {
			continue
		}
		if m.Cluster == "" { // the repository could not be opened this time
			m.Cluster = labelReader.Replace(match[2])
		}
		value, err := strconv.ParseFloat(match[4], 64)
		if err != nil || labelReader.Replace(match[2]) != m.Cluster {
			continue
		}
		for _, each := range metrics {
			if _, known := m.Values[each.name]; each.name == match[1] && each.kept && !known {
				m.Values[each.name] = value
			}
		}
	}
}

// MetricNames gives every name that a file can have, in its order.
func MetricNames() []string {
	var names []string
	for _, each := range metrics {
		names = append(names, each.name)
	}
	return names
}
