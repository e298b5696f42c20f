package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pitr/examples/mender"
	"pitr/internal/mongotest"
	"pitr/internal/replsim"
	"pitr/playbook"
)

// person is somebody at a terminal of 80 columns and 24 lines, with an answer for each question that is expected, in order.
type person struct {
	t       *testing.T
	answers []answer
	// waits is closed when the person is asked something that they think about until the channel thinks is closed.
	waits, thinks chan struct{}

	mu      sync.Mutex
	talk    bytes.Buffer
	seen    int
	pending []byte
}

// answer is what a person types when the screen ends with a question.
type answer struct{ question, word string }

// Write is the screen.
func (p *person) Write(content []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.talk.Write(content)
}

// Read is the keyboard.
func (p *person) Read(into []byte) (int, error) {
	p.mu.Lock()
	if len(p.pending) == 0 {
		screen := p.talk.String()[p.seen:]
		p.seen = p.talk.Len()
		p.looksAt(screen)
		question := screen[strings.LastIndex(screen, "\n")+1:]
		if len(p.answers) == 0 || !strings.Contains(question, p.answers[0].question) {
			p.t.Errorf("asked %q, expected %v", question, p.answers)
			p.mu.Unlock()
			return 0, os.ErrClosed
		}
		p.pending = []byte(p.answers[0].word + "\n")
		p.answers = p.answers[1:]
		if p.waits != nil {
			close(p.waits)
			p.waits = nil
			p.mu.Unlock()
			<-p.thinks
			p.mu.Lock()
		}
	}
	n := copy(into, p.pending)
	p.pending = p.pending[n:]
	p.mu.Unlock()
	return n, nil
}

// looksAt holds a screen to what fits: the decision and what it is about, from the rule above it.
func (p *person) looksAt(screen string) {
	if at := strings.LastIndex(screen, "\n-- step "); at >= 0 {
		screen = screen[at+1:]
	}
	if lines := strings.Count(screen, "\n") + 1; lines > 24 {
		p.t.Errorf("a decision takes %d lines:\n%s", lines, screen)
	}
	for line := range strings.Lines(screen) {
		if line = strings.TrimRight(line, "\n"); len([]rune(line)) > 80 {
			p.t.Errorf("a line of %d columns: %q", len([]rune(line)), line)
		}
	}
}

func (p *person) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.talk.String()
}

// with runs a command at the terminal of a person.
func (s *stage) with(p *person, args ...string) outcome {
	s.t.Helper()
	p.t = s.t.(*testing.T)
	code := run(context.Background(), s.arguments(args), streams{in: p, out: p, err: p, interactive: true, width: 80, env: os.Getenv, now: time.Now})
	if len(p.answers) > 0 {
		s.t.Errorf("these questions were not asked: %v\n%s", p.answers, p.said())
	}
	return outcome{code: code, out: p.said(), err: p.said()}
}

var runPattern = regexp.MustCompile(`--resume (\d{8}T\d{6}Z-[a-z0-9]{6})`)

// canaries are the passwords of a stage whose screens and transcripts are looked through for them.
func canaries() []mongotest.User {
	users := append([]mongotest.User(nil), stageUsers...)
	for i := range users {
		users[i].Password = "CANARY-" + users[i].Name
	}
	return users
}

