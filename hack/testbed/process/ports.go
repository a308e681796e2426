package process

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The ports of FreePorts. They end below those that the kernel gives to outgoing
// connections and below Kubernetes' node ports.
const (
	firstPort = 20000
	portCount = 10000
)

// FreePorts returns that many TCP ports of the loopback address that nobody listens
// on. Calls take turns through the range of ports, in all programs of this user:
// servers that start side by side, and have not bound their ports yet, get different
// ones.
func FreePorts(n int) ([]int, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("clusterpedia-testbed-ports-%d", os.Getuid()))
	ports, err := takePorts(path, n)
	if err != nil {
		return nil, fmt.Errorf("find %d free ports: %w", n, err)
	}
	return ports, nil
}

// takePorts takes ports after the last one that is noted in the file, and notes the
// last of them.
func takePorts(path string, n int) (ports []int, err error) {
	file, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }() // which frees the lock, too
	// Nobody holds it for long.
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || last < firstPort || last >= firstPort+portCount {
		last = firstPort + rand.IntN(portCount) // the first call, or nonsense
	}
	for tried := 0; len(ports) < n; tried++ {
		if tried == portCount {
			return nil, fmt.Errorf("only %d of the ports from %d to %d are free", len(ports), firstPort, firstPort+portCount-1)
		}
		last = firstPort + (last-firstPort+1)%portCount
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: last})
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		ports = append(ports, last)
	}
	if err := file.Truncate(0); err != nil {
		return nil, err
	}
	_, err = file.WriteAt([]byte(strconv.Itoa(last)+"\n"), 0)
	return ports, err
}
