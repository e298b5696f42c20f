package format

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
	"go.mongodb.org/mongo-driver/v2/bson"

	"pitr"
)

// KeyHash gives the hash of a document's identity: xxh3-64 of the key's equality form.
func KeyHash(key pitr.Key) uint64 { return xxh3.HashString(key.Equal()) }

// HashOfKey gives the same for an equality form.
func HashOfKey(equal string) uint64 { return xxh3.HashString(equal) }

// DocumentHash gives the hash of a document's bytes: xxh3-64.
func DocumentHash(document bson.Raw) uint64 { return xxh3.Hash(document) }

// ContentSum says what a set of documents holds, whatever their order: how many they are, their bytes, and the sum of
// the xxh3-128 of each modulo 2^128. Two sums compare with ==. It finds accidents, not forgeries.
type ContentSum struct {
	Documents int64
	Bytes     int64
	High, Low uint64
}

// Add counts a document in.
func (s *ContentSum) Add(document bson.Raw) {
	h := xxh3.Hash128(document)
	s.AddSum(ContentSum{Documents: 1, Bytes: int64(len(document)), High: h.Hi, Low: h.Lo})
}

// Sub counts a document out again.
func (s *ContentSum) Sub(document bson.Raw) {
	h := xxh3.Hash128(document)
	s.SubSum(ContentSum{Documents: 1, Bytes: int64(len(document)), High: h.Hi, Low: h.Lo})
}

// AddSum counts in everything that other counts.
func (s *ContentSum) AddSum(other ContentSum) {
	var carry uint64
	s.Documents += other.Documents
	s.Bytes += other.Bytes
	s.Low, carry = bits.Add64(s.Low, other.Low, 0)
	s.High, _ = bits.Add64(s.High, other.High, carry)
}

// SubSum counts out everything that other counts.
func (s *ContentSum) SubSum(other ContentSum) {
	var borrow uint64
	s.Documents -= other.Documents
	s.Bytes -= other.Bytes
	s.Low, borrow = bits.Sub64(s.Low, other.Low, 0)
	s.High, _ = bits.Sub64(s.High, other.High, borrow)
}

// Equal reports whether both count the same documents.
func (s ContentSum) Equal(other ContentSum) bool { return s == other }

// String gives documents, bytes and the sum in hex.
func (s ContentSum) String() string {
	return fmt.Sprintf("%d documents, %d bytes, %x", s.Documents, s.Bytes, s.sum())
}

// sum gives the 128 bits, the high ones first.
func (s ContentSum) sum() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, s.High), s.Low)
}

func (s *ContentSum) setSum(sum []byte) error {
	if len(sum) != 16 {
		return fmt.Errorf("a content sum of %d bytes", len(sum))
	}
	s.High, s.Low = binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])
	return nil
}