// TestPlaybookByAPerson plays the night with somebody who mistypes: the built-in procedure, one decision a screen. // cases C06, W04, X04
func TestPlaybookByAPerson(t *testing.T) {
	t.Parallel()
	s := newStage(t, canaries(), replsim.Options{})
	s.play()
	folder := t.TempDir()
	page := filepath.Join(folder, "night.html")
	p := &person{answers: []answer{{"Is the culprit stopped?", "what?"}, {"Is the culprit stopped?", "go"}, {"Type a number", "99"},
		{"Type a number", "yesterday"}, {"Type a number", "1"}, {"Type the name of the cluster", "devices-EU"}, {"Type the name of the cluster", clusterName}}}
	got := s.with(p, "playbook", "run", s.file("steps.yaml", reportTo(folder)), "--transcript", page)
	if got.code != exitDone {
		t.Fatalf("it ends with %d:\n%s", got.code, got.out)
	}
	s.same(s.good)
	s.hasIndex(true)
	s.unblocked(t)
	s.whole(t)
	for _, want := range []string{"enrollment-service", "tenant_id_id_data_sha256", " --review lost.xlsx", "That is not its name", "Type the word go"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("nobody was told of %q", want)
		}
	}
	run := runPattern.FindStringSubmatch(got.out)[1]
	html, err := os.ReadFile(page)
	s.must(err)
	markdown := s.ok("playbook", "show", run).out
	for name, text := range map[string]string{"page": string(html), "markdown": markdown, "screen": got.out} {
		if strings.Contains(text, "CANARY") || strings.Contains(text, "devices-EU\"") {
			t.Errorf("the %s shows a secret, or what was mistyped", name)
		}
		s.showsNoRecord(t, name, text)
	}
	for _, want := range []string{"Is the culprit stopped? go", "records written", "exit code 0", operator(), "pitr restore --to"} {
		if !strings.Contains(markdown, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, markdown)
		}
	}
	for _, foreign := range []string{"<script", "http:", "https:", "src="} {
		if strings.Contains(string(html), foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
	if got := s.pitr("playbook", "run", "--resume", run, "--go-on", "--to", "now", "--confirm-target", clusterName); got.code != exitRefused || !strings.Contains(got.err, "ended") {
		t.Errorf("a run that is over is resumed with %d:\n%s", got.code, got.err)
	}
}

// showsNoRecord looks for values of the documents that the damage was about.
func (s *stage) showsNoRecord(t *testing.T, name, text string) {
	t.Helper()
	checked := 0
	for _, document := range s.story.Model().At(mender.Devices, s.bad) {
		checked++
		for _, value := range []string{document.Lookup("_id").StringValue(), document.Lookup("id_data_struct", "serial").StringValue()} {
			if strings.Contains(text, value) {
				t.Errorf("the %s shows %q of a document", name, value)
				return
			}
		}
	}
	if checked < 50 {
		t.Fatalf("only %d documents were looked for", checked)
	}
}

// file writes a file beside the repository.
func (s *stage) file(name, content string) string {
	s.t.Helper()
	path := filepath.Join(filepath.Dir(s.folder), name)
	s.must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

// reportTo is the built-in procedure with its page in a folder of the test.
func reportTo(folder string) string {
	procedure := playbook.BuiltIn(clusterName)
	procedure.Steps[4].Arguments = append([]string{"--html=" + filepath.Join(folder, "lost.html")}, procedure.Steps[4].Arguments...)
	return string(playbook.Write(procedure, stepCommands()))
}

// TestPlaybookWithoutATerminal: every decision is a flag, or nothing begins. // case W05
func TestPlaybookWithoutATerminal(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	s.sim.ForgetCommands()
	file := s.file("steps.yaml", reportTo(t.TempDir()))
	for _, args := range [][]string{{}, {"--go-on", "--to", s.toGood()}, {"--go-on", "--confirm-target", clusterName}, {"--to", s.toGood(), "--confirm-target", clusterName}} {
		s.refuses(t, refusal{args: append([]string{"playbook", "run", file}, args...), code: exitRefused, says: []string{"nobody is here to decide"}, next: []string{"--"}})
	}
	if runs := s.pitr("playbook", "show", "--json").out; runs != "" {
		t.Errorf("a refused run is in the journal: %s", runs)
	}
	wrong := s.pitr("playbook", "run", file, "--go-on", "--to", s.toGood(), "--confirm-target", "devices-us")
	if wrong.code != exitRefused || len(s.writes()) > 0 {
		t.Errorf("the wrong name ends with %d and %v:\n%s", wrong.code, s.writes(), wrong.err)
	}
	got := s.pitr("playbook", "run", file, "--go-on", "--to", s.toGood(), "--confirm-target", clusterName)
	if got.code != exitDone {
		t.Fatalf("it ends with %d:\n%s", got.code, got.err)
	}
	s.same(s.good)
	s.hasIndex(true)
}

// TestPlaybookIsResumed: what stopped a step gives the exit code, nothing that is done is done again, and neither another file
// nor a changed one goes on with the run.
func TestPlaybookIsResumed(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	folder := t.TempDir()
	file := s.file("steps.yaml", reportTo(folder))
	flags := []string{"--go-on", "--confirm-target", clusterName, "--to"}
	stopped := s.pitr(append([]string{"playbook", "run", file}, append(flags, "1000:1")...)...)
	if stopped.code != exitHole || !strings.Contains(stopped.err, "pitr playbook run --resume") {
		t.Fatalf("a moment that cannot be reached ends with %d:\n%s", stopped.code, stopped.err)
	}
	run := runPattern.FindStringSubmatch(stopped.err)[1]
	other := s.file("other.yaml", strings.Replace(reportTo(folder), "2h ago", "3h ago", 1))
	s.refuses(t, refusal{args: append([]string{"playbook", "run", other, "--resume", run}, append(flags, s.toGood())...), code: exitRefused,
		says: []string{"not the one that the run was begun with"}, next: []string{"leave the file out"}})
	s.sim.ForgetCommands()
	got := s.pitr(append([]string{"playbook", "run", file, "--resume", run, "--json"}, append(flags, s.toGood())...)...)
	if got.code != exitDone || strings.Contains(got.out, `"command":"pitr find`) {
		t.Errorf("the resumed run ends with %d:\n%s%s", got.code, got.out, got.err)
	}
	s.same(s.good)
	text := s.ok("playbook", "show", run).out
	for _, want := range []string{"exit 14", "run resumed", "2 attempts"} {
		if !strings.Contains(text, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, text)
		}
	}
}

// TestKilledPlaybooks: wherever the journal is cut off, the next run goes on with the first step that is not done, and the
// end is that of the unbroken run. // cases C02, C06
func TestKilledPlaybooks(t *testing.T) {
	program := buildKillable(t)
	played := func(t *testing.T) (*stage, []string) {
		s := newStage(t, stageUsers, replsim.Options{})
		s.play()
		return s, []string{"playbook", "run", s.file("steps.yaml", reportTo(t.TempDir())), "--go-on", "--to", s.toGood(), "--confirm-target", clusterName}
	}
	s, args := played(t)
	unbroken := s.places(program, args...)
	s.same(s.good)
	mustPass(t, unbroken, "put.before.playbook", "put.after.playbook", "restore.before-verify")
	entries := strings.Count(s.ok("playbook", "show", runOf(t, s), "--json").out, `"playbook entry"`)
	places := []string{"restore.before-freeze", "restore.before-first-write", "restore.before-verify", "restore.before-result", "put.after.intent", "put.before.intent"}
	for n := 1; n <= entries; n++ {
		places = append(places, fmt.Sprintf("put.before.playbook*%d", n), fmt.Sprintf("put.after.playbook*%d", n))
	}
	for _, place := range places {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			s, args := played(t)
			if !s.killAt(program, place, args...) {
				t.Fatal("it was not passed")
			}
			s.whole(t)
			goOn := args
			if run := runOf(t, s); run != "" {
				goOn = append([]string{"playbook", "run", "--resume", run}, args[3:]...)
			}
			got := s.pitr(goOn...)
			ended := place == fmt.Sprintf("put.after.playbook*%d", entries)
			if want := map[bool]int{false: exitDone, true: exitRefused}[ended]; got.code != want {
				t.Fatalf("the resumed run ends with %d:\n%s", got.code, got.err)
			}
			s.same(s.good)
			s.hasIndex(true)
			s.unblocked(t)
			s.whole(t)
			if jobs := strings.Count(s.ok("jobs", "--json").out, `"state":"done"`); jobs != 1 {
				t.Errorf("%d jobs are done", jobs)
			}
		})
	}
}

