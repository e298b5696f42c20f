// Package notify tells programs outside that a run began and how it ended: a monitor of scheduled jobs over HTTP, and the
// service manager of the machine over its socket.
//
// Nothing here may harm the run that it tells of. Every message has a short time limit; an error is for one warning and never
// for the result. An address may hold a secret in its path, so no error and no warning quotes one.
package notify
