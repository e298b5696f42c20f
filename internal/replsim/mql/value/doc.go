// Package value knows single BSON values as the server does: order across types, equality, arithmetic, paths, the text of error
// messages, and the errors themselves with their codes.
//
// It reads raw bytes and decodes nothing it is not asked for. It does not know queries or updates.
package value