// runOf gives the newest run, empty where there is none.
func runOf(t *testing.T, s *stage) string {
	t.Helper()
	out := s.ok("playbook", "show", "--json").out
	ids := regexp.MustCompile(`"run":"([^"]+)"`).FindAllStringSubmatch(out, -1)
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1][1]
}

// TestKilledPlaybookIsTakenBack: who comes back to a half-written restore may take it back instead.
func TestKilledPlaybookIsTakenBack(t *testing.T) {
	program := buildKillable(t)
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	s.killAt(program, "restore.before-verify", "playbook", "run", s.file("steps.yaml", reportTo(t.TempDir())), "--go-on", "--to", s.toGood(), "--confirm-target", clusterName)
	run := runOf(t, s)
	s.refuses(t, refusal{args: []string{"playbook", "run", "--go-on", "--to", s.toGood(), "--confirm-target", clusterName}, code: exitRefused,
		next: []string{"pitr playbook run --resume " + run}})
	p := &person{answers: []answer{{"Type a number", "3"}}}
	if got := s.with(p, "playbook", "run", "--resume", run); got.code != exitHalfway {
		t.Errorf("who leaves a half-written restore alone ends with %d:\n%s", got.code, got.out)
	}
	p = &person{answers: []answer{{"Type a number", "x"}, {"Type a number", ""}, {"Type a number", "4"}}}
	if got := s.with(p, "playbook", "run", "--resume", run); got.code != exitHalfway || strings.Contains(got.out, "nothing was written to a cluster") {
		t.Errorf("who chooses nothing ends with %d:\n%s", got.code, got.out)
	}
	p = &person{answers: []answer{{"Type a number", "2"}, {"Type the name of the cluster", clusterName}}}
	if got := s.with(p, "playbook", "run", "--resume", run); got.code != exitDone || !strings.Contains(got.out, "taken back") {
		t.Fatalf("it ends with %d:\n%s", got.code, got.out)
	}
	s.same(s.bad)
	s.hasIndex(false)
	s.unblocked(t)
	s.whole(t)
}

