package synchro

import (
	"encoding/binary"
	"hash/maphash"
)

// nameTable numbers names. It takes little more memory than their bytes: 4 bytes for
// where each is, 5 to 9 to find it, and 2 or 3 for its length and its namespace; and
// nothing in it is for the garbage collector to follow. A number stays until its name is
// removed, and is given again then.
type nameTable struct {
	seed maphash.Seed
	// index has the number of a name, plus one, at the place that its hash gives or the
	// next that was free. Its length is a power of two.
	index []uint32
	// places are the offsets of the names in text, plus one, by their numbers; 0: the
	// number is unused.
	places []uint32
	unused []uint32
	// text has the number of the namespace, the length of the name, and the name. waste
	// is how much of it belongs to names that were removed.
	text  []byte
	waste int
	// namespaces are numbered, too. uses are how many names are in each; the numbers of
	// those without any are free.
	namespaces map[string]uint32
	byNumber   []string
	uses       []uint32
	free       []uint32
}

const (
	firstIndex = 8
	// wasteIgnored is how much text of removed names is not worth to be removed.
	wasteIgnored = 4 << 10
)

func newNameTable() nameTable {
	return nameTable{seed: maphash.MakeSeed(), index: make([]uint32, firstIndex), namespaces: map[string]uint32{}}
}

// length is how many names there are.
func (t *nameTable) length() int { return len(t.places) - len(t.unused) }

func (t *nameTable) hash(name objectName) uint32 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	// A hash never fails, and no name holds a zero byte.
	h.WriteString(name.namespace)
	h.WriteByte(0)
	h.WriteString(name.name)
	return uint32(h.Sum64()) //nolint:gosec // as much as is needed
}

// hashOf is hash of the name that has a number.
func (t *nameTable) hashOf(n uint32) uint32 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	namespace, name, _ := t.read(n)
	h.WriteString(t.byNumber[namespace])
	h.WriteByte(0)
	h.Write(name)
	return uint32(h.Sum64()) //nolint:gosec // as much as is needed
}

// read returns the name of a number: that of its namespace, its bytes, and how long all
// of it is.
func (t *nameTable) read(n uint32) (namespace uint32, name []byte, size int) {
	record := t.text[t.places[n]-1:]
	number, used := binary.Uvarint(record)
	length, more := binary.Uvarint(record[used:])
	size = used + more + int(length)                             //nolint:gosec // it was written by add
	return uint32(number), record[used+more : size : size], size //nolint:gosec // as above
}

// slot returns where in the index a name is, or would be.
func (t *nameTable) slot(name objectName) (slot uint32, found bool) {
	mask := uint32(len(t.index) - 1) //nolint:gosec // numbers fit
	namespace, knows := t.namespaces[name.namespace]
	for slot = t.hash(name) & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		if ns, text, _ := t.read(t.index[slot] - 1); knows && ns == namespace && string(text) == name.name {
			return slot, true
		}
	}
	return slot, false
}

func (t *nameTable) find(name objectName) (n uint32, ok bool) {
	slot, found := t.slot(name)
	if !found {
		return 0, false
	}
	return t.index[slot] - 1, true
}

// add returns the number of a name, and whether it was not there.
func (t *nameTable) add(name objectName) (n uint32, added bool) {
	slot, found := t.slot(name)
	if found {
		return t.index[slot] - 1, false
	}
	if 8*(t.length()+1) > 7*len(t.index) {
		t.grow()
		slot, _ = t.slot(name)
	}
	namespace := t.use(name.namespace)
	place := uint32(len(t.text)) + 1 //nolint:gosec // 4 GiB are more than 100 million names
	t.text = binary.AppendUvarint(t.text, uint64(namespace))
	t.text = binary.AppendUvarint(t.text, uint64(len(name.name)))
	t.text = append(t.text, name.name...)
	if last := len(t.unused) - 1; last >= 0 {
		n, t.unused = t.unused[last], t.unused[:last]
		t.places[n] = place
	} else {
		n = uint32(len(t.places)) //nolint:gosec // numbers fit
		t.places = append(t.places, place)
	}
	t.index[slot] = n + 1
	return n, true
}

