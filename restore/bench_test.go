package restore_test

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr/internal/mongotest"
	"pitr/restore"
)

// BenchmarkRewind measures a whole rewind, from the intent to the result: 20,000 of 50,000 documents, a unique index.
func BenchmarkRewind(b *testing.B) {
	const documents, touched = 50_000, 20_000
	for b.Loop() {
		b.StopTimer()
		s := newStage(b, mongotest.Need{Users: logins})
		s.run("deviceauth", bson.E{Key: "createIndexes", Value: "devices"}, bson.E{Key: "indexes", Value: bson.A{
			bson.D{{Key: "key", Value: bson.D{{Key: "serial", Value: 1}}}, {Key: "name", Value: "serial"}, {Key: "unique", Value: true}}}})
		for from := 0; from < documents; from += 10_000 {
			var list []any
			for i := from; i < from+10_000; i++ {
				list = append(list, bson.D{{Key: "_id", Value: fmt.Sprint("device-", i)}, {Key: "serial", Value: i}, {Key: "status", Value: "accepted"},
					{Key: "text", Value: fmt.Sprintf("%0400d", i)}})
			}
			s.insert(devices, list...)
		}
		s.snapshot()
		at := s.now()
		update := bson.D{{Key: "q", Value: bson.D{{Key: "serial", Value: bson.D{{Key: "$lt", Value: touched}}}}}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "status", Value: "rejected"}}}}}, {Key: "multi", Value: true}}
		s.run("deviceauth", bson.E{Key: "update", Value: "devices"}, bson.E{Key: "updates", Value: bson.A{update}})
		deps := s.deps()
		b.StartTimer()
		intent, err := restore.Plan(b.Context(), deps, restore.Request{To: at})
		s.must(err)
		confirmed, err := intent.Confirm("devices-eu")
		s.must(err)
		outcome, err := restore.Run(b.Context(), deps, intent, confirmed)
		s.must(err)
		if outcome.Written != touched {
			b.Fatalf("%+v", outcome)
		}
		for _, step := range jobSteps(b, s, outcome) {
			b.Log(step)
		}
	}
	b.ReportMetric(float64(touched)*float64(b.N)/b.Elapsed().Seconds(), "docs/s")
}

func jobSteps(b *testing.B, s *stage, outcome restore.Outcome) []string {
	b.Helper()
	job, err := s.repository.Job(b.Context(), outcome.Job)
	s.must(err)
	var steps []string
	last := outcome.Started
	for _, step := range job.Steps {
		steps = append(steps, fmt.Sprintf("%-10s %6d ms", step.Step, step.Taken.Sub(last).Milliseconds()))
		last = step.Taken
	}
	return steps
}
