package format

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Version is the version of the format that this package writes, and the newest that it reads.
const Version = 1

// Digest is a sha256; its text is 64 lower-case hex digits. The zero value means "not known".
type Digest [sha256.Size]byte

// Sum gives the digest of the bytes.
func Sum(data []byte) Digest { return sha256.Sum256(data) }

// ParseDigest reads the text form, and only that: upper-case digits are refused.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	content, err := hex.DecodeString(text)
	if err != nil || len(content) != len(d) {
		return d, fmt.Errorf("%.80q is not a sha256", text)
	}
	copy(d[:], content)
	if d.String() != text {
		return Digest{}, fmt.Errorf("%.80q is not a sha256 in lower case", text)
	}
	return d, nil
}

// IsZero reports whether the digest is not known.
func (d Digest) IsZero() bool { return d == Digest{} }

// String gives 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short gives the first four bytes, as they stand in the names of segments.
func (d Digest) Short() Short { return Short(d[:4]) }

// MarshalText gives the text form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}

// Short is the beginning of an entry's digest; the zero value stands for "no entry".
type Short [4]byte

// String gives eight lower-case hex digits.
func (s Short) String() string { return hex.EncodeToString(s[:]) }
