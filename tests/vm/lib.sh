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

# soon SECONDS COMMAND...: becomes true within that time (looks every tenth of a second)
soon() {
	n=$(($1 * 10))
	shift
	while ! "$@"; do
		n=$((n - 1))
		[ $n -gt 0 ] || fail "did not happen in time: $*"
		sleep 0.1
	done
}

# by_host PVM LAB: the volume that fits this host
by_host() {
	case $HOST in
	pvm) echo "$1" ;;
	*) echo "$2" ;;
	esac
}
