# SPDX-License-Identifier: Apache-2.0
# lib.sh - what VM tests say often. Sourced by run.sh; set -e is on.

fail() {
	echo "FAIL: $*"
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# is ACTUAL EXPECTED [WHAT]
is() {
	[ "$1" = "$2" ] || fail "${3:-value}: got '$1', expected '$2'"
}

# has TEXT PATTERN: a grep -E match anywhere
has() {
	printf '%s\n' "$1" | grep -Eq -e "$2" || fail "'$1' does not match '$2'"
}

# exits STATUS COMMAND...: output in $out, error output in $err
exits() {
	want=$1
	shift
	got=0
	"$@" >"$TMP/out" 2>"$TMP/err" || got=$?
	out=$(cat "$TMP/out")
	err=$(cat "$TMP/err")
	[ "$got" = "$want" ] || fail "'$*': status $got, expected $want; stdout '$out', stderr '$err'"
}

# one_line TEXT: an error message is exactly one line that begins with "conker: "
one_line() {
	[ "$(printf '%s\n' "$1" | wc -l)" = 1 ] || fail "not one line: '$1'"
	has "$1" '^conker: '
}

# fails STATUS COMMAND...: as exits, and says why in one line
fails() {
	exits "$@"
	one_line "$err"
}

# ends STATUS PID [WHAT]: a process that was started with &
ends() {
	status=0
	wait "$2" || status=$?
	is $status "$1" "${3:-status of process $2}"
}

# soon SECONDS COMMAND...: becomes true within that time on a host with nothing else to do, and else
# within five times that. Looks every tenth of a second, later every half: looking costs a busy
# guest its time.
soon() {
	n=$(($1 * 50)) looks=0 # n: tenths of a second
	shift
	while ! "$@"; do
		[ $n -gt 0 ] || fail "did not happen in time: $*"
		looks=$((looks + 1))
		step=$((looks > 10 ? 5 : 1))
		n=$((n - step))
		sleep 0.$step
	done
}

# by_host PVM LAB [FULL]: the volume that fits this host; FULL is the lab's where there is time (the
# stage load-long)
by_host() {
	[ -z "${FULL:-}" ] || [ $# -lt 3 ] || [ "$HOST" = pvm ] || set -- "$1" "$3"
	case $HOST in
	pvm) echo "$1" ;;
	*) echo "$2" ;;
	esac
}

# Where a boot costs seconds, a box of a test whose subject is not booting goes on from a template:
# with $WARM, an option or nothing, or by new_box. In the lab it boots in half a second, and the
# emulator fails a clone now and then.
WARM=$(by_host --warm '')

# new_box NAME [OPTION]...
new_box() {
	# shellcheck disable=SC2086 # an option or nothing
	conker create $WARM --name "$@"
}

# The box that a file's tests share, if they name it. A file that wants another kind of box, or does
# more, has its own.
setup_file() {
	new_box shared
}

teardown_file() {
	conker rm -f shared
}
