package synchro

import (
	"context"
	"math/rand/v2"
	"time"
)

// health is what is known about a member's health.
type health struct {
	// active says that the resources are to be read.
	active bool
	// checks counts the checks; failures those that failed since the last that
	// didn't.
	checks, failures int
	// err is that of the last check.
	err error
	// ready is when the last check began that the member passed.
	ready time.Time
	// version is the member's; versionErr is why it could not be read anew.
	version    string
	versionErr error
}

// watchHealth checks the member's health until ctx ends. One failure changes only
// what is told. After the second in a row reading is stopped, until the member
// answers again. The member's version is read when it has recovered, and from time to
// time, since a member may be upgraded without failing.
func (c *cluster) watchHealth(ctx context.Context) error {
	var versionRead time.Time
	for {
		start := time.Now()
		err := c.health.CheckHealth(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.mu.Lock()
		recovered := c.checked.checks == 0 || c.checked.failures > 0
		c.mu.Unlock()
		readVersion := err == nil && (recovered || time.Since(versionRead) >= c.Tuning.VersionInterval)
		version, versionErr := "", error(nil)
		if readVersion {
			version, versionErr = c.version(ctx)
			versionRead = time.Now()
		}
		c.mu.Lock()
		before := c.checked
		h := &c.checked
		h.checks++
		h.err = err
		if err != nil {
			h.failures++
			h.active = h.active && h.failures < 2
		} else {
			h.failures, h.active, h.ready = 0, true, start
		}
		if readVersion {
			h.versionErr = versionErr
			if version != "" {
				h.version = version
			}
		}
		now := *h
		c.mu.Unlock()
		if err != nil {
			c.log.Info("The member is not healthy", "err", err, "failures", now.failures)
		}
		if now.active != before.active {
			wake(c.kick)
		}
		// Only the numbers may differ without anybody being told.
		if now.active != before.active || message(now.err) != message(before.err) || now.version != before.version ||
			message(now.versionErr) != message(before.versionErr) || before.checks == 0 {
			c.stateChanged()
		}
		if err := sleep(ctx, c.Tuning.HealthInterval+rand.N(c.Tuning.HealthInterval/2)); err != nil {
			return err
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
