#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# merge.sh [TARGET]... - keeps what fuzzing found: of the inputs below build/corpus/TARGET those that reach code which
# none in tests/fuzz/corpus/TARGET reaches go there, the smaller of two first. To be looked at and committed.
set -eu
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- $(basename -s .c tests/fuzz/*.c)
for t; do
	[ -d "build/corpus/$t" ] || continue
	kept=tests/fuzz/corpus/$t
	mkdir -p "$kept"
	build/tests/fuzz/"$t" -set_cover_merge=1 -use_counters=0 -max_len=4096 "$kept" "build/corpus/$t" \
		>"build/corpus/$t.merge" 2>&1 || { tail "build/corpus/$t.merge"; exit 1; }
	echo "$t: $(find "$kept" -type f | wc -l) inputs, $(du -sb --apparent-size "$kept" | cut -f 1) bytes"
done
