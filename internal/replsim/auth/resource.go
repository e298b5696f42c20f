package auth

import "strings"

// covers reports whether a privilege on r reaches a wanted resource.
func (r Resource) covers(want Resource) bool {
	switch {
	case r.Any:
		return true
	case r.Cluster || want.Cluster:
		return r.Cluster && want.Cluster
	case r.Buckets:
		return strings.HasPrefix(want.Collection, "system.buckets.")
	case want.Collection == "":
		return r.Collection == "" && (r.DB == "" && !internalSystem(want) || r.DB == want.DB)
	case r.Collection != "":
		return r.Collection == want.Collection && (r.DB == "" || r.DB == want.DB)
	case system(want):
		return false
	}
	return r.DB == "" && !internalSystem(want) || r.DB == want.DB
}

// system reports whether "all collections" leaves a collection out.
func system(want Resource) bool {
	return strings.HasPrefix(want.Collection, "system.") || want.DB == "local" && strings.HasPrefix(want.Collection, "replset.")
}

// internalSystem are the databases that "all databases" leaves out.
func internalSystem(want Resource) bool { return want.DB == "local" || want.DB == "config" }
