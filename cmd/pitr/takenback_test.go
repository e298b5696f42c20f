package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pitr/internal/replsim"
)

// TestAnOldNightIsNotTheDamage: what a restore has taken back is told as that and is no candidate, until an undo brings it
// back; the second night is found beside it.
func TestAnOldNightIsNotTheDamage(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	first := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName).out)
	s.story.Model().Return(s.good)
	if got := s.found(); got.suspicious != 0 || got.candidates != 0 || got.taken[first] == 0 || got.gaps != 1 {
		t.Errorf("after the restore %+v", got)
	}
	s.damage()
	if got := s.found(); got.suspicious == 0 || got.candidates == 0 || got.taken[first] == 0 || got.gaps != 1 {
		t.Errorf("in the second night %+v", got)
	}
	s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName)
	if got := s.found(); got.suspicious != 0 || len(got.taken) != 2 {
		t.Errorf("after the second restore %+v", got)
	}
}

// TestAnUndoBringsTheDamageBack: the events of an incident count again when its restore was undone.
func TestAnUndoBringsTheDamageBack(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	s.play()
	before := s.found()
	job := jobPattern.FindString(s.ok("restore", "--to", s.toGood(), "--confirm-target", clusterName).out)
	s.ok("undo", job, "--confirm-target", clusterName)
	if got := s.found(); got.suspicious != before.suspicious || got.suspicious == 0 || len(got.taken) != 0 {
		t.Errorf("%+v, before the restore %+v", got, before)
	}
}

// TestAReconcileHidesNothing: the service is up while records are put back, so no entry of that span is passed over.
func TestAReconcileHidesNothing(t *testing.T) {
	s := newStage(t, stageUsers, replsim.Options{})
	job := s.restored()
	repository, _ := s.openJobOf(job)
	before, err := jobWindows(context.Background(), repository)
	s.must(err)
	s.ok("reconcile", "apply", job, "--suggested", "--confirm-target", clusterName)
	after, err := jobWindows(context.Background(), repository)
	s.must(err)
	if len(before) != 1 || !slices.Equal(before, after) {
		t.Errorf("spans that find passes over: %v, before the reconcile %v", after, before)
	}
}

type night struct {
	suspicious, candidates, gaps int
	taken                        map[string]int
}

// found is what find says of the last hours.
func (s *stage) found() night {
	s.t.Helper()
	n := night{taken: map[string]int{}}
	for line := range strings.Lines(s.ok("find", "--json").out) {
		var l struct {
			Type       string
			Suspicious bool
			TakenBack  string
		}
		s.must(json.Unmarshal([]byte(line), &l))
		switch {
		case l.Type == "candidate":
			n.candidates++
		case l.Type == "index gap":
			n.gaps++
		case l.Type == "event" && l.Suspicious:
			n.suspicious++
		}
		if l.TakenBack != "" {
			n.taken[l.TakenBack]++
		}
	}
	return n
}