// use returns the number of a namespace for one more name.
func (t *nameTable) use(name string) uint32 {
	namespace, ok := t.namespaces[name]
	if !ok {
		if last := len(t.free) - 1; last >= 0 {
			namespace, t.free = t.free[last], t.free[:last]
			t.byNumber[namespace] = name
		} else {
			namespace = uint32(len(t.byNumber)) //nolint:gosec // numbers fit
			t.byNumber, t.uses = append(t.byNumber, name), append(t.uses, 0)
		}
		t.namespaces[name] = namespace
	}
	t.uses[namespace]++
	return namespace
}

// leave says that a namespace has one name less.
func (t *nameTable) leave(namespace uint32) {
	if t.uses[namespace]--; t.uses[namespace] > 0 {
		return
	}
	delete(t.namespaces, t.byNumber[namespace])
	t.byNumber[namespace] = ""
	t.free = append(t.free, namespace)
}

// grow makes an index of twice the length.
func (t *nameTable) grow() {
	t.index = make([]uint32, 2*len(t.index))
	mask := uint32(len(t.index) - 1) //nolint:gosec // numbers fit
	t.each(func(n uint32) {
		slot := t.hashOf(n) & mask
		for t.index[slot] != 0 {
			slot = (slot + 1) & mask
		}
		t.index[slot] = n + 1
	})
}

// remove removes a name, and returns the number that it had.
func (t *nameTable) remove(name objectName) (n uint32, ok bool) {
	hole, found := t.slot(name)
	if !found {
		return 0, false
	}
	n = t.index[hole] - 1
	namespace, _, size := t.read(n)
	t.waste += size
	t.leave(namespace)
	mask := uint32(len(t.index) - 1) //nolint:gosec // numbers fit
	// What stands behind it, up to the next that is free, may have to be found in its
	// place.
	for slot := (hole + 1) & mask; t.index[slot] != 0; slot = (slot + 1) & mask {
		wanted := t.hashOf(t.index[slot]-1) & mask
		if (slot-wanted)&mask >= (slot-hole)&mask {
			t.index[hole], hole = t.index[slot], slot
		}
	}
	t.index[hole] = 0
	t.places[n] = 0
	t.unused = append(t.unused, n)
	if t.waste > wasteIgnored && t.waste > len(t.text)/2 {
		t.rewrite()
	}
	return n, true
}

// rewrite makes a text without waste.
func (t *nameTable) rewrite() {
	text := make([]byte, 0, len(t.text)-t.waste)
	t.each(func(n uint32) {
		_, _, size := t.read(n)
		from := int(t.places[n]) - 1
		t.places[n] = uint32(len(text)) + 1 //nolint:gosec // as in add
		text = append(text, t.text[from:from+size]...)
	})
	t.text, t.waste = text, 0
}

// each calls f with the numbers of all names.
func (t *nameTable) each(f func(n uint32)) {
	for n, place := range t.places {
		if place != 0 {
			f(uint32(n)) //nolint:gosec // numbers fit
		}
	}
}

// name returns the name that has a number.
func (t *nameTable) name(n uint32) objectName {
	namespace, name, _ := t.read(n)
	return objectName{t.byNumber[namespace], string(name)}
}

// trim gives back the room for more.
func (t *nameTable) trim() {
	t.text, t.places, t.unused = trimmed(t.text), trimmed(t.places), trimmed(t.unused)
}

// trimmed returns a list without much room for more.
func trimmed[T any](list []T) []T {
	if cap(list)-len(list) <= len(list)/16 {
		return list
	}
	return append(make([]T, 0, len(list)), list...)
}
