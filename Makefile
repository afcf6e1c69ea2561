# snapclone: build, test, install. `make help` lists the targets.
# SPDX-License-Identifier: GPL-2.0-only

B       := build
PREFIX  ?= /usr/local
CC      ?= cc
# The plugin starts the daemon from here unless clone_daemon_path says else.
DAEMON_PATH ?= $(PREFIX)/libexec/snapclone/snapcloned
DESTDIR ?=
# mysqld's plugin_dir; empty: scripts/install asks the MySQL installed here.
PLUGIN_DIR ?=

# V=1 shows the commands. WERROR= builds with warnings that are not errors.
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')
WERROR  ?= -Werror
WARN    := -Wall -Wextra -Wshadow -Wformat=2 -Wvla -Wmissing-prototypes \
           -Wstrict-prototypes -Wpointer-arith $(WERROR)
OPT     ?= -O2 -g
# SAN=address,undefined (or thread) builds into build/san-... with sanitizers.
comma   := ,
ifdef SAN
B       := build/san-$(subst $(comma),-,$(SAN))
OPT     := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
endif
# FUZZER=1 builds the fuzz targets with clang's libFuzzer into build/fuzzer.
ifdef FUZZER
B       := build/fuzzer
CC      := clang
OPT     := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_LD := -fsanitize=fuzzer,address,undefined
WARN    += -Wno-error
endif
# HOOKS=1 builds into build/hooks what tests can kill at a step (io/base/step.h).
ifdef HOOKS
B       := $(B)/hooks
CPPFLAGS += -DSC_TEST_HOOKS
endif
CPPFLAGS += -D_GNU_SOURCE -I.
CFLAGS  += -std=gnu11 $(OPT) $(WARN) -pthread -fvisibility=hidden -MMD -MP
LDFLAGS += -pthread $(if $(SAN),-fsanitize=$(SAN))

PKGS    := devmapper jansson libcrypto liblz4 libssl libxxhash liburing libzstd zlib
need     = $(if $(shell pkg-config --exists $(1) && echo y),,$(error $(1) is missing: run `make deps` (Debian package $(2))))
ifeq ($(filter help clean deps uninstall demo bench bench-dm bench-lock check check-unit check-it check-it-all check-dm check-dm-all check-san check-all fuzz fault storm lint,$(MAKECMDGOALS)),)
$(call need,devmapper,libdevmapper-dev)
$(call need,jansson,libjansson-dev)
$(call need,liblz4,liblz4-dev)
$(call need,libssl,libssl-dev)
$(call need,libxxhash,libxxhash-dev)
$(call need,liburing,liburing-dev)
$(call need,libzstd,libzstd-dev)
$(call need,zlib,zlib1g-dev)
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

