package format

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sort"

	"pitr"
)

// KeyEntry says where a document of a collection lies.
type KeyEntry struct {
	// Key and Document are KeyHash and DocumentHash.
	Key, Document uint64
	// Chunk and Frame are the numbers of the chunk within the snapshot and of the frame within the chunk.
	Chunk, Frame int
}

// The sizes of a key partition.
const (
	keyEntrySize = 20
	// keyBlock is how many entries a block has: what a look-up reads, and proves, at once.
	keyBlock = 819
	// MaxKeyEntries is the most that a partition can hold and stay under 16 MiB.
	MaxKeyEntries = 837_000
	// keyEntriesPlanned leaves room for the unevenness of hashes, some forty standard deviations.
	keyEntriesPlanned = 800_000
	maxKeyBits        = 13
	maxChunks         = 1_000_000

	keysMagic     = "PITRKEY1"
	keysFixed     = 8 + 4 + 4 + 8 + keysNameSize + 32
	keysNameSize  = 64
	keysBlockSize = 8 + 16
)

// KeysPay reports whether a key index is worth its size: at most a quarter of the collection's stored data.
func KeysPay(documents, stored int64) bool { return documents*keyEntrySize <= stored/4 }

// KeyBits gives how many of the top bits of the key hash choose the partition, for so many documents. It fails with kind
// limit beyond six thousand million documents.
func KeyBits(documents int64) (int, error) {
	bits := 0
	for documents>>bits > keyEntriesPlanned {
		bits++
	}
	if bits > maxKeyBits {
		return 0, pitr.Errorf(pitr.KindLimit, "plan a key index", "", "%d documents in one collection", documents)
	}
	return bits, nil
}

// KeyPartition gives the partition that a key hash belongs to.
func KeyPartition(key uint64, bits int) int { return int(key >> (64 - bits)) }

// SealKeys makes the partition of a key index that the name says, out of 2^bits. The entries may come in any order and
// are sorted in place; all of them must belong to the partition.
func SealKeys(name Name, bits int, entries []KeyEntry) (Sealed, error) {
	op := "make " + name.text
	if name.kind != KindKeys || bits < 0 || bits > maxKeyBits {
		return Sealed{}, pitr.Errorf(pitr.KindUnexpected, op, "", "not a partition of 2^%d", bits)
	}
	if len(entries) > MaxKeyEntries {
		return Sealed{}, pitr.Errorf(pitr.KindLimit, op, "", "%d entries in one partition", len(entries))
	}
	slices.SortFunc(entries, KeyEntry.compare)
	body := make([]byte, 0, len(entries)*keyEntrySize)
	for _, e := range entries {
		if KeyPartition(e.Key, bits) != name.Partition() || e.Chunk < 0 || e.Chunk >= maxChunks || e.Frame < 0 || e.Frame >= MaxFrames {
			return Sealed{}, pitr.Errorf(pitr.KindUnexpected, op, "", "an entry that does not belong there")
		}
		body = binary.LittleEndian.AppendUint64(body, e.Key)
		body = binary.LittleEndian.AppendUint64(body, e.Document)
		body = binary.LittleEndian.AppendUint32(body, uint32(e.Chunk<<12|e.Frame))
	}
	head := appendKeysHead(name, bits, entries, body)
	sealed := Sealed{Name: name, Data: append(head, body...), Documents: int64(len(entries)), Raw: int64(len(body))}
	sealed.Digest, sealed.Directory = Sum(sealed.Data), Digest(head[len(head)-32:])
	return sealed, nil
}

func (e KeyEntry) compare(other KeyEntry) int {
	return cmp.Or(cmp.Compare(e.Key, other.Key), cmp.Compare(e.Chunk, other.Chunk),
		cmp.Compare(e.Frame, other.Frame), cmp.Compare(e.Document, other.Document))
}

