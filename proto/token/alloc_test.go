//go:build !race

package token

import "testing"

// Verify is on the path of every connection. What is left is the phone number, which the caller keeps.
func TestVerifyAllocations(t *testing.T) {
	s := signer(t)
	tok, err := s.Sign(claims(t, Access))
	if err != nil {
		t.Fatal(err)
	}
	b := []byte(tok)
	if n := testing.AllocsPerRun(200, func() { _, _ = s.Verify(b, Access, now()) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
	bad := []byte(tok[:len(tok)-1] + "A")
	if n := testing.AllocsPerRun(200, func() { _, _ = s.Verify(bad, Access, now()) }); n != 0 {
		t.Errorf("%v allocations for a bad one", n)
	}
}
