package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/tolkflip/tolkflip/store/blob"
	"github.com/tolkflip/tolkflip/store/cassandra"
	"github.com/tolkflip/tolkflip/store/pebble"
	"github.com/tolkflip/tolkflip/store/redis"
)

// split takes scheme:rest apart.
func split(u string) (scheme, rest string) {
	scheme, rest, _ = strings.Cut(u, ":")
	return scheme, rest
}

func checkStore(u string) error {
	scheme, rest := split(u)
	switch scheme {
	case "memory":
		return alone(rest)
	case "pebble":
		return aDirectory(rest)
	case cassandra.Scheme:
		if err := noPassword(u, "TOLKFLIP_STORE_PASSWORD"); err != nil {
			return err
		}
		return second(cassandra.ParseURL(u))
	}
	return otherScheme(u, "pebble:DIR", "memory:", "cassandra://")
}

func checkCache(u string) error {
	scheme, rest := split(u)
	switch scheme {
	case "memory":
		return alone(rest)
	case redis.Standalone.String(), redis.Sentinel.String(), redis.Cluster.String():
		if err := noPassword(u, "TOLKFLIP_CACHE_PASSWORD"); err != nil {
			return err
		}
		return second(redis.ParseURL(u))
	}
	return otherScheme(u, "memory:", "redis://", "redis+sentinel://", "redis+cluster://")
}

func checkBlob(u string) error {
	scheme, rest := split(u)
	switch scheme {
	case "dir":
		return aDirectory(rest)
	case "s3":
		if err := noPassword(u, "TOLKFLIP_BLOB_KEY and TOLKFLIP_BLOB_SECRET"); err != nil {
			return err
		}
		return second(blob.ParseURL(u))
	}
	return otherScheme(u, "dir:DIR", "s3://")
}

func checkPublicURL(files, public string) error {
	scheme, _ := split(files)
	switch {
	case public == "":
		return nil
	case scheme != "s3":
		return errors.New("goes with --blob s3://; other files are read through this server")
	}
	c, err := blob.ParseURL(files)
	if err != nil {
		return nil //nolint:nilerr // --blob says it
	}
	c.PublicURL, c.Key, c.Secret = public, "-", "-" // only for what Validate says of the rest
	return c.Validate()
}

func alone(rest string) error {
	if rest != "" {
		return errors.New("memory: stands alone")
	}
	return nil
}

func aDirectory(rest string) error {
	if rest == "" {
		return errors.New("the name of a directory is wanted, as in pebble:DIR and dir:DIR")
	}
	return nil
}

func otherScheme(u string, known ...string) error {
	scheme, _ := split(u)
	return fmt.Errorf("%q is none of %s", scheme+":", strings.Join(known, ", "))
}

// noPassword refuses user:password@ in a URL. It shows nothing of what it refuses, also where the password
// has an @, / or ? in it.
func noPassword(u, variables string) error {
	_, rest, _ := strings.Cut(u, "://")
	authority := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority = rest[:i]
	}
	user, _, named := strings.Cut(authority, "@")
	secret := named && strings.Contains(user, ":")
	if !named && strings.Contains(rest, "@") { // in an option, or behind a / or ? of a password
		for h := range strings.SplitSeq(authority, ",") {
			_, port, err := net.SplitHostPort(h)
			secret = secret || err == nil && strings.Trim(port, "0123456789") != ""
		}
	}
	if secret {
		return fmt.Errorf("a secret in a URL shows in the process list; it belongs into %s, or into the config file", variables)
	}
	return nil
}

// checkSecrets says which secrets are missing for what c names. complete has checked the addresses.
func (c *Config) checkSecrets(from *settings) error {
	missing := func(flag, why string, names ...string) error {
		for _, name := range names {
			if from.secrets[name] == "" {
				return usageError{fmt.Errorf("%s: %s: %s, or %s in the config file", flag, why, envName(name), name)}
			}
		}
		return nil
	}
	if scheme, _ := split(c.Blob); scheme == "s3" {
		if err := missing("--blob", "an access key and its secret are needed", "blob-key", "blob-secret"); err != nil {
			return err
		}
	}
	if scheme, _ := split(c.Cache); scheme != "memory" {
		if r, err := redis.ParseURL(c.Cache); err == nil && r.User != "" {
			if err := missing("--cache", "the user needs a password", "cache-password"); err != nil {
				return err
			}
		}
	}
	if scheme, _ := split(c.Store); scheme != cassandra.Scheme {
		return nil
	}
	if k, err := cassandra.ParseURL(c.Store); err == nil && k.User != "" {
		if err := missing("--store", "the user needs a password", "store-password"); err != nil {
			return err
		}
	}
	if c.JWTSecretFile == "" && from.secrets["jwt-secret"] == "" {
		return usageError{errors.New("--store: the nodes of a keyspace share the secret that signs tokens, and it must not live in the data directory of one of them: TOLKFLIP_JWT_SECRET, or --jwt-secret-file FILE (after a move with tolkflip migrate the old data directory's jwt-secret)")}
	}
	return nil
}

// storeTrouble says of the main store what failed and what to check.
func storeTrouble(address string, err error) error {
	var held *pebble.ErrInUse
	var owned *cassandra.ErrInUse
	switch {
	case errors.As(err, &held):
		return inUseError{err.Error()}
	case errors.As(err, &owned):
		return inUseError{err.Error() + "; stop that one, or take its threads over with --take-over"}
	}
	return trouble("store", address, err)
}

// trouble names the flag whose dependency failed. The packages' errors say what to check.
func trouble(flag, address string, err error) error {
	return fmt.Errorf("--%s %s: %w", flag, address, err)
}
