package main

import "pitr"

// later lists commands that people will look for and that are not built yet: what they would be, and the way out.
var later = map[string]struct{ what, instead string }{
	"ui":      {"the local page for large jobs", "use `pitr report JOB --html FILE` for up to 10,000 recordsand `pitr report JOB --json` for all"},
	"drill":   {"a restore rehearsal", "use `pitr restore --to T --into-file FILE` to copy a moment into a scratch cluster, and `pitr restore --to T --dry-run`"},
	"rebuild": {"a restore by whole collections", "use `pitr restore --to T --rename OLD=NEW` for a copy beside the live one"},
	"seal":    {"evidence without a full export, kept by hand", "use `pitr restore --full-export=false`, which seals where it can"},
}

// notBuilt refuses a command of that list by name; nil for any other word.
func notBuilt(word string) error {
	planned, known := later[word]
	if !known {
		return nil
	}
	return pitr.Errorf(pitr.KindUnsupported, "read the command line", planned.instead, "%s (`pitr %s`) is not built yet", planned.what, word)
}
