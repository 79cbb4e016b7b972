# SPDX-License-Identifier: Apache-2.0
# t_load.sh - many executions: all output complete, nothing left behind in the box or on the host.
# Driven by tests/vm/host/load.c, which checks every byte.
# tags: all

FDS_PER_GROUP=8

vmm() { conker info --json shared | sed -n 's/.*"vmm_pid": *\([0-9]*\).*/\1/p'; }

vmm_fds() { ls "/proc/$(vmm)/fd" | wc -l; }

# No more than so many: a connection that has just been closed is let go a moment later.
has_descriptors() { [ "$(vmm_fds)" -le "$1" ]; }

# Without the guest's memory: what is large, and where its files are mapped.
vmm_own_kib() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { guest = /vmlinux|initrd/ } /^Size:/ && $2 > 8400 { guest = 1 }
	     /^Rss:/ && !guest { n += $2 } END { print n }' "/proc/$(vmm)/smaps"
}

# figure NAME: a number of conker stats; empty when it is not known
figure() { conker stats --json shared | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"; }

# Every process that the box shows but the one that counts, PID 1 and this very shell.
guest_processes() {
	conker exec shared -- sh -c 'n=0; for p in /proc/[0-9]*; do [ $p = /proc/1 ] || [ $p = /proc/$$ ] || n=$((n+1)); done; echo $n'
}

# load COUNT AT_ONCE: and nothing may be left of it
load() {
	"$BUILD/tests/host/load" shared "$2" "$2" # what is made once and kept
	fds=$(vmm_fds)
	own=$(vmm_own_kib)
	init_fds=$(figure init_fds)
	init_rss=$(figure init_rss_kib)
	"$BUILD/tests/host/load" shared "$1" "$2"
	is "$(guest_processes)" 0 "processes left in the box"
	is "$(conker ps shared | tail -n +2)" "" "executions left"
	soon 20 has_descriptors "$fds"
	grown=$(($(vmm_own_kib) - own))
	[ $grown -le 256 ] || fail "conker-vmm has grown by $grown KiB"
	is "$(figure running)" 0 "running"
	# Groups are kept for the next executions, as many as ever ran at a time.
	grown=$(($(figure init_fds) - init_fds))
	[ $grown -le $(($2 * FDS_PER_GROUP)) ] || fail "init has $grown descriptors more than $init_fds"
	# So are the newest executions and their output, to a bound.
	grown=$(($(figure init_rss_kib) - init_rss))
	[ $grown -le 1024 ] || fail "init has grown by $grown KiB"
}

test_short_commands_in_a_row() { # slow
	load "$(by_host 25 300 1000)" 1
}

test_short_commands_many_at_a_time() { # slow
	load "$(by_host 25 300 1000)" "$(by_host 16 64)"
}

test_a_long_life() { # slow; in full, with those above, ten thousand
	load "$(by_host 100 1500 8000)" 16
}
