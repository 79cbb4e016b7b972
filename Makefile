# SPDX-License-Identifier: Apache-2.0
# conker - one Makefile, no recursion. `make help` lists the targets.
#
# Outputs lie in build/: conker, conker-vmm, conker-image, libconker.{a,so}, guest/{vmlinux,init,base.erofs}.
# Variants (release, asan, tsan) have an object tree of their own each: build/obj/<variant>.

MAKEFLAGS += --no-builtin-rules -j$(shell nproc)
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

B       := build
# ccache, where there is one, makes a clone's first build a matter of seconds.
CCACHE  := $(if $(shell command -v ccache),ccache )
CC      := $(CCACHE)gcc
PREFIX  ?= /usr/local
# One short line a step; V=1 shows the commands, TIMES="$(date +%s)" the seconds since then.
Q       := $(if $(V),,@)
comma   := ,
say      = @printf '$(if $(TIMES),%4d,%.0d)  %-6s %s\n' $(if $(TIMES),$$(($$(date +%s) - $(TIMES))),0) $(1) '$(patsubst $(B)/%,%,$(2))'
DESTDIR ?=

# --- packages -----------------------------------------------------------------------------------
# What a fresh Debian 12 needs, by purpose. `make setup` installs what is missing and says which.
PKGS_BUILD  := gcc make libc6-dev protobuf-c-compiler libprotobuf-c-dev libfdt-dev \
               musl-tools busybox-static erofs-utils cpio pkg-config zlib1g-dev libzstd-dev libjansson-dev
PKGS_KERNEL := linux-source-6.12 flex bison bc libelf-dev libssl-dev xz-utils patch kmod
PKGS_IMAGE  := mmdebstrap
PKGS_TEST   := libcriterion-dev qemu-system-x86 clang libclang-rt-dev python3 procps bsdutils strace \
               skopeo docker-registry apache2-utils openssl
PKGS_LINT   := clang-format clang-tidy cppcheck

# --- flags --------------------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
        -Wconversion -Wframe-larger-than=16384
# No path of this machine in an object: the same tree gives the same programs wherever it lies.
BASE := -std=gnu17 -D_GNU_SOURCE -I. -I$(B)/gen $(WARN) -g -ffile-prefix-map=$(CURDIR)=.
HARD := -fstack-protector-strong -D_FORTIFY_SOURCE=3 -fPIE -fno-plt
LDHARD := -pie -Wl,-z,relro,-z,now

CFLAGS_release  := -O2 $(HARD)
LDFLAGS_release := $(LDHARD)
CFLAGS_asan     := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS_asan    := -fsanitize=address,undefined
CFLAGS_tsan     := -O1 -fno-omit-frame-pointer -fsanitize=thread
LDFLAGS_tsan    := -fsanitize=thread
# The programs that are shipped: static, position-independent, with musl. glibc's start-up costs a process 0.3 ms on
# a virtual host (the dynamic linker, and CPUID, which traps) and four times its memory. The library is for glibc.
MUSL            := /usr/lib/$(shell uname -m)-linux-musl
CC_musl         := $(CCACHE)musl-gcc
CFLAGS_musl     := -O2 -Wno-conversion -fstack-protector-strong -fPIE -fno-plt -ffunction-sections -fdata-sections \
                   -idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu
LDFLAGS_musl    := -static-pie -nostdlib -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,noexecstack
crt              = $(shell $(CC) -print-file-name=$(1))
# (=: the compiler is asked when they are used, which is when the packages are there.)
FIRST_musl       = $(MUSL)/rcrt1.o $(MUSL)/crti.o $(call crt,crtbeginS.o)
LAST_musl        = $(MUSL)/libc.a $(call crt,libgcc.a) $(call crt,crtendS.o) $(MUSL)/crtn.o
VMM_LIBS_musl    = $(call crt,libfdt.a) $(call crt,libprotobuf-c.a) $(LAST_musl)
CLI_LIBS_musl    = $(call crt,libprotobuf-c.a) $(LAST_musl)
CFLAGS_fuzz     := -O1 -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LDFLAGS_fuzz    := -fsanitize=fuzzer,address,undefined
CC_fuzz         := $(CCACHE)clang
CFLAGS_pic      := -O2 -fPIC -fvisibility=hidden -fstack-protector-strong -D_FORTIFY_SOURCE=3
LDFLAGS_pic     :=

