package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pitr/internal/replsim"
	"pitr/report"
)

// monitor is a monitor of scheduled jobs.
type monitor struct {
	*httptest.Server
	mu   sync.Mutex
	told []string
	last string
}

func newMonitor(t *testing.T) *monitor {
	m := &monitor{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told, m.last = append(m.told, r.URL.Path), string(content)
	}))
	t.Cleanup(m.Close)
	return m
}

// heard gives what the monitor was told since it was last asked.
func (m *monitor) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	told := m.told
	m.told = nil
	return told
}

// promSample is a line of a file in the text format of Prometheus.
type promSample struct {
	labels string
	value  float64
}

var (
	promComment = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$`)
	promLine    = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\{([a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*)\} (-?[0-9.]+(?:e[+-]?\d+)?)$`)
)

// readProm reads the text format more strictly than Prometheus does: HELP, then TYPE, then the samples of each metric, once.
func readProm(t *testing.T, name string) map[string]promSample {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(content), "\n") || strings.Contains(string(content), "\n\n") {
		t.Errorf("a line is not ended, or empty:\n%s", content)
	}
	samples := map[string]promSample{}
	helped, typed, kind := "", "", ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if match := promComment.FindStringSubmatch(line); match != nil {
			switch {
			case match[1] == "HELP" && samples[match[2]] == promSample{}:
				helped = match[2]
			case match[1] == "TYPE" && match[2] == helped && (match[3] == "gauge" || match[3] == "counter"):
				typed, kind = match[2], match[3]
			default:
				t.Errorf("out of place: %s", line)
			}
			continue
		}
		match := promLine.FindStringSubmatch(line)
		if match == nil {
			t.Errorf("no line of the format: %s", line)
			continue
		}
		value, err := strconv.ParseFloat(match[3], 64)
		if _, twice := samples[match[1]]; err != nil || twice || match[1] != typed || (kind == "counter") != strings.HasSuffix(typed, "_total") {
			t.Errorf("%s: %v, twice %v, under %s %s", line, err, twice, typed, kind)
		}
		samples[match[1]] = promSample{labels: match[2], value: value}
	}
	return samples
}

