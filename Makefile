# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# `make help` lists the targets. Objects go to build/; V=1 shows the commands.

B        := build
CXX      ?= g++
CC       ?= gcc
CLANG    ?= clang-19
BPFTOOL  ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
PROTOC   ?= protoc
PREFIX   ?= /usr/local
DESTDIR  ?=
VERSION  := 0.1.0
# Set by `make asan`, `make fuzz`.
SANITIZE ?=
# Line numbers, for backtraces: all of -g takes as long again as the rest of the compiler.
DEBUG    ?= -g1

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif
MAKEFLAGS += --no-print-directory

CPPFLAGS := -isystem $(B) -I. -D_GNU_SOURCE -DBPFCKPT_VERSION='"$(VERSION)"'
WARN     := -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wcast-qual
CXXFLAGS := -std=c++23 -O2 $(DEBUG) -fno-omit-frame-pointer $(SANITIZE)
CFLAGS   := -std=gnu11 -O2 -g -Wall -Wextra -Werror
BPFFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Werror -I. -D__BPF__ -D__TARGET_ARCH_x86 -isystem /usr/include/x86_64-linux-gnu
# Loading libprotobuf.so takes longer than restoring a small process: 1 ms of symbols that nobody uses.
LIBS     := -lbpf -lelf -lz -Wl,-Bstatic -lprotobuf -Wl,-Bdynamic -lfmt -lxxhash -lcap -luring -lpthread

PROTOS   := $(wildcard images/*.proto)
PROTO_H  := $(PROTOS:%.proto=$(B)/%.pb.h)
PROTO_O  := $(PROTOS:%.proto=$(B)/%.pb.o)
BPF_C    := $(wildcard bpf/*.bpf.c)
SKELS    := $(BPF_C:bpf/%.bpf.c=$(B)/bpf/%.skel.h)
MAIN_CC  := user/cli/main.cc
LIB_CC   := $(filter-out $(MAIN_CC),$(wildcard iterators/*.cc images/*.cc user/*/*.cc))
LIB_O    := $(LIB_CC:%.cc=$(B)/%.o) $(PROTO_O)

# Debian packages to build and test, on 12 and 13; `make deps` installs what is missing.
PACKAGES := g++ clang-19 bpftool libbpf-dev libelf-dev zlib1g-dev protobuf-compiler libprotobuf-dev libfmt-dev libcli11-dev \
	libxxhash-dev libcap-dev scdoc liburing-dev libgtest-dev libgmock-dev libbenchmark-dev nlohmann-json3-dev util-linux \
	libclang-rt-19-dev clang-format-19 clang-tidy-19 shellcheck fio

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all deps demo test test-unit bench lint format format-check asan fuzz install uninstall clean help

all: $(B)/bpfckpt ## build everything

# --- generated sources ---------------------------------------------------------------------------------------------

$(B)/images/%.pb.cc $(B)/images/%.pb.h: images/%.proto
	$(say) PROTOC $<
	@mkdir -p $(B)/images
	$(Q)$(PROTOC) -I. --cpp_out=$(B) $<

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -MMD -MP -c $< -o $@

$(B)/bpf/%.skel.h: $(B)/bpf/%.bpf.o
	$(say) SKEL $<
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@.tmp && mv $@.tmp $@

# Generated headers count as system headers (no warnings of ours); -MD rather than -MMD still tracks them.
# --- bpfckpt -------------------------------------------------------------------------------------------------------

# GCC and clang each look for what they have compiled beside the header that is named.
PCH     := $(B)/precompiled.h
PCH_BIN := $(PCH)$(if $(findstring clang,$(CXX)),.pch,.gch)

$(PCH_BIN): user/util/precompiled.h
	$(say) PCH $<
	@mkdir -p $(@D)
	$(Q)grep -v '#pragma once' $< > $(PCH)
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -x c++-header $(PCH) -o $@

# Protobuf's own code does not pass our warnings.
$(B)/%.pb.o: $(B)/%.pb.cc $(PROTO_H) $(PCH_BIN)
	$(say) CXX $<
	$(Q)$(CXX) -include $(PCH) $(CPPFLAGS) $(CXXFLAGS) -w -MD -MP -c $< -o $@

$(B)/%.o: %.cc $(PCH_BIN) | $(PROTO_H) $(SKELS)
	$(say) CXX $<
	@mkdir -p $(@D)
	$(Q)$(CXX) -include $(PCH) $(CPPFLAGS) $(CXXFLAGS) $(WARN) -Winvalid-pch -MD -MP -c $< -o $@

$(B)/libbpfckpt.a: $(LIB_O)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/bpfckpt: $(MAIN_CC:%.cc=$(B)/%.o) $(B)/libbpfckpt.a
	$(say) LINK $@
	$(Q)$(CXX) $(CXXFLAGS) $^ $(LIBS) -o $@

# Test programs, benchmarks, fuzzers and the demo.
include selftests/Makefile.inc

# --- packages, installation ----------------------------------------------------------------------------------------

deps: ## install the Debian packages that are missing
	$(Q)missing=$$(for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	[ -z "$$missing" ] || { apt-get -q update && apt-get -qy --no-install-recommends install $$missing; }

MAN         := $(patsubst docs/man/%.scd,$(B)/man/%,$(wildcard docs/man/*.scd))
COMPLETIONS := bpfckpt.bash:bash-completion/completions/bpfckpt _bpfckpt:zsh/site-functions/_bpfckpt \
	bpfckpt.fish:fish/vendor_completions.d/bpfckpt.fish

all: $(MAN)

$(B)/man/%: docs/man/%.scd
	$(say) MAN $<
	@mkdir -p $(@D)
	$(Q)scdoc < $< > $@

install: all ## install the program, its man pages and completions below PREFIX (DESTDIR for packagers)
	$(Q)install -Dm755 $(B)/bpfckpt $(DESTDIR)$(PREFIX)/bin/bpfckpt
	$(Q)for page in $(MAN); do install -Dm644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	$(Q)for c in $(COMPLETIONS); do install -Dm644 docs/completions/$${c%:*} $(DESTDIR)$(PREFIX)/share/$${c#*:}; done

uninstall: ## remove what install put there
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/bpfckpt
	$(Q)for page in $(MAN); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	$(Q)for c in $(COMPLETIONS); do rm -f $(DESTDIR)$(PREFIX)/share/$${c#*:}; done

clean: ## remove build/
	$(Q)rm -rf $(B)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

-include $(shell find $(B) -name '*.d' 2>/dev/null)
