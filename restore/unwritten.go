package restore

import (
	"encoding/binary"

	"pitr"
	"pitr/catalog"
	"pitr/format"
)

// unwrittenBy gives the numbers of the changes that a job has published and, as it recorded, not made: whatever is live in
// their place is of others.
func unwrittenBy(deps Deps, undone *catalog.Job) (map[int64]bool, error) {
	_, detail, ok := NewJournal(deps, undone.ID, undone.Steps).Last(stepLeft)
	if !ok || undone.Intent.Kind != format.JobReconcile {
		return map[int64]bool{}, nil
	}
	return UnpackNumbers(detail.Unwritten)
}

// PackNumbers packs ascending numbers from 1 into a step record: the distance to the one before, each as a varint.
func PackNumbers(numbers []int64) []byte {
	var packed []byte
	last := int64(0)
	for _, n := range numbers {
		packed = binary.AppendUvarint(packed, uint64(n-last)) //nolint:gosec // they ascend
		last = n
	}
	return packed
}

// UnpackNumbers gives what PackNumbers was given.
func UnpackNumbers(packed []byte) (map[int64]bool, error) {
	numbers := map[int64]bool{}
	last := int64(0)
	for len(packed) > 0 {
		distance, size := binary.Uvarint(packed)
		if size <= 0 {
			return nil, pitr.Corruptf("read what the job left out", "its list of numbers is cut off")
		}
		last, packed = last+int64(distance), packed[size:] //nolint:gosec // as it was packed
		numbers[last] = true
	}
	return numbers, nil
}
