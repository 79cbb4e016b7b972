#!/bin/sh
# run.sh - runs the VM tests: every function test_* of every t_*.sh here, against real guests.
#
# Plain POSIX sh, because the same files run on the host (dash) and in the lab (busybox ash).
#   run.sh [FILE[:TEST]]...     prints "ok NAME", "not ok NAME" with its output, or "skip NAME: REASON"
# Environment: BUILD (the build directory), HOST (pvm, hw or lab), TEST_TIMEOUT_S.
#
# A test runs in a process and a runtime directory of its own, with set -e: any command that fails
# fails it. Exit status 77 skips, with the reason as last line. After each test nothing may be left:
# no box directory, no conker process. A file may define setup_file() to make a box that its tests
# share (in $XDG_RUNTIME_DIR, one for the whole file) and teardown_file().
# A process namespace of its own, where that can be had: what is left behind is then ours beyond doubt.
if [ -z "${CONKER_TEST_NS:-}" ]; then
	CONKER_TEST_NS=no
	unshare -p -f --mount-proc true 2>/dev/null && CONKER_TEST_NS=yes
	export CONKER_TEST_NS
	[ $CONKER_TEST_NS = no ] || exec unshare -p -f --mount-proc sh "$0" "$@"
fi

here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$(cd "$here/../.." && pwd)/build}
PATH=$BUILD:$PATH
CMDLINE=$(cat "$BUILD/tests/guest/cmdline")
export BUILD PATH HOST CMDLINE
scratch=$(mktemp -d "${TMPDIR:-/tmp}/conker-test.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP

one() { # FILE FUNCTION: in this process
	set -e
	. "$here/lib.sh"
	. "$1"
	"$2"
}

if [ "$1" = --one ]; then
	trap - EXIT
	rm -rf "$scratch"
	one "$2" "$3"
	exit 0
fi

leftovers() { # prints what should not be there
	[ -d "$XDG_RUNTIME_DIR/conker/boxes" ] && ls "$XDG_RUNTIME_DIR/conker/boxes" | grep -v '^shared$'
	[ -n "$shared" ] || pgrep -l -x conker-vmm
	pgrep -l -x conker
}

verdict() { # NAME STATUS LOG
	case $2 in
	0) echo "ok $1" ;;
	77) echo "skip $1: $(tail -n 1 "$3")" ;;
	*)
		echo "not ok $1 (status $2)"
		tail -n 40 "$3" | sed 's/^/    /'
		;;
	esac
}

run_function() { # FILE FUNCTION
	log=$scratch/log
	TMP=$scratch/tmp
	export TMP
	rm -rf "$TMP"
	mkdir -p "$TMP"
	timeout -k 5 "${TEST_TIMEOUT_S:-180}" sh "$here/run.sh" --one "$1" "$2" >"$log" 2>&1 </dev/null
	status=$?
	left=$(leftovers)
	if [ -n "$left" ] && [ "$status" = 0 ]; then
		echo "left behind: $left" >>"$log"
		status=1
	fi
	[ -z "$left" ] || [ -n "$shared" ] || pkill -KILL -x conker-vmm
	verdict "$(basename "$1" .sh).${2#test_}" "$status" "$log"
}

run_file() { # FILE [FUNCTION]
	XDG_RUNTIME_DIR=$scratch/run
	export XDG_RUNTIME_DIR
	rm -rf "$XDG_RUNTIME_DIR"
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	shared=
	if grep -q '^setup_file()' "$1"; then
		shared=yes
		if ! sh "$here/run.sh" --one "$1" setup_file >"$scratch/log" 2>&1; then
			verdict "$(basename "$1" .sh).setup_file" 1 "$scratch/log"
			return
		fi
	fi
	for f in ${2:-$(sed -n 's/^\(test_[a-z0-9_]*\)().*/\1/p' "$1")}; do
		run_function "$1" "$f"
	done
	if [ -n "$shared" ]; then
		shared=
		run_function "$1" teardown_file | grep -v '^ok'
	fi
}

[ $# -gt 0 ] || set -- "$here"/t_*.sh
for arg; do
	case $arg in
	*:*) run_file "${arg%%:*}" "test_${arg#*:}" ;;
	*) run_file "$arg" ;;
	esac
done
exit 0 # the verdicts are in the output
