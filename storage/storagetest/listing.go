package storagetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pitr/storage"
)

// tricky are names whose order differs between a walk of folders and a comparison of bytes.
var tricky = []string{
	"a-b", "a.b", "a/b", "a/b-c/d", "a/b.c", "a/c/d", "a0", "aA", "aa/b", "ab", "b-/x", "b.", "c/d/e/f", "c/d/e-f", "c/d/e0",
	"oplog/br/20251022/1", "oplog/br/20251023/0", "oplog/br2/20251021/0", "oplog/br-2/20251021/0", "z",
}

func testListOrder(t *testing.T, s storage.Store) {
	shuffled := slices.Clone(tricky)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for i, name := range shuffled {
		create(t, s, name, make([]byte, i))
	}
	want := slices.Sorted(slices.Values(tricky))
	if got := list(t, s, "", ""); !slices.Equal(got, want) {
		t.Errorf("listed\n%q, want\n%q", got, want)
	}
	for o, err := range s.List(t.Context(), "", "") {
		if err != nil || int(o.Size) != slices.Index(shuffled, o.Name) || o.Modified.IsZero() {
			t.Errorf("%+v, %v; size should be %d", o, err, slices.Index(shuffled, o.Name))
		}
	}
}

// testListRanges compares every pair of prefix and after with what sorting and filtering gives.
func testListRanges(t *testing.T, s storage.Store) {
	for _, name := range tricky {
		create(t, s, name, nil)
	}
	sorted := slices.Sorted(slices.Values(tricky))
	prefixes := []string{"", "a", "a/", "a/b", "a/b-", "a/b-c/", "b", "b-/x", "b-/x/", "c/d/e", "oplog/br", "oplog/br/", "nothing", "zz"}
	afters := append([]string{"", "a", "a/", "a/b-", "a/b-c", "a/b/", "c/d/e", "oplog/br/20251022/0", "oplog/br/3", "zz", "~"}, tricky...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			var want []string
			for _, name := range sorted {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			if got := list(t, s, prefix, after); !slices.Equal(got, want) {
				t.Errorf("list %q after %q: %q, want %q", prefix, after, got, want)
			}
		}
	}
}

// testListWhileChanging deletes and creates in the loop over a listing: what is not touched is met exactly once.
func testListWhileChanging(t *testing.T, s storage.Store) {
	for i := range 30 {
		create(t, s, fmt.Sprintf("d%d/x", 100+i), nil)
	}
	var met []string
	for o, err := range s.List(t.Context(), "d", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(o.Name, "/new") {
			continue
		}
		met = append(met, o.Name)
		if err := s.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
		create(t, s, strings.TrimSuffix(o.Name, "x")+"new", nil)
	}
	if len(met) != 30 || !slices.IsSorted(met) || len(slices.Compact(met)) != 30 {
		t.Errorf("met %q", met)
	}
	count := 0
	for range s.List(t.Context(), "d", "") {
		count++
		if count == 3 {
			break // leaving early must be possible
		}
	}
	if count != 3 {
		t.Errorf("left after %d objects, want 3", count)
	}
}

// testListMany goes past the page size of every store.
func testListMany(t *testing.T, s storage.Store) {
	const objects = 2100
	want := make([]string, objects)
	for i := range want {
		want[i] = fmt.Sprintf("many/%02d/%06d", i/900, i)
		create(t, s, want[i], nil)
	}
	if got := list(t, s, "", ""); !slices.Equal(got, want) {
		t.Errorf("%d names, want %d in order", len(got), len(want))
	}
	if got := list(t, s, "many/", want[1049]); !slices.Equal(got, want[1050:]) {
		t.Errorf("%d names after the middle, want %d", len(got), len(want)-1050)
	}
}
