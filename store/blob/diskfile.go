package blob

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"strings"
	"syscall"

	"github.com/tolkflip/tolkflip/store"
)

// The directory:
//
//	files/<hh>/<key>    a file; hh is a hash of its key, the slashes of the key are commas
//	tmp/<process>/<n>   an unfinished one
//	tmp/<process>.lock  held by that process
//
// A file is its bytes and a trailer, so that it and what is known of it come and go at once, and a program
// that opens it finds the picture at its beginning:
//
//	media type  its length (1)  length of the file without trailer (8)  "TKF1"
const (
	filesDir = "files"
	folders  = 256

	trailerMagic = "TKF1"
	trailerFixed = 1 + 8 + len(trailerMagic)
)

func folder(i int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[i>>4], digits[i&15]})
}

// place is where a key's file is. A key has no comma, so no two share a name.
func place(key string) (dir, name string) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // a hash cannot fail
	return filesDir + "/" + folder(int(h.Sum32()%folders)), strings.ReplaceAll(key, "/", ",")
}

func appendTrailer(b []byte, mediaType string, size int64) []byte {
	b = append(b, mediaType...)
	b = append(b, byte(len(mediaType)))
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	return append(b, trailerMagic...)
}

// errDamaged says that a file lost bytes, or was never one of ours.
var errDamaged = errors.New("blob: the file is damaged")

// inspect reads a file's trailer.
func inspect(f *os.File) (store.Object, error) {
	info, err := f.Stat()
	if err != nil {
		return store.Object{}, err
	}
	if !info.Mode().IsRegular() {
		return store.Object{}, errDamaged
	}
	var buffer [store.MaxBlobType + trailerFixed]byte
	b := buffer[:min(int64(len(buffer)), info.Size())]
	if _, err := f.ReadAt(b, info.Size()-int64(len(b))); err != nil {
		return store.Object{}, err
	}
	mediaType, size, ok := parseTrailer(b)
	if !ok || size != info.Size()-int64(len(mediaType)+trailerFixed) {
		return store.Object{}, errDamaged
	}
	return store.Object{Size: size, Type: mediaType, Modified: info.ModTime().UnixMilli()}, nil
}

// parseTrailer reads the trailer that ends b.
func parseTrailer(b []byte) (mediaType string, size int64, ok bool) {
	at := len(b) - trailerFixed
	if at < 0 || string(b[at+9:]) != trailerMagic {
		return "", 0, false
	}
	n := int(b[at])
	if n > at || n > store.MaxBlobType {
		return "", 0, false
	}
	return string(b[at-n : at]), int64(binary.BigEndian.Uint64(b[at+1:])), true
}

// flush asks the system to write a file's bytes in [from, to) out, and waits for those that lie lagBytes
// behind. It is a matter of pace alone: what it cannot do the sync at the end does.
func flush(f *os.File, from, to int64) {
	const write, wait = 2, 1 | 2 | 4 // SYNC_FILE_RANGE_WRITE; with WAIT_BEFORE and WAIT_AFTER
	fd := int(f.Fd())
	_ = syscall.SyncFileRange(fd, from, to-from, write) // as above
	if behind := from - lagBytes; behind >= 0 {
		_ = syscall.SyncFileRange(fd, behind, to-from, wait) // as above
	}
}
