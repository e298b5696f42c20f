package format_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pitr"
	"pitr/format"
)

func must(tb testing.TB) func(format.Name, error) format.Name {
	return func(name format.Name, err error) format.Name {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return name
	}
}

var window = pitr.Window{After: pitr.NewTimestamp(1761119999, 4), Through: pitr.NewTimestamp(1761120000, 7)}

// names has one name of each kind with its text.
func names(tb testing.TB) map[string]format.Name {
	ok := must(tb)
	prev, last := format.Sum([]byte("prev")).Short(), format.Sum([]byte("last")).Short()
	return map[string]format.Name{
		"pitr.json":                                               format.HeaderName(),
		"branches/20251001T000000Z-bbbbbb.json":                   ok(format.BranchName(branchID)),
		"snapshots/20251022T092001Z-k3f9q2/manifest.json":         ok(format.ManifestName(snapshotID)),
		"snapshots/20251022T092001Z-k3f9q2/catalog-0012.bson.zst": ok(format.CatalogPartName(snapshotID, 12)),
		"snapshots/20251022T092001Z-k3f9q2/data-000034.bson.zst":  ok(format.ChunkName(snapshotID, 34)),
		"snapshots/20251022T092001Z-k3f9q2/keys-00056-0078.keys":  ok(format.KeysName(snapshotID, 56, 78)),
		"oplog/20251001T000000Z-bbbbbb/20251022/68f88eff00000004-84fd9bac-68f88f0000000007-3547cb11.bson.zst": ok(format.SegmentName(branchID, window, prev, last)),
		"oplog/20251001T000000Z-bbbbbb/20251022/68f88eff00000004-68f88f0000000007.hole.json":                  ok(format.HoleName(branchID, window)),
		"marks/68f88f0000000007-20251022T092001Z-k3f9q2.json":                                                 ok(format.MarkName(window.Through, snapshotID)),
		"holds/20251022T092001Z-k3f9q2.json":                                                                  ok(format.HoldName(snapshotID)),
		"condemned/20251022T092001Z-k3f9q2.json":                                                              ok(format.CondemnedName(snapshotID)),
		"jobs/20251022T093000Z-aaaaaa/intent.json":                                                            ok(format.IntentName(jobID)),
		"jobs/20251022T093000Z-aaaaaa/steps/002-017.json":                                                     ok(format.StepName(jobID, 2, 17)),
		"jobs/20251022T093000Z-aaaaaa/changes-000009.bson.zst":                                                ok(format.ChangePartName(jobID, 9)),
		"jobs/20251022T093000Z-aaaaaa/changes.json":                                                           ok(format.ChangesName(jobID)),
		"jobs/20251022T093000Z-aaaaaa/result.json":                                                            ok(format.ResultName(jobID)),
		"jobs/20251022T093000Z-aaaaaa/review-03.json":                                                         ok(format.ReviewName(jobID, 3)),
		"jobs/20251022T093000Z-aaaaaa/review-03-000002.bson.zst":                                              ok(format.DecisionsName(jobID, 3, 2)),
		"playbooks/20251022T093000Z-aaaaaa/04.json":                                                           ok(format.PlaybookName(jobID, 4)),
		"drills/20251022T093000Z-aaaaaa.json":                                                                 ok(format.DrillName(jobID)),
		"leases/archive/18446744073709551610.json":                                                            ok(format.LeaseName("archive", 5)),
	}
}

func TestNamesReadBack(t *testing.T) {
	kinds := make(map[format.Kind]bool)
	for text, name := range names(t) {
		if name.String() != text {
			t.Errorf("%q is made as\n%q", text, name)
		}
		back, err := format.ParseName(text)
		if err != nil || back != name {
			t.Errorf("%q reads back as %+v, %v", text, back, err)
		}
		kinds[name.Kind()] = true
	}
	if len(kinds) != 21 {
		t.Errorf("%d kinds of names are tested", len(kinds))
	}
	step := names(t)["jobs/20251022T093000Z-aaaaaa/steps/002-017.json"]
	if step.ID() != jobID || step.Attempt() != 2 || step.Number() != 17 {
		t.Errorf("a step's parts are %q, %d, %d", step.ID(), step.Attempt(), step.Number())
	}
	lease := names(t)["leases/archive/18446744073709551610.json"]
	if lease.Lease() != "archive" || lease.Generation() != 5 {
		t.Errorf("a lease's parts are %q, %d", lease.Lease(), lease.Generation())
	}
}