BASE_SRC   := $(wildcard io/base/*.c)
IO_SRC     := $(wildcard io/*.c io/redo/*.c)
DAEMON_SRC := $(filter-out daemon/main.c,$(wildcard daemon/*.c))
CLI_SRC    := $(wildcard daemon/cli/*.c)
PLUGIN_SRC := $(wildcard plugin/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
FUZZ_SRC   := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_HELP  := $(filter-out $(FUZZ_SRC) $(if $(FUZZER),tests/fuzz/replay.c),$(wildcard tests/fuzz/*.c))
FIXTURE_SRC := $(filter-out $(UNIT_SRC),$(wildcard tests/unit/*.c))

obj      = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIB     := $(B)/libsnapclone.a
UNITS   := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_SRC))
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_SRC))

all: $(B)/snapcloned $(B)/snapclone $(B)/mysql_clone.so ## build daemon, command line and plugin

$(B)/obj/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(PKG_CFLAGS) -c -o $@ $<

# clang has no `#pragma GCC target`.
build/fuzzer/obj/io/digest_avx2.o: CFLAGS += -mavx2

# The plugin is built apart: position independent, libc and io/base only.
$(B)/pic/%.o: %.c
	$(call say,CC PIC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -DSC_DAEMON_PATH='"$(DAEMON_PATH)"' -c -o $@ $<

$(LIB): $(call obj,$(BASE_SRC) $(IO_SRC) $(DAEMON_SRC))
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/snapcloned: $(call obj,daemon/main.c) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(B)/snapclone: $(call obj,$(CLI_SRC)) $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# The path is compiled in: another PREFIX builds this file again.
$(B)/pic/plugin/sysvars.o: $(B)/daemon-path
$(B)/daemon-path: FORCE
	@mkdir -p $(@D)
	@echo '$(DAEMON_PATH)' | cmp -s - $@ || echo '$(DAEMON_PATH)' >$@

# Undefined symbols are the server's; the loader checks them at INSTALL PLUGIN.
$(B)/mysql_clone.so: $(patsubst %.c,$(B)/pic/%.o,$(PLUGIN_SRC) $(BASE_SRC))
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-z,relro,-z,now -o $@ $^

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(call obj,$(FIXTURE_SRC)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka

# These tests see, fail and kill at system calls (tests/unit/fs_wrap.h).
FS_WRAPPED := openat syscall mkdirat renameat unlinkat write pwrite ftruncate fallocate fsync flock \
              sc_engine_open
$(B)/unit/test_inplace_crash $(B)/unit/test_inplace_power: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,$(FS_WRAPPED))

# Directories that cannot be read to their end.
$(B)/unit/test_fdio: LDFLAGS += -Wl,--wrap=readdir

# Files that cannot be looked at.
$(B)/unit/test_filelist: LDFLAGS += -Wl,--wrap=statx

# A kernel without some of io_uring.
$(B)/unit/test_engine_ladder: LDFLAGS += -Wl,--wrap=io_uring_queue_init,--wrap=io_uring_register_files

# A kernel that takes less than it is given, and counts.
$(B)/unit/test_tls_data: LDFLAGS += -Wl,--wrap=sendmsg

# An OpenSSL that keeps its keys to itself, or takes none from us.
$(B)/unit/test_tls_libssl: LDFLAGS += -Wl,--wrap=EVP_KDF_fetch,--wrap=SSL_CTX_set_keylog_callback,--wrap=EVP_CipherInit_ex

# Fuzz targets: sleeps take no time (tests/fuzz/fuzz.c).
$(B)/fuzz/%: LDFLAGS += $(FUZZ_LD) -Wl,--wrap=nanosleep,--wrap=clock_gettime
$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(call obj,$(FUZZ_HELP)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# Only what comes on stream 0.
$(B)/fuzz/fuzz_recipient $(B)/unit/test_recipient: LDFLAGS += -Wl,--wrap=recipient_start_streams

fuzzers: $(FUZZERS)

# The fault campaign (tests/fault/campaign.c) makes calls of a daemon fail.
FAULT_WRAPPED := malloc calloc realloc reallocarray strdup mmap posix_memalign pthread_create \
                 EVP_CIPHER_fetch EVP_CIPHER_CTX_new \
                 pread fstat fstatat statx fdopendir readdir fstatfs fstatvfs fsopen fsconfig fsmount \
                 pwrite write mkdirat renameat unlinkat ftruncate fallocate fsync flock syncfs futimens fchmod fchown fchownat \
                 openat syscall ioctl sendmsg recvmsg recv connect accept4
ifdef HOOKS
$(B)/snapcloned: $(B)/obj/tests/fault/hooks.o
$(B)/snapcloned: LDFLAGS += $(addprefix -Wl$(comma)--wrap=,$(FAULT_WRAPPED))
endif

CAMPAIGN_SRC := $(filter-out tests/fault/hooks.c,$(wildcard tests/fault/*.c))
$(B)/fault/campaign: $(call obj,$(CAMPAIGN_SRC)) $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# Programs that measure; each says in its head what and how to call it.
$(B)/perf/%: $(B)/obj/tests/perf/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

perf: $(patsubst tests/perf/%.c,$(B)/perf/%,$(wildcard tests/perf/*.c)) ## build the programs that measure (build/perf)

# What the tests in the guest need.
$(B)/dm/%: $(B)/obj/tests/dm/%.o $(LIB)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

dm: $(patsubst tests/dm/%.c,$(B)/dm/%,$(wildcard tests/dm/*.c))

# Every engine of this test makes faults.
$(B)/unit/test_faults: LDFLAGS += -Wl,--wrap=sc_engine_open

units: $(UNITS) fuzzers $(if $(SAN)$(HOOKS),,hooks build/fault/campaign)

hooks:
	$(Q)$(MAKE) --no-print-directory HOOKS=1 build/hooks/snapcloned build/hooks/mysql_clone.so \
		build/hooks/dm/image_tool

INSTALL := B='$(B)' PREFIX='$(PREFIX)' DAEMON_PATH='$(DAEMON_PATH)' \
           DESTDIR='$(DESTDIR)' PLUGIN_DIR='$(PLUGIN_DIR)' scripts/install

install: all ## install (PREFIX, DESTDIR, PLUGIN_DIR; keeps a stock mysql_clone.so)
	@$(INSTALL) install

uninstall: ## undo that; the stock mysql_clone.so comes back
	@$(INSTALL) uninstall

deps: ## install the Debian packages that building and testing need (as root)
	scripts/deps

check: ## all tests, unit and integration
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all units
	tests/run

check-unit: ## unit tests only
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory units
	tests/run unit

check-it: ## integration tests only (real mysqld)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all hooks
	tests/run it

check-it-all: ## the same, the long ones too
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all hooks
	tests/run it --all

check-dm: ## tests that need device-mapper, in guests (minutes; as root)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all hooks dm
	tests/run dm

check-dm-all: ## the same, all of them
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all hooks dm
	tests/run dm --all

check-san: ## the tests under AddressSanitizer and UBSan, ThreadSanitizer and valgrind
	scripts/deps --check valgrind || scripts/deps valgrind
	$(MAKE) --no-print-directory all units
	$(MAKE) --no-print-directory SAN=address,undefined all units
	$(MAKE) --no-print-directory SAN=address,undefined HOOKS=1 build/san-address-undefined/hooks/snapcloned
	$(MAKE) --no-print-directory SAN=thread all units
	$(MAKE) --no-print-directory SAN=thread HOOKS=1 build/san-thread/hooks/snapcloned
	tests/run unit --valgrind
	tests/run unit --tsan
	tests/run fault --tsan
	tests/run --san

fault: ## the whole fault campaign (tests/fault; as root also on images)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all hooks build/fault/campaign
	tests/run fault --all

STORMS := storm-live storm-reflink storm-btrfs
storm-live: SEEDS := 101-120
storm-reflink: SEEDS := 201-215
storm-btrfs: SEEDS := 301-315
$(STORMS): storm-%:
	SNAPCLONE_STORM_PROVIDER=$* SNAPCLONE_STORM_SEEDS=$(SEEDS) \
		/usr/bin/python3 -m pytest -q tests/it/test_ddl_storm.py -k 'not can_fail'

storm: ## 50 clones in storms of DDL, with every provider but dm (an hour; as root)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all
	$(MAKE) --no-print-directory -k -j2 -O $(STORMS)

check-full: ## as check, with the long tests and the whole fault campaign (an hour)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all units
	tests/run --all

# Long runs, one after the other; each is a target that ends with status 0 when
# all is well. Whoever adds a long run adds it here.
CHECK_ALL := check-full check-dm-all storm check-san fuzz

check-all: ## everything, the long runs too (hours; an interrupted run goes on)
	scripts/check-all $(CHECK_ALL)

FUZZ_SECONDS ?= 60
fuzz: ## every fuzz target with libFuzzer for FUZZ_SECONDS (needs clang; NAME=ctl: that one)
	scripts/deps --check clang || scripts/deps clang
	$(MAKE) --no-print-directory FUZZER=1 fuzzers
	tests/fuzz/run $(FUZZ_SECONDS) $(NAME)

demo: ## clone a loaded server over TLS under load, with proof, in one command
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all
	scripts/demo

bench: ## compare the speed with the stock plugin on the same servers (minutes, 6 GB)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all
	scripts/bench-clone

bench-dm: ## what images of devices cost, measured in a guest (minutes; as root)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all dm perf
	scripts/vm-run --mem 3G --timeout 1200 --disk 2G --disk 2G --disk 2G --disk 2G -- tests/perf/bench_dm.py

bench-lock: ## how long clones make DDL wait (minutes)
	scripts/deps --check || scripts/deps
	$(MAKE) --no-print-directory all
	scripts/bench-lock

clean: ## remove what was built (keeps the unpacked MySQL)
	rm -rf build/obj build/pic build/unit build/perf build/dm build/hooks build/san-* build/*.a build/*.so \
	       build/fuzz build/fuzzer build/fault build/fault-data* \
	       build/snapclone build/snapcloned build/snapcloned.service \
	       build/daemon-path

lint: ## formatting of C, shellcheck (needs clang-format and shellcheck)
	git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	git ls-files | xargs grep -lE '^#!/bin/(ba)?sh' | xargs shellcheck

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: all units perf dm bench-dm bench-lock hooks install uninstall FORCE deps check check-unit check-it check-it-all check-dm check-dm-all check-san demo bench clean lint help
.PHONY: fuzzers fuzz fault storm $(STORMS) check-full check-all
.SECONDARY:
-include $(shell [ -d build ] && find $(B)/obj $(B)/pic -name '*.d' 2>/dev/null)