# --- sources: every .c below a part's folder belongs to it ---------------------------------------
UTIL_SRC  := $(wildcard util/*.c)
PROTO_SRC := $(wildcard proto/*.c)
VMM_SRC   := $(wildcard vmm/*.c vmm/*/*.c vmm/*/*/*.c)
LIB_SRC   := $(wildcard lib/*/*.c)
# The command with its benchmark; these are programs of their own.
BENCH_MAIN := $(addprefix tools/bench/,exec.c stream.c instructions.c count.c)
BENCH_SRC := $(filter-out $(BENCH_MAIN),$(wildcard tools/bench/*.c))
CLI_SRC   := $(wildcard tools/cli/*.c) $(BENCH_SRC)
INIT_SRC  := $(wildcard guest-init/*.c guest-init/*/*.c)
IMAGE_SRC := $(wildcard image/*.c)
PB_SRC    := $(B)/gen/exec.pb-c.c
STATE_SRC := $(B)/gen/state.pb-c.c
FAKE_SRC  := $(wildcard tests/fake/*.c)
IMAGE_TEST_SRC := $(wildcard tests/lib/image_*.c)
LIBFAKE_SRC := $(wildcard tests/lib/fake*.c guest-init/files/*.c)
HOST_SRC  := $(UTIL_SRC) $(PROTO_SRC) $(PB_SRC)
# What conker-vmm is made of.
VMM_ALL   := $(VMM_SRC) $(STATE_SRC) $(filter-out util/tar% util/tree% util/pump% util/erofs%,$(UTIL_SRC))

IMAGE_LIBS := -lz -lzstd -ljansson

obj = $(patsubst %.c,$(B)/obj/$(1)/%.o,$(patsubst $(B)/gen/%,gen/%,$(2)))

# --- set-up -------------------------------------------------------------------------------------------
# One stamp per purpose, renewed when its list of packages changes.
$(B)/setup/%.stamp: Makefile tools/setup.sh
	@mkdir -p $(@D)
	@tools/setup.sh $(PKGS_$(shell echo $* | tr a-z A-Z))
	@touch $@

all: $(B)/conker $(B)/conker-vmm $(B)/conker-image $(B)/libconker.a $(B)/libconker.so $(B)/man/libconker.3 guest ## build everything

guest: $(B)/guest/vmlinux $(B)/guest/vmlinux-smp $(B)/guest/init $(B)/guest/initrd.cpio $(B)/guest/base.erofs ## kernel, init and base image

# Where an installed library finds the VMM and the guest.
$(B)/obj/%/lib/host/place.o $(B)/obj/%/tools/bench/machine.o: BASE += -DCONKER_LIBDIR='"$(PREFIX)/lib/conker"'

# --- compiling ------------------------------------------------------------------------------------
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: proto/%.proto | $(B)/setup/build.stamp
	@mkdir -p $(@D)
	$(call say,PROTO,$<)
	$(Q)protoc-c --c_out=$(B)/gen -Iproto $<

# The seccomp filters, from the #syscalls comments of what conker-vmm is made of.
RULES_SRC := $(VMM_SRC) $(wildcard vmm/*.h) util/loop.c
$(B)/gen/seccomp_rules.h: vmm/seccomp.sh $(RULES_SRC)
	@mkdir -p $(@D)
	$(call say,RULES,$@)
	$(Q)vmm/seccomp.sh $(RULES_SRC) >$@

$(B)/gen/image_rules.h: vmm/seccomp.sh $(IMAGE_SRC) $(wildcard image/*.h)
	@mkdir -p $(@D)
	$(call say,RULES,$@)
	$(Q)vmm/seccomp.sh $(IMAGE_SRC) $(wildcard image/*.h) >$@

define variant
$(B)/obj/$(1)/gen/%.o: $(B)/gen/%.c
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(or $$(CC_$(1)),$$(CC)) $$(BASE) $$(CFLAGS_$(1)) -Wno-conversion -MMD -MP -c -o $$@ $$<
$(B)/obj/$(1)/%.o: %.c | $(B)/gen/exec.pb-c.h $(B)/gen/state.pb-c.h
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$$(Q)$$(or $$(CC_$(1)),$$(CC)) $$(BASE) $$(CFLAGS_$(1)) -MMD -MP -c -o $$@ $$<
$(B)/obj/$(1)/vmm/seccomp.o: | $(B)/gen/seccomp_rules.h
$(B)/obj/$(1)/tools/bench/report.o: tools/bench/report.html
$(B)/obj/$(1)/tools/bench/compare.o: tools/bench/compare.py
$(B)/obj/$(1)/image/jail.o: | $(B)/gen/image_rules.h
$(B)/obj/$(1)/conker-image: $(call obj,$(1),$(IMAGE_SRC) $(UTIL_SRC))
	$$(call say,LINK,$$@)
	$$(Q)$$(or $$(CC_$(1)),$$(CC)) $$(CFLAGS_$(1)) $$(LDFLAGS_$(1)) -o $$@ $$^ $(IMAGE_LIBS)
$(B)/obj/$(1)/conker-vmm: $(call obj,$(1),$(VMM_ALL))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(CFLAGS_$(1)) $$(LDFLAGS_$(1)) -o $$@ $$(FIRST_$(1)) $$^ $$(or $$(VMM_LIBS_$(1)),-lprotobuf-c -lfdt -pthread)
$(B)/obj/$(1)/conker: $(call obj,$(1),$(CLI_SRC) $(LIB_SRC) $(HOST_SRC))
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(CFLAGS_$(1)) $$(LDFLAGS_$(1)) -o $$@ $$(FIRST_$(1)) $$^ $$(or $$(CLI_LIBS_$(1)),-lprotobuf-c -pthread)
endef
$(foreach v,release asan tsan fuzz pic musl,$(eval $(call variant,$(v))))

$(B)/conker: $(B)/obj/musl/conker
	$(Q)cp --remove-destination $< $@
$(B)/conker-vmm: $(B)/obj/musl/conker-vmm
	$(Q)cp --remove-destination $< $@
$(B)/conker-image: $(B)/obj/release/conker-image
	$(Q)cp --remove-destination $< $@
$(B)/libconker.so: $(call obj,pic,$(LIB_SRC) $(HOST_SRC)) lib/conker.map
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-soname,libconker.so.0 -Wl,--version-script=lib/conker.map -Wl,-z,relro,-z,now \
		-o $@ $(filter %.o,$^) -lprotobuf-c -pthread
	$(Q)ln -sf libconker.so $(B)/libconker.so.0
$(B)/libconker.a: $(call obj,pic,$(LIB_SRC) $(HOST_SRC))
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $^

# --- guest ------------------------------------------------------------------------------------------
# init is linked with musl: an initramfs costs guest kernel instructions by the page.
INIT_CFLAGS := -std=gnu17 -D_GNU_SOURCE -Os -static -no-pie -I. -I$(B)/gen -idirafter /usr/include \
               -idirafter /usr/include/x86_64-linux-gnu -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes \
               -Wmissing-prototypes -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
               -fstack-protector-strong -Wl,--gc-sections -Wl,-z,noseparate-code -s
INIT_DEPS   := $(INIT_SRC) $(PROTO_SRC) $(UTIL_SRC) $(wildcard guest-init/*/*.h proto/*.h util/*.h) $(PB_SRC)

$(B)/guest/init: $(INIT_DEPS)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)musl-gcc $(INIT_CFLAGS) -o $@ $(filter %.c,$^) $(shell $(CC) -print-file-name=libprotobuf-c.a)

$(B)/guest/initrd.cpio: $(B)/guest/init guest-init/mkinitrd.sh
	$(call say,CPIO,$@)
	$(Q)guest-init/mkinitrd.sh $< $@

KERNEL_DEPS := kernel-config/build.sh $(wildcard kernel-config/*.config kernel-config/patches/*.patch)
$(B)/guest/vmlinux: $(KERNEL_DEPS) | $(B)/setup/kernel.stamp
	@kernel-config/build.sh $(B)/guest up
	@touch $@
# After the first: both share the unpacked source.
$(B)/guest/vmlinux-smp: $(KERNEL_DEPS) $(B)/guest/vmlinux | $(B)/setup/kernel.stamp
	@kernel-config/build.sh $(B)/guest smp
	@touch $@

$(B)/guest/demo: tools/demo/demo.c $(B)/setup/build.stamp
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)musl-gcc -std=gnu17 -D_GNU_SOURCE -O2 -static -s $(WARN) -o $@ $<
$(B)/guest/base.erofs: tools/image/base.sh $(B)/guest/demo $(B)/setup/build.stamp
	@mkdir -p $(@D)
	$(call say,IMAGE,$@)
	$(Q)tools/image/base.sh $@ $(B)/guest/demo

# --- unit tests ---------------------------------------------------------------------------------------
# One Criterion program per module, linked with its own part only: init_* with guest-init, lib_* with lib, image_* with
# image, cli_* and bench_* with the command, all others with vmm (and the fake driver). main.c is left out everywhere.
UNIT_SRC := $(wildcard tests/unit/*.c)
PART_LIBS := -lprotobuf-c -lfdt -pthread $(IMAGE_LIBS)
# part: of which part of the tree a test is, by its name.
part = $(or $(strip $(foreach p,init lib cli image,$(if $(filter $(p)_%,$(1:bench_%=cli_%)),$(p)))),vmm)
define tested
$(B)/obj/$(1)/tested-vmm.a: $(call obj,$(1),$(filter-out %/main.c,$(VMM_SRC)) $(STATE_SRC) $(HOST_SRC) $(FAKE_SRC))
$(B)/obj/$(1)/tested-init.a: $(call obj,$(1),$(filter-out %/main.c,$(INIT_SRC)) $(HOST_SRC))
$(B)/obj/$(1)/tested-lib.a: $(call obj,$(1),$(LIB_SRC) $(HOST_SRC) $(LIBFAKE_SRC))
$(B)/obj/$(1)/tested-cli.a: $(call obj,$(1),$(filter-out %/main.c,$(CLI_SRC)) $(LIB_SRC) $(HOST_SRC))
$(B)/obj/$(1)/tested-image.a: $(call obj,$(1),$(filter-out %/main.c,$(IMAGE_SRC)) $(UTIL_SRC) $(IMAGE_TEST_SRC))
$(B)/obj/$(1)/tested-%.a:
	$$(call say,AR,$$@)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
# test-program: variant, source folder below tests/, name, more libraries, where it is put
define test-program
$(5)/$(3): $(B)/obj/$(1)/tests/$(2)/$(3).o $(B)/obj/$(1)/tested-$(call part,$(3)).a
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(or $$(CC_$(1)),$$(CC)) $$(CFLAGS_$(1)) $$(LDFLAGS_$(1)) -o $$@ $$^ $(4) $$(PART_LIBS)
endef
# What a compiler could make faster here is less than the time it takes: the code under test has its own flags.
$(B)/obj/asan/tests/unit/%.o: CFLAGS_asan += -O0
names = $(patsubst tests/$(1)/%.c,%,$(wildcard tests/$(1)/*.c))
$(foreach v,release asan tsan fuzz,$(eval $(call tested,$(v))))
$(foreach v,release asan,$(foreach n,$(call names,unit),\
	$(eval $(call test-program,$(v),unit,$(n),-lcriterion,$(B)/obj/$(v)/unit))))
# Plain programs: Criterion aborts under TSan, and a fuzz target has libFuzzer's main().
$(foreach n,$(call names,tsan),$(eval $(call test-program,tsan,tsan,$(n),,$(B)/tests/tsan)))
$(foreach n,$(call names,fuzz),$(eval $(call test-program,fuzz,fuzz,$(n),,$(B)/tests/fuzz)))
# Library and init in one program: init as one object, of which only the door is seen, for some names are the library's too.
ALONE_SRC := tests/lib/init_alone.c $(filter-out %/main.c %/child.c %/cg.c %/cg_freeze.c %/cg_mount.c %/cg_usage.c,$(INIT_SRC))
$(B)/obj/fuzz/init-alone.o: $(call obj,fuzz,$(ALONE_SRC) $(HOST_SRC))
	$(call say,LINK,$@)
	$(Q)ld -r -o $@ $^ && objcopy --wildcard --keep-global-symbol='init_alone_*' $@
$(B)/tests/fuzz/lib_init: $(B)/obj/fuzz/init-alone.o
# The library as strangers meet it: through its header and its shared object only.
API_LINK = -I. -o $@ $< -L$(B) -lconker -Wl,-rpath,'$$ORIGIN/../..'
$(B)/tests/lib/c99: tests/lib/c99.c lib/conker.h $(B)/libconker.so
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -std=c99 -pedantic-errors -Wall -Wextra -Werror $(API_LINK)
$(B)/tests/lib/cxx: tests/lib/cxx.cc lib/conker.h $(B)/libconker.so
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)clang++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror $(API_LINK)
$(B)/tests/lib/dlopen: tests/lib/dlopen.c $(B)/libconker.so
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -std=gnu17 $(WARN) -Wl,--no-as-needed -o $@ $< -ldl -pthread -Wl,-rpath,'$$ORIGIN/../..'
# Faults: the programs that ship with every call led through inject.o, and the drivers that run these.
FAULT := $(addprefix $(B)/tests/fault/,conker conker-vmm vmm client)
FAULT_OBJ_conker     := $(call obj,musl,$(CLI_SRC) $(LIB_SRC) $(HOST_SRC))
FAULT_OBJ_conker-vmm := $(call obj,musl,$(VMM_ALL))
FAULT_LIBS_conker     = $(CLI_LIBS_musl)
FAULT_LIBS_conker-vmm = $(VMM_LIBS_musl)
$(B)/obj/musl/tests/fault/inject.o: CFLAGS_musl += -Wno-missing-prototypes
define fault-program
$(B)/tests/fault/$(1): $(B)/obj/musl/tests/fault/inject.o $(FAULT_OBJ_$(1))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(CFLAGS_musl) $$(LDFLAGS_musl) $$$$(nm $$< | sed -n 's/.* T __wrap_/-Wl,--wrap=/p') \
		-o $$@ $$(FIRST_musl) $$^ $$(FAULT_LIBS_$(1))
endef
$(foreach p,conker conker-vmm,$(eval $(call fault-program,$(p))))
$(addprefix $(B)/tests/fault/,vmm client): $(B)/tests/fault/%: $(B)/obj/release/tests/fault/%.o \
		$(B)/obj/release/tests/fault/drive.o $(B)/obj/release/tested-lib.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_release) -o $@ $(filter %.o,$^) $(B)/obj/release/tests/lib/fakevmm.o \
		$(B)/obj/release/tested-lib.a $(PART_LIBS)
# guest-init likewise, in a unit test that is its own driver.
$(B)/obj/release/tests/fault/inject.o: CFLAGS_release += -Wno-missing-prototypes
$(B)/obj/release/unit/init_fault: $(B)/obj/release/tests/fault/inject.o
$(B)/obj/release/unit/init_fault: LDFLAGS_release += \
	$$(nm $(B)/obj/release/tests/fault/inject.o | sed -n 's/.* T __wrap_/-Wl,--wrap=/p')
# fetch() by itself, for tests/tools/registry.py.
$(B)/tests/tools/fetch: $(B)/obj/asan/tests/lib/fetch.o $(B)/obj/asan/tested-lib.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_asan) -o $@ $^ -lprotobuf-c -pthread
TEST_PROGRAMS := $(B)/tests/tools/fetch $(addprefix $(B)/tests/tsan/,$(call names,tsan)) $(addprefix $(B)/tests/fuzz/,$(call names,fuzz)) \
		 $(addprefix $(B)/tests/lib/,c99 cxx dlopen) $(FAULT)
UNITS      := $(patsubst tests/unit/%.c,$(B)/obj/release/unit/%,$(UNIT_SRC))
UNITS_ASAN := $(patsubst tests/unit/%.c,$(B)/obj/asan/unit/%,$(UNIT_SRC))
# Those that say themselves that they leave something out under ASan.
UNITS_PLAIN = $(patsubst tests/unit/%.c,$(B)/obj/release/unit/%,$(shell grep -l __SANITIZE_ADDRESS__ $(UNIT_SRC)))
units: $(UNITS)
units-plain: $(UNITS_PLAIN)
units-asan: $(UNITS_ASAN)

# --- documentation ----------------------------------------------------------------------------------------
# The programs of libconker(3): the page shows them, the VM tests run them. Static, for the lab.
EXAMPLES := $(patsubst docs/examples/%.c,$(B)/examples/%,$(wildcard docs/examples/*.c))
$(B)/examples/%: docs/examples/%.c lib/conker.h $(B)/libconker.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=c99 -pedantic-errors -Wall -Wextra -Werror -static -Ilib -o $@ $< $(B)/libconker.a -lprotobuf-c -pthread
$(B)/man/libconker.3: docs/man/libconker.3.in docs/man/libconker.sh $(wildcard docs/examples/*.c)
	@mkdir -p $(@D)
	$(call say,MAN,$@)
	$(Q)docs/man/libconker.sh docs/examples <$< >$@
examples: $(EXAMPLES)

# --- guests of the VM tests -----------------------------------------------------------------------------
# raw_*.S: kernels of a few instructions; end_*.c: replacements of init; others: ordinary programs.
GUEST_RAW  := $(patsubst tests/vm/guest/%.S,$(B)/tests/guest/%,$(wildcard tests/vm/guest/raw_*.S))
GUEST_END  := $(patsubst tests/vm/guest/%.c,$(B)/tests/guest/%.cpio,$(wildcard tests/vm/guest/end_*.c))
GUEST_PROG := $(patsubst tests/vm/guest/%.c,$(B)/tests/guest/%,$(filter-out tests/vm/guest/end_%,$(wildcard tests/vm/guest/*.c)))

$(B)/tests/guest/raw_%: tests/vm/guest/raw_%.S tests/vm/guest/raw.ld
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,tests/vm/guest/raw.ld -Wl,--build-id=none -o $@ $<
$(B)/tests/guest/end_%: tests/vm/guest/end_%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)musl-gcc -std=gnu17 -D_GNU_SOURCE -Os -static -s -Wall -Wextra -o $@ $<
$(B)/tests/guest/end_%.cpio: $(B)/tests/guest/end_% guest-init/mkinitrd.sh
	$(call say,CPIO,$@)
	$(Q)guest-init/mkinitrd.sh $< $@
$(B)/tests/guest/%: tests/vm/guest/%.c $(wildcard tests/vm/guest/*.h)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -static $(WARN) -o $@ $< -pthread
# A conker-vmm that can be told to misbehave (tests/inject), around the objects of the release.
INJECT_WRAPS := config_parse bus_access console_drain fdatasync seccomp_enter
INJECT_VMM   := $(B)/tests/inject/conker-vmm
$(INJECT_VMM): $(B)/obj/musl/tests/inject/inject.o $(call obj,musl,$(VMM_ALL))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_musl) $(addprefix -Wl$(comma)--wrap=,$(INJECT_WRAPS)) -o $@ $(FIRST_musl) $^ $(VMM_LIBS_musl)
# host/*.c: programs of the host that drive boxes through the library. Static, for the lab.
HOST_PROG := $(patsubst tests/vm/host/%.c,$(B)/tests/host/%,$(wildcard tests/vm/host/*.c))
$(B)/tests/host/%: tests/vm/host/%.c lib/conker.h $(B)/libconker.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -static -I. -I$(B)/gen $(WARN) -o $@ $< $(B)/libconker.a -lprotobuf-c -pthread
# The same with the sanitizer of threads, as are VMM and client (tests/tsan/vm.sh).
$(B)/obj/tsan/host/%: $(B)/obj/tsan/tests/vm/host/%.o $(call obj,tsan,$(LIB_SRC) $(HOST_SRC))
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS_tsan) $(LDFLAGS_tsan) -o $@ $^ -lprotobuf-c -pthread
TSAN_VM := $(addprefix $(B)/obj/tsan/,conker conker-vmm $(patsubst tests/vm/host/%.c,host/%,$(wildcard tests/vm/host/*.c)))
# The words that the library boots with, for tests and benchmarks that start conker-vmm by hand.
$(B)/tests/guest/cmdline: lib/host/cmdline.c
	@mkdir -p $(@D)
	$(Q)sed -n '/kernel_words\[\] =/,/;/p' $< | grep -o '"[^"]*"' | tr -d '"\n' >$@ && test -s $@
# The files of an image of many layers, for the test that joins them.
LAYERS := $(B)/tests/guest/layers/manifest
$(LAYERS): tests/vm/layers.sh $(B)/conker-image
	$(call say,IMAGE,$(@D))
	$(Q)tests/vm/layers.sh $(B)/conker-image $(@D)
# An image of the former version: one file, as mkfs.erofs made it.
$(B)/tests/guest/former.erofs: tests/vm/former.sh
	@mkdir -p $(@D)
	$(call say,IMAGE,$@)
	$(Q)tests/vm/former.sh $@
# The attacker on the devices: a kernel of its own, without a library and without vector registers.
$(B)/tests/guest/hostile: $(wildcard tests/hostile/*)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -I. $(WARN) -O2 -g0 -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none \
		-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -mgeneral-regs-only -mno-red-zone \
		-nostdlib -static -no-pie -z noexecstack -Wl,--no-warn-rwx-segments -Wl,-T,tests/hostile/hostile.ld \
		-Wl,--build-id=none -o $@ $(filter %.c %.S,$^)
# What the filters allow, for the test that looks for rules that nothing needs.
$(B)/tests/inject/rules: vmm/seccomp.sh $(RULES_SRC)
	@mkdir -p $(@D)
	$(Q)vmm/seccomp.sh --list $(RULES_SRC) >$@
test-guests: $(B)/tests/guest/cmdline $(GUEST_RAW) $(GUEST_END) $(GUEST_PROG) $(HOST_PROG) $(INJECT_VMM) $(B)/tests/inject/rules \
	$(B)/tests/guest/hostile $(B)/tests/guest/former.erofs $(LAYERS)

# --- running --------------------------------------------------------------------------------------------
CMD ?= /usr/share/conker/demo
# Through the environment, so that a command with quotes in it arrives as it is.
run lab-run: export CONKER_MAKE_CMD = $(CMD)
run: all ## start a box, from a template once there is one, and run a small demonstration in it, or CMD='...'
	@$(B)/conker run --warm --timing --sh "$$CONKER_MAKE_CMD"

# Images for the user who asks for them. The tests have `python` of the same archive in a store of their own.
image-python: $(B)/images/python.tar $(B)/conker $(B)/conker-image ## a Debian root file system with python3, imported as image `python`
	@$(B)/conker image import python $<
image-code: $(B)/images/code.tar.gz $(B)/conker $(B)/conker-image ## Debian with python3, pip, node, git and curl, for user `user`, as image `code`
	@$(B)/conker image import code $<
$(B)/images/python.tar $(B)/images/code.tar.gz: tools/image/debian.sh | $(B)/setup/image.stamp
	@mkdir -p $(@D)
	@tools/image/debian.sh $(firstword $(subst ., ,$(@F))) $@
PYTHON := $(B)/images/python.stamp
$(PYTHON): $(B)/images/python.tar $(B)/conker $(B)/conker-image
	@CONKER_IMAGES=$(CURDIR)/$(B)/images/store $(B)/conker image import python $<
	@touch $@

# --- tests ----------------------------------------------------------------------------------------------
STAGES ?=
test: test-deps ## every rule once, where it is cheapest: a quarter of an hour
	@tests/run --ring test $(STAGES)
test-all: test-deps-all ## all tests, those of real guests on host KVM and in the lab: about an hour
	@tests/run --ring all $(STAGES)
test-long: test-deps-all ## what takes hours
	@tests/run --ring long $(STAGES)
TEST_PARTS := all units-asan $(B)/obj/asan/conker-vmm $(B)/obj/asan/conker-image test-guests test-programs examples $(PYTHON) \
	$(addprefix $(B)/bench/,instructions count.so guest/true guest/spawn) lab-ready
test-deps: $(foreach p,build kernel image test,$(B)/setup/$(p).stamp)
	@$(MAKE) --no-print-directory $(TEST_PARTS) units-plain
test-deps-all: $(foreach p,build kernel image test,$(B)/setup/$(p).stamp)
	@$(MAKE) --no-print-directory $(TEST_PARTS) units

BENCH_GUEST := $(addprefix $(B)/bench/guest/,true spawn pump pump.cpio)
lab-ready: $(B)/setup/test.stamp
	@tools/lab/lab --prepare
bench: all $(B)/setup/test.stamp ## all figures, with a page to look at: build/bench-report/bench.html
	@HOST= $(B)/conker bench --output $(B)/bench-report $(if $(SERIES),--series $(SERIES)) $(if $(TIME),--time $(TIME))
bench-lab: all lab-ready ## the same in the lab, without other VMMs
	@$(BENCH_LAB) --time 600
BENCH_LAB = tools/lab/lab --smp 2 --memory 4096 -- env XDG_RUNTIME_DIR=/tmp TMPDIR=/tmp conker bench
bench-boot: all $(B)/setup/test.stamp ## cold boot to first exec, beside QEMU microvm; costs by initcall
	@$(B)/conker bench --series cold,peers
	@kernel-config/costs.sh
bench-boot-lab: all lab-ready ## cold boot to first exec, in the lab
	@$(BENCH_LAB) --series cold
bench-setup: all ## VMM set-up: process start to the first KVM_RUN, step by step
	@$(B)/conker bench --series setup
bench-setup-lab: all lab-ready ## the same in the lab
	@$(BENCH_LAB) --series setup
sizes: all ## bytes of what a box is made of
	@cd $(B) && stat -c '%10s %n' conker conker-vmm conker-image libconker.so guest/init guest/vmlinux guest/vmlinux-smp guest/base.erofs
bench-memory: all ## host memory of a box
	@$(B)/conker bench --series memory
bench-memory-lab: all lab-ready ## the same in the lab
	@$(BENCH_LAB) --series memory
bench-forks: all ## a hundred boxes from one snapshot at once: time, memory (N=100)
	@tools/bench/forks.sh $(B) $(or $(N),100)
bench-images: all lab-ready $(B)/images/python.tar ## images: import, pull, a second one, boxes of many layers, beside what others take
	@tools/bench/images.py --build $(B)
bench-exec: all $(B)/bench/exec $(B)/bench/stream $(BENCH_GUEST) test-guests ## warm executions beside vfork, exec and wait in the guest; streams beside plain vsock
	@HOST= tools/bench/exec.sh $(B) 100 8
bench-exec-lab: all $(B)/bench/exec $(B)/bench/stream $(BENCH_GUEST) test-guests lab-ready ## the same in the lab, with one CPU and with two
	@for cpus in 1 2; do tools/lab/lab --smp $$cpus --memory 2048 --add $(B)/bench --add $(B)/tests/guest/cmdline \
		--add tools/bench/exec.sh -- env HOST=lab XDG_RUNTIME_DIR=/tmp sh tools/bench/exec.sh /build 1000 32 || exit; done
INSTRUCTIONS := $(addprefix $(B)/bench/,instructions count.so guest/true guest/spawn)
bench-instructions: all $(INSTRUCTIONS) lab-ready ## what the guest's kernel executes: to PID 1, for an exec; exact
	@tools/bench/instructions.py
$(B)/bench/count.so: tools/bench/count.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 $(WARN) -O2 -shared -fPIC -o $@ $<
$(B)/bench/guest/%.cpio: $(B)/bench/guest/% guest-init/mkinitrd.sh
	$(call say,CPIO,$@)
	$(Q)guest-init/mkinitrd.sh $< $@
$(B)/bench/guest/%: tools/bench/guest/%.S
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noseparate-code -s -o $@ $<
$(B)/bench/guest/%: tools/bench/guest/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)musl-gcc -std=gnu17 -D_GNU_SOURCE -O2 -static -s -I. -idirafter /usr/include \
		-idirafter /usr/include/x86_64-linux-gnu -Wall -Wextra -o $@ $<
$(B)/bench/%: $(B)/obj/release/tools/bench/%.o $(call obj,release,$(BENCH_SRC)) $(B)/libconker.a
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_release) -o $@ $^ -lprotobuf-c -pthread
lab: all lab-ready ## a shell in the emulated machine that stands in for ordinary hardware
	@tools/lab/lab
lab-run: all lab-ready ## a command in the lab: make lab-run CMD='conker doctor'
	@tools/lab/lab -- sh -c "$$CONKER_MAKE_CMD"
T ?= 60
fuzz: $(B)/setup/test.stamp ## every fuzz target for T seconds, as many at a time as there are CPUs
	@$(MAKE) --no-print-directory $(addprefix $(B)/tests/fuzz/,$(call names,fuzz))
	@FUZZ_SECONDS=$(T) tests/run fuzz
test-programs: $(TEST_PROGRAMS) $(TSAN_VM)

# --- house-keeping ----------------------------------------------------------------------------------------
LINT_SRC = $(UTIL_SRC) $(PROTO_SRC) $(VMM_SRC) $(LIB_SRC) $(CLI_SRC) $(INIT_SRC) $(IMAGE_SRC)
C_FILES  = $(shell git ls-files '*.c' '*.h')
fmt: $(B)/setup/lint.stamp ## format all C files
	clang-format -i $(C_FILES)
lint: $(B)/setup/lint.stamp $(B)/setup/build.stamp $(PB_SRC) $(STATE_SRC) $(B)/gen/seccomp_rules.h $(B)/gen/image_rules.h $(call obj,pic,$(LIB_SRC) $(INIT_SRC)) ## format, layers, circles, ceilings, names, the page, cppcheck, clang-tidy
	$(call say,LINT,format layers circles ceilings names page)
	$(Q)clang-format --dry-run -Werror $(C_FILES)
	$(Q)tests/lint/layers.sh
	$(Q)tests/lint/circles.py lib $(call obj,pic,$(LIB_SRC))
	$(Q)tests/lint/circles.py guest-init $(call obj,pic,$(INIT_SRC))
	$(Q)tests/lint/ceilings.py
	$(Q)tests/lint/names.py
	$(Q)tests/lint/spdx.py
	$(Q)tests/lint/page.sh
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
		--error-exitcode=1 -D__CPPCHECK__ -D__x86_64__ --suppressions-list=tests/lint/cppcheck.txt \
		-I. -I$(B)/gen $(LINT_SRC)
	$(call say,LINT,clang-tidy)
	$(Q)printf '%s\n' $(LINT_SRC) | xargs -P $$(nproc) -I{} \
		clang-tidy --quiet {} -- -std=gnu17 -D_GNU_SOURCE -I. -I$(B)/gen 2>/dev/null

lines: ## code lines by folder; REV=v0.1: those of that revision too, and the difference
	@tools/lines $(REV) .

install: all ## into $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin include lib/conker/guest lib/pkgconfig share/man/man1 share/man/man3 \
		share/bash-completion/completions)
	install -m 755 $(B)/conker $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(B)/conker-vmm $(B)/conker-image $(DESTDIR)$(PREFIX)/lib/conker/
	install -m 644 $(B)/guest/vmlinux $(B)/guest/vmlinux-smp $(B)/guest/initrd.cpio $(B)/guest/base.erofs \
		$(DESTDIR)$(PREFIX)/lib/conker/guest/
	install -m 644 lib/conker.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 $(B)/libconker.so $(DESTDIR)$(PREFIX)/lib/libconker.so.0
	ln -sf libconker.so.0 $(DESTDIR)$(PREFIX)/lib/libconker.so
	install -m 644 $(B)/libconker.a $(DESTDIR)$(PREFIX)/lib/
	sed 's,@PREFIX@,$(PREFIX),' lib/conker.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/conker.pc
	install -m 644 $(wildcard docs/man/*.1) $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 $(B)/man/libconker.3 $(DESTDIR)$(PREFIX)/share/man/man3/
	install -m 644 tools/cli/conker.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/conker

clean: ## remove everything built
	rm -rf $(B)
clean-cache: ## remove what tools/cache.sh keeps outside of the tree: kernels, images, downloads
	tools/cache.sh clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | while IFS="$$(printf '\t')" read -r t d; do \
		printf '  make %-16s %s\n' "$$t" "$$d"; done

.PHONY: all examples guest run image-python image-code units units-plain units-asan test-guests test-programs test test-all test-long test-deps test-deps-all fuzz lab lab-run lab-ready \
	fmt lint lines install clean clean-cache help bench bench-lab bench-boot bench-boot-lab bench-exec bench-exec-lab bench-setup bench-setup-lab \
	bench-forks bench-images bench-memory bench-memory-lab bench-instructions sizes
.SECONDARY:

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
