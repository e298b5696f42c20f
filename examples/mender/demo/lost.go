package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/examples/mender"
)

// line is what the demo reads of any JSON line; docs/json-lines.md has them all.
type line struct {
	Type  string          `json:"type"`
	Kind  string          `json:"kind"`
	To    string          `json:"to"`
	Step  string          `json:"step"`
	NS    string          `json:"ns"`
	Class string          `json:"class"`
	E     json.RawMessage `json:"e"`
	T     json.RawMessage `json:"t"`

	Run           string  `json:"run"`
	Job           string  `json:"job"`
	Touched       int64   `json:"touched"`
	Restored      int64   `json:"restored"`
	Lost          int64   `json:"lost"`
	Duplicates    int64   `json:"duplicates"`
	SecondsFrozen float64 `json:"secondsFrozen"`
}

func readLines(content []byte) ([]line, error) {
	var lines []line
	scanner := bufio.NewScanner(bytes.NewReader(content))
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("a line that is not JSON: %w", err)
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
}

// candidate is the moment that pitr offers just before the unique index was dropped.
func (d *demo) candidate(ctx context.Context, mark string) (string, error) {
	content, err := d.quiet(ctx, "find", "--since", "mark:"+mark, "--json")
	if err != nil {
		return "", err
	}
	lines, err := readLines(content)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		if l.Type == "candidate" && l.Step == "index dropped" && l.NS == mender.Devices {
			return l.To, nil
		}
	}
	return "", errors.New("pitr find does not offer the moment before the index was dropped")
}

// readResult learns the job from `pitr jobs`, since the restore itself spoke to a person.
func (d *demo) readResult(ctx context.Context) error {
	job, err := d.lastJob(ctx, "rewind")
	if err != nil {
		return err
	}
	d.job = job.Job
	d.outcome.touched, d.outcome.restored, d.outcome.lost, d.outcome.frozen = job.Touched, job.Restored, job.Lost, job.SecondsFrozen
	return nil
}

// newestJob names the newest job of a kind.
func (d *demo) newestJob(ctx context.Context, kind string) (string, error) {
	job, err := d.lastJob(ctx, kind)
	return job.Job, err
}

func (d *demo) lastJob(ctx context.Context, kind string) (line, error) {
	content, err := d.quiet(ctx, "jobs", "--json")
	if err != nil {
		return line{}, err
	}
	lines, err := readLines(content)
	if err != nil {
		return line{}, err
	}
	for _, l := range slices.Backward(lines) {
		if l.Type == "job" && l.Kind == kind {
			return l, nil
		}
	}
	return line{}, fmt.Errorf("pitr jobs lists no %s", kind)
}

// checkLostSet compares every record of the lost set with the model: no record more, none less, both versions byte for
// byte. Tokens are left out: the server may expire them at any time.
func (d *demo) checkLostSet(ctx context.Context) error {
	d.outcome.page = filepath.Join(d.folder, "lost.html")
	if err := d.pitr(ctx, "report", d.job, "--html", d.outcome.page); err != nil {
		return err
	}
	content, err := d.quiet(ctx, "report", d.job, "--json")
	if err != nil {
		return err
	}
	lines, err := readLines(content)
	if err != nil {
		return err
	}
	check := d.newLostCheck()
	for _, l := range lines {
		switch l.Type {
		case "change":
			if err := check.change(l); err != nil {
				return err
			}
		case "duplicates":
			d.outcome.groups++
		}
	}
	if missing := check.missing(); len(missing) > 0 {
		return fmt.Errorf("the lost set lacks %d records, the first is %s", len(missing), missing[0])
	}
	fmt.Fprintf(d.out, "the lost set holds exactly what the model lost: %d records, both versions byte for byte\n", len(check.listed))
	return nil
}

// lostCheck holds a lost set against the two states of the model.
type lostCheck struct {
	before, end map[string]map[string]bson.Raw
	listed      map[string]bool
}

func (d *demo) newLostCheck() lostCheck {
	check := lostCheck{before: map[string]map[string]bson.Raw{}, end: map[string]map[string]bson.Raw{}, listed: map[string]bool{}}
	for _, ns := range d.story.Model().Namespaces() {
		if ns != mender.Tokens {
			check.before[ns] = d.story.Model().At(ns, d.before)
			check.end[ns] = d.story.Model().At(ns, d.end)
		}
	}
	return check
}

func (c lostCheck) change(l line) error {
	if c.before[l.NS] == nil {
		return nil
	}
	e, err := document(l.E)
	if err != nil {
		return err
	}
	t, err := document(l.T)
	if err != nil {
		return err
	}
	either := e
	if either == nil {
		either = t
	}
	if either == nil { // came and went: neither side has it
		return nil
	}
	id := either.Lookup("_id").String()
	if !bytes.Equal(e, c.end[l.NS][id]) || !bytes.Equal(t, c.before[l.NS][id]) {
		return fmt.Errorf("%s %s: the lost set says %s and %s, the model does not", l.NS, id, e, t)
	}
	c.listed[l.NS+" "+id] = true
	return nil
}

// missing gives the records that the model lost and the set does not list.
func (c lostCheck) missing() []string {
	var missing []string
	for ns, end := range c.end {
		for id, document := range end {
			if !bytes.Equal(document, c.before[ns][id]) && !c.listed[ns+" "+id] {
				missing = append(missing, ns+" "+id)
			}
		}
		for id := range c.before[ns] {
			if end[id] == nil && !c.listed[ns+" "+id] {
				missing = append(missing, ns+" "+id)
			}
		}
	}
	return missing
}

func document(text json.RawMessage) (bson.Raw, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var content bson.Raw
	err := bson.UnmarshalExtJSON(text, true, &content)
	return content, err
}
