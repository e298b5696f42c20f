package pitr_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pitr"
)

func TestParseTime(t *testing.T) { // case U05
	now := time.Date(2025, 10, 22, 9, 16, 0, 0, time.UTC)
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	second := func(when time.Time) pitr.Moment {
		return pitr.Moment{Kind: pitr.MomentSecond, Second: uint32(when.Unix())}
	}
	eightTen := time.Date(2025, 10, 22, 8, 10, 0, 0, time.UTC)
	bound := func(s, i uint32) pitr.Moment {
		return pitr.Moment{Kind: pitr.MomentBound, Bound: pitr.NewTimestamp(s, i)}
	}
	for _, c := range []struct {
		text string
		zone *time.Location
		want pitr.Moment
	}{
		{"2025-10-22T08:10:00Z", nil, second(eightTen)},
		{"2025-10-22T10:10:00+02:00", nil, second(eightTen)},
		{"2025-10-22 08:10:00 UTC", nil, second(eightTen)},
		{"2025-10-22 10:10 Europe/Madrid", nil, second(eightTen)},
		{"2025-10-22 10:10 +02:00", nil, second(eightTen)},
		{"2025-10-22 10:10", madrid, second(eightTen)},
		{"  1761120000:7 ", nil, bound(1761120000, 7)},
		{"through 1761120000:7", nil, bound(1761120000, 7)},
		{"before 1761120000:7", nil, bound(1761120000, 6)},
		{"before 1761120000:0", nil, bound(1761119999, 1<<32-1)},
		{"before 2025-10-22 08:10 UTC", nil, bound(uint32(eightTen.Unix())-1, 1<<32-1)},
		{"through 2025-10-22T08:10:00Z", nil, bound(uint32(eightTen.Unix()), 1<<32-1)},
		{"10m ago", nil, second(now.Add(-10 * time.Minute))},
		{"now", nil, pitr.Moment{Kind: pitr.MomentNow}},
		{"mark:before v4.1.0", nil, pitr.Moment{Kind: pitr.MomentMark, Mark: "before v4.1.0"}},
		{"2024-02-29 00:00 UTC", nil, second(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC))},
		{"1970-01-01 00:00 UTC", nil, second(time.Unix(0, 0))},
	} {
		got, err := pitr.ParseTime(c.text, pitr.TimeContext{Now: now, Zone: c.zone})
		if err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{
		"", "yesterday", "2025-10-22", "2025-10-22 08:10", "2025-02-29 00:00 UTC", "2025-10-22 08:10 CEST",
		"2025-03-30 02:30 Europe/Madrid", // does not exist
		"2025-10-26 02:30 Europe/Madrid", // happened twice
		"before now", "before before 1:1", "through mark:x", "mark:", "-10m ago", "1761120000:07", "1761120000:4294967296",
		"1969-12-31 23:59 UTC", "2525-10-22T08:10:00Z", "1761120000",
	} {
		if got, err := pitr.ParseTime(text, pitr.TimeContext{Now: now}); pitr.KindOf(err) != pitr.KindInvalid || pitr.HintOf(err) == "" {
			t.Errorf("%q: got %+v, %v; want a refusal with a hint", text, got, err)
		}
	}
}
