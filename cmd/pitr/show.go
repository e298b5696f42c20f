package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"pitr"
	"pitr/report"
)

// line prints one JSON line on the result stream.
func (run *session) line(value any) error { return json.NewEncoder(run.out).Encode(value) }

// lines gives a writer of JSON lines that hides what the configuration says.
func (run *session) lines() (*report.Lines, error) {
	redactor, err := report.NewRedactor(run.settings.redact())
	if err != nil {
		return nil, err
	}
	return report.NewLines(run.out, redactor), nil
}

// next names the command that a person will want next, on the talk stream. What is said about it goes below it where the
// screen is too narrow for both; the command itself is never broken, for it is there to be copied.
func (run *session) next(command string, more ...string) {
	if run.calm {
		return
	}
	const label = "next: "
	about := strings.TrimSpace(strings.Join(more, " "))
	line := strings.TrimSpace(label + command + " " + about)
	if run.width > 0 && len(line) > run.width {
		line = label + command
		if about != "" {
			line += "\n" + wrapped(strings.Repeat(" ", len(label)), about, run.width)
		}
	}
	fmt.Fprintln(run.err, line)
}

// counted writes a number with its word.
func counted(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + one + "s"
}

// table prints aligned columns on the result stream.
func (run *session) table(rows [][]string) error {
	out := tabwriter.NewWriter(run.out, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(out, strings.Join(row, "\t"))
	}
	return out.Flush()
}

// clockText shows a cluster time as a person needs it: UTC, local where that differs, and the exact form to type.
func clockText(ts pitr.Timestamp) string {
	when := ts.Time()
	text := when.Format("2006-01-02 15:04:05 UTC")
	if local := when.Local(); local.Format("-07:00") != "+00:00" {
		text += local.Format(" (15:04:05 -07:00)")
	}
	return text + "  " + ts.String()
}

func sizeText(bytes int64) string {
	switch {
	case bytes >= 10_000_000_000:
		return fmt.Sprintf("%.0f GB", float64(bytes)/1e9)
	case bytes >= 1_000_000_000:
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	case bytes >= 1_000_000:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	case bytes >= 1_000:
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%d B", bytes)
}

func spanText(span time.Duration) string {
	if span < time.Minute {
		return fmt.Sprintf("%.1f s", span.Seconds())
	}
	return span.Round(time.Second).String()
}
