package visibility

import (
	"context"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxAtOnce bounds the reviews of one caller that are under way. The client that makes them
// also bounds those of all callers, to 400 at once and 200 a second, and has them wait in one
// queue: more of one caller would keep all others waiting.
const maxAtOnce = 16

// askAhead makes reviews at once that would be made one after the other. It changes nothing
// in what a search may ask: of too many it makes those that may still be made, in their
// order, and leaves it to ask to say so.
func (s *search) askAhead(ctx context.Context, wanted []question) error {
	if len(wanted) < 2 {
		return nil
	}
	caller, err := s.identify(ctx)
	if err != nil {
		return err
	}
	var open []question
	seen := map[question]bool{}
	for _, w := range wanted {
		w = s.question(w)
		_, known := s.asked[w]
		if known || seen[w] || s.tooLong(w) {
			continue
		}
		if len(s.asked)+len(open) >= maxReviews {
			break
		}
		seen[w] = true
		open = append(open, w)
	}
	answers := make([]bool, len(open))
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	for i, w := range open {
		group.Go(func() (err error) {
			// The filter that keeps a panic from ending the process knows nothing of
			// this goroutine.
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
				}
			}()
			answers[i], err = s.review(asking, caller, w)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, w := range open {
		s.asked[w] = answers[i]
	}
	return nil
}

func inClusters(r schema.GroupResource, clusters []string) []question {
	wanted := make([]question, len(clusters))
	for i, cluster := range clusters {
		wanted[i] = question{resource: r, clusterName: cluster}
	}
	return wanted
}

func inNamespaces(r schema.GroupResource, cluster string, namespaces []string) []question {
	wanted := make([]question, len(namespaces))
	for i, namespace := range namespaces {
		wanted[i] = question{resource: r, clusterName: cluster, namespace: namespace}
	}
	return wanted
}
