# SPDX-License-Identifier: Apache-2.0
# t_ports.sh - ports of a box: awaited and forwarded; boxes that end by themselves.

setup_file() {
	new_box shared
	conker cp "$BUILD/tests/guest/echo" shared:/tmp/echo
}

serve() { # PORT: what it gets it returns
	conker exec -d --name "port$1" --await-port "$1" shared -- /tmp/echo "$1" >/dev/null
}

forward() { # ADDRESS:PORT...: in the background; $address is the first one's, $forward the process
	conker forward shared "$@" >"$TMP/forward" &
	forward=$!
	soon 30 grep -q -e '->' "$TMP/forward"
	address=$(sed -n '1s/ -> .*//p' "$TMP/forward")
}

unforward() {
	kill "$forward"
	wait "$forward"
}

test_a_port_is_awaited() {
	conker exec -d --name late shared --sh 'sleep 1; exec /tmp/echo 7001' >/dev/null
	exits 0 conker wait shared --port 7001 --timeout 60
	conker kill shared late
}

test_a_port_that_never_opens_is_a_timeout() {
	exits 124 conker wait shared --port 7099 --timeout 1
}

test_the_end_of_an_execution_ends_the_waiting() {
	conker exec -d --name brief shared -- sleep 1 >/dev/null
	got=0
	conker wait shared --port 7098 brief 2>"$TMP/err" || got=$?
	[ "$got" != 0 ] || fail "the port is not open"
}

test_a_tcp_port_leads_into_the_box() {
	serve 7002
	forward 0:7002
	is "$("$BUILD/tests/host/forward" "$address" 1 10)" "1 of 1 connections, 10 bytes each way"
	unforward
	conker kill shared port7002
}

test_a_unix_socket_leads_into_the_box() {
	serve 7003
	forward "$TMP/sock:7003"
	is "$("$BUILD/tests/host/forward" "$TMP/sock" 1 1000)" "1 of 1 connections, 1000 bytes each way"
	unforward
	[ ! -e "$TMP/sock" ] || fail "the socket is left"
	conker kill shared port7003
}

test_many_connections_at_once_and_each_direction_ends_by_itself() {
	peers=$(by_host 4 20)
	bytes=$(by_host 20000 1048576)
	serve 7004
	forward "$TMP/sock:7004"
	is "$("$BUILD/tests/host/forward" "$TMP/sock" "$peers" "$bytes")" \
		"$peers of $peers connections, $bytes bytes each way"
	soon 30 no_forwards
	unforward
	conker kill shared port7004
}

no_forwards() {
	conker stats shared --json | grep -Eq '"forwards": ?0'
}

test_a_refused_port_closes_the_connection() {
	forward "$TMP/sock:7097"
	is "$("$BUILD/tests/host/forward" "$TMP/sock" 1 10)" "0 of 1 connections, 10 bytes each way"
	unforward
}

test_a_wrong_forward_is_quoted_as_typed_with_its_reason() {
	while IFS='|' read -r spec reason; do
		exits 125 timeout 20 conker forward shared "$spec"
		is "$err" "conker: '$spec'$reason"
	done <<-'EOF'
		nix:80|: 'nix' is not a port (0 to 65535)
		99999:80|: '99999' is not a port (0 to 65535)
		127.0.0.1:99999:80|: '99999' is not a port (0 to 65535)
		80:nix|: 'nix' is not a port of the box (1 to 65535)
		80:99999|: '99999' is not a port of the box (1 to 65535)
		80| is not [HOST:]PORT:GUESTPORT or PATH:GUESTPORT
	EOF
}

test_an_address_in_use_is_refused() {
	forward 0:7096
	fails 125 conker forward shared "$address:7096"
	unforward
}

test_a_forward_ends_with_its_box() {
	new_box brief
	conker forward brief "$TMP/sock:80" >"$TMP/out" 2>"$TMP/err" &
	soon 30 grep -q -e '->' "$TMP/out"
	conker rm -f brief
	got=0
	wait $! || got=$?
	is "$got" 125
	one_line "$(cat "$TMP/err")"
}

gone() { # BOX: it has ended by itself, or the VMM has ended it because it was slow to
	conker info "$1" --json | grep -Eq '"state": ?"(poweroff|stopped)"'
}

test_an_idle_box_ends_by_itself() {
	new_box lazy --idle-timeout 6
	exits 0 conker exec lazy -- true
	soon 60 gone lazy
	has "$(conker info lazy)" 'was idle for 6.0 s'
	conker rm lazy
}

test_a_keep_alive_execution_keeps_the_box() {
	new_box kept --idle-timeout 6
	conker exec -d --keep-alive --name server kept -- sleep 1000 >/dev/null
	sleep 9
	exits 0 conker exec kept -- true
	conker kill kept server
	soon 60 gone kept
	conker rm kept
}

test_a_box_has_a_maximum_life() {
	new_box mayfly --max-life "$(by_host 20 6)"
	conker exec mayfly -- sleep 1000 >/dev/null 2>&1 &
	soon 60 gone mayfly
	wait $! || true
	has "$(conker info mayfly)" 'reached its maximum life'
	conker rm mayfly
}

# More at once than any backlog on the way was long, and than the service has room for.
test_a_burst_of_connections_is_served_whole() {
	serve 7010
	forward "$TMP/sock:7010"
	is "$("$BUILD/tests/host/forward" "$TMP/sock" 60 1000)" "60 of 60 connections, 1000 bytes each way"
	soon 60 no_forwards
	unforward
	conker kill shared port7010
}
