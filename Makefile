# tcphealth_exporter: build, try and install. `make help` lists the targets, `make help-tests` those for developers.

PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
ifeq ($(origin CC),default)
CC := gcc
endif

VERSION  := $(shell cat VERSION)
REVISION := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

PKG_CONFIG ?= pkg-config
PKGS       := libmicrohttpd libmnl libdeflate libfyaml gnutls libcrypt libseccomp
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

comma := ,
# probe FLAGS: the flags, if the compiler takes them for its target. GNU ld only warns about a -z that it does not know.
probe = $(if $(shell printf '\043include <string.h>\nint main(void) { return 0; }\n' | \
	$(CC) -O2 -Werror -Wl,--fatal-warnings $(1) -x c -o /dev/null - 2>/dev/null && echo yes),$(1))
# either FLAGS OTHERS: the first that the compiler takes.
either = $(or $(call probe,$(1)),$(call probe,$(2)))

ZERO_INIT := -ftrivial-auto-var-init=zero
CET       := $(call probe,-fcf-protection=full -Wl$(comma)-z$(comma)ibt$(comma)-z$(comma)shstk)

WARN := -Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wimplicit-fallthrough \
	-Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wnull-dereference \
	-Werror=format-security -Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion \
	$(call probe,-Wduplicated-cond -Wlogical-op -Wcast-align=strict)
HARDEN := -fstack-protector-strong -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing -fPIE \
	$(filter-out -Wl%,$(CET)) $(call probe,-fstack-clash-protection) $(call probe,-mbranch-protection=standard) \
	$(call either,$(ZERO_INIT),$(ZERO_INIT) -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang)
FORTIFY ?= -U_FORTIFY_SOURCE $(call either,-D_FORTIFY_SOURCE=3,-D_FORTIFY_SOURCE=2)
# CI sets -Werror. Elsewhere, a new compiler's new warning does not stop the build.
WERROR   ?=
OPT      ?= -O2
SANITIZE ?=

# 64-bit file sizes, inodes and times on 32-bit systems, too.
CPPFLAGS_ALL := -Iinclude -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 $(FORTIFY) $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu11 $(OPT) -g $(WARN) $(WERROR) $(HARDEN) $(SANITIZE) -pthread $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL  := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed \
	$(filter -Wl%,$(CET)) -pthread $(SANITIZE) $(LDFLAGS)

SRC     := $(sort $(wildcard src/*/*.c))
OBJ     := $(SRC:%.c=$(BUILD)/%.o)
LIB     := $(BUILD)/libtcphealth.a
PROGRAM := $(BUILD)/tcphealth_exporter

# Prints a line per file; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAM) ## build the exporter

# Not while make reads this file, because `make run` and others install the libraries first.
LACKING := $(shell for p in $(PKGS); do $(PKG_CONFIG) --exists $$p 2>/dev/null || echo $$p; done)
libraries:
	$(if $(LACKING),$(error not found by $(PKG_CONFIG): $(LACKING); `deploy/setup.sh build` installs them on Debian))

$(PROGRAM): $(BUILD)/src/main.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(LIB): $(OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/src/base/version.o: CPPFLAGS_ALL += -DTCPHEALTH_VERSION='"$(VERSION)"' -DTCPHEALTH_REVISION='"$(REVISION)"'
$(BUILD)/src/base/version.o: VERSION $(BUILD)/revision

# Included by the assembler, which writes no dependencies.
$(BUILD)/src/render/assets.o: $(wildcard src/render/assets/*)

# Changes only when the revision does, so that the next build has the new revision.
$(BUILD)/revision: always
	@mkdir -p $(@D)
	@echo '$(REVISION)' | cmp -s - $@ || echo '$(REVISION)' >$@

$(BUILD)/%.o: %.c | libraries
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d) $(BUILD)/src/main.d

# Runs make again after the installation, because pkg-config above ran before it.
AGAIN := $(MAKE) --no-print-directory

run: ## build and run the exporter in the foreground (ARGS='--flag=value ...')
	@deploy/setup.sh build
	+@$(AGAIN) all
	exec $(PROGRAM) $(ARGS)

check: ## run all tests: unit, fuzz corpora, integration (as root, in its own network namespaces)
	@deploy/setup.sh build check
	+@$(AGAIN) suite

demo: ## play an incident on two simulated hosts and show the alerts (as root, a minute, leaves nothing behind)
	@deploy/setup.sh build check
	+@$(AGAIN) all
	@TCPHEALTH_BUILD=$(BUILD) tests/demo/run.py

bench: ## measure samples, pages and events against a raw drain and other programs, as Markdown tables (as root)
	@deploy/setup.sh build check bench
	+@$(AGAIN) bench-run

SYSTEMD_DIR  ?= $(PREFIX)/lib/systemd/system
INSTALL_DATA := install -D -m 644
SHARE        := $(DESTDIR)$(PREFIX)/share

install: all ## install program, man page, completion and systemd units under DESTDIR and PREFIX (/usr/local)
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

targets_of = @grep -hE '^[a-z][a-z-]*:.*\#\#' $(1) | sed -E 's/:[^\#]*\#\# /\t/' | expand -t 16

help: ## show this list
	$(call targets_of,Makefile)

.PHONY: always libraries all run check bench install demo clean help

# The parts of `check` and `bench`, and all other tests. Missing where only the program is built.
-include tests/targets.mk