// appendKeysHead makes the header: fixed fields, the first key and the digest of each block, its own digest.
func appendKeysHead(name Name, bits int, entries []KeyEntry, body []byte) []byte {
	size := keysHeadSize(len(entries))
	head := make([]byte, 0, size+len(body))
	head = append(head, keysMagic...)
	head = binary.LittleEndian.AppendUint32(head, uint32(size))
	head = binary.LittleEndian.AppendUint32(head, uint32(bits))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(entries)))
	head = append(head, name.text...)
	head = append(head, make([]byte, keysNameSize-len(name.text))...)
	whole := Sum(body)
	head = append(head, whole[:]...)
	for i := 0; i < len(entries); i += keyBlock {
		block := body[i*keyEntrySize : min(len(entries), i+keyBlock)*keyEntrySize]
		hash := frameHash(block)
		head = binary.LittleEndian.AppendUint64(head, entries[i].Key)
		head = append(head, hash[:]...)
	}
	digest := Sum(head)
	return append(head, digest[:]...)
}

func keysHeadSize(entries int) int {
	return keysFixed + (entries+keyBlock-1)/keyBlock*keysBlockSize + 32
}

// Keys is an opened partition of a key index. Nothing of it is believed before its digest fits, so a look-up that finds
// nothing proves that nothing is there.
type Keys struct {
	name    Name
	bits    int
	entries int
	head    int
	body    Digest
	blocks  []keysBlock
	read    ReadRange
}

type keysBlock struct {
	first uint64
	hash  [16]byte
}

// OpenKeys opens a partition by ranges; expect.Size must be known. It reads the header, which stays in memory: at most
// 25 KB for 837,000 entries.
func OpenKeys(ctx context.Context, read ReadRange, expect Expect) (*Keys, error) {
	op := "open " + expect.Name.text
	if expect.Name.kind != KindKeys {
		return nil, pitr.Errorf(pitr.KindUnexpected, op, "", "%q is not the name of a key partition", expect.Name.text)
	}
	if expect.Size < keysFixed+32 || expect.Size > MaxChunk {
		return nil, pitr.Corruptf(op, "a key partition of %d bytes", expect.Size)
	}
	head, err := readExactly(ctx, read, 0, min(expect.Size, int64(keysHeadSize(MaxKeyEntries))))
	if err != nil {
		return nil, err
	}
	k, err := readKeysHead(head, expect)
	if err != nil {
		return nil, pitr.Corruptf(op, "%w", err)
	}
	k.read = read
	return k, nil
}

// OpenKeysData opens a partition that is in memory, and checks all of it.
func OpenKeysData(data []byte, expect Expect) (*Keys, error) {
	op := "open " + expect.Name.text
	if !expect.Digest.IsZero() && Sum(data) != expect.Digest {
		return nil, pitr.Corruptf(op, "the object is not what was written")
	}
	if expect.Size != 0 && expect.Size != int64(len(data)) {
		return nil, pitr.Corruptf(op, "%d bytes where %d were written", len(data), expect.Size)
	}
	expect.Size = int64(len(data))
	k, err := OpenKeys(context.Background(), func(_ context.Context, offset, n int64) ([]byte, error) {
		return data[offset : offset+n], nil
	}, expect)
	if err != nil {
		return nil, err
	}
	if Sum(data[k.head:]) != k.body {
		return nil, pitr.Corruptf(op, "the entries are not what was written")
	}
	return k, nil
}

func readKeysHead(head []byte, expect Expect) (*Keys, error) {
	size := int64(binary.LittleEndian.Uint32(head[8:]))
	bits := binary.LittleEndian.Uint32(head[12:])
	entries := binary.LittleEndian.Uint64(head[16:])
	if string(head[:8]) != keysMagic || entries > MaxKeyEntries || bits > maxKeyBits {
		return nil, fmt.Errorf("the object does not begin as a key partition does")
	}
	k := &Keys{name: expect.Name, bits: int(bits), entries: int(entries), head: keysHeadSize(int(entries))}
	if size != int64(k.head) || expect.Size != int64(k.head+k.entries*keyEntrySize) {
		return nil, fmt.Errorf("%d bytes do not hold %d entries", expect.Size, entries)
	}
	head = head[:k.head]
	digest := Digest(head[len(head)-32:])
	if Sum(head[:len(head)-32]) != digest || (!expect.Directory.IsZero() && digest != expect.Directory) {
		return nil, fmt.Errorf("the header is not what was written")
	}
	said := head[24 : 24+keysNameSize]
	if string(said) != k.name.text+string(make([]byte, keysNameSize-len(k.name.text))) {
		return nil, fmt.Errorf("the object says that it is %.64q", said)
	}
	k.body = Digest(head[24+keysNameSize:])
	for rest := head[keysFixed : len(head)-32]; len(rest) > 0; rest = rest[keysBlockSize:] {
		k.blocks = append(k.blocks, keysBlock{first: binary.LittleEndian.Uint64(rest), hash: [16]byte(rest[8:keysBlockSize])})
	}
	return k, nil
}