// TestSnapshotIsAWholeCronLine: one line does it all, whatever becomes of it. // cases U07, U08
func TestSnapshotIsAWholeCronLine(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.prepare()
	m := newMonitor(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "pitr-snapshot.prom")
	take := []string{"snapshot", "take", "--reason", "scheduled", "--ping-url", m.URL + "/CANARY-of-the-ping", "--metrics-file", file}

	got := s.pitr(take...) // before there is a repository
	if told := m.heard(); got.code != exitNotFound || !slices.Equal(told, []string{"/CANARY-of-the-ping/start", "/CANARY-of-the-ping/fail"}) {
		t.Fatalf("exit %d, told %v", got.code, told)
	}
	if !strings.HasPrefix(m.last, "exit code 10\n") || !strings.Contains(m.last, "pitr init") {
		t.Errorf("a failure tells %q", m.last)
	}
	if samples := readProm(t, file); samples["pitr_last_exit_code"].value != 10 || len(samples) != 3 {
		t.Errorf("after a failure: %v", samples)
	}

	s.ok("init", "--cluster-name", clusterName)
	begin := time.Now()
	got = s.ok(take...)
	if told := m.heard(); !slices.Equal(told, []string{"/CANARY-of-the-ping/start", "/CANARY-of-the-ping"}) {
		t.Errorf("told %v", told)
	}
	if got.err != "" || !strings.HasPrefix(got.out, "snapshot ") { // quiet where nobody looks on
		t.Errorf("a good run says:\n%s%s", got.out, got.err)
	}
	if calm := s.ok(append(take, "--quiet")...); calm.err+calm.out != "" {
		t.Errorf("a quiet run says:\n%s%s", calm.out, calm.err)
	}
	if asked := s.ok(append(take, "--log-level", "info")...); !strings.Contains(asked.err, "next:") {
		t.Errorf("asked for, it says nothing:\n%s", asked.err)
	}
	line := lastLine(t, s.ok(append(take, "--json")...))
	samples := readProm(t, file)
	for name, want := range map[string]float64{"pitr_last_exit_code": 0, "pitr_archive_holes": 0, "pitr_snapshots": 4,
		"pitr_snapshot_documents": line["documents"].(float64), "pitr_snapshot_bytes": line["bytes"].(float64), "pitr_snapshot_stored_bytes": line["stored"].(float64)} {
		if got, there := samples[name]; !there || got.value != want {
			t.Errorf("%s is %v, want %v", name, got.value, want)
		}
	}
	reached := lastLine(t, s.ok("timeline", "--json"))
	if got, want := samples["pitr_restorable_through_timestamp_seconds"].value, fmt.Sprint(reached["last"]); !strings.HasPrefix(want, fmt.Sprintf("%.0f:", got)) {
		t.Errorf("restorable through %.0f, the timeline says %s", got, want)
	}
	good := samples["pitr_last_success_timestamp_seconds"]
	if good.value < seconds(begin)-1 || good.value > seconds(time.Now())+1 {
		t.Errorf("the last success was at %v", good.value)
	}
	if want := `cluster="devices-eu",command="snapshot take"`; good.labels != want {
		t.Errorf("labels %s, want %s", good.labels, want)
	}
	m.heard()

	// What stood before a failure stands after it, also when the repository is out of reach.
	away := slices.Concat(take, []string{"--repo", "file:///nowhere/pitr"})
	if got = s.pitr(away...); got.code != exitNotFound || strings.Contains(got.out+got.err, "CANARY") {
		t.Errorf("exit %d:\n%s", got.code, got.err)
	}
	after := readProm(t, file)
	if after["pitr_last_success_timestamp_seconds"] != good || after["pitr_last_exit_code"].value != 10 || after["pitr_snapshots"].value != 4 {
		t.Errorf("after a failure: %v", after)
	}
	m.heard()
	held := s.sim.Inject(replsim.Fault{Command: "find", Action: replsim.Fail, Code: 13, Message: "not allowed for CANARY-of-the-ping at " + m.URL})
	got = s.pitr(take...)
	held.Remove()
	if told := m.heard(); got.code == exitDone || len(told) != 2 || strings.Contains(m.last, "CANARY") || !strings.Contains(m.last, "exit code ") {
		t.Errorf("exit %d, told %v: %q", got.code, told, m.last)
	}

	// A monitor that is gone costs one warning, a file that cannot be written another one.
	m.Close()
	got = s.ok(slices.Concat(take, []string{"--metrics-file", filepath.Join(folder, "gone", "x.prom")})...)
	if strings.Count(got.err, "warning:") != 2 || strings.Count(got.err, "\n") != 2 || strings.Contains(got.err, "CANARY") {
		t.Errorf("it warns:\n%s", got.err)
	}
	entries, err := os.ReadDir(folder)
	s.must(err)
	if len(entries) != 1 {
		t.Errorf("left beside the file: %v", entries)
	}
}

// TestMetricsAreReplacedAsAWhole: a reader never sees a part of the file. // case U08
func TestMetricsAreReplacedAsAWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pitr.prom")
	values := report.Metrics{Cluster: `a "strange" \name` + "\n", Command: "verify", Values: map[string]float64{}}
	for _, name := range report.MetricNames() {
		values.Values[name] = 1761120000.125
	}
	if err := replaceMetrics(file, &values); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range report.MetricNames() {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/operations.md does not say what %s means", name)
		}
	}
	size := len(readProm(t, file))
	if size != len(report.MetricNames()) {
		t.Errorf("%d of %d metrics are in the file", size, len(report.MetricNames()))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 300 {
			if err := replaceMetrics(file, &values); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
			if samples := readProm(t, file); len(samples) != size {
				t.Fatalf("half a file: %v", samples)
			}
		}
	}
}

