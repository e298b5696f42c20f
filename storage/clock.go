package storage

import "time"

// clock gives the clock that was handed in, or the machine's.
func clock(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now //nolint:forbidigo // the default of a clock that is handed in
	}
	return now
}
