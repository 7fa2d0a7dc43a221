# Targets for developers: tests, checkers, benchmarks. Included by the Makefile, which has the targets for users.

UNIT    := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
HELPERS := $(patsubst tests/helpers/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/helpers/*.c)))
BENCH   := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard tests/bench/*.c)))
FUZZ    := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAY  := $(FUZZ:%=%-replay)
ROBUST  := $(BUILD)/robust/failmalloc.so

# Unit tests: one program per file, cmocka, on the real modules.
$(BUILD)/tests/test_%: tests/unit/test_%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS) -lcmocka

# Programs that the integration tests run.
$(BUILD)/tests/%: tests/helpers/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

# Benchmarks: optimised like the program, and linked with its modules.
$(BUILD)/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

# A fuzz target is LLVMFuzzerTestOneInput() in one file. `fuzz` links it with libFuzzer, `fuzz-replay` with
# a main() that runs it on the files in tests/fuzz/corpus/NAME. The target itself is built without coverage counters,
# which halves the time.
UNWATCHED := -fsanitize=fuzzer -fno-sanitize-coverage=trace-cmp,inline-8bit-counters,indirect-calls,pc-table,stack-depth

$(BUILD)/fuzz/%-replay: tests/fuzz/%.c $(BUILD)/tests/fuzz/replay.o $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) -MMD -MP -o $@ $< $(BUILD)/tests/fuzz/replay.o $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(LIB)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests $(CFLAGS_ALL) $(UNWATCHED) -MMD -MP -o $@ $< $(LIB) $(LDFLAGS_ALL) $(PKG_LIBS)

$(BUILD)/robust/%.so: tests/robust/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu11 -O1 -g -Wall -Wextra $(WERROR) -D_GNU_SOURCE -fPIC -shared -pthread -MMD -MP -o $@ $<

-include $(UNIT:=.d) $(HELPERS:=.d) $(BENCH:=.d) $(FUZZ:=.d) $(REPLAY:=.d) $(BUILD)/tests/fuzz/replay.d

unit-programs: $(UNIT)
programs: unit-programs $(HELPERS) $(REPLAY) $(BENCH)

suite: all programs
	@UNIT='$(UNIT)' REPLAY='$(REPLAY)' tests/run $(BUILD)

unit: $(UNIT) ## run the unit tests
	@tests/run-unit $(UNIT)

fuzz-replay: $(REPLAY) ## run the fuzz targets on their corpora
	@tests/run-replay $(REPLAY)

it: all $(HELPERS) ## run the integration tests (IT='-k PATTERN', IT=--list)
	@TCPHEALTH_BUILD=$(BUILD) tests/it/run.py $(IT)

ASAN := SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all' FORTIFY= OPT=-O1
TSAN := SANITIZE=-fsanitize=thread FORTIFY= OPT=-O1
# Objects of the two compilers' sanitizers cannot be mixed.
BY_CLANG := $(if $(findstring clang,$(CC)),-clang)

asan: ## run all tests under AddressSanitizer and UndefinedBehaviorSanitizer (CC=clang-14 for clang's)
	@deploy/setup.sh build check $(if $(BY_CLANG),fuzz)
	+@$(AGAIN) BUILD=build-asan$(BY_CLANG) $(ASAN) suite

tsan: ## run all tests under ThreadSanitizer (CC=clang-14 for clang's)
	@deploy/setup.sh build check $(if $(BY_CLANG),fuzz)
	+@$(AGAIN) BUILD=build-tsan$(BY_CLANG) $(TSAN) suite

healthy: ## watch healthy load by real programs, of which nothing may be called stale (HEALTHY_SECONDS=120, as root)
	@deploy/setup.sh build check healthy
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) /usr/bin/python3 tests/healthy/run.py $(HEALTHY_SECONDS)

lint: ## run the static checkers (CHECKERS='format headers shell python cppcheck gcc_analyzer clang_tidy')
	@deploy/setup.sh build check lint
	+@$(AGAIN) lint-run

lint-run:
	@FLAGS='-std=gnu11 -Iinclude -Itests -D_GNU_SOURCE -pthread $(PKG_CFLAGS)' tests/run-lint $(CHECKERS)

format: ## format the C sources
	@deploy/setup.sh lint
	clang-format-14 -i $(wildcard include/*/*/*.h src/*.c src/*/*.[ch] tests/*/*.[ch])

count-lines: ## count the lines of code in src and include, without comments and blanks
	@tests/count-lines

words: ## find retired words in what people read, by the list in tests/words.txt
	@tests/words

instructions: ## count instructions per socket of a sample with callgrind, and compare with tests/bench/instructions.txt
	@deploy/setup.sh build check
	+@$(AGAIN) $(BUILD)/bench/bench_instructions
	@tests/bench/instructions.py $(BUILD)

bench-quick: ## run a short `make bench`, up to 10,000 sockets
	@deploy/setup.sh build check
	+@$(AGAIN) bench-run SIZES='1000 10000' QUICK=1

bench-docs: ## run `make bench` and write its tables to README.md and docs/benchmarks.md
	@deploy/setup.sh build check bench
	+@$(AGAIN) bench-run >$(BUILD)/bench.md
	@tests/bench/report.py publish $(BUILD)/bench.md README.md docs/benchmarks.md

SIZES ?= 1000 10000 100000 1000000
bench-run: $(BENCH) $(PROGRAM)
	@QUICK='$(QUICK)' tests/bench/run $(BUILD) $(SIZES)

FUZZ_SECONDS ?= 60
FUZZ_RUNS ?= 1000000
fuzz: ## fuzz each target with libFuzzer for FUZZ_SECONDS (60) and FUZZ_RUNS (1000000), about 15 minutes in all
	@deploy/setup.sh build fuzz
	+@$(AGAIN) BUILD=build-fuzz CC=clang-14 FORTIFY= \
		SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all' fuzz-run

fuzz-run: $(FUZZ)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_RUNS=$(FUZZ_RUNS) tests/run-fuzz $(BUILD) $(FUZZ)

# Robustness: hostile peers, a kernel that refuses, an exhausted machine. See tests/robust/.
SIZE ?= quick

robust: ## run the next seven, and hardening (SIZE=quick, 6 minutes, or full)
	@deploy/setup.sh build check robust
	+@$(AGAIN) robust-run hardening

ROBUST_PARTS := allocfail faults lifecycle abuse hostile soak valgrind
allocfail: ## make each allocation fail, once and for good
faults: ## make system calls fail, with strace
lifecycle: ## kill it, stop it, reload it, take netlink away
abuse: ## send slow, idle, malformed and too many HTTP requests
hostile: ## face 100,000 ports of a peer, names with quotes and newlines
soak: SIZE = full
soak: ## measure growth over 1,000,000 connections and 10,000 scrapes (SIZE=quick: 100,000 and 1,000)
valgrind: ## run everything under valgrind
$(ROBUST_PARTS):
	@deploy/setup.sh build check robust
	+@$(AGAIN) robust-run SIZE=$(SIZE) PART=test_$@.py

robust-run: all $(HELPERS) $(ROBUST)
	@tests/robust/run $(BUILD) $(SIZE) $(PART)

hardening: all ## check that the program has the compiler's and linker's protections
	@deploy/setup.sh build robust
	@tests/robust/hardening $(PROGRAM)

coverage: ## find lines that the tests reach, and in each parser, lines that its fuzz corpus alone reaches
	@deploy/setup.sh build check robust
	+@$(AGAIN) BUILD=build-coverage SANITIZE=--coverage CPPFLAGS=-DSANITIZED=1 FORTIFY= OPT=-O0 coverage-run

coverage-run: all programs
	@UNIT='$(UNIT)' REPLAY='$(REPLAY)' tests/robust/coverage $(BUILD)

mixin: ## check alerts, rules, dashboards and runbooks with promtool and amtool
	@deploy/setup.sh check
	@tests/mixin/run

panels: ## draw the dashboards in a browser, from real exporters with real stale connections, and check them (as root)
	@deploy/setup.sh build check
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) tests/grafana/run $(PANELS)

scale: ## measure one Prometheus with 200 instances and all rules: the figures of docs/fleet.md (as root)
	@deploy/setup.sh build check
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) tests/scale/run.py $(SCALE)

packages: ## test each file in deploy/ with the tool that reads it (PARTS='deb container ...'; as root)
	@deploy/setup.sh build check packages
	+@$(AGAIN) all
	@tests/packages/run $(BUILD) $(PARTS)

platforms: ## build with gcc-11 and clang-19, build and test for i386 (PARTS='gcc-11 i386 ...'; as root)
	@deploy/setup.sh build platforms
	@tests/platforms/run $(PARTS)

first-alert: ## follow docs/first-alert.md and compare its output (as root, four minutes, leaves nothing behind)
	@deploy/setup.sh build alerts
	+@$(AGAIN) all
	@tests/docs/first_alert

help-tests: ## show this list
	$(call targets_of,tests/targets.mk)

.PHONY: programs unit-programs suite unit fuzz-replay it healthy asan tsan lint lint-run format count-lines words instructions
.PHONY: bench-quick bench-docs bench-run fuzz fuzz-run robust $(ROBUST_PARTS) robust-run hardening coverage coverage-run
.PHONY: mixin panels scale packages platforms first-alert help-tests
