package pebble

import (
	"encoding/binary"

	"github.com/tolkflip/tolkflip/proto/id"
)

// The key layout. A key is one byte that names its table, then fixed-width fields in byte order, so that
// a table is a range and a field's range is a prefix. Big-endian numbers sort as numbers.
//
//	m thread(16) seq(8)                   message
//	i message(16)                         thread and seq of a message id, for ever
//	j committer(1) n(8)                   journal: a group of messages, until they are filed
//	t thread(16)                          row of a direct thread (written with seq 1) or of a group
//	r user(16) newest-first(8) thread(16) a user's direct threads by recency; the value is the peer
//	y committer(1) n(8)                   threads whose place in r may lag their log, see recency.go
//	w thread(16) user(16)                 a member's thread settings
//	c thread(16) user(16)                 a member's cursor
//	u user(16)                            user
//	p phone                               user id of a phone
//	a user(16)                            when the user was last active
//	s user(16) session(16)                session
//	v expires(8) user(16) session(16) at(8) revocation: expired ones are one range at the front
//	g group(16)                           group
//	b group(16) user(16)                  member
//	h user(16) group(16)                  groups of a user
//	d user(16) token                      device
//	k token                               user id of a device's token
//	f media(16)                           record of an uploaded file
//	x                                     version of this layout
const (
	tableMessages    = 'm'
	tableIDs         = 'i'
	tableJournal     = 'j'
	tableThreads     = 't'
	tableRecency     = 'r'
	tableLagging     = 'y'
	tableSettings    = 'w'
	tableCursors     = 'c'
	tableUsers       = 'u'
	tablePhones      = 'p'
	tableActive      = 'a'
	tableSessions    = 's'
	tableRevocations = 'v'
	tableGroups      = 'g'
	tableMembers     = 'b'
	tableGroupsOf    = 'h'
	tableDevices     = 'd'
	tableTokens      = 'k'
	tableMedia       = 'f'
	tableLayout      = 'x'
)

// layoutVersion is the value of the layout key. A store of a higher one is refused.
const layoutVersion = 2

const (
	messageKeyLen = 1 + 16 + 8
	idKeyLen      = 1 + 16
	journalKeyLen = 1 + 1 + 8
	pairKeyLen    = 1 + 16 + 16
	recencyKeyLen = 1 + 16 + 8 + 16
)

// putMessageKey fills k, which is messageKeyLen long.
func putMessageKey(k []byte, t id.Thread, seq uint64) {
	k[0] = tableMessages
	copy(k[1:], t.ID[:])
	binary.BigEndian.PutUint64(k[17:], seq)
}

func messageKey(t id.Thread, seq uint64) []byte {
	k := make([]byte, messageKeyLen)
	putMessageKey(k, t, seq)
	return k
}

// seqOf reads the seq of a message's key.
func seqOf(k []byte) uint64 {
	if len(k) != messageKeyLen {
		return 0
	}
	return binary.BigEndian.Uint64(k[17:])
}

// putIDKey fills k, which is idKeyLen long.
func putIDKey(k []byte, table byte, v id.ID) {
	k[0] = table
	copy(k[1:], v[:])
}

func idKey(table byte, v id.ID) []byte {
	k := make([]byte, idKeyLen)
	putIDKey(k, table, v)
	return k
}

func pairKey(table byte, a, b id.ID) []byte {
	k := make([]byte, pairKeyLen)
	k[0] = table
	copy(k[1:], a[:])
	copy(k[17:], b[:])
	return k
}

// second reads the second id of a pair's key.
func second(k []byte) (v id.ID) {
	if len(k) == pairKeyLen {
		copy(v[:], k[17:])
	}
	return v
}

func textKey(table byte, text string) []byte {
	return append([]byte{table}, text...)
}

// newestFirst maps a time so that later ones sort first; it is its own inverse up to the type.
func newestFirst(ms int64) uint64 { return ^(uint64(ms) ^ 1<<63) }

func timeOf(newest uint64) int64 { return int64(^newest ^ 1<<63) }

// putRecencyKey fills k, which is recencyKeyLen long.
func putRecencyKey(k []byte, u id.User, ms int64, t id.Thread) {
	k[0] = tableRecency
	copy(k[1:], u.ID[:])
	binary.BigEndian.PutUint64(k[17:], newestFirst(ms))
	copy(k[25:], t.ID[:])
}

func recencyKey(u id.User, ms int64, t id.Thread) []byte {
	k := make([]byte, recencyKeyLen)
	putRecencyKey(k, u, ms, t)
	return k
}

// recencyOf reads a recency key's time and thread.
func recencyOf(k []byte) (ms int64, t id.Thread) {
	if len(k) != recencyKeyLen {
		return 0, t
	}
	copy(t.ID[:], k[25:])
	return timeOf(binary.BigEndian.Uint64(k[17:])), t
}

func laggingKey(committer int, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{tableLagging, byte(committer)}, n)
}

func revocationKey(expires int64, u id.User, s id.Session, at int64) []byte {
	k := binary.BigEndian.AppendUint64([]byte{tableRevocations}, uint64(expires)^1<<63)
	k = append(k, u.ID[:]...)
	k = append(k, s.ID[:]...)
	return binary.BigEndian.AppendUint64(k, uint64(at)^1<<63)
}

// prefixEnd gives the first key above all that begin with p.
func prefixEnd(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
