#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm.sh [FILE[:TEST,TEST...]]... - VM tests whose host side (VMM, client, library) runs under ThreadSanitizer.
#
# Without arguments: those that let threads meet, in about a minute of a pvm host. As run.sh, and one verdict more:
# what the sanitizer had to say, in whichever process. A VMM is started with an empty environment and ends with
# SIGKILL at times, so neither variables nor exit status are to be relied upon: a script stands for it, and
# every report goes to a file while it is made. Without the jail, where the sanitizer could not look up names.
set -eu
cd "$(dirname "$0")/../.."
real=$(cd "${BUILD:-build}" && pwd)
farm=$real/tsan-vm
rm -rf "$farm"
mkdir -p "$farm/tests" "$farm/log"
for f in guest images examples; do ln -s "../$f" "$farm/$f"; done
ln -s ../../tests/guest "$farm/tests/guest"
ln -s ../../obj/tsan/host "$farm/tests/host"
ln -s ../obj/tsan/conker "$farm/conker"
cat >"$farm/conker-vmm" <<END
#!/bin/sh
export TSAN_OPTIONS='exitcode=66'
exec "$real/obj/tsan/conker-vmm" "\$@" --jail off 2>>"$farm/log/vmm"
END
chmod +x "$farm/conker-vmm"
export CONKER_VMM="$farm/conker-vmm" CONKER_GUEST="$real/guest"
export TSAN_OPTIONS="exitcode=66 log_path=$farm/log/client"

# Two vCPUs and the loop; the disk's worker; many streams, writers and waiters on one box; a box that is killed.
[ $# -gt 0 ] || set -- \
	t_box.sh:two_vcpus_run_in_parallel \
	t_disk.sh:write_read_flush_zero_discard \
	t_api.sh:several_readers_get_every_byte,every_write_completes_in_order,several_threads_wait_while_another_kills
for t; do
	shift
	set -- "$@" "tests/vm/$t"
done
BUILD=$farm HOST=${HOST:-pvm} tests/vm/run.sh "$@"
if grep -sq 'ThreadSanitizer' "$farm"/log/*; then
	echo "not ok tsan_vm (see $farm/log)"
	grep -h -A 40 'WARNING: ThreadSanitizer' "$farm"/log/* | head -n 60 | sed 's/^/    /'
else
	echo "ok tsan_vm.no_race_in_any_process"
fi
