package format

import (
	"fmt"
	"strings"

	"pitr"
)

// The constructors give the name of one object each. They fail, with kind invalid, on a bad id, and with kind limit on a
// number that has no place in the name.

// HeaderName names the object that makes a folder a repository.
func HeaderName() Name { return Name{text: "pitr.json", kind: KindHeader} }

// BranchName names the description of a branch.
func BranchName(branch ID) (Name, error) {
	return build(KindBranch, "branches/"+string(branch)+endJSON)
}

// ManifestName names the manifest of a snapshot.
func ManifestName(snapshot ID) (Name, error) {
	return build(KindManifest, SnapshotPrefix(snapshot)+"manifest.json")
}

// CatalogPartName names a catalog part of a snapshot, counted from 0.
func CatalogPartName(snapshot ID, number int) (Name, error) {
	return build(KindCatalogPart, SnapshotPrefix(snapshot)+"catalog-"+digits(number, widthCatalogPart)+endContainer)
}

// ChunkName names a chunk of a snapshot, counted from 0.
func ChunkName(snapshot ID, number int) (Name, error) {
	return build(KindChunk, SnapshotPrefix(snapshot)+"data-"+digits(number, widthChunk)+endContainer)
}

// KeysName names a partition of the key index of a collection, both counted from 0.
func KeysName(snapshot ID, collection, partition int) (Name, error) {
	return build(KindKeys, SnapshotPrefix(snapshot)+"keys-"+digits(collection, widthCollection)+"-"+
		digits(partition, widthPartition)+endKeys)
}

// SegmentName names a segment of the archive: its window, and the digests of the entry before its first one (zero where
// there is none) and of its last one.
func SegmentName(branch ID, window pitr.Window, prev, last Short) (Name, error) {
	return build(KindSegment, fmt.Sprintf("%s%016x-%s-%016x-%s%s", DayPrefix(branch, window.Through),
		uint64(window.After), prev, uint64(window.Through), last, endContainer))
}

// HoleName names the note of a hole.
func HoleName(branch ID, window pitr.Window) (Name, error) {
	return build(KindHole, fmt.Sprintf("%s%016x-%016x%s", DayPrefix(branch, window.Through),
		uint64(window.After), uint64(window.Through), endHole))
}

// MarkName names a mark at a moment.
func MarkName(moment pitr.Timestamp, mark ID) (Name, error) {
	return build(KindMark, fmt.Sprintf("marks/%016x-%s%s", uint64(moment), mark, endJSON))
}

// HoldName names a hold.
func HoldName(hold ID) (Name, error) { return build(KindHold, "holds/"+string(hold)+endJSON) }

// CondemnedName names a list of what prune will remove.
func CondemnedName(list ID) (Name, error) {
	return build(KindCondemned, "condemned/"+string(list)+endJSON)
}

// IntentName names the intent of a job.
func IntentName(job ID) (Name, error) { return build(KindIntent, JobPrefix(job)+"intent.json") }

// StepName names the record of a step of an attempt, both counted from 1.
func StepName(job ID, attempt, number int) (Name, error) {
	return build(KindStep, JobPrefix(job)+"steps/"+digits(attempt, widthAttempt)+"-"+digits(number, widthStep)+endJSON)
}

// ChangePartName names a part of a job's change set, counted from 0.
func ChangePartName(job ID, number int) (Name, error) {
	return build(KindChangePart, JobPrefix(job)+"changes-"+digits(number, widthChangePart)+endContainer)
}

// ChangesName names the list of the parts of a job's change set.
func ChangesName(job ID) (Name, error) { return build(KindChanges, JobPrefix(job)+"changes.json") }

// ResultName names the result of a job.
func ResultName(job ID) (Name, error) { return build(KindResult, JobPrefix(job)+"result.json") }

// ReviewName names imported decisions about a job's lost set, counted from 1.
func ReviewName(job ID, number int) (Name, error) {
	return build(KindReview, JobPrefix(job)+"review-"+digits(number, widthReview)+endJSON)
}

// DecisionsName names a part of the decisions of a review, counted from 0.
func DecisionsName(job ID, review, part int) (Name, error) {
	return build(KindDecisions, JobPrefix(job)+"review-"+digits(review, widthReview)+"-"+digits(part, widthDecisions)+endContainer)
}

// PlaybookName names an entry in the journal of a playbook run, counted from 1.
func PlaybookName(run ID, number int) (Name, error) {
	return build(KindPlaybook, "playbooks/"+string(run)+"/"+digits(number, widthPlaybook)+endJSON)
}

// DrillName names the result of a drill.
func DrillName(drill ID) (Name, error) { return build(KindDrill, "drills/"+string(drill)+endJSON) }

// LeaseName names a generation of a lease, counted from 1. Newer generations come first in a listing.
func LeaseName(lease string, generation uint64) (Name, error) {
	return build(KindLease, fmt.Sprintf("%s%020d%s", LeasePrefix(lease), ^generation, endJSON))
}

// The folders, for listings. The ids are not checked: a prefix of a bad one lists nothing.
const (
	BranchesPrefix  = "branches/"
	SnapshotsPrefix = "snapshots/"
	MarksPrefix     = "marks/"
	HoldsPrefix     = "holds/"
	CondemnedPrefix = "condemned/"
	JobsPrefix      = "jobs/"
	PlaybooksPrefix = "playbooks/"
	LeasesPrefix    = "leases/"
)

// SnapshotPrefix is the folder of a snapshot.
func SnapshotPrefix(snapshot ID) string { return SnapshotsPrefix + string(snapshot) + "/" }

// JobPrefix is the folder of a job.
func JobPrefix(job ID) string { return JobsPrefix + string(job) + "/" }

// PlaybookPrefix is the folder of a playbook run.
func PlaybookPrefix(run ID) string { return PlaybooksPrefix + string(run) + "/" }

// LeasePrefix is the folder of a lease.
func LeasePrefix(lease string) string { return LeasesPrefix + lease + "/" }

// OplogPrefix is the folder of a branch's segments and holes.
func OplogPrefix(branch ID) string { return "oplog/" + string(branch) + "/" }

// DayPrefix is the folder of what ends on the UTC day of this moment. Days sort by time, so a listing of OplogPrefix
// that starts after DayPrefix(branch, t) has everything that ends at or after t.
func DayPrefix(branch ID, t pitr.Timestamp) string { return OplogPrefix(branch) + dayOf(t) + "/" }

// build sends every constructor through the one grammar.
func build(kind Kind, text string) (Name, error) {
	name, err := ParseName(text)
	if err != nil || name.kind != kind {
		fault := pitr.KindInvalid
		if strings.Contains(text, tooWide) {
			fault = pitr.KindLimit
		}
		return Name{}, pitr.Errorf(fault, "", "", "%.160q cannot name a %s", text, kind)
	}
	return name, nil
}

// tooWide stands in a text for a number without a place in it; no name holds it.
const tooWide = "#"

func digits(number, width int) string {
	text := fmt.Sprintf("%0*d", width, number)
	if len(text) > width || number < 0 {
		return tooWide + text
	}
	return text
}
