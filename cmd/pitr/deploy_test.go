package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// shipped reads a file of deploy/.
func shipped(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// mustParse holds a command line against the program: command, flags and arguments exist. The command itself does not run.
func mustParse(t *testing.T, where string, args []string) {
	t.Helper()
	app := newApp(streams{out: io.Discard, err: io.Discard})
	ran := ""
	for name, command := range leaves(app.Commands, "") {
		command.Action = func(c *cli.Context) error {
			ran = name
			return checkArguments(c, nil)
		}
	}
	args = append([]string{"pitr"}, args...)
	if err := app.RunContext(context.Background(), flagsFirst(app, args)); err != nil || ran == "" {
		t.Errorf("%s: pitr %s: %v, ran %q", where, strings.Join(args[1:], " "), err, ran)
	}
}

// programLine finds a run of the program in a line of a shipped file.
var programLine = regexp.MustCompile(`(?:^ExecStart=/usr/local/bin/pitr|^(?:#?[0-9*/, ]+) pitr pitr) (.*)$`)

// TestShippedFilesNameWhatExists: each command line, setting and variable in deploy/ is one of this program. // case U11
func TestShippedFilesNameWhatExists(t *testing.T) {
	for name, lines := range map[string]int{"pitr.cron": 5, "systemd/pitr-archive.service": 1, "systemd/pitr-snapshot.service": 1} {
		found := 0
		for line := range strings.Lines(shipped(t, name)) {
			if match := programLine.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
				found++
				mustParse(t, name, strings.Fields(match[1]))
			}
		}
		if found != lines {
			t.Errorf("%s has %d command lines, %d were found", name, lines, found)
		}
	}
	variables := map[string]bool{"PITR_URI": true}
	for _, known := range settingList {
		variables[variable(known.name)] = true
	}
	read := 0
	err := filepath.WalkDir("../../deploy", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		read++
		content, err := os.ReadFile(path)
		for _, name := range regexp.MustCompile(`\bPITR_[A-Z0-9_]+`).FindAllString(string(content), -1) {
			if !variables[name] {
				t.Errorf("%s names %s, which is no setting", path, name)
			}
		}
		for _, match := range regexp.MustCompile("`pitr ([a-z]+(?: [a-z]+)?)").FindAllStringSubmatch(string(content), -1) {
			if all := leaves(commands(streams{}), ""); all[match[1]] == nil && all[strings.Fields(match[1])[0]] == nil {
				t.Errorf("%s names pitr %s, which is no command", path, match[1])
			}
		}
		return err
	})
	if err != nil || read != 7 {
		t.Errorf("%d files are shipped: %v", read, err)
	}
}