// TestTwoPeopleAreToldAboutEachOther: the second one is told who is at it, since when and where, and the first one hears of
// the second. // case W14
func TestTwoPeopleAreToldAboutEachOther(t *testing.T) {
	if testing.Short() {
		t.Skip("a sign of life takes up to 20 seconds: left out with -short")
	}
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	first := &person{waits: make(chan struct{}), thinks: make(chan struct{}), answers: []answer{{"Is the culprit stopped?", "go"},
		{"Type a number", "1"}, {"Type the name of the cluster", clusterName}}}
	asked := first.waits
	ended := make(chan outcome, 1)
	file := s.file("steps.yaml", reportTo(t.TempDir()))
	go func() { ended <- s.with(first, "playbook", "run", file) }()
	<-asked
	second := s.pitr("playbook", "run", file, "--go-on", "--to", s.toGood(), "--confirm-target", clusterName)
	if second.code != exitLocked {
		t.Errorf("the second run ends with %d:\n%s", second.code, second.err)
	}
	for _, want := range []string{operator(), "step 1 of 5 (writers)", "since 2", "pitr playbook show"} {
		if !strings.Contains(second.err, want) {
			t.Errorf("the second person is not told %q:\n%s", want, second.err)
		}
	}
	close(first.thinks)
	got := <-ended
	if got.code != exitDone || !strings.Contains(got.out, "wanted to run a playbook") {
		t.Errorf("the first run ends with %d:\n%s", got.code, got.out)
	}
	s.same(s.good)
	s.whole(t)
}

