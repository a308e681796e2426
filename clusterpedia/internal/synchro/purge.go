package synchro

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"clusterpedia.io/api/cluster/v1alpha2"
	"clusterpedia.io/clusterpedia/internal/synchro/negotiation"
	"clusterpedia.io/storage-api/storage"
)

// purgeTimeout bounds one attempt to remove what is stored. The next one goes on where it
// ended.
const purgeTimeout = 5 * time.Minute

// removal is a resource whose stored objects are being removed.
type removal struct {
	// spec is what it was synced as, nil if that isn't known.
	spec *negotiation.Resource
	// status is what is told about it after a failure.
	status resourceStatus
}

// scheduleRemoval has the stored objects of a resource removed. Nothing may write to
// it any more; it can be synced again when removing is false.
func (c *cluster) scheduleRemoval(resource storage.Resource, spec *negotiation.Resource) {
	c.mu.Lock()
	c.removals[resource] = &removal{spec: spec}
	c.mu.Unlock()
	wake(c.clean)
}

func (c *cluster) removing(resource storage.Resource) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removals[resource] != nil
}

func (c *cluster) nextRemoval() (storage.Resource, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for resource := range c.removals {
		return resource, true
	}
	return storage.Resource{}, false
}

// remove removes what is scheduled, until ctx ends or another manager takes over.
func (c *cluster) remove(ctx context.Context) error {
	for {
		resource, ok := c.nextRemoval()
		if !ok {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-c.clean:
			}
			continue
		}
		if err := c.removeResource(ctx, resource); err != nil {
			return err
		}
		c.mu.Lock()
		delete(c.removals, resource)
		c.mu.Unlock()
		c.unpruned(resource)
		// It may have been selected again.
		wake(c.kick)
		c.stateChanged()
	}
}

func (c *cluster) removeResource(ctx context.Context, resource storage.Resource) error {
	if err := c.writer.Drop(ctx, resource); err != nil {
		return err
	}
	return retryPurge(ctx, c.Tuning.PurgeBackoff,
		func() error {
			ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
			defer cancel()
			return c.Storage.Purge(ctx, c.as, &resource)
		},
		func(err error) {
			c.log.Info("Cannot remove what is stored of a resource, try again", "resource", resource.String(), "err", err)
			c.mu.Lock()
			c.removals[resource].status.set(v1alpha2.ResourceSyncStatusStop, reasonCleanFailed, err.Error())
			c.mu.Unlock()
			c.stateChanged()
		})
}

// retryPurge calls purge until it succeeds, ctx ends or another manager has taken
// over.
func retryPurge(ctx context.Context, backoff wait.Backoff, purge func() error, failed func(error)) error {
	for {
		err := purge()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, storage.ErrFenced):
			return err
		}
		failed(err)
		if err := sleep(ctx, backoff.Step()); err != nil {
			return err
		}
	}
}