// TestMetricsKeepWhatStillStands: of the same command and cluster, and only values that do not get old.
func TestMetricsKeepWhatStillStands(t *testing.T) {
	old := report.Metrics{Cluster: "eu", Command: "verify", Values: map[string]float64{"pitr_last_verified_timestamp_seconds": 5, "pitr_verify_findings": 3}}
	text, err := old.Text()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cluster, command string
		want             string
	}{
		"same": {"eu", "verify", "map[pitr_last_verified_timestamp_seconds:5]"}, "cluster unknown": {"", "verify", "map[pitr_last_verified_timestamp_seconds:5]"},
		"other cluster": {"us", "verify", "map[]"}, "other command": {"eu", "snapshot take", "map[]"},
	} {
		m := report.Metrics{Cluster: c.cluster, Command: c.command}
		m.Keep("garbage\n" + text)
		if got := fmt.Sprint(m.Values); got != c.want {
			t.Errorf("%s: kept %s, want %s", name, got, c.want)
		}
	}
	bad := report.Metrics{Values: map[string]float64{"pitr_of_nobody": 1}}
	if _, err := bad.Text(); err == nil {
		t.Error("a metric that no table has was written")
	}
}

// TestOtherScheduledCommands tell what they have to tell.
func TestOtherScheduledCommands(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	m := newMonitor(t)
	address := secretFile(t, m.URL+"/CANARY")
	for _, c := range []struct {
		args []string
		has  []string
	}{
		{[]string{"archive", "once"}, []string{"pitr_archive_through_timestamp_seconds", "pitr_archive_oldest_timestamp_seconds", "pitr_restorable_through_timestamp_seconds"}},
		{[]string{"verify", "--level", "1"}, []string{"pitr_last_verified_timestamp_seconds", "pitr_verify_findings"}},
		{[]string{"archive", "merge"}, []string{"pitr_last_success_timestamp_seconds"}},
		{[]string{"prune", "--run", "--keep", "last=2"}, []string{"pitr_last_success_timestamp_seconds"}},
	} {
		file := filepath.Join(t.TempDir(), "x.prom")
		got := s.ok(slices.Concat(c.args, []string{"--ping-url-file", address, "--metrics-file", file, "--quiet"})...)
		samples := readProm(t, file)
		for _, name := range c.has {
			if samples[name].value < 1 && name != "pitr_verify_findings" {
				t.Errorf("%v: no %s in %v", c.args, name, samples)
			}
		}
		if told := m.heard(); got.out+got.err != "" || !slices.Equal(told, []string{"/CANARY/start", "/CANARY"}) {
			t.Errorf("%v: told %v and said %q", c.args, told, got.out+got.err)
		}
	}
	damage(t, objects(t, s.folder, "/data-")[0])
	file := filepath.Join(t.TempDir(), "x.prom")
	s.pitr("verify", "--metrics-file", file)
	if samples := readProm(t, file); samples["pitr_last_exit_code"].value != exitCorrupt || samples["pitr_verify_findings"].value < 1 || samples["pitr_last_verified_timestamp_seconds"].value != 0 {
		t.Errorf("after damage: %v", samples)
	}
}

// TestArchiveRunTellsOfItsLife: file of metrics, service manager and ping, and a stop that leaves nothing behind.
func TestArchiveRunTellsOfItsLife(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	m := newMonitor(t)
	file := filepath.Join(t.TempDir(), "x.prom")
	heard := listenAsManager(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan outcome, 1)
	go func() {
		done <- s.pitrAt(ctx, streams{in: strings.NewReader("")}, "archive", "run", "--ping-url", m.URL+"/CANARY", "--metrics-file", file)
	}()
	if first := heard(); !strings.HasPrefix(first, "READY=1\nWATCHDOG=1\nSTATUS=archived through ") {
		t.Errorf("the service manager heard %q", first)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("no file of metrics")
		}
	}
	if samples := readProm(t, file); samples["pitr_last_exit_code"].value != 0 || samples["pitr_last_success_timestamp_seconds"].value == 0 {
		t.Errorf("while it runs: %v", samples)
	}
	at := s.write("put away at the stop")
	time.Sleep(300 * time.Millisecond)
	cancel()
	got := <-done
	samples := readProm(t, file)
	if got.code != exitDone || samples["pitr_archive_through_timestamp_seconds"].value < float64(at.Seconds()) || samples["pitr_archive_entries_total"].value < 1 {
		t.Errorf("exit %d, wrote %s\n%v\n%s", got.code, at, samples, got.err)
	}
	if told := m.heard(); len(told) != 3 || told[0] != "/CANARY/start" || told[2] != "/CANARY" {
		t.Errorf("told %v", told)
	}
	for message := ""; message != "STOPPING=1"; message = heard() {
	}
	if lines := s.ok("lease", "list").out; strings.Contains(lines, "held") {
		t.Errorf("a lease is left:\n%s", lines)
	}
}