// Len gives the number of entries.
func (k *Keys) Len() int { return k.entries }

// Bits gives the exponent of the number of partitions.
func (k *Keys) Bits() int { return k.bits }

// Body gives the digest of all entries: two partitions of the same number that have the same one have the same entries.
func (k *Keys) Body() Digest { return k.body }

// Lookup gives the entries with this key hash: usually none or one, more where hashes coincide or where a scan met a
// document twice. It reads one block of 16 KB, or two where the entries lie across their border.
func (k *Keys) Lookup(ctx context.Context, key uint64) ([]KeyEntry, error) {
	return k.LookupAll(ctx, []uint64{key})
}

// LookupAll gives the entries with one of the key hashes, in their order. Where the hashes rise, each block is read, and
// proven, once.
func (k *Keys) LookupAll(ctx context.Context, keys []uint64) ([]KeyEntry, error) {
	var found []KeyEntry
	var block []byte
	inHand := -1
	for _, key := range keys {
		if KeyPartition(key, k.bits) != k.name.Partition() {
			return nil, pitr.Errorf(pitr.KindUnexpected, "look up a key", "", "%016x does not belong to %s", key, k.name.text)
		}
		// The last block that begins before the key can end with it.
		at := max(0, sort.Search(len(k.blocks), func(i int) bool { return k.blocks[i].first >= key })-1)
		for ; at < len(k.blocks) && k.blocks[at].first <= key; at++ {
			if at != inHand {
				var err error
				if block, err = k.block(ctx, at); err != nil {
					return nil, err
				}
				inHand = at
			}
			count := len(block) / keyEntrySize
			i := sort.Search(count, func(i int) bool { return keyAt(block, i) >= key })
			for ; i < count && keyAt(block, i) == key; i++ {
				found = append(found, entryAt(block, i))
			}
		}
	}
	return found, nil
}

// Entries gives all entries in the order of their key hashes.
func (k *Keys) Entries(ctx context.Context) iter.Seq2[KeyEntry, error] {
	return func(yield func(KeyEntry, error) bool) {
		for at := range k.blocks {
			block, err := k.block(ctx, at)
			if err != nil {
				yield(KeyEntry{}, err)
				return
			}
			for i := range len(block) / keyEntrySize {
				if !yield(entryAt(block, i), nil) {
					return
				}
			}
		}
	}
}

func (k *Keys) block(ctx context.Context, at int) ([]byte, error) {
	count := min(keyBlock, k.entries-at*keyBlock)
	block, err := readExactly(ctx, k.read, int64(k.head+at*keyBlock*keyEntrySize), int64(count*keyEntrySize))
	if err != nil {
		return nil, err
	}
	if frameHash(block) != k.blocks[at].hash {
		return nil, pitr.Corruptf("read "+k.name.text, "block %d is not what was written", at)
	}
	return block, nil
}

func keyAt(block []byte, i int) uint64 { return binary.LittleEndian.Uint64(block[i*keyEntrySize:]) }

func entryAt(block []byte, i int) KeyEntry {
	entry := block[i*keyEntrySize:]
	place := int(binary.LittleEndian.Uint32(entry[16:]))
	return KeyEntry{
		Key: keyAt(block, i), Document: binary.LittleEndian.Uint64(entry[8:]),
		Chunk: place >> 12, Frame: place & (MaxFrames - 1),
	}
}
