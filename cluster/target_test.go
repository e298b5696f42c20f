package cluster_test

import (
	"pitr/cluster"
	"pitr/guard"
)

// Jobs write through guard, and guard through this.
var _ guard.Target = (*cluster.Primary)(nil)
