package format

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Level is how hard the compressor tries.
type Level int

// The levels worth having: the others cost more than the bytes they save.
const (
	// LevelFastest is for everything that a server waits for.
	LevelFastest Level = iota
	// LevelDefault makes 5 to 10 % less, at two thirds of the speed: for merged segments.
	LevelDefault
)

func (l Level) zstd() zstd.EncoderLevel {
	if l == LevelDefault {
		return zstd.SpeedDefault
	}
	return zstd.SpeedFastest
}

// newEncoder makes a compressor whose frames say their size and ask for no window beside their content, so that a reader
// knows what a frame will cost it before it begins.
func newEncoder(level Level) (*zstd.Encoder, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level.zstd()), zstd.WithEncoderConcurrency(1),
		zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	return encoder, nil
}

// overAlloc is the room behind the content that lets the decoder write in whole vectors.
const overAlloc = 16

// decoders keeps decoders, which are costly to make, for the next reader. Each serves one reader at a time.
var decoders = sync.Pool{New: func() any {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxDocument+overAlloc),
		zstd.WithDecoderMaxWindow(MaxDocument), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return err
	}
	return decoder
}}

// decodeFrame decompresses one frame, whose content must have exactly this size, into buffer where that is large enough.
func decodeFrame(stored []byte, raw int, buffer []byte) ([]byte, error) {
	if err := checkFrame(stored, raw); err != nil {
		return nil, err
	}
	if cap(buffer) < raw+overAlloc {
		buffer = make([]byte, raw+overAlloc)
	}
	pooled := decoders.Get()
	defer decoders.Put(pooled)
	decoder, ok := pooled.(*zstd.Decoder)
	if !ok {
		return nil, fmt.Errorf("no decoder: %v", pooled)
	}
	content, err := decoder.DecodeAll(stored, buffer[0:0:raw+overAlloc])
	if err != nil {
		return nil, err
	}
	if len(content) != raw {
		return nil, fmt.Errorf("%d bytes decompressed where the directory says %d", len(content), raw)
	}
	return content, nil
}

// checkFrame walks the headers of the compressed bytes: exactly one data frame, no dictionary, the declared size.
func checkFrame(stored []byte, raw int) error {
	var header zstd.Header
	if err := header.Decode(stored); err != nil {
		return fmt.Errorf("the frame's header: %w", err)
	}
	switch {
	case header.Skippable:
		return fmt.Errorf("a skippable frame where documents should be")
	case header.DictionaryID != 0:
		return fmt.Errorf("a frame that wants dictionary %d", header.DictionaryID)
	case !header.HasFCS || header.FrameContentSize != uint64(raw):
		return fmt.Errorf("a frame of %d bytes where the directory says %d", header.FrameContentSize, raw)
	case !header.SingleSegment:
		return fmt.Errorf("a frame with a window of its own, of %d bytes", header.WindowSize)
	case !header.HasCheckSum:
		return fmt.Errorf("a frame without a checksum")
	}
	return checkBlocks(stored, header.HeaderSize)
}

// The types of zstd blocks that matter for walking them.
const (
	blockRunLength = 1
	blockReserved  = 3
	checksumSize   = 4
)

// checkBlocks follows the block headers to the end of the frame, which must be the end of the bytes.
func checkBlocks(stored []byte, at int) error {
	for last := false; !last; {
		if at+3 > len(stored) {
			return fmt.Errorf("a frame without its last block")
		}
		head := uint32(stored[at]) | uint32(stored[at+1])<<8 | uint32(stored[at+2])<<16
		last = head&1 == 1
		size := int(head >> 3)
		switch head >> 1 & 3 {
		case blockRunLength:
			size = 1
		case blockReserved:
			return fmt.Errorf("a block of a reserved type")
		}
		at += 3 + size
	}
	if at+checksumSize != len(stored) {
		return fmt.Errorf("a frame of %d bytes where the directory says %d", at+checksumSize, len(stored))
	}
	return nil
}