// TestSecretsComeFromWhereNobodyReads: each of them from the environment, a file, a command, and never shown. // cases U06, X04
func TestSecretsComeFromWhereNobodyReads(t *testing.T) {
	t.Chdir(t.TempDir())
	values := map[string]string{"uri": "mongodb://reader:CANARY@db.example/", "restore-uri": "mongodb://writer:CANARY@db.example/", "ping-url": "https://hc.example/CANARY"}
	hidden := 0
	for _, known := range settingList {
		if !known.hidden {
			continue
		}
		hidden++
		for _, ending := range []string{"", "-file", "-command"} {
			if !slices.ContainsFunc(settingList, func(s setting) bool { return s.name == known.name+ending }) {
				t.Errorf("there is no setting %s%s", known.name, ending)
			}
		}
		want := values[known.name]
		for origin, entry := range map[string]string{"environment": want, "file": secretFile(t, want), "command": "echo '" + want + "'"} {
			name := map[string]string{"environment": known.name, "file": known.name + "-file", "command": known.name + "-command"}[origin]
			t.Run(name, func(t *testing.T) {
				t.Setenv(variable(name), entry)
				var found settings
				app := newApp(streams{})
				for _, command := range app.Commands {
					if command.Name == "verify" {
						command.Action = action(streams{}, nil, func(_ context.Context, run *session, _ *cliContext) error { found = run.settings; return nil })
					}
				}
				if err := app.Run([]string{"pitr", "verify"}); err != nil {
					t.Fatal(err)
				}
				got, configured, err := found.secret(t.Context(), known.name)
				if err != nil || !configured || got.reveal() != want {
					t.Errorf("%v, %v, not what was configured", configured, err)
				}
				if text := found.mask("it says: " + want + " and CANARY-like /CANARY"); strings.Contains(text, want) {
					t.Errorf("masked to %s", text)
				}
				shown := runWith(t, "config", "show")
				if shown.code != exitDone || origin == "environment" && strings.Contains(shown.out, "CANARY") || !strings.Contains(shown.out, "environment "+variable(name)) {
					t.Errorf("exit %d:\n%s", shown.code, shown.out)
				}
			})
		}
	}
	if hidden != len(values) {
		t.Errorf("%d hidden settings, %d were tried", hidden, len(values))
	}
}

// TestValuesThatCannotBe are refused before anything begins, from wherever they come. // case U06
func TestValuesThatCannotBe(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range [][3]string{{"timeout", "soon", "30s"}, {"timeout", "-3s", "30s"}, {"s3-path-style", "yes please", "true or false"}, {"log-level", "inof", "did you mean info"}} {
		name, value, hint := c[0], c[1], c[2]
		t.Setenv(variable(name), value)
		got := runWith(t, "config", "show")
		if got.code != exitUsage || !strings.Contains(got.err, hint) || !strings.Contains(got.err, "environment "+variable(name)) {
			t.Errorf("%s from the environment: exit %d\n%s", name, got.code, got.err)
		}
		t.Setenv(variable(name), "") // set by a unit, and not filled in
		if got := runWith(t, "config", "show"); got.code != exitDone {
			t.Errorf("%s empty: exit %d\n%s", name, got.code, got.err)
		}
		if got := runWith(t, "config", "show", "--"+name+"="+value); got.code != exitUsage || !strings.Contains(got.err, "flag --"+name) {
			t.Errorf("%s from a flag: exit %d\n%s", name, got.code, got.err)
		}
		if err := os.WriteFile("pitr.yaml", []byte(name+": "+value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runWith(t, "config", "show"); got.code != exitUsage || !strings.Contains(got.err, "file pitr.yaml") {
			t.Errorf("%s from the file: exit %d\n%s", name, got.code, got.err)
		}
		if err := os.Remove("pitr.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("pitr.yaml", []byte("ping_ulr: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := runWith(t, "config", "show"); got.code != exitUsage || !strings.Contains(got.err, "ping-url") {
		t.Errorf("a mistyped key: exit %d\n%s", got.code, got.err)
	}
}
