# Keeps one throwaway PostgreSQL cluster: $1 the folder of the binaries, $2 the port, $3 the port of the
# primary when it is to be a streaming replica; on stdin first the
# extra configuration up to a line "end", then commands, one a line, each answered by one line.
# The end of stdin is the end of the test process, however it came: the cluster stops and its folder goes.
# Ctrl-C reaches this process too, and must not end it before it has cleaned up.
# Nor must an answer that nobody reads any more.
trap '' INT TERM HUP PIPE
bin=$1
port=$2
cd /
dir=$(mktemp -d "${TMPDIR:-/tmp}/convoke-pg.XXXXXX") || { echo "failed: no temporary folder"; exit 1; }
data=$dir/data
log=$dir/log

finish() {
  "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1
  rm -rf "$dir"
  exit
}
fail() { echo "failed: $1: $(tail -n 20 "$log" | tr '\n' '|')"; }
running() { "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; }
# After a kill the old children hold the shared memory for a moment: ask again for a while.
start() {
  tries=0
  until "$bin/pg_ctl" -D "$data" -l "$log" -w -t 60 start >/dev/null 2>&1 </dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || return 1
    sleep 0.2
  done
}

if [ -n "$3" ]; then
  "$bin/pg_basebackup" -h 127.0.0.1 -p "$3" -U postgres -D "$data" --write-recovery-conf --wal-method=stream \
    --checkpoint=fast --no-sync >"$log" 2>&1 </dev/null || { fail pg_basebackup; finish; }
else
  "$bin/initdb" --auth=trust --no-sync --username=postgres --encoding=UTF8 --locale=C.UTF-8 \
    -D "$data" >"$log" 2>&1 </dev/null || { fail initdb; finish; }
fi
{
  echo "port = $port"
  echo "listen_addresses = '127.0.0.1'"
  echo "unix_socket_directories = ''"
  echo "max_connections = 300"
  echo "shared_buffers = 64MB"
  while read -r line && [ "$line" != end ]; do echo "$line"; done
} >>"$data/postgresql.conf"

while read -r command; do
  case $command in
    start) if start; then echo ok; else fail start; fi ;;
    stop) if "$bin/pg_ctl" -D "$data" -m fast -w stop >/dev/null 2>&1; then echo ok; else fail stop; fi ;;
    kill)
      kill -9 "$(head -n 1 "$data/postmaster.pid")"
      while running; do sleep 0.05; done
      echo ok ;;
    log) echo "ok $log" ;;
    *) echo "failed: unknown command $command" ;;
  esac
done
finish
