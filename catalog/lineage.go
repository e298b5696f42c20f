package catalog

import (
	"pitr"
	"pitr/format"
)

// Service is a snapshot with the moments that it reaches, the insides of jobs among them.
type Service struct {
	Point
	Stretch
}

// Services gives what each usable snapshot of the history that ends with a branch reaches, in no order.
func (t Timeline) Services(branch format.ID) []Service {
	s := survey{history: t.lineageOf(branch)}
	s.windows = windowsOf(s.history.spans)
	var services []Service
	for _, own := range s.history.parts {
		for _, point := range own.line.Snapshots {
			if point.At > own.through {
				continue
			}
			if stretch, ok := s.serves(point); ok {
				services = append(services, Service{Point: point, Stretch: stretch})
			}
		}
	}
	return services
}

// Lineage gives what each branch adds to the history that ends with one, oldest first. The last part has no end.
func (t Timeline) Lineage(branch format.ID) []BranchWindow {
	var windows []BranchWindow
	for _, own := range t.lineageOf(branch).parts {
		windows = append(windows, BranchWindow{Branch: own.line.Branch, Window: pitr.Window{After: own.after, Through: own.through}})
	}
	return windows
}
