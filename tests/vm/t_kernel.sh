# SPDX-License-Identifier: Apache-2.0
# t_kernel.sh - what our kernel's configuration and patches promise (kernel-config/README.md).

setup_file() {
	conker create --name shared
}

program() { # NAME ARG...
	name=$1
	shift
	conker exec -i shared -- sh -c "cat >/tmp/$name; chmod +x /tmp/$name; exec /tmp/$name $*" <"$BUILD/tests/guest/$name"
}

test_facts_of_configuration_and_patches() {
	exits 0 program kernel_facts
	is "$out" ''
}

# Patches 0016 to 0019, 0024 and 0025.
test_what_init_may_spare() {
	exits 0 program kernel_spare
	is "$out" ''
}

# Patch 0028. That it changes what is drawn shows in copies: t_fork.sh.
test_the_generators_key_can_be_twisted() {
	exits 0 program kernel_random
	is "$out" ''
}

# Patch 0001 is off where SYSCALL works, and gives away nothing where it is on.
test_jump_to_the_syscall_entry() { # kvm
	entry=$(sed -n 's/ T entry_SYSCALL_64$//p' "$BUILD/guest/System.map-up")
	exits 0 program kernel_syscall "$entry"
	case $HOST in
	pvm) is "$out" served ;;
	*) is "$out" segv ;;
	esac
}

# Patch 0015: what was said before the console existed is on it, from the first line on.
test_console_has_the_log_from_its_first_line() {
	conker-vmm --memory-mib 64 --cpus 1 --cmdline "console=hvc0 panic=-1 rodata=off" --kernel-fd 6 --initrd-fd 7 \
		--console-fd 1 6<"$BUILD/guest/vmlinux" 7<"$BUILD/tests/guest/end_poweroff.cpio" 2>"$TMP/err" |
		cat >"$TMP/console"
	has "$(sed -n 1p "$TMP/console")" 'Linux version 6\.12'
}
