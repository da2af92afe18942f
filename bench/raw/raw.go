// Package raw reads and writes non-blocking sockets without telling the Go scheduler, which saves about
// 100 ns a call. A call that could block must not be made this way: it would keep a processor from other goroutines.
package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2) on a non-blocking descriptor. b is not empty. errno 0 and n 0 is the end of the stream.
func Read(fd int32, b []byte) (n int, errno unix.Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(r), errno
}

// Write is write(2) on a non-blocking descriptor. b is not empty.
func Write(fd int32, b []byte) (n int, errno unix.Errno) {
	r, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(r), errno
}