// TestShippedConfiguration is read without an error, also with every line that is commented out.
func TestShippedConfiguration(t *testing.T) {
	text := shipped(t, "pitr.yaml")
	t.Chdir(t.TempDir())
	for _, content := range []string{text, regexp.MustCompile(`(?m)^# ([a-z0-9-]+: )`).ReplaceAllString(text, "$1")} {
		if err := os.WriteFile("pitr.yaml", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runWith(t, "config", "show"); got.code != exitDone || !strings.Contains(got.out, "file:///var/backups/pitr") {
			t.Errorf("exit %d:\n%s%s", got.code, got.out, got.err)
		}
	}
}

// hardening are the options without which a unit of ours is not shipped.
var hardening = []string{"CapabilityBoundingSet=", "NoNewPrivileges=yes", "PrivateDevices=yes", "PrivateTmp=yes", "ProtectHome=yes", "ProtectSystem=strict",
	"ProtectKernelModules=yes", "ProtectKernelTunables=yes", "RestrictNamespaces=yes", "RestrictSUIDSGID=yes", "MemoryDenyWriteExecute=yes",
	"SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources", "User=pitr", "MemoryMax=512M", "UMask=0077"}

func TestShippedUnits(t *testing.T) { // case U11
	units := []string{"pitr-archive.service", "pitr-snapshot.service", "pitr-snapshot.timer"}
	folder := t.TempDir()
	for _, name := range units {
		text := shipped(t, "systemd/"+name)
		for _, option := range hardening {
			if strings.HasSuffix(name, ".service") && !strings.Contains(text, "\n"+option+"\n") {
				t.Errorf("%s lacks %s", name, option)
			}
		}
		// The checker looks for programs and pages of the machine that it runs on.
		text = strings.ReplaceAll(text, "/usr/local/bin/pitr", "/bin/true")
		text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(text, "")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text := shipped(t, "systemd/pitr-archive.service"); !strings.Contains(text, "Type=notify") || !strings.Contains(text, "WatchdogSec=") ||
		!strings.Contains(text, fmt.Sprintf("RestartPreventExitStatus=%d %d %d %d %d\n", exitNotFound, exitDenied, exitCorrupt, exitRefused, exitUsage)) {
		t.Error("the archiver's unit does not use what the program tells")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here: the units were checked by their text only")
	}
	check := func(args ...string) {
		command := exec.Command(analyze, args...)
		command.Dir = folder
		if output, err := command.CombinedOutput(); err != nil {
			if bytes.Contains(output, []byte("Unknown")) && bytes.Contains(output, []byte("option")) || bytes.Contains(output, []byte("unrecognized option")) {
				t.Skipf("systemd-analyze is too old: %s", output)
			}
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
	for _, name := range units {
		check("verify", "./"+name)
		if strings.HasSuffix(name, ".service") {
			check("security", "--offline=true", "--threshold=20", "./"+name)
		}
	}
}

// manifest is what the test looks at of an object of Kubernetes.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Replicas          int
		Strategy          struct{ Type string }
		ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
		Schedule          string
		Template          podTemplate
		JobTemplate       struct {
			Spec struct {
				BackoffLimit *int `yaml:"backoffLimit"`
				Template     podTemplate
			}
		} `yaml:"jobTemplate"`
	}
}

type podTemplate struct {
	Spec struct {
		Automount *bool `yaml:"automountServiceAccountToken"`
		Grace     int   `yaml:"terminationGracePeriodSeconds"`
		Security  struct {
			NonRoot bool `yaml:"runAsNonRoot"`
			User    int  `yaml:"runAsUser"`
		} `yaml:"securityContext"`
		Containers []struct {
			Args []string
			Env  []struct {
				Name, Value string
				From        struct {
					Secret struct{ Name, Key string } `yaml:"secretKeyRef"`
				} `yaml:"valueFrom"`
			}
			Security struct {
				Escalation *bool                   `yaml:"allowPrivilegeEscalation"`
				ReadOnly   bool                    `yaml:"readOnlyRootFilesystem"`
				Drop       struct{ Drop []string } `yaml:"capabilities"`
			} `yaml:"securityContext"`
			Resources struct{ Requests, Limits map[string]string }
			Mounts    []struct{ Name string } `yaml:"volumeMounts"`
		}
		Volumes []struct{ Name string }
	}
}

func TestShippedManifests(t *testing.T) { // case U11
	decoder := yaml.NewDecoder(strings.NewReader(shipped(t, "kubernetes/pitr.yaml")))
	kinds := map[string]manifest{}
	for {
		var object manifest
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[object.Kind] = object
	}
	t.Run("settings", func(t *testing.T) {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("pitr.yaml", []byte(kinds["ConfigMap"].Data["pitr.yaml"]), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := runWith(t, "config", "show"); got.code != exitDone || !strings.Contains(got.out, "s3://backups/pitr/devices-eu") {
			t.Errorf("exit %d:\n%s%s", got.code, got.out, got.err)
		}
	})
	cron, service := kinds["CronJob"], kinds["Deployment"]
	if cron.Spec.ConcurrencyPolicy != "Forbid" || len(strings.Fields(cron.Spec.Schedule)) != 5 || cron.Spec.JobTemplate.Spec.BackoffLimit == nil || *cron.Spec.JobTemplate.Spec.BackoffLimit != 0 {
		t.Errorf("the CronJob: %+v", cron.Spec)
	}
	if service.Spec.Replicas != 1 || service.Spec.Strategy.Type != "Recreate" {
		t.Errorf("the Deployment: %+v", service.Spec)
	}
	for name, pod := range map[string]podTemplate{"CronJob": cron.Spec.JobTemplate.Spec.Template, "Deployment": service.Spec.Template} {
		spec := pod.Spec
		if !spec.Security.NonRoot || spec.Security.User == 0 || spec.Automount == nil || *spec.Automount || spec.Grace < 10 || len(spec.Containers) != 1 {
			t.Fatalf("%s: the pod is not locked up: %+v", name, spec)
		}
		c := spec.Containers[0]
		if !c.Security.ReadOnly || c.Security.Escalation == nil || *c.Security.Escalation || !slices.Equal(c.Security.Drop.Drop, []string{"ALL"}) {
			t.Errorf("%s: the container is not locked up: %+v", name, c.Security)
		}
		if c.Resources.Limits["memory"] != "512Mi" || c.Resources.Requests["cpu"] == "" {
			t.Errorf("%s: resources %v", name, c.Resources)
		}
		for _, mount := range c.Mounts {
			if !slices.ContainsFunc(spec.Volumes, func(v struct{ Name string }) bool { return v.Name == mount.Name }) {
				t.Errorf("%s: nothing is mounted as %s", name, mount.Name)
			}
		}
		for _, env := range c.Env {
			if secret := strings.Contains(env.Name, "URI") || strings.Contains(env.Name, "URL") || strings.Contains(env.Name, "KEY"); secret && (env.Value != "" || env.From.Secret.Name != "pitr" || env.From.Secret.Key == "") {
				t.Errorf("%s: %s does not come from the secret", name, env.Name)
			}
		}
		mustParse(t, name, c.Args)
	}
}

func TestShippedContainerfile(t *testing.T) { // case U11
	text := shipped(t, "Containerfile")
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "FROM scratch", "ca-certificates.crt", "USER 65532:65532"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(module))[1]
	if !strings.Contains(text, "golang:"+version+" ") {
		t.Errorf("it is not built with Go %s", version)
	}
	match := regexp.MustCompile(`(?m)^CMD \[(.*)\]$`).FindStringSubmatch(text)
	mustParse(t, "Containerfile", strings.Fields(strings.NewReplacer(`"`, "", ",", " ").Replace(match[1])))
}

// TestCompletionKnowsEveryCommand: the shell that is here completes each word of each command. // case U01
func TestCompletionKnowsEveryCommand(t *testing.T) {
	for shell, word := range map[string]string{"bash": "complete ", "zsh": "#compdef pitr\n", "fish": "complete -c pitr"} {
		got := runWith(t, "completion", shell)
		if got.code != exitDone || !strings.Contains(got.out, word) || !strings.HasPrefix(got.out, "#") {
			t.Errorf("%s: exit %d\n%s", shell, got.code, got.err)
		}
	}
	if got := runWith(t, "completion", "tcsh"); got.code != exitUsage || !strings.Contains(got.err, "fish") {
		t.Errorf("tcsh: exit %d\n%s", got.code, got.err)
	}
	folder := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "pitr"), ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	asked := func(words ...string) string {
		t.Helper()
		output, err := exec.Command(filepath.Join(folder, "pitr"), append(words, completing)...).Output()
		if err != nil {
			t.Error(err)
		}
		return string(output)
	}
	fish := runWith(t, "completion", "fish").out
	for name, command := range leaves(commands(streams{}), "") {
		words := strings.Fields(name)
		before, last := words[:len(words)-1], words[len(words)-1]
		if got := asked(before...); !slices.Contains(strings.Fields(got), last) {
			t.Errorf("pitr %v is completed to %q", before, got)
		}
		if !strings.Contains(fish, "-a '"+command.Name+"'") {
			t.Errorf("fish does not know %s", name)
		}
	}
	if flags := asked("snapshot", "take", "--pi"); !strings.Contains(flags, "--ping-url") {
		t.Errorf("flags are completed to %q", flags)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash: its script was not run")
	}
	script := filepath.Join(folder, "completion")
	if err := os.WriteFile(script, []byte(runWith(t, "completion", "bash").out), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := exec.Command(bash, "--norc", "-c", `source "$1"
COMP_WORDS=(pitr snap); COMP_CWORD=1; _pitr; echo "${COMPREPLY[*]}"
COMP_WORDS=(pitr snapshot ''); COMP_CWORD=2; _pitr; echo "${COMPREPLY[*]}"
COMP_WORDS=(pitr snapshot take --rea); COMP_CWORD=3; _pitr; echo "${COMPREPLY[*]}"
COMP_WORDS=(pitr '$(touch evaluated)' ''); COMP_CWORD=2; _pitr; echo "${COMPREPLY[*]}"`, "bash", script)
	ask.Dir, ask.Env = folder, append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
	output, err := ask.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(output), "snapshot\ntake list show verify") || !strings.Contains(string(output), "\n--reason\n") {
		t.Errorf("bash completes to %v:\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(folder, "evaluated")); err == nil {
		t.Error("a word on the line was evaluated")
	}
}

// TestManualHasAPageForEveryCommand, with its example and its flags. // case U01
func TestManualHasAPageForEveryCommand(t *testing.T) {
	folder := t.TempDir()
	if got := runWith(t, "man", folder); got.code != exitDone || got.err != "" {
		t.Fatalf("exit %d:\n%s", got.code, got.err)
	}
	pages, err := filepath.Glob(filepath.Join(folder, "*.1"))
	all := leaves(newApp(streams{}).Commands, "")
	if err != nil || len(pages) != len(all)+1 {
		t.Errorf("%d pages for %d commands", len(pages), len(all))
	}
	for name, command := range all {
		content, err := os.ReadFile(filepath.Join(folder, "pitr-"+strings.ReplaceAll(name, " ", "-")+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		page := strings.ReplaceAll(string(content), `\-`, "-")
		if !strings.HasPrefix(page, ".nh\n.TH pitr-") || !strings.Contains(page, "Example") {
			t.Errorf("pitr %s: %.200s", name, page)
		}
		for _, flag := range command.Flags {
			if visible, ok := flag.(cli.VisibleFlag); ok && !visible.IsVisible() {
				continue
			}
			if !strings.Contains(page, "--"+flag.Names()[0]) {
				t.Errorf("the page of pitr %s does not have --%s", name, flag.Names()[0])
			}
		}
	}
	if got := runWith(t, "man"); got.code != exitDone || !strings.Contains(got.out, ".TH pitr ") {
		t.Errorf("exit %d:\n%.200s", got.code, got.out)
	}
	if got := runWith(t, "man", filepath.Join(folder, "nowhere")); got.code != exitUsage {
		t.Errorf("a folder that is not there: exit %d", got.code)
	}
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skip("no man: the pages were not formatted")
	}
	output, err := exec.Command(man, "--warnings=w", "-l", filepath.Join(folder, "pitr-snapshot-take.1")).CombinedOutput()
	if err == nil && !bytes.Contains(output, []byte("copy the cluster into the repository")) {
		t.Errorf("formatted it says:\n%s", output)
	}
}