// case X07
func TestBadNamesAreRefused(t *testing.T) {
	for text := range names(t) {
		for _, bad := range []string{
			"/" + text, text + "/", "../" + text, "./" + text, text + "\x00", text + "\n", " " + text, text + " ",
			strings.ToUpper(text), strings.Replace(text, "/", "//", 1) + "x", strings.Replace(text, "/", `\`, 1) + "x",
			"C:" + text, text + ".age", strings.Replace(text, "j", "ј", 1) + "\u0458", text + strings.Repeat("x", 4096),
		} {
			if name, err := format.ParseName(bad); pitr.KindOf(err) != pitr.KindCorrupt || !name.IsZero() {
				t.Errorf("%.200q is taken for %v", bad, name)
			}
		}
	}
	for _, bad := range []string{
		"", "CON", "pitr.json/x", "snapshots/../manifest.json", "snapshots/20251022T092001Z-k3f9q2/shop.orders.bson.zst",
		"snapshots/20251322T092001Z-k3f9q2/manifest.json", "snapshots/20251022T092001Z-K3F9Q2/manifest.json",
		"snapshots/20251022T092001Z-k3f9q2/data-00003x.bson.zst", "snapshots/20251022T092001Z-k3f9q2/data-+00034.bson.zst",
		"snapshots/20251022T092001Z-k3f9q2/data-0000340.bson.zst", "jobs/20251022T093000Z-aaaaaa/steps/002-17.json",
		// The day is not that of the end; the bounds are turned round; the bounds are equal; upper-case digits.
		"oplog/20251001T000000Z-bbbbbb/20251023/68f88eff00000004-68f88f0000000007.hole.json",
		"oplog/20251001T000000Z-bbbbbb/20251022/68f88f0000000007-68f88eff00000004.hole.json",
		"oplog/20251001T000000Z-bbbbbb/20251022/68f88f0000000007-68f88f0000000007.hole.json",
		"oplog/20251001T000000Z-bbbbbb/20251022/68F88EFF00000004-68f88f0000000007.hole.json",
		"oplog/20251001T000000Z-bbbbbb/20251022/68f88eff00000004-84FD9BAC-68f88f0000000007-3547cb11.bson.zst",
		"leases/archive/00000000000000000005x.json", "leases/archive/18446744073709551615.json", "leases/archive/99999999999999999999.json",
		"leases/../18446744073709551610.json", "leases/-a/18446744073709551610.json", "leases//18446744073709551610.json",
	} {
		if name, err := format.ParseName(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, name)
		}
	}
}

func TestConstructorsRefuse(t *testing.T) {
	for what, construct := range map[string]func() (format.Name, error){
		"a path as an id":    func() (format.Name, error) { return format.ManifestName("../../etc") },
		"no id":              func() (format.Name, error) { return format.IntentName("") },
		"an id of two parts": func() (format.Name, error) { return format.IntentName(jobID + "/steps") },
		"an empty window":    func() (format.Name, error) { return format.HoleName(branchID, pitr.Window{}) },
		"a path as a lease":  func() (format.Name, error) { return format.LeaseName("a/b", 1) },
	} {
		if name, err := construct(); pitr.KindOf(err) != pitr.KindInvalid || !name.IsZero() {
			t.Errorf("%s gives %q, %v", what, name, err)
		}
	}
	for _, number := range []int{-1, 1_000_000, math.MaxInt} {
		if name, err := format.ChunkName(snapshotID, number); pitr.KindOf(err) != pitr.KindLimit || !name.IsZero() {
			t.Errorf("chunk %d gives %q, %v", number, name, err)
		}
	}
}

func TestNewerLeasesComeFirst(t *testing.T) {
	ok := must(t)
	var texts []string
	for _, generation := range []uint64{math.MaxUint64, 1 << 40, 11, 10, 9, 2, 1} {
		texts = append(texts, ok(format.LeaseName("write", generation)).String())
	}
	if !slices.IsSorted(texts) {
		t.Errorf("the newest does not come first: %q", texts)
	}
}

func TestSegmentsJoinByName(t *testing.T) {
	ok := must(t)
	next := pitr.Window{After: window.Through, Through: window.Through + 5}
	a, b := format.Short{1}, format.Short{2}
	first := ok(format.SegmentName(branchID, window, a, b))
	for _, second := range []struct {
		name format.Name
		want bool
	}{
		{ok(format.SegmentName(branchID, next, b, a)), true},
		{ok(format.SegmentName(branchID, next, a, b)), false},
		{ok(format.SegmentName(otherID, next, b, a)), false},
		{ok(format.SegmentName(branchID, pitr.Window{After: next.After + 1, Through: next.Through}, b, a)), false},
		{ok(format.HoleName(branchID, next)), false},
	} {
		if first.JoinsTo(second.name) != second.want {
			t.Errorf("%s joins to %s: %t", first, second.name, !second.want)
		}
	}
}

func TestIDsAreParsable(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	seen := make(map[format.ID]bool)
	for range 1000 {
		id, err := format.NewID(noon.In(time.FixedZone("x", 7200)), random)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := format.ParseID(string(id)); err != nil || back != id || !id.Time().Equal(noon) {
			t.Fatalf("%q reads back as %q of %s, %v", id, back, id.Time(), err)
		}
		seen[id] = true
	}
	if len(seen) < 999 {
		t.Errorf("1000 ids of one second are %d different ones", len(seen))
	}
	if _, err := format.NewID(noon, strings.NewReader("abc")); err == nil {
		t.Error("an id without enough randomness")
	}
	if _, err := format.ParseID("20251022T092001Z-../../"); pitr.KindOf(err) != pitr.KindInvalid || pitr.HintOf(err) == "" {
		t.Errorf("a bad id gives %v", err)
	}
}
