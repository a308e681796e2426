package fault

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// failures are what becomes of some of the statements that pass a proxy in front of a
// database server.
type failures struct {
	// oneIn is the share of the statements that fail: 10 is one in ten. 0: none.
	oneIn atomic.Int64

	passed atomic.Int64
	// answered failed with an error of the server; cutBefore lost the connection before
	// the statement, cutBehind after it, so that nobody knows what became of it.
	answered, cutBefore, cutBehind atomic.Int64
}

// commitDelay is how long a statement has after which the connection is cut.
const commitDelay = 50 * time.Millisecond

// forward returns what copies statements to a server of that kind.
func (f *failures) forward(e engine) func(client io.Reader, server io.Writer, cut func()) error {
	if e == mariaDB {
		return f.forwardMariaDB
	}
	return f.forwardPostgres
}

// send sends a statement, or what fails in the server in its place: so it fails within its
// transaction just as by a real failure. It says that the connection is cut.
func (f *failures) send(server io.Writer, statement []byte, failing func() []byte, cut func()) (gone bool, err error) {
	if !f.fails(statement) {
		f.passed.Add(1)
		_, err := server.Write(statement)
		return false, err
	}
	switch rand.N(10) {
	case 0:
		f.cutBefore.Add(1)
		cut()
		return true, nil
	case 1:
		f.cutBehind.Add(1)
		_, err := server.Write(statement)
		if err == nil {
			err = sleep(context.Background(), commitDelay)
		}
		cut()
		return true, err
	}
	f.answered.Add(1)
	_, err = server.Write(failing())
	return false, err
}

func (f *failures) fails(statement []byte) bool {
	n := f.oneIn.Load()
	// A driver that cannot roll back closes the connection, which is another fault.
	return n > 0 && rand.N(n) == 0 && !strings.Contains(strings.ToLower(string(statement)), "rollback")
}
