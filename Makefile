# tcphealth_exporter. `make help` lists the targets.

PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
ifeq ($(origin CC),default)
CC := gcc
endif

VERSION  := $(shell cat VERSION)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

PKGS       := libmicrohttpd libmnl libdeflate libfyaml gnutls libcrypt libseccomp
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

# What only gcc knows is left out under clang.
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
WARN := -Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wimplicit-fallthrough \
	-Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wnull-dereference \
	-Werror=format-security -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
HARDEN := -fstack-clash-protection -fstack-protector-strong -fcf-protection=full \
	-fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fPIE
ifeq ($(IS_CLANG),)
WARN   += -Wduplicated-cond -Wlogical-op -Wcast-align=strict
HARDEN += -ftrivial-auto-var-init=zero
FORTIFY ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else
HARDEN += -ftrivial-auto-var-init=zero -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
FORTIFY ?= -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
WERROR   ?= -Werror
OPT      ?= -O2
SANITIZE ?=

CPPFLAGS_ALL := -Iinclude -D_GNU_SOURCE $(FORTIFY) $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu11 $(OPT) -g $(WARN) $(WERROR) $(HARDEN) $(SANITIZE) -pthread $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL  := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed \
	-Wl,-z,ibt,-z,shstk -pthread $(SANITIZE) $(LDFLAGS)

