package rows

import "sync"

// blockSize is what memory is lent in.
const blockSize = 256 << 10

type block struct{ data [blockSize]byte }

// Blocks lends the memory of lists, and takes it back for the next ones. It may be used
// concurrently; its zero value is ready.
type Blocks struct{ free sync.Pool }

// Memory holds what a part of a list is made of, until it is freed. The zero value is
// memory that is never lent to others.
type Memory struct {
	blocks *Blocks
	used   []*block
	// left is what is left of the last block.
	left []byte
}

// Memory returns memory that holds nothing.
func (b *Blocks) Memory() *Memory { return &Memory{blocks: b} }

// copy returns a copy of data, valid until Free; nil for nil.
func (m *Memory) copy(data []byte) []byte {
	if data == nil {
		return nil
	}
	return append(m.take(len(data)), data...)
}

// take returns n bytes of memory, of length 0, valid until Free.
func (m *Memory) take(n int) []byte {
	if n > len(m.left) {
		if m.blocks == nil || n > blockSize/4 {
			return make([]byte, 0, n)
		}
		next, ok := m.blocks.free.Get().(*block)
		if !ok {
			next = new(block)
		}
		m.used, m.left = append(m.used, next), next.data[:]
	}
	got := m.left[:0:n]
	m.left = m.left[n:]
	return got
}

// Free takes back all that the memory holds. It can be used again.
func (m *Memory) Free() {
	for _, b := range m.used {
		m.blocks.free.Put(b)
	}
	clear(m.used)
	m.used, m.left = m.used[:0], nil
}
