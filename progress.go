package pitr

// Amount is an amount of work: documents (or entries, or objects) and bytes. Zero means unknown where a total is asked for.
type Amount struct {
	Count int64 `json:"count"`
	Bytes int64 `json:"bytes"`
}

// Progress hears how far a job has come. Jobs call it from several goroutines; it must not block for long.
type Progress interface {
	// Start begins a part of the job, such as a namespace or a step, with its expected total.
	Start(part string, total Amount)
	// Advance adds finished work to a part.
	Advance(part string, done Amount)
	// Finish ends a part.
	Finish(part string)
}

// Silent is the progress of somebody who does not want to know; jobs use it when they are given none.
var Silent Progress = silent{}

type silent struct{}

func (silent) Start(string, Amount)   {}
func (silent) Advance(string, Amount) {}
func (silent) Finish(string)          {}
