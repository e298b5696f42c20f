package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// clusterName is what the repositories of the measurements say of their cluster.
const clusterName = "bench"

// program runs pitr in a folder of its own, against one server and one repository.
type program struct {
	path, folder string
	server       server
	keep         bool
}

// newProgram makes a folder with an empty repository.
func newProgram(ctx context.Context, s settings, on server) (*program, error) {
	path, err := filepath.Abs(s.program)
	if err != nil {
		return nil, err
	}
	p := &program{path: path, server: on, keep: s.keep}
	if p.folder, err = os.MkdirTemp(s.folder, "pitr-bench-"); err != nil {
		return nil, err
	}
	_, _, err = p.run(ctx, "init", "--cluster-name", clusterName)
	return p, err
}

func (p *program) close() {
	if p.keep {
		fmt.Println("left in place:", p.folder)
		return
	}
	_ = os.RemoveAll(p.folder)
}

func (p *program) command(ctx context.Context, args []string) (*gauge, error) {
	command, err := gauged(ctx, p.path, args...)
	if err != nil {
		return nil, err
	}
	command.Dir = p.folder
	command.Env = append(os.Environ(), "PITR_REPO=file://"+p.folder+"/repository", "PITR_URI="+p.server.Read,
		"PITR_RESTORE_URI="+p.server.Restore, "TMPDIR="+p.folder)
	return command, nil
}

// run runs one command and gives its result stream and its cost.
func (p *program) run(ctx context.Context, args ...string) ([]byte, usage, error) {
	command, err := p.command(ctx, args)
	if err != nil {
		return nil, usage{}, err
	}
	var out, talk bytes.Buffer
	command.Stdout, command.Stderr = &out, &talk
	if err := command.Run(); err != nil {
		return nil, usage{}, fmt.Errorf("pitr %s: %w\n%s%s", strings.Join(args, " "), err, out.Bytes(), talk.Bytes())
	}
	cost, err := command.cost()
	return out.Bytes(), cost, err
}

// last runs one command with --json and reads the last line of its result.
func (p *program) last(ctx context.Context, result any, args ...string) (usage, error) {
	out, cost, err := p.run(ctx, append(args, "--json")...)
	if err != nil {
		return cost, err
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return cost, json.Unmarshal(lines[len(lines)-1], result)
}

// service is a command that runs until it is stopped.
type service struct {
	*gauge
	talk bytes.Buffer
}

func (p *program) start(ctx context.Context, args ...string) (*service, error) {
	command, err := p.command(ctx, args)
	if err != nil {
		return nil, err
	}
	s := &service{gauge: command}
	s.Stderr = &s.talk
	return s, s.Start()
}

// stop ends the command and gives its cost.
func (s *service) stop() (usage, error) {
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		return usage{}, err
	}
	_ = s.Wait() // a signal is how it ends
	if code := s.ProcessState.ExitCode(); code != 143 && code != 0 {
		return usage{}, fmt.Errorf("%s ended with %d: %s", strings.Join(s.Args[2:], " "), code, s.talk.Bytes())
	}
	return s.cost()
}

// stored gives the size of the repository.
func (p *program) stored() int64 {
	size := int64(0)
	_ = filepath.Walk(filepath.Join(p.folder, "repository"), func(_ string, found os.FileInfo, err error) error {
		if err == nil && found.Mode().IsRegular() {
			size += found.Size()
		}
		return nil // a size that is a little off is no reason to fail
	})
	return size
}