SRC     := $(sort $(wildcard src/*/*.c))
OBJ     := $(SRC:%.c=$(BUILD)/%.o)
LIB     := $(BUILD)/libtcphealth.a
PROGRAM := $(BUILD)/tcphealth_exporter
UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
HELPERS := $(patsubst tests/helpers/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/helpers/*.c)))

# What is made, a line each; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAM) ## build the exporter

$(PROGRAM): $(BUILD)/src/main.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(LIB): $(OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/src/base/version.o: CPPFLAGS_ALL += -DTCPHEALTH_VERSION='"$(VERSION)"' -DTCPHEALTH_REVISION='"$(REVISION)"'
$(BUILD)/src/base/version.o: VERSION $(BUILD)/revision

# Taken in by the assembler, which writes no dependencies.
$(BUILD)/src/render/assets.o: $(wildcard src/render/assets/*)

# Changes only when the revision does, so that a new commit is named by the next build.
$(BUILD)/revision: always
	@mkdir -p $(@D)
	@echo '$(REVISION)' | cmp -s - $@ || echo '$(REVISION)' >$@

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Unit tests: one program a file, cmocka, on the real modules.
$(BUILD)/tests/test_%: tests/unit/test_%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS) -lcmocka

# Programs that the integration tests run.
$(BUILD)/tests/%: tests/helpers/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

# Benchmarks: optimised as the program is, and linked with its modules.
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard tests/bench/*.c)))

$(BUILD)/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

# A fuzz target is LLVMFuzzerTestOneInput() in one file. `fuzz` links it with libFuzzer, `fuzz-replay` with
# a main that feeds it the files of tests/fuzz/corpus/NAME. What the target itself does is not what is looked for:
# without counters it takes half the time.
FUZZ   := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAY := $(FUZZ:%=%-replay)
UNWATCHED := -fsanitize=fuzzer -fno-sanitize-coverage=trace-cmp,inline-8bit-counters,indirect-calls,pc-table,stack-depth

$(BUILD)/fuzz/%-replay: tests/fuzz/%.c $(BUILD)/tests/fuzz/replay.o $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) -MMD -MP -o $@ $< $(BUILD)/tests/fuzz/replay.o $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) $(UNWATCHED) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

-include $(BENCH:=.d) $(OBJ:.o=.d) $(BUILD)/src/main.d $(UNIT:=.d) $(HELPERS:=.d) $(FUZZ:=.d) $(REPLAY:=.d) $(BUILD)/tests/fuzz/replay.d

# What a target needs is installed before make looks for it again: pkg-config above was asked too early.
AGAIN := $(MAKE) --no-print-directory
ASAN  := SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all' FORTIFY= OPT=-O1 WERROR=
TSAN  := SANITIZE=-fsanitize=thread FORTIFY= OPT=-O1 WERROR=
# Objects of two compilers' sanitizers do not mix.
BY_CLANG := $(if $(findstring clang,$(CC)),-clang)

run: ## build and run the exporter here, in the foreground (ARGS='--flag=value ...')
	@deploy/setup.sh build
	+@$(AGAIN) all
	exec $(PROGRAM) $(ARGS)

check: ## all tests: unit, fuzz corpora, integration (as root, in network namespaces of its own)
	@deploy/setup.sh build check
	+@$(AGAIN) suite

asan: ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer (CC=clang-14 for the other compiler's)
	@deploy/setup.sh build check $(if $(BY_CLANG),fuzz)
	+@$(AGAIN) BUILD=build-asan$(BY_CLANG) $(ASAN) suite

tsan: ## all tests under ThreadSanitizer (the same)
	@deploy/setup.sh build check $(if $(BY_CLANG),fuzz)
	+@$(AGAIN) BUILD=build-tsan$(BY_CLANG) $(TSAN) suite

programs: $(UNIT) $(HELPERS) $(REPLAY) $(BENCH)

suite: all programs
	@UNIT='$(UNIT)' REPLAY='$(REPLAY)' tests/run $(BUILD)

unit: $(UNIT) ## the unit tests
	@tests/run-unit $(UNIT)

it: all $(HELPERS) ## the integration tests (IT='-k PATTERN', IT=--list)
	@TCPHEALTH_BUILD=$(BUILD) tests/it/run.py $(IT)

bench: ## what a sample, a page and an event cost, beside a raw drain and other programs, as Markdown tables (as root)
	@deploy/setup.sh build check bench
	+@$(AGAIN) bench-run

bench-quick: ## the same in short, up to 10,000 sockets
	@deploy/setup.sh build check
	+@$(AGAIN) bench-run SIZES='1000 10000' QUICK=1

bench-docs: ## run `make bench` and put its tables into README.md and docs/benchmarks.md
	@deploy/setup.sh build check bench
	+@$(AGAIN) bench-run >$(BUILD)/bench.md
	@tests/bench/report.py publish $(BUILD)/bench.md README.md docs/benchmarks.md

instructions: ## instructions that a sample takes a socket, by callgrind, beside those of tests/bench/instructions.txt
	@deploy/setup.sh build check
	+@$(AGAIN) $(BUILD)/bench/bench_instructions
	@tests/bench/instructions.py $(BUILD)

count-lines: ## lines of code in src and include, without comments and blanks
	@tests/count-lines

SIZES ?= 1000 10000 100000 1000000
bench-run: $(BENCH) $(PROGRAM)
	@QUICK='$(QUICK)' tests/bench/run $(BUILD) $(SIZES)

first-alert: ## do what docs/first-alert.md says, and compare (as root, four minutes, leaves nothing)
	@deploy/setup.sh build alerts
	+@$(AGAIN) all
	@tests/docs/first_alert

mixin: ## check alerts, rules, dashboards and runbooks with promtool and amtool
	@deploy/setup.sh check
	@tests/mixin/run

panels: ## draw the dashboards in a browser, from real exporters with real stuck sockets, and look at them (as root)
	@deploy/setup.sh build check
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) tests/grafana/run $(PANELS)

fuzz-replay: $(REPLAY) ## feed the fuzz targets their corpora
	@tests/run-replay $(REPLAY)

FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= 1000000
fuzz: ## fuzz each target with libFuzzer for FUZZ_SECONDS (60) and FUZZ_RUNS (1000000), some 15 minutes in all
	@deploy/setup.sh build fuzz
	+@$(AGAIN) BUILD=build-fuzz CC=clang-14 FORTIFY= WERROR= \
		SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' fuzz-run

fuzz-run: $(FUZZ)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) tests/run-fuzz $(BUILD) $(FUZZ)

# Robustness: what hostile peers, a kernel that refuses and an exhausted machine do. See tests/robust/.
ROBUST := $(BUILD)/robust/failmalloc.so
SIZE ?= quick

$(BUILD)/robust/%.so: tests/robust/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu11 -O1 -g -Wall -Wextra $(WERROR) -D_GNU_SOURCE -fPIC -shared -pthread -MMD -MP -o $@ $<

robust: ## all of the following, and hardening (SIZE=quick, 6 minutes, or full)
	@deploy/setup.sh build check robust
	+@$(AGAIN) robust-run hardening

ROBUST_PARTS := allocfail faults lifecycle abuse hostile soak valgrind
allocfail: ## each allocation fails, once and for good
faults: ## system calls fail, by strace
lifecycle: ## it is killed, stopped, told to reload, and loses netlink
abuse: ## slow, idle, malformed and too many HTTP requests
hostile: ## 100,000 ports of a peer, names full of quotes and newlines
soak: SIZE = full
soak: ## 1,000,000 connections and 10,000 scrapes, and what has grown after them (SIZE=quick: 100,000 and 1,000)
valgrind: ## all that it does, under valgrind
$(ROBUST_PARTS):
	@deploy/setup.sh build check robust
	+@$(AGAIN) robust-run SIZE=$(SIZE) PART=test_$@.py

robust-run: all $(HELPERS) $(ROBUST)
	@tests/robust/run $(BUILD) $(SIZE) $(PART)

hardening: all ## what the compiler and the linker were told to guard against is in the program
	@deploy/setup.sh build robust
	@tests/robust/hardening $(PROGRAM)

coverage: ## lines that the tests reach, in the program and in each parser by its fuzz corpus alone
	@deploy/setup.sh build check robust
	+@$(AGAIN) BUILD=build-coverage SANITIZE=--coverage CPPFLAGS=-DSANITIZED=1 FORTIFY= OPT=-O0 WERROR= coverage-run

coverage-run: all programs
	@UNIT='$(UNIT)' REPLAY='$(REPLAY)' tests/robust/coverage $(BUILD)

lint: ## the static checkers (CHECKERS='format headers shell python cppcheck gcc_analyzer clang_tidy')
	@deploy/setup.sh build check lint
	+@$(AGAIN) lint-run

lint-run:
	@FLAGS='-std=gnu11 -Iinclude -Itests -D_GNU_SOURCE -pthread $(PKG_CFLAGS)' tests/run-lint $(CHECKERS)

format: ## format the C sources
	@deploy/setup.sh lint
	clang-format-14 -i $(wildcard include/*/*/*.h src/*.c src/*/*.[ch] tests/*/*.[ch])

SYSTEMD_DIR  ?= $(PREFIX)/lib/systemd/system
INSTALL_DATA := install -D -m 644
SHARE        := $(DESTDIR)$(PREFIX)/share

install: all ## install program, man page, completion and systemd units below DESTDIR and PREFIX (/usr/local)
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/tcphealth_exporter
	$(INSTALL_DATA) deploy/man/tcphealth_exporter.8 $(SHARE)/man/man8/tcphealth_exporter.8
	$(INSTALL_DATA) deploy/completion/tcphealth_exporter.bash $(SHARE)/bash-completion/completions/tcphealth_exporter
	$(INSTALL_DATA) -t $(SHARE)/tcphealth_exporter/systemd deploy/systemd/drop-ins/*.conf
	$(INSTALL_DATA) -t $(DESTDIR)$(SYSTEMD_DIR) deploy/systemd/tcphealth_exporter.service deploy/systemd/tcphealth_exporter.socket
	$(INSTALL_DATA) deploy/sysusers.d/tcphealth_exporter.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/tcphealth_exporter.conf
	sed -i 's|/usr/bin/tcphealth_exporter|$(PREFIX)/bin/tcphealth_exporter|' \
		$(DESTDIR)$(SYSTEMD_DIR)/tcphealth_exporter.service $(SHARE)/tcphealth_exporter/systemd/socket.conf

clean: ## remove what was built
	rm -rf build build-*

help: ## show this list
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

.PHONY: always mixin panels all run check bench bench-quick bench-docs bench-run instructions count-lines asan tsan programs suite unit it fuzz fuzz-run fuzz-replay lint lint-run format install clean help
.PHONY: robust robust-run $(ROBUST_PARTS) hardening coverage coverage-run

demo: ## play the night that the exporter was made for, and show the alerts (as root, a minute, leaves nothing)
	@deploy/setup.sh build check
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) tests/demo/run.py

scale: ## one Prometheus scrapes 200 instances and evaluates all rules: the figures of docs/fleet.md (as root)
	@deploy/setup.sh build check
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) tests/scale/run.py $(SCALE)

.PHONY: demo scale first-alert

packages: ## exercise each file of deploy/ with the tool that reads it (PARTS='deb container ...'; as root)
	@deploy/setup.sh build check packages
	+@$(AGAIN) all
	@tests/packages/run $(BUILD) $(PARTS)

.PHONY: packages
