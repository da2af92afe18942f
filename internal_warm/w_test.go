package w
import (
 _ "github.com/panjf2000/gnet/v2"
 _ "github.com/gobwas/ws"
 _ "github.com/fasthttp/router"
 _ "github.com/golang-jwt/jwt/v5"
 _ "github.com/bytedance/sonic"
 _ "github.com/cockroachdb/pebble/v2"
 _ "github.com/cockroachdb/pebble/v2/vfs"
 _ "github.com/alecthomas/kong"
 _ "github.com/nyaruka/phonenumbers"
 _ "github.com/prometheus/client_golang/prometheus/promhttp"
 _ "github.com/google/uuid"
 _ "github.com/HdrHistogram/hdrhistogram-go"
 _ "go.uber.org/goleak"
 _ "github.com/gorilla/websocket"
 _ "gopkg.in/yaml.v3"
 "testing"
)
func TestW(t *testing.T) {}
