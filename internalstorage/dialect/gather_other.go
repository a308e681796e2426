//go:build !linux

package dialect

import "errors"

// setLowWater always fails: elsewhere a change does not wake whoever waits already.
func setLowWater(uintptr, int) error { return errors.ErrUnsupported }
