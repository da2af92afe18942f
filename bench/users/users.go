// Package users makes accounts for load: it registers them with a server that runs with --dev, keeps them
// in a file, and signs tokens where the server's secret is known.
package users

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/tolkflip/tolkflip/proto/id"
)

// User is one account. The file holds one a line.
type User struct {
	ID      id.User `json:"id"`
	Phone   string  `json:"phone,omitempty"`
	Token   string  `json:"token"`
	Refresh string  `json:"refresh,omitempty"`
}

// Load reads the file; none is no users.
func Load(path string) ([]User, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return parse(f)
}

func parse(r io.Reader) ([]User, error) {
	var all []User
	in := json.NewDecoder(bufio.NewReader(r))
	for {
		var u User
		if err := in.Decode(&u); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read users: line %d is not a user", len(all)+1) // the cause could quote a token
		}
		all = append(all, u)
	}
}

// Save writes the file anew, readable by its owner alone: it holds tokens.
func Save(path string, all []User) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	w := bufio.NewWriter(f)
	out := json.NewEncoder(w)
	for i := range all {
		err = errors.Join(err, out.Encode(&all[i]))
	}
	if err = errors.Join(err, w.Flush(), f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	return nil
}
