//go:build !failpoint

// Package failpoint gives tests named places where a run can be killed. Without the build tag failpoint, Hit does nothing
// and costs nothing; with it, the environment variable PITR_FAILPOINT names the place where the process kills itself.
package failpoint

// Enabled reports whether the program was built with the tag.
const Enabled = false

// Hit marks a place. Names are verb phrases with dots, such as "restore.before-freeze".
func Hit(string) {}

// During marks the time until the function that it returns is called.
func During(string) func() { return nothing }

func nothing() {}
