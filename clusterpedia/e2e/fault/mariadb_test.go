package fault

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// retryableNumbers are errors of MariaDB that pass: a lock's timeout, deadlock, changed since
// it was read, too many connections, shutdown, read only, connection killed, disk full.
func retryableNumbers() []int { return []int{1205, 1213, 1020, 1040, 1053, 1290, 1927, 1021} }

// The commands of MySQL's protocol that are not answered, and that for a statement as text.
const (
	commandQuit, commandQuery, commandLongData, commandClose = 0x01, 0x03, 0x18, 0x19
)

// forwardMariaDB copies what a client of MariaDB sends, packet by packet. Its driver sends
// the next command when the last one is answered.
func (f *failures) forwardMariaDB(client io.Reader, server io.Writer, cut func()) error {
	for {
		var head [4]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return err
		}
		number := head[3]
		length := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		packet := make([]byte, len(head)+length)
		copy(packet, head[:])
		if _, err := io.ReadFull(client, packet[4:]); err != nil {
			return err
		}
		// What does not begin a command belongs to the login.
		if number == 0 && length > 0 && packet[4] != commandQuit && packet[4] != commandLongData && packet[4] != commandClose {
			if gone, err := f.send(server, packet, signal, cut); gone || err != nil {
				return err
			}
			continue
		}
		if _, err := server.Write(packet); err != nil {
			return err
		}
	}
}

// signal is a command that fails.
func signal() []byte {
	numbers := retryableNumbers()
	text := fmt.Sprintf("SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = %d, MESSAGE_TEXT = 'this is a fault'", numbers[rand.N(len(numbers))])
	packet := binary.LittleEndian.AppendUint32(nil, uint32(len(text)+1)) //nolint:gosec // it is short
	return append(append(packet, commandQuery), text...)
}
