package packed

import (
	"encoding/binary"
	"math/bits"
)

// The limits of DEFLATE, and the shortest match that is worth one.
const (
	minMatch   = 4
	maxMatch   = 258
	maxOffset  = 1 << 15
	tableBits  = 13
	hashFactor = 0x9E3779B1
	// keptBuffer bounds what an encoder keeps after a great document.
	keptBuffer = 1 << 20
)

// encoder makes a DEFLATE stream of a short document in a tenth of the time that
// compress/flate takes, which is built for streams: the dictionary is hashed once and not
// for each document, no table is cleared, and codes are the fixed ones.
type encoder struct {
	// buffer is the dictionary, and the document behind it.
	buffer []byte
	// known has for each hash the last place in the dictionary, plus 1; seen has that in the
	// document, plus base, which is above all that was stored for earlier ones.
	known [1 << tableBits]uint16
	seen  [1 << tableBits]uint32
	base  uint32
	// literals and lengths are the codes by byte and by length of a match.
	literals [256]code
	lengths  [maxMatch + 1]code
	out      []byte
	bits     uint64
	n        uint
}

// code is some bits, the first one being the lowest.
type code struct {
	bits uint32
	n    uint8
}

func newEncoder() *encoder {
	e := &encoder{buffer: []byte(dictionary)}
	for i := 0; i+minMatch <= len(dictionary); i++ {
		e.known[hash(e.buffer[i:])] = uint16(i + 1) //nolint:gosec // below the window, by a test
	}
	for i := range e.literals {
		e.literals[i] = fixed(i)
	}
	for length := 3; length <= maxMatch; length++ {
		e.lengths[length] = lengthCode(length)
	}
	return e
}

func hash(text []byte) uint32 {
	return binary.LittleEndian.Uint32(text) * hashFactor >> (32 - tableBits)
}

// fixed returns the fixed code of a symbol (RFC 1951, 3.2.6).
func fixed(symbol int) code {
	var value, n int
	switch {
	case symbol < 144:
		value, n = 0x30+symbol, 8
	case symbol < 256:
		value, n = 0x190+symbol-144, 9
	case symbol < 280:
		value, n = symbol-256, 7
	default:
		value, n = 0xC0+symbol-280, 8
	}
	return code{bits.Reverse32(uint32(value)) >> (32 - n), uint8(n)} //nolint:gosec // at most 9 bits
}

// lengthCode returns the code of a match's length, with its further bits (3.2.5).
func lengthCode(length int) code {
	l := length - 3
	switch {
	case length == maxMatch:
		return fixed(285)
	case l < 8:
		return fixed(257 + l)
	}
	n := bits.Len(uint(l)) - 1
	further := n - 2
	c := fixed(257 + 4*(n-1) + l>>further&3)
	c.bits |= uint32(l&(1<<further-1)) << c.n //nolint:gosec // at most 5 bits
	c.n += uint8(further)                     //nolint:gosec // at most 5
	return c
}

// append appends a whole stream.
func (e *encoder) append(dst, doc []byte) []byte {
	e.buffer = append(e.buffer[:len(dictionary)], doc...)
	if uint64(e.base)+uint64(len(e.buffer)) >= 1<<32 || e.base == 0 {
		clear(e.seen[:])
		e.base = 1
	}
	e.out, e.bits, e.n = dst, 0, 0
	e.write(1|1<<1, 3) // the last block, with fixed codes
	e.matches()
	e.put(fixed(256))
	for e.n > 0 {
		e.out = append(e.out, byte(e.bits)) //nolint:gosec // the rest follows
		e.bits >>= 8
		e.n -= min(e.n, 8)
	}
	dst, e.out = e.out, nil
	e.base += uint32(len(e.buffer)) //nolint:gosec // as checked above
	if cap(e.buffer) > keptBuffer {
		e.buffer = []byte(dictionary)
	}
	return dst
}

// matches writes the document, as bytes and as what was there before.
func (e *encoder) matches() {
	text := e.buffer
	written := len(dictionary)
	for i := written; i+minMatch <= len(text); {
		h := hash(text[i:])
		at, length := e.longest(i, h)
		e.seen[h] = e.base + uint32(i) //nolint:gosec // bounded by append
		if length < minMatch {
			i++
			continue
		}
		for i > written && at > 0 && length < maxMatch && text[i-1] == text[at-1] {
			i, at, length = i-1, at-1, length+1
		}
		e.bytes(text[written:i])
		e.match(length, i-at)
		end := i + length
		for i++; i < end && i+minMatch <= len(text); i++ {
			e.seen[hash(text[i:])] = e.base + uint32(i) //nolint:gosec // bounded by append
		}
		i, written = end, end
	}
	e.bytes(text[written:])
}

// longest returns the better one of two places that may begin as the text at i does, and
// how far.
func (e *encoder) longest(i int, h uint32) (at, length int) {
	if seen := e.seen[h]; seen >= e.base {
		at = int(seen - e.base)
		length = e.common(at, i)
	}
	if known := int(e.known[h]) - 1; known >= 0 {
		if n := e.common(known, i); n > length {
			at, length = known, n
		}
	}
	return at, length
}

// common returns for how long two places have the same; 0 if they are too far from each
// other.
func (e *encoder) common(at, i int) int {
	if i-at > maxOffset {
		return 0
	}
	text := e.buffer
	most := min(maxMatch, len(text)-i)
	n := 0
	for ; n+8 <= most; n += 8 {
		if x := binary.LittleEndian.Uint64(text[at+n:]) ^ binary.LittleEndian.Uint64(text[i+n:]); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
	}
	for n < most && text[at+n] == text[i+n] {
		n++
	}
	return n
}

func (e *encoder) bytes(text []byte) {
	for _, b := range text {
		e.put(e.literals[b])
	}
}

func (e *encoder) match(length, offset int) {
	e.put(e.lengths[length])
	d := offset - 1
	if d < 4 {
		e.write(uint64(bits.Reverse8(uint8(d))>>3), 5) //nolint:gosec // below 4
		return
	}
	n := bits.Len(uint(d)) - 1
	symbol := 2*n + d>>(n-1)&1
	e.write(uint64(bits.Reverse8(uint8(symbol))>>3)|uint64(d&(1<<(n-1)-1))<<5, uint(5+n-1)) //nolint:gosec // below 30
}

func (e *encoder) put(c code) { e.write(uint64(c.bits), uint(c.n)) }

// write writes up to 32 bits.
func (e *encoder) write(value uint64, n uint) {
	e.bits |= value << e.n
	e.n += n
	if e.n >= 32 {
		e.out = binary.LittleEndian.AppendUint32(e.out, uint32(e.bits)) //nolint:gosec // the rest follows
		e.bits >>= 32
		e.n -= 32
	}
}
