# Redis three times: one server; a primary with a replica and three sentinels; a cluster of three primaries
# with a replica each. Nothing is written to disk, so a restart is a loss of everything.
# REDIS_DOWN_AFTER (5000 ms) is how long a server is silent before another takes over: a busy machine
# must not cause that by itself.

redis_tools() {
  need redis-server redis-server
  need redis-sentinel redis-sentinel
  need redis-cli redis-tools
}

# redis_conf NAME [LINE...] writes a server's configuration, once: sentinels and the cluster rewrite theirs.
redis_conf() {
  local file=$dir/$1/redis.conf
  [ ! -s "$file" ] || return 0
  mkdir -p "$dir/$1"
  {
    printf '%s\n' "port $(port "$1")" "bind 127.0.0.1" "dir $dir/$1"
    shift
    printf '%s\n' "$@"
  } >"$file"
}

server_conf() { redis_conf "$@" 'save ""' "appendonly no" "repl-diskless-sync-delay 0"; }

# ask NAME COMMAND... is redis-cli to one of our servers.
ask() {
  local p
  p=$(port "$1")
  shift
  timeout 5 redis-cli -h 127.0.0.1 -p "$p" "$@" 2>/dev/null | tr -d '\r'
}

start_redis() {
  redis_tools
  server_conf redis
  alive redis || launch redis redis-server "$dir/redis/redis.conf"
}

ready_redis() { wait_for 30 redis answer redis_answers; }
redis_answers() { alive redis && [ "$(ask redis ping)" = PONG ]; }
env_redis() { echo "TOLKFLIP_TEST_REDIS=127.0.0.1:$(port redis)"; }

start_sentinel() {
  redis_tools
  local n
  server_conf sentinel-redis-1
  server_conf sentinel-redis-2 "replicaof 127.0.0.1 $(port sentinel-redis-1)"
  for n in sentinel-redis-1 sentinel-redis-2; do
    alive $n || launch $n redis-server "$dir/$n/redis.conf"
  done
  [ ! -e "$dir/sentinel.made" ] || start_sentinels
}

start_sentinels() {
  local n
  for n in sentinel-1 sentinel-2 sentinel-3; do
    redis_conf $n "sentinel monitor tolkflip 127.0.0.1 $(port sentinel-redis-1) 2" \
      "sentinel down-after-milliseconds tolkflip ${REDIS_DOWN_AFTER:-5000}" "sentinel failover-timeout tolkflip 6000"
    alive $n || launch $n redis-server "$dir/$n/redis.conf" --sentinel
  done
}

# ready_sentinel lets the replica join before the first sentinel looks: one that comes too early sees no
# replica for 10 seconds, and a failover in that time takes half a minute.
ready_sentinel() {
  if [ ! -e "$dir/sentinel.made" ]; then
    wait_redis_pair || return
    start_sentinels
    touch "$dir/sentinel.made"
  fi
  wait_for 90 sentinel "agreement of the sentinels" sentinels_agree
}

wait_redis_pair() {
  local n deadline=$((SECONDS + 30))
  until has_replica sentinel-redis-1; do
    for n in sentinel-redis-1 sentinel-redis-2; do
      alive $n || { why="$n has ended"; return 1; }
    done
    [ $SECONDS -lt $deadline ] || { why="sentinel: the replica did not join in time"; return 1; }
    sleep 0.1
  done
}

has_replica() { ask "$1" info replication | grep -q '^slave0:.*state=online'; }

# sentinels_agree: each sees a living primary, its replica and both others, and they mean the same primary.
sentinels_agree() {
  local n seen primary=
  for n in sentinel-1 sentinel-2 sentinel-3; do
    alive $n || return
    seen=$(ask $n sentinel master tolkflip | paste -d ' ' - -)
    grep -qx 'flags master' <<<"$seen" && grep -qx 'num-slaves 1' <<<"$seen" && grep -qx 'num-other-sentinels 2' <<<"$seen" || return
    seen=$(sed -n 's/^port //p' <<<"$seen")
    [ "${primary:=$seen}" = "$seen" ] || return
    ask $n sentinel replicas tolkflip | paste -d ' ' - - | grep -qx 'flags slave' || return
  done
  for n in sentinel-redis-1 sentinel-redis-2; do
    [ "$(port $n)" != "$primary" ] || has_replica $n || return
  done
}

env_sentinel() { echo "TOLKFLIP_TEST_SENTINEL=tolkflip@127.0.0.1:$(port sentinel-1),127.0.0.1:$(port sentinel-2),127.0.0.1:$(port sentinel-3)"; }

start_cluster() {
  redis_tools
  local n
  [ -e "$dir/cluster.made" ] || wipe cluster # half a cluster cannot be continued
  for n in $(processes cluster); do
    server_conf "$n" "cluster-enabled yes" "cluster-port $(port "$n.bus")" "cluster-node-timeout ${REDIS_DOWN_AFTER:-5000}" \
      "cluster-replica-validity-factor 0" "cluster-allow-replica-migration no"
    alive "$n" || launch "$n" redis-server "$dir/$n/redis.conf"
  done
}

ready_cluster() {
  local n addresses=
  for n in $(processes cluster); do
    addresses+=" 127.0.0.1:$(port "$n")"
    wait_for 30 cluster "answer of $n" node_answers "$n" || return
  done
  if [ ! -e "$dir/cluster.made" ]; then
    redis-cli --cluster create $addresses --cluster-replicas 1 --cluster-yes >"$dir/cluster-1/create.log" 2>&1 9>&- ||
      { why="cluster: it could not be made: $(tail -n 1 "$dir/cluster-1/create.log")"; return 1; }
    touch "$dir/cluster.made"
  fi
  wait_for 90 cluster "cluster_state:ok with a replica a primary" cluster_whole
}

node_answers() { alive "$1" && [ "$(ask "$1" ping)" = PONG ]; }

# cluster_whole: every node calls the cluster whole, and three primaries have a connected replica each.
cluster_whole() {
  local n info pairs=0
  for n in $(processes cluster); do
    info=$(ask "$n" cluster info)
    grep -qx cluster_state:ok <<<"$info" && grep -qx cluster_known_nodes:6 <<<"$info" && grep -qx cluster_slots_ok:16384 <<<"$info" || return
    ! has_replica "$n" || pairs=$((pairs + 1))
  done
  [ $pairs = 3 ]
}

env_cluster() {
  local n list=
  for n in $(processes cluster); do list+=,127.0.0.1:$(port "$n"); done
  echo "TOLKFLIP_TEST_CLUSTER=${list#,}"
}
