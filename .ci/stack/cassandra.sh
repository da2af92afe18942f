# Cassandra: nodes on 127.0.0.1, 127.0.0.2 and so on, which share one native and one storage port, as
# drivers and nodes expect it of each other. CASSANDRA_NODES says how many (3), CASSANDRA_OPTS adds Java
# options; CASSANDRA_OPTS='-Xmx1G -XX:TieredStopAtLevel=4' is what one would measure with. With
# CASSANDRA_FRONT=127.0.1. clients are told of 127.0.1.1 and so on, where a test's proxies listen.

# java_modules prints what Cassandra opens of Java 17's modules, after its own jvm17-server.options.
java_modules() {
  local m
  for m in java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server \
    java.sql/java.sql java.base/java.lang.ref jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach; do
    printf '%s\n' --add-exports "$m=ALL-UNNAMED"
  done
  for m in java.base/{java.lang.module,jdk.internal.loader,jdk.internal.ref,jdk.internal.reflect,jdk.internal.math,jdk.internal.module,jdk.internal.util.jar,sun.nio.ch,java.io,java.lang.reflect,java.lang,java.util} \
    jdk.management/com.sun.management.internal jdk.compiler/com.sun.tools.javac; do
    printf '%s\n' --add-opens "$m=ALL-UNNAMED"
  done
}

start_cassandra() {
  local i native storage
  find_java
  get_cassandra
  i=$(cassandra_nodes)
  echo "$i" >"$dir/cassandra.made"
  native=$(port cassandra.native)
  storage=$(port cassandra.storage)
  for i in $(seq "$(cassandra_nodes)"); do
    alive "cassandra-$i" || start_node "$i" "$native" "$storage"
  done
}

start_node() {
  local i=$1 native=$2 storage=$3 home=$dir/cassandra-$1 nodes seeds
  nodes=$(cassandra_nodes)
  seeds=$(seq -s , -f "127.0.0.%g:$storage" "$nodes")
  mkdir -p "$home"
  rm -f "$home/system.log"
  # Every node is a seed and none bootstraps: that lets all of them start at once. Batch: an
  # acknowledged write is synced first; the default, periodic, loses acknowledged writes at kill -9.
  cat >"$home/cassandra.yaml" <<YAML
cluster_name: tolkflip
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
initial_token: "$((-9223372036854775807 + (i - 1) * (9223372036854775807 / nodes * 2)))"
auto_bootstrap: false
auto_snapshot: false
commitlog_sync: batch
memtable: {configurations: {default: {class_name: TrieMemtable}}}
listen_address: 127.0.0.$i
rpc_address: 127.0.0.$i
${CASSANDRA_FRONT:+broadcast_rpc_address: $CASSANDRA_FRONT$i}
native_transport_port: $native
storage_port: $storage
seed_provider: [{class_name: org.apache.cassandra.locator.SimpleSeedProvider, parameters: [{seeds: "$seeds"}]}]
YAML
  logback "$home/logback.xml" INFO "$home/system.log"
  logback "$dir/nodetool.xml" OFF /dev/null
  # As root it would lock all its memory, mapped files too: without that right it is half as large.
  local lean=()
  if [ "$(id -u)" = 0 ] && setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock true 2>/dev/null; then
    lean=(setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock)
  fi
  # The first compiler alone, one garbage collector thread and no waiting for gossip: a quick start on few cores.
  launch "cassandra-$i" "${lean[@]}" bash -c 'ulimit -l 0; exec "$@"' cassandra \
    "$java" -Xms64M -Xmx384M -Xss256k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError -XX:+PerfDisableSharedMem \
    $(java_modules) -Djdk.attach.allowAttachSelf=true -Djava.net.preferIPv4Stack=true -Dio.netty.tryReflectionSetAccessible=true \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=0 -Dcassandra.shutdown_announce_in_ms=0 \
    -Dcassandra.memtable.row_overhead_size=180 -Dcassandra.jmx.local.port="$(port "cassandra-$i.jmx")" \
    -Dlogback.configurationFile="file:$home/logback.xml" -Dcassandra.config="file://$home/cassandra.yaml" \
    -Dcassandra.storagedir="$home" -Dcassandra-foreground=yes ${CASSANDRA_OPTS:-} \
    -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

logback() {
  cat >"$1" <<XML
<configuration><appender name="F" class="ch.qos.logback.core.FileAppender"><file>$3</file><encoder><pattern>%-5level [%thread] %date{ISO8601} %logger{0} - %msg%n</pattern></encoder></appender><root level="$2"><appender-ref ref="F"/></root></configuration>
XML
}

ready_cassandra() {
  local i
  for i in $(seq "$(cassandra_nodes)"); do
    # Its own log, not its port: a port would answer for whatever else listens there.
    wait_for 180 cassandra "answer of node $i" grep -qs 'Startup complete' "$dir/cassandra-$i/system.log" || return
  done
  wait_for 120 cassandra "agreement that all nodes are up" all_up
}

all_up() {
  [ "$("$java" -XX:TieredStopAtLevel=1 -Xmx128M $(java_modules) -Dlogback.configurationFile="file:$dir/nodetool.xml" -cp "$jars/*" \
    org.apache.cassandra.tools.NodeTool -p "$(port cassandra-1.jmx)" status 2>/dev/null | grep -c '^UN')" = "$(cassandra_nodes)" ]
}

env_cassandra() {
  echo "TOLKFLIP_TEST_CASSANDRA=$(seq -s , -f "127.0.0.%g:$(port cassandra.native)" "$(cassandra_nodes)")"
}
