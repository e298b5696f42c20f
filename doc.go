// Package pitr is the vocabulary of point-in-time recovery for MongoDB: the words that every other package of this module
// shares, so that the same word means the same thing everywhere. It holds values and small rules over them and does no
// input or output; it imports the standard library and BSON types only.
package pitr
