# What the servers are made of: Debian's Redis and Java, Cassandra's jars from Maven Central, MinIO by
# the Go proxy. Kept in bin/ by version, so that only the first start downloads.

# need COMMAND PACKAGE... makes sure of a command: as root on Debian by apt, else it says what to install.
need() {
  local command=$1
  shift
  ! command -v "$command" >/dev/null || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$dir/apt.log" 2>&1; then
      tail -n 5 "$dir/apt.log" >&2
      fail "$command is missing, and apt-get install $* did not work"
    fi
    command -v "$command" >/dev/null || fail "apt-get install $* gave no $command"
  else
    fail "$command is missing; install it with: sudo apt-get install $*"
  fi
}

# find_java sets $java to a Java 17, the version that Cassandra 5.0 runs on: Java 25 refuses to start it.
find_java() {
  local candidate
  need java openjdk-17-jre-headless
  for candidate in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java)" /usr/lib/jvm/*17*/bin/java; do
    if [ -x "$candidate" ] && "$candidate" -version 2>&1 | grep -q 'version "17\.'; then
      java=$candidate
      return
    fi
  done
  fail "Cassandra needs Java 17, and $(command -v java) is another; install openjdk-17-jre-headless, or set JAVA_HOME"
}

# get_cassandra fills $jars, a folder with Cassandra and all that it depends on (67 MB).
get_cassandra() {
  jars=$tools/cassandra-$cassandra_version
  [ ! -d "$jars" ] || return 0
  need mvn maven openjdk-17-jre-headless
  say "downloading Cassandra $cassandra_version"
  local part=$jars.part
  rm -rf "$part"
  mkdir -p "$part"
  cat >"$part/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tolkflip</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>$cassandra_version</version></dependency>
  </dependencies>
</project>
POM
  mvn -B -q -f "$part/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$part/lib" >"$part/log" 2>&1 ||
    { tail -n 5 "$part/log" >&2; fail "Maven could not fetch Cassandra; see $part/log"; }
  mv "$part/lib" "$jars"
  rm -rf "$part"
}

# get_minio sets $minio to the server, built from source (150 MB; some minutes the first time).
get_minio() {
  minio=$tools/minio-$minio_version
  [ ! -x "$minio" ] || return 0
  need go golang
  say "building MinIO $minio_version, which takes some minutes"
  local part
  mkdir -p "$tools"
  part=$(mktemp -d "$tools/.minio.XXXXXX")
  (cd "$part" && GOFLAGS='' GOBIN=$part go install "github.com/minio/minio@$minio_version") >"$dir/minio-build.log" 2>&1 ||
    { tail -n 5 "$dir/minio-build.log" >&2; rm -rf "$part"; fail "MinIO could not be built; see $dir/minio-build.log"; }
  mv "$part/minio" "$minio"
  rm -rf "$part"
}
