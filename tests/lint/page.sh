#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# page.sh - the benchmark's page: indented by tabs, at most 130 characters a line, no blanks at its end, and where there is a
# node, a script that it takes. Prints each offence; fails if there is one.
set -u
cd "$(dirname "$0")/../.." || exit 1
page=tools/bench/report.html
{
	grep -nE '^ +[^ *]|[[:blank:]]+$|^.{131,}' "$page"
	! command -v node >/dev/null || sed -n '/^<script>$/,/^<\/script>$/{//!p}' "$page" | node --check - 2>&1
} | tee /dev/stderr | { ! grep -q .; }
