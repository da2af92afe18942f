package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
)

// tokenCommand mints a token without a server: whoever can read the secret can do it anyway. For a user whom
// the running server refuses it mints none.
type tokenCommand struct {
	User          string        `required:"" placeholder:"ID" help:"The user's id."`
	TTL           time.Duration `name:"ttl" default:"1h" help:"Life of the token."`
	Data          string        `default:"./tolkflip-data" placeholder:"DIR" help:"Data directory whose jwt-secret signs."`
	JWTSecretFile string        `name:"jwt-secret-file" placeholder:"FILE" help:"File with the secret, instead."`
	Config        string        `placeholder:"FILE" help:"YAML file with the settings of serve."`
}

// Run prints the token.
func (c *tokenCommand) Run(p *program, s *settings) error {
	u, err := id.Parse(c.User)
	if err != nil {
		return usageError{fmt.Errorf("--user: %q is %w", c.User, err)}
	}
	if c.TTL < time.Second {
		return usageError{fmt.Errorf("--ttl: %v is less than a second", c.TTL)}
	}
	signer, err := jwtSigner(c.JWTSecretFile, s.secrets["jwt-secret"], s.from("jwt-secret"), c.Data, false)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := c.refused(p.ctx); err != nil {
		return err
	}
	signed, err := signer.Sign(token.Claims{
		User: id.User{ID: u}, Session: id.NewSession(), Type: token.Access,
		IssuedAt: now.Unix(), Expires: now.Add(c.TTL).Unix(),
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, signed)
	return err
}

// refused asks the server on the data directory whether it would refuse the token. Without one there is
// nobody to ask, and a server that starts later knows whom it refuses.
func (c *tokenCommand) refused(ctx context.Context) error {
	var out blockedReply
	err := askServer(ctx, c.Data, "/blocked", blockedRequest{Who: c.User}, &out)
	switch {
	case errors.Is(err, errNoServer):
		return nil
	case err != nil:
		return err
	case out.Blocked:
		return fmt.Errorf("user %s is blocked: the server refuses its tokens", c.User)
	}
	return nil
}

// userCommands act on a user of the running server.
type userCommands struct {
	Kick    userCommand `cmd:"" help:"End all of a user's sessions and close its sockets."`
	Block   userCommand `cmd:"" help:"Kick a user and refuse it at every door until it is unblocked."`
	Unblock userCommand `cmd:"" help:"Let a blocked user log in again."`
}

type userCommand struct {
	Who  string `arg:"" help:"User id, or phone number with +."`
	Data string `default:"./tolkflip-data" placeholder:"DIR" help:"Data directory of the running server."`
	do   string
}

// AfterApply is kong's hook: it tells each command which of the three it is.
func (u *userCommands) AfterApply() error {
	u.Kick.do, u.Block.do, u.Unblock.do = "kick", "block", "unblock"
	return nil
}

// Run asks the server and prints what it did.
func (c *userCommand) Run(p *program) error {
	var out controlReply
	if err := askServer(p.ctx, c.Data, "/user", userRequest{Do: c.do, Who: c.Who}, &out); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, out.Message)
	return err
}

// backupCommand copies a running server's data.
type backupCommand struct {
	Dir  string `arg:"" help:"Directory to write; it must not exist."`
	Data string `default:"./tolkflip-data" placeholder:"DIR" help:"Data directory of the running server."`
}

// Run asks the server and prints where the copy is.
func (c *backupCommand) Run(p *program) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	var out controlReply
	if err := askServer(p.ctx, c.Data, "/backup", backupRequest{Dir: dir}, &out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, out.Message)
	return err
}
