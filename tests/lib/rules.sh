# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# rules.sh - for the programs of tests/tools, in bash: runs their functions test_*, and says of each what tests/run reads.
#
# Each runs in a shell of its own with -e, in an empty directory $TMP/w. It ends with 77 and says why when it cannot be tried
# here, else with 0 or not. TMP goes with the program, after end_tests, which may be defined behind this.
TMP=$(mktemp -d)
trap 'end_tests; rm -rf "$TMP"' EXIT

end_tests() { :; }

fail() {
	echo "$*"
	exit 1
}

run_tests() { # PROGRAM
	local name status
	for name in $(declare -F | sed -n 's/.* test_//p'); do
		rm -rf "${TMP:?}"/*
		mkdir "$TMP/w"
		( # not in a condition, where -e would not hold
			set -e
			cd "$TMP/w"
			"test_$name"
		) >"$TMP/log" 2>&1
		status=$?
		end_tests
		case $status in
		0) echo "ok $1.$name" ;;
		77) echo "skip $1.$name: $(tail -n 1 "$TMP/log")" ;;
		*)
			echo "not ok $1.$name (status $status)"
			tail -n 40 "$TMP/log" | sed 's/^/    /'
			;;
		esac
	done
}
