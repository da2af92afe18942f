package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

// refused opens what must not open, and checks what the error says.
func refused(t *testing.T, c Config, parts ...string) {
	t.Helper()
	c.Timeout, c.DialTimeout = Default().Timeout, Default().DialTimeout
	s, err := Open(t.Context(), c, slog.New(slog.DiscardHandler), nil)
	if err == nil {
		_ = s.Close()
		t.Fatal("it opened")
	}
	t.Log(err)
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("it does not say %q", p)
		}
	}
	if c.Password != "" && strings.Contains(err.Error(), c.Password) {
		t.Error("it says the password")
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	at := "127.0.0.1:" + strconv.Itoa(freePort(t))
	refused(t, configOf(t, "redis://"+at), at, "connection refused", "nothing listens there")
	refused(t, configOf(t, "redis+cluster://"+at), at, "nothing listens there")
	refused(t, configOf(t, "redis+sentinel://"+at+"/m"), at, "nothing listens there")
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	s := begin(t, "--requirepass", "right-password")
	c := configOf(t, "redis://"+s.addr())
	refused(t, c, "NOAUTH", "the server wants a password")
	c.Password = "wrong-password"
	refused(t, c, s.addr(), "WRONGPASS", "check the password of user default")
	c.User = "nobody"
	refused(t, c, "check the password of user nobody")
	c.User, c.Password = "", "right-password"
	must(t, openStore(t, c).Healthy())
}

func TestDatabases(t *testing.T) {
	t.Parallel()
	s := begin(t, "--databases", "4")
	refused(t, configOf(t, "redis://"+s.addr()+"/4"), "out of range", "check the database number")
	c := configOf(t, "redis://"+s.addr()+"/3")
	a := openStore(t, c)
	must(t, a.Codes().Put(t.Context(), "+1555", "1", time.Hour, 3))
	if n := strings.TrimSpace(s.ask("-n", "3", "dbsize")); n == "0" {
		t.Error("nothing is in database 3")
	}
	if n := strings.TrimSpace(s.ask("-n", "0", "dbsize")); n != "0" {
		t.Errorf("%s keys are in database 0", n)
	}
}

// TestRules runs the contract as a user that may do what Config.rules says and nothing else, and takes each
// of the rules away in turn: none may be left out.
func TestRules(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := configOf(t, "redis://"+s.addr())
	c.User, c.Password = "tolkflip", "secret-of-the-user"
	s.setUser(c, c.rules())
	storeContract := func(t *testing.T) {
		storetest.Caches(t, func(tb testing.TB) storetest.Cache {
			each := configOf(tb, "redis://"+s.addr())
			each.User, each.Password = "u"+each.Node.String(), c.Password
			s.setUser(each, each.rules()+" +role +scan") // which the test itself asks for
			return openCache(tb, each, new(atomic.Int64))
		})
	}
	t.Run("enough", storeContract)
	t.Run("enough in a cluster", func(t *testing.T) {
		t.Parallel()
		list := beginCluster(t)
		c := configOf(t, clusterURL(list))
		c.User, c.Password = "tolkflip", "secret-of-the-user"
		for _, s := range list {
			s.setUser(c, c.rules())
		}
		must(t, openStore(t, c).Healthy())
		for _, s := range list {
			s.setUser(c, strings.ReplaceAll(c.rules(), "+ssubscribe ", ""))
		}
		refused(t, c, "ssubscribe", "check the ACL rules of user tolkflip")
	})
	t.Run("none too many", func(t *testing.T) {
		needless := map[string]bool{
			"+ping": true, "+select": true, "+unsubscribe": true, // of long connections, other databases, and farewells
		}
		rules := strings.Fields(c.rules())
		for i, rule := range rules {
			if needless[rule] {
				continue
			}
			s.setUser(c, strings.Join(append(append([]string{}, rules[:i]...), rules[i+1:]...), " "))
			st, err := Open(t.Context(), c, slog.New(slog.DiscardHandler), nil)
			if err == nil {
				_ = st.Close()
				t.Errorf("it opened without %s", rule)
				continue
			}
			if !strings.Contains(err.Error(), "check the ACL rules of user tolkflip") || !errors.Is(err, store.ErrBusy) {
				t.Errorf("without %s: %v", rule, err)
			}
		}
		s.setUser(c, "~other:* &"+c.Prefix+"* +@all")
		refused(t, c, "keys", "check the ACL rules of user tolkflip", "~"+c.Prefix+"*")
		s.setUser(c, "")
		refused(t, c, "check the ACL rules of user tolkflip")
	})
}

