package format

import (
	"fmt"
	"io"
	"strings"
	"time"

	"pitr"
)

// ID names a snapshot, a job, a branch, a mark and the like: UTC time and six random characters, such as
// "20251022T092001Z-k3f9q2". Ids sort by time. A string converted to an ID is not checked; ParseID and every constructor
// of a Name do that.
type ID string

const (
	idTime   = "20060102T150405Z"
	idRandom = 6
	idLength = len(idTime) + 1 + idRandom
	// idAlphabet has no letters that are taken for each other (0 and o, 1 and l and i).
	idAlphabet = "abcdefghjkmnpqrstuvwxyz23456789"
)

// NewID makes an id for this moment from six random characters.
func NewID(now time.Time, random io.Reader) (ID, error) {
	tail := make([]byte, 0, idRandom)
	for one := make([]byte, 1); len(tail) < idRandom; {
		if _, err := io.ReadFull(random, one); err != nil {
			return "", fmt.Errorf("make an id: %w", err)
		}
		// Values beyond the last whole multiple are thrown away, or some letters would come more often.
		if int(one[0]) < 256/len(idAlphabet)*len(idAlphabet) {
			tail = append(tail, idAlphabet[int(one[0])%len(idAlphabet)])
		}
	}
	return ID(now.UTC().Format(idTime) + "-" + string(tail)), nil
}

// ParseID checks the text of an id; the error is of kind invalid.
func ParseID(text string) (ID, error) {
	if !isID(text) {
		return "", pitr.Errorf(pitr.KindInvalid, "", "an id looks like 20251022T092001Z-k3f9q2; the lists show them",
			"%.80q is not an id", text)
	}
	return ID(text), nil
}

// Time gives the moment in the id; zero for a bad id.
func (i ID) Time() time.Time {
	if len(i) != idLength {
		return time.Time{}
	}
	moment, err := time.Parse(idTime, string(i[:len(idTime)]))
	if err != nil {
		return time.Time{}
	}
	return moment
}

// isID accepts any lower-case letter and digit in the random part, so that the alphabet can change.
func isID(text string) bool {
	if len(text) != idLength || text[len(idTime)] != '-' {
		return false
	}
	for _, c := range text[len(idTime)+1:] {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789", c) {
			return false
		}
	}
	moment, err := time.Parse(idTime, text[:len(idTime)])
	return err == nil && moment.Format(idTime) == text[:len(idTime)]
}