// TestPlaybookFilesOfTheDocumentsCanRun holds the example, the page, and what `pitr playbook new` prints to the commands that there are.
func TestPlaybookFilesOfTheDocumentsCanRun(t *testing.T) {
	s := newStage(t, nil, replsim.Options{})
	s.ok("init", "--cluster-name", clusterName)
	example, err := os.ReadFile("../../examples/playbook/bad-migration.yaml")
	s.must(err)
	page, err := os.ReadFile("../../docs/playbook.md")
	s.must(err)
	block := regexp.MustCompile(`(?m)^    name: [^\n]*\n(?:    [^\n]*\n)*`).FindString(string(page))
	written := filepath.Join(t.TempDir(), "new.yaml")
	s.ok("playbook", "new", written)
	fresh, err := os.ReadFile(written)
	s.must(err)
	for name, content := range map[string]string{"example": string(example), "page": block, "new": string(fresh), "printed": s.ok("playbook", "new").out} {
		options := playbook.CheckOptions{Commands: stepCommands(), Now: time.Now(), Nearest: nearest}
		procedure, err := playbook.Parse([]byte(content), options)
		if err == nil {
			err = checkWords(context.Background(), procedure)
		}
		if err != nil || procedure.Cluster != clusterName || len(procedure.Steps) < 5 {
			t.Errorf("the %s: %v\n%s", name, err, content)
		}
	}
	s.refuses(t, refusal{args: []string{"playbook", "new", written}, code: exitRefused, says: []string{"exists"}, next: []string{"another name"}})
}

// TestPlaybookFilesAreCheckedAgainstTheProgram: what the real commands do not take is refused before the first step. // case U02
func TestPlaybookFilesAreCheckedAgainstTheProgram(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	head := "name: night\ncluster: " + clusterName + "\nsteps:\n  - writers\n"
	for _, c := range []struct{ steps, says, next string }{
		{"  - fnd:\n", "line 5", "find"},
		{"  - find: {sinse: 2h ago}\n", "sinse", "since"},
		{"  - find: {until: sometime}\n", "sometime", "write a moment"},
		{"  - find: {repo: \"file:///elsewhere\"}\n", "setting of the whole run", "pitr playbook run"},
		{"  - report: {format: [html, xlsx]}\n", "format", ""},
		{"  - verify: {level: high}\n", "whole number", ""},
		{"  - playbook run:\n", "runs no playbook", ""},
		{"  - archive run:\n", "never ends", ""},
		{"  - snapshot:\n", `"snapshot" is no step`, ""},
		{"  - notify: {webhook: x}\n", "not built yet", "--transcript"},
	} {
		file := s.file("wrong.yaml", head+c.steps)
		got := s.pitr("playbook", "run", file, "--go-on", "--to", "now", "--confirm-target", clusterName)
		if got.code != exitUsage || !strings.Contains(got.err, c.says) || !strings.Contains(got.err[strings.Index(got.err, "next:"):], c.next) {
			t.Errorf("%q ends with %d:\n%s", c.steps, got.code, got.err)
		}
	}
	other := s.file("other.yaml", strings.Replace(head, clusterName, "devices-us", 1))
	s.refuses(t, refusal{args: []string{"playbook", "run", other, "--go-on"}, code: exitRefused, says: []string{"it is for cluster devices-us"}, next: []string{"--repo"}})
	for _, transcript := range []string{"night.txt", "/nowhere/at/all/night.md"} {
		if got := s.pitr("playbook", "run", "--go-on", "--to", "now", "--confirm-target", clusterName, "--transcript", transcript); got.code != exitUsage {
			t.Errorf("a transcript in %s ends with %d:\n%s", transcript, got.code, got.err)
		}
	}
	if runs := s.ok("playbook", "show", "--json").out; runs != "" {
		t.Errorf("a refused run is in the journal:\n%s", runs)
	}
}
