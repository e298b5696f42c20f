package format

// Doors for tests only: what a forger can do, and a compressor that fails.

// ForgeContainer wraps frames and a directory as a writer would, with digests that fit.
func ForgeContainer(stored, directory []byte) []byte {
	object, _ := appendTrailer(stored, directory)
	return object
}

// ForgeJSON gives the body, the beginning of a JSON object up to its last comma and line end, the digest that fits.
func ForgeJSON(body string) []byte {
	return []byte(body + digestHead + Sum([]byte(body)).String() + digestTail)
}

// ForgeKeys gives the header of a key partition the digest that fits.
func ForgeKeys(object []byte, head int) []byte {
	if head < 32 || head > len(object) {
		return object
	}
	digest := Sum(object[:head-32])
	copy(object[head-32:head], digest[:])
	return object
}

// FrameHash is what a directory holds of a frame.
func FrameHash(stored []byte) [16]byte { return frameHash(stored) }

// SetEncoder replaces the compressor of a writer.
func (w *Writer) SetEncoder(encode func(raw, stored []byte) []byte) { w.encode = encode }

// Encoder gives the compressor of a writer.
func (w *Writer) Encoder() func(raw, stored []byte) []byte { return w.encode }
