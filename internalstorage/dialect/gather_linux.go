package dialect

import "syscall"

// setLowWater sets how many bytes must have come for a socket to be readable.
func setLowWater(fd uintptr, least int) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, least)
}
