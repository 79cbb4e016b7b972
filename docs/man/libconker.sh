#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libconker.sh EXAMPLES_DIR <libconker.3.in >libconker.3 - puts the example programs into the page, so
# that what the page shows is what the tests compile and run.
set -eu
examples() {
	for f in run stream input many attach fork service files errors; do
		printf '.SS %s\n.nf\n' "$f.c"
		sed -e '/SPDX-License-Identifier:/d' -e 's/\\/\\e/g' -e "s/^[.']/\\\\\&&/" -e 's/-/\\-/g' "$1/$f.c"
		printf '.fi\n'
	done
}
while IFS= read -r line; do
	if [ "$line" = @EXAMPLES@ ]; then examples "$1"; else printf '%s\n' "$line"; fi
done
