// Package format is every byte that pitr writes: names of objects, the container of documents, the key index, and the
// JSON objects that people can read. docs/format.md of the project is its specification.
//
// Writing a container:
//
//  1. documents are appended as they came from the server and cut into frames of about 1 MiB, one collection per frame;
//  2. each frame is compressed, decompressed again and compared before the next one begins;
//  3. Finish adds the directory (offsets, sizes, digests, facts, the object's own name) in a skippable frame.
//
// Reading turns that around and trusts nothing: the trailer gives the directory's digest, the directory each frame's
// place, size and digest, and no byte is decompressed before its digest fits and its declared size is within the limits.
// An object says its own name, so that objects that changed places are found out.
//
// The package does no input or output, and it does not decide what is written or in which order: that is the duty of
// the packages above it. It is the only user of the compressor.
package format
