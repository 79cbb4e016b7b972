#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# seccomp.sh SOURCE... - the seccomp filters of a program, as a C header on standard output.
#
# The rules stand in comments beside the code that needs them:
#
#	#syscalls KIND[,KIND]: NAME... [NAME:VALUE...] [NAME?...]
#
# KIND is a kind of thread: loop, vcpu, disk of conker-vmm, reader of conker-image; or sanitizer: added to
# the others in builds with a sanitizer. NAME:VALUE allows the call only with VALUE as its second argument (an ioctl's request). A
# question mark says that some hosts never use the rule, so that the test which finds unused rules
# does not ask for it. mmap and mprotect are allowed without PROT_EXEC only.
#
#	seccomp.sh --list SOURCE...	prints "KIND NAME[:VALUE][?]" lines instead, for that test
set -eu

list() {
	grep -ho '#syscalls [a-z,]*:.*' "$@" | sed 's,\*/.*,,' | awk '{
		sub(/:$/, "", $2)
		n = split($2, kind, ",")
		for (k = 1; k <= n; k++)
			for (i = 3; i <= NF; i++) {
				rule = kind[k] " " $i
				if (sub(/\?$/, "", rule))
					maybe[rule]
				else
					sure[rule]
			}
	}
	END {
		for (r in sure)
			print r
		for (r in maybe)
			if (!(r in sure))
				print r "?"
	}' | LC_ALL=C sort
}

if [ "$1" = --list ]; then
	shift
	list "$@"
	exit
fi

list "$@" | awk '
function rule(kind, name, value) {
	sub(/\?$/, "", name)
	if (split(name, part, ":") == 2) {
		name = part[1]
		value = part[2]
		if (!((kind, name) in values))
			order[kind] = order[kind] " " name
		values[kind, name] = values[kind, name] " " value
	} else if (name == "mmap" || name == "mprotect") {
		guarded[kind] = guarded[kind] " " name
	} else {
		plain[kind] = plain[kind] " " name
	}
}
{
	if (!($1 in seen))
		kinds[++n] = $1
	seen[$1]
	rule($1, $2)
}
END {
	print "/* Made by vmm/seccomp.sh from the #syscalls comments. */"
	for (k = 1; k <= n; k++) {
		kind = kinds[k]
		print "#define SECCOMP_RULES_" toupper(kind) " \\"
		# First what is looked at each time: the kernel remembers calls that are always allowed.
		m = split(order[kind], names, " ")
		for (i = 1; i <= m; i++) {
			v = split(values[kind, names[i]], list, " ")
			printf "\tSECCOMP_IF(SYS_%s, %d), SECCOMP_SECOND, \\\n", names[i], 2 * v + 2
			for (j = 1; j <= v; j++)
				printf "\tSECCOMP_ALLOW(%s), \\\n", list[j]
			print "\tSECCOMP_DENY, \\"
		}
		m = split(guarded[kind], names, " ")
		for (i = 1; i <= m; i++)
			printf "\tSECCOMP_NO_EXEC(SYS_%s), \\\n", names[i]
		m = split(plain[kind], names, " ")
		for (i = 1; i <= m; i++)
			printf "\tSECCOMP_ALLOW(SYS_%s), \\\n", names[i]
		print ""
	}
}'