// setUser gives a user exactly these rules.
func (s *server) setUser(c Config, rules string) {
	s.t.Helper()
	s.ask(append([]string{"acl", "setuser", c.User, "reset", "on", ">" + c.Password}, strings.Fields(rules)...)...)
}

// TestLostRights takes the rights away while the store is open: Healthy says what to check, and nil again.
func TestLostRights(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := quick(t, "redis://"+s.addr())
	c.User, c.Password = "tolkflip", "secret-of-the-user"
	s.setUser(c, c.rules())
	a := openStore(t, c)
	s.setUser(c, "+ping")
	waitFor(t, func() bool { return a.Healthy() != nil })
	waitFor(t, func() bool {
		err := a.Healthy()
		return err != nil && strings.Contains(err.Error(), "check the")
	})
	s.setUser(c, c.rules())
	waitFor(t, func() bool { return a.Healthy() == nil })
}

func TestWrongKind(t *testing.T) {
	t.Parallel()
	s := begin(t)
	refused(t, configOf(t, "redis+cluster://"+s.addr()), "cluster", "use redis://")
	replica := begin(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(s.port))
	refused(t, configOf(t, "redis://"+replica.addr()), "is a replica of 127.0.0.1:"+strconv.Itoa(s.port))
	member := begin(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", strconv.Itoa(freePort(t)))
	refused(t, configOf(t, "redis://"+member.addr()), "use redis+cluster://")
	refused(t, configOf(t, "redis+cluster://"+member.addr()), "some slots have no primary", "CLUSTER INFO") // it has no slots
	refused(t, configOf(t, "redis+sentinel://"+s.addr()+"/m"), "no sentinel")
	sentinel := begin(t, "--sentinel", "sentinel monitor mymaster 127.0.0.1 "+strconv.Itoa(s.port)+" 1")
	refused(t, configOf(t, "redis+sentinel://"+sentinel.addr()+"/other"), "named other", "sentinel monitor")
}

// TestSentinelUser has other passwords at the sentinels than at the servers.
func TestSentinelUser(t *testing.T) {
	t.Parallel()
	s := begin(t, "--requirepass", "of-the-server")
	sentinel := begin(t, "--sentinel", "requirepass of-the-sentinel",
		"sentinel monitor mymaster 127.0.0.1 "+strconv.Itoa(s.port)+" 1", "sentinel auth-pass mymaster of-the-server")
	c := configOf(t, "redis+sentinel://"+sentinel.addr()+"/mymaster")
	c.Password, c.SentinelPassword = "of-the-server", "of-the-sentinel"
	must(t, openStore(t, c).Healthy())
	c.SentinelPassword = "wrong"
	refused(t, c, "WRONGPASS")
	c.SentinelPassword, c.Password = "of-the-sentinel", "wrong"
	refused(t, c, "WRONGPASS")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	other := newAuthority(t, dir, "other-ca")
	cert, key := ca.issue(t, dir, "server", "redis.test")
	mine, mineKey := ca.issue(t, dir, "client", "tolkflip")
	port := freePort(t)
	s := begin(t, "--tls-port", strconv.Itoa(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca.file)
	url := "redis://127.0.0.1:" + strconv.Itoa(port)
	query := "?tls=" + ca.file + "&tls-cert=" + mine + "&tls-key=" + mineKey

	must(t, openStore(t, configOf(t, url+query)).Healthy())
	must(t, openStore(t, configOf(t, url+query+"&tls-name=redis.test")).Healthy())
	refused(t, configOf(t, url+query+"&tls-name=other.test"), "tls-name=")
	refused(t, configOf(t, url+"?tls="+other.file+"&tls-cert="+mine+"&tls-key="+mineKey), "not signed by the authority in tls="+other.file)
	refused(t, configOf(t, url+"?tls=system&tls-cert="+mine+"&tls-key="+mineKey), "not signed by the authority")
	refused(t, configOf(t, url), "does it want TLS")
	refused(t, configOf(t, "redis://"+s.addr()+query), "does the server speak TLS on this port")
	refused(t, configOf(t, url+"?tls="+ca.file), "give tls-cert= and tls-key=")
	refused(t, configOf(t, url+"?tls="+filepath.Join(dir, "none.pem")), "none.pem")
	refused(t, configOf(t, url+"?tls="+key), "no certificate in")
	refused(t, configOf(t, url+"?tls="+ca.file+"&tls-cert="+mine+"&tls-key="+key), "tls-key")
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	a := &authority{key: key, file: filepath.Join(dir, name+".pem"), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	must(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) issue(t *testing.T, dir, name, host string) (cert, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	must(t, err)
	secret, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	cert, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	writePEM(t, cert, "CERTIFICATE", der)
	writePEM(t, keyFile, "EC PRIVATE KEY", secret)
	return cert, keyFile
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
