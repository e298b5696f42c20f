// Package sheet puts rows and documents into files that other programs read, and reads rows back.
//
//  1. A cell says what it is: a number, a truth value, a time, text, or text that only looks like a number. CellOf makes one
//     of any BSON value. What a spreadsheet would change on its own account (whole numbers beyond 15 digits, decimals, ids,
//     leading zeros) is text.
//  2. CSV follows RFC 4180. Text that a spreadsheet would run as a formula is made inert; real numbers stay numbers. Excel is
//     written row by row with typed cells. NDJSON is canonical Extended JSON, one document a line.
//  3. Export writes the collections of a source into a folder, as one of these or as mongodump does: a file at a time, each
//     under a temporary name until it is whole, none outside the folder. The list of the files, with their digests, comes last.
//  4. Read gives the rows of a CSV or Excel file that came back from people, whatever their program made of it.
//
// It does not know what a row means, and hides nothing by itself: who calls it brings the redaction.
package sheet
