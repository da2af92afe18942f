# What up and down share: the folder of a stack, its processes, its ports, and waiting for them.
#
# A stack is one folder (default: .stack):
#   pids     a line a process: name, process id, start time in ticks (so that a reused id is never killed)
#   ports    a line a port: name, port. Kept over restarts, so that clients find a repaired server again
#   env      TOLKFLIP_TEST_*, for tests
#   NAME/    configuration, data and log of each process
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$root/bin
parts_all="cassandra redis sentinel cluster minio"

cassandra_version=5.0.9
minio_version=v0.0.0-20260212201848-7aac2a2c5b7c # its releases are no Go module versions; this is a commit

say() { echo "stack: $*" >&2; }
fail() { say "$*"; exit 1; }

# options reads [-d DIR] [PART...] into $dir and $parts, and takes the folder's lock: one at a time.
options() {
  dir=$root/.stack
  if [ "${1:-}" = -d ]; then dir=${2:?-d needs a folder}; shift 2; fi
  parts=${*:-$parts_all}
  for part in $parts; do
    case " $parts_all " in *" $part "*) ;; *) fail "there is no part $part; they are $parts_all" ;; esac
  done
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  touch "$dir/pids" "$dir/ports"
  exec 9>"$dir/lock"
  flock -w 900 9 || fail "another make stack or stack-down holds $dir for 15 minutes"
}

# cassandra_nodes is how many there are, or how many there will be.
cassandra_nodes() { cat "$dir/cassandra.made" 2>/dev/null || echo "${CASSANDRA_NODES:-3}"; }

# processes lists the names of a part's processes.
processes() {
  case $1 in
    cassandra) seq -f 'cassandra-%g' "$(cassandra_nodes)" ;;
    redis) echo redis ;;
    sentinel) echo sentinel-redis-1 sentinel-redis-2 sentinel-1 sentinel-2 sentinel-3 ;;
    cluster) seq -f 'cluster-%g' 6 ;;
    minio) echo minio ;;
  esac
}

# born prints when a process started, or nothing when it is gone, a zombie or somebody else's.
born() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  set -- ${stat##*) } # the command's name may hold spaces; after it: state and, 19 further on, the start
  [ "$1" = Z ] || [ "$1" = X ] || echo "${20}"
}

# pid prints the id of one of our processes if it runs.
pid() {
  local name id start
  while read -r name id start; do
    if [ "$name" = "$1" ]; then [ "$(born "$id")" = "$start" ] && echo "$id"; return; fi
  done <"$dir/pids"
}

alive() { [ -n "$(pid "$1")" ]; }

forget() {
  sed -i "/^$1 /d" "$dir/pids"
}

# launch NAME COMMAND... starts a process that outlives us, with its output in NAME/log.
launch() {
  local name=$1 id
  shift
  mkdir -p "$dir/$name"
  forget "$name"
  setsid "$@" </dev/null >"$dir/$name/log" 2>&1 9>&- &
  id=$!
  echo "$name $id $(born $id)" >>"$dir/pids"
}

# stop NAME... ends processes by their ids: asked first, killed after 20 seconds.
stop() {
  local name id deadline=$((SECONDS + 20))
  for name; do
    id=$(pid "$name") || true
    [ -z "$id" ] || kill -CONT "$id" # a stopped one could not hear us
    [ -z "$id" ] || kill "$id"
  done
  for name; do
    while alive "$name"; do
      if [ $SECONDS -ge $deadline ]; then kill -9 "$(pid "$name")" 2>/dev/null || true; fi
      sleep 0.1
    done
    forget "$name"
  done
}

# port NAME [COUNT] prints the first of COUNT neighbours that nothing uses, the same one each time. It
# looks below the range that the kernel hands out, so that no client's socket takes one in between.
port() {
  local name found
  while read -r name found; do
    if [ "$name" = "$1" ]; then echo "$found"; return; fi
  done <"$dir/ports"
  while found=$((15000 + RANDOM % 15000)); in_use $found || grep -q " $found\$" "$dir/ports"; do :; done
  echo "$1 $found" >>"$dir/ports"
  echo "$found"
}

in_use() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ":$(printf %04X "$1") "; }

# wait_for SECONDS PART WHAT CHECK... polls until CHECK holds. It fails when a process of the part has
# ended or the time is over, and says so with the end of the log.
wait_for() {
  local deadline=$((SECONDS + $1)) part=$2 what=$3 name
  shift 3
  until "$@"; do
    for name in $(processes "$part"); do
      if ! alive "$name"; then
        why="$name has ended"
        return 1
      fi
    done
    if [ $SECONDS -ge $deadline ]; then
      why="$part: no $what in time"
      return 1
    fi
    sleep 0.2
  done
}

# logs prints the end of what a part's processes said.
logs() {
  local name file
  for name in $(processes "$1"); do
    for file in "$dir/$name/log" "$dir/$name/system.log"; do
      [ ! -s "$file" ] || { echo "--- $file"; tail -n "${2:-15}" "$file"; }
    done
  done
}

# wipe ends a part and removes its data and its ports.
wipe() {
  local name
  stop $(processes "$1")
  for name in $(processes "$1"); do
    rm -rf "${dir:?}/$name"
    sed -i "/^$name[-. ]/d" "$dir/ports"
  done
  rm -f "$dir/$1.made"
  sed -i "/^$1[. ]/d" "$dir/ports"
}
