package cassandra

import (
	"strings"
	"sync"
	"testing"

	"github.com/gocql/gocql"
)

// tablesOf lists a keyspace's tables with their ids.
func tablesOf(t *testing.T, cfg Config) map[string]string {
	t.Helper()
	a, err := openAdmin(t.Context(), &cfg, silent())
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	all := map[string]string{}
	it := a.session.Query("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?", cfg.Keyspace).Iter()
	var name string
	var u gocql.UUID
	for it.Scan(&name, &u) {
		all[name] = u.String()
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMigrate migrates a new keyspace from many programs at once, and again.
func TestMigrate(t *testing.T) {
	t.Parallel()
	s := shared{servers(t), keyspace(t)}
	cfg := s.config()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if err := Migrate(t.Context(), cfg, silent()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	first := tablesOf(t, cfg)
	if len(first) != len(tables())+1 {
		t.Fatalf("%d tables, want %d", len(first), len(tables())+1)
	}
	if err := Migrate(t.Context(), cfg, silent()); err != nil {
		t.Fatal(err)
	}
	for name, u := range tablesOf(t, cfg) {
		if first[name] != u {
			t.Errorf("table %s was made again", name)
		}
	}
	cfg.Migrate, cfg.MakeKeyspace = false, false
	open(t, cfg)
}

// TestMigrateVersions has a schema that is older and one that is newer than this program.
func TestMigrateVersions(t *testing.T) {
	t.Parallel()
	s := share(t)
	cfg := s.config()
	a, err := openAdmin(t.Context(), &cfg, silent())
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	exec := func(cql string) {
		t.Helper()
		if err := a.session.Query(cql).Exec(); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v does not say %q", err, want)
		}
	}
	exec("DELETE FROM " + s.keyspace + ".schema_versions WHERE part = 'tolkflip' AND version = 1")
	cfg.Migrate = false
	_, err = Open(t.Context(), cfg, silent(), nil)
	refused(err, "version 0, version 1 is needed: run tolkflip migrate")
	cfg.Migrate = true
	b, err := Open(t.Context(), cfg, silent(), nil) // over tables that are there
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	exec("INSERT INTO " + s.keyspace + ".schema_versions (part, version, name) VALUES ('tolkflip', 99, 'of the future')")
	_, err = Open(t.Context(), cfg, silent(), nil)
	refused(err, "version 99, made by a later version")
	refused(Migrate(t.Context(), cfg, silent()), "version 99, made by a later version")
}
