# The extension (PGXS). The core alone, with its tests, fuzzers and benchmarks: CMakeLists.txt.
#   make             build the extension under build/
#   make install     into the server that PG_CONFIG names
#   make demo        the main job on real data, on a private server     (make demo-stop ends it)
#   make test        everything that proves it works             (make test-LAYER: one layer, see test/run.sh)
#   make bench       the figures of bench/README.md
EXTENSION  := tsext
VERSION    := 0.1.0
MODULE_big := tsext

# make TSEXT_HTTP=no: without the HTTP listener and its libraries.
TSEXT_HTTP ?= yes
ifeq ($(TSEXT_HTTP),no)
  WITHOUT := src/pg/ingest/http_%.cpp src/pg/ingest/influx_%.cpp
else
  HTTP_FLAGS := -DTSEXT_HTTP
  HTTP_LIBS := -lmicrohttpd -lz
endif

SRCS := $(filter-out %_test.cpp %_fuzz.cpp %_tool.cpp src/core/replay.cpp $(WITHOUT), \
          $(sort $(wildcard src/*/*.cpp src/*/*/*.cpp)))
OBJS := $(SRCS:src/%.cpp=build/%.o)

# Order matters: stateful parts first, then what CREATE OR REPLACE can make again.
FIRST_PARTS := src/pg/header.sql src/pg/catalog/catalog.sql src/pg/table/handler.sql
INSTALL_PARTS := $(FIRST_PARTS) $(filter-out $(FIRST_PARTS), $(sort $(wildcard src/pg/catalog/*.sql)) \
                   $(sort $(wildcard src/pg/table/*.sql src/pg/exec/*.sql src/pg/function/*.sql src/pg/job/*.sql src/pg/cagg/*.sql src/pg/ingest/*.sql)) \
                   $(sort $(wildcard src/pg/alert/*.sql))) src/pg/footer.sql
DATA       := $(wildcard sql/upgrade/$(EXTENSION)--*--*.sql)
DATA_built := build/$(EXTENSION)--$(VERSION).sql

PG_CONFIG  ?= $(firstword $(wildcard /usr/lib/postgresql/15/bin/pg_config) pg_config)
PG_CPPFLAGS := -isystem $(shell $(PG_CONFIG) --includedir-server) -Isrc -Iinclude \
               -DTSEXT_VERSION='"$(VERSION)"' -DPGDLLEXPORT='__attribute__((visibility("default")))' $(HTTP_FLAGS)
PG_CXXFLAGS := -std=c++20 -O3 -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter -MMD -MP $(if $(WERROR),-Werror)
SHLIB_LINK  := -lzstd $(HTTP_LIBS) -lstdc++ -lm
override with_llvm := no
EXTRA_CLEAN := build
REGRESS     := $(patsubst sql/%.sql,%,$(filter-out sql/%--%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS := --load-extension=$(EXTENSION)

# These two need nothing but make: they install the packages they miss. Before PGXS, which is one of them.
LAYERS := style core fuzz build regress isolation tap differential clients doc
.PHONY: test demo demo-stop bench packages $(addprefix test-,$(LAYERS))
.DEFAULT_GOAL := all
test:
	CXX='$(TEST_CXX)' test/run.sh
$(addprefix test-,$(LAYERS)): test-%:
	CXX='$(TEST_CXX)' test/run.sh $*
demo:
	demo/demo.sh start
demo-stop:
	demo/demo.sh stop
bench:
	bench/run.sh
packages:
	test/install_packages.sh build test clients
# Before PGXS sets it: what the caller chose, or nothing.
TEST_CXX := $(if $(filter-out default,$(origin CXX)),$(CXX))

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(PGXS),)
all install:
	@echo 'postgresql-server-dev-15 is missing: run "make packages", or name a pg_config by PG_CONFIG' >&2; exit 1
else
include $(PGXS)

# One kernel source, three instruction sets; the CPU picks the table (src/core/codec/README in src/core).
# No fused multiply-add: every table rounds alike.
build/core/codec/kernels_v%.o build/core/vector/vector_kernels_v%.o: CXXFLAGS += -ffp-contract=off
build/core/codec/kernels_v3.o build/core/vector/vector_kernels_v3.o: CXXFLAGS += -march=x86-64-v3
build/core/codec/kernels_v4.o build/core/vector/vector_kernels_v4.o: CXXFLAGS += -march=x86-64-v4

build/%.o: src/%.cpp
	@mkdir -p $(@D)
	$(COMPILE.cc) -o $@ $<
$(DATA_built): $(INSTALL_PARTS) Makefile
	@mkdir -p $(@D)
	cat $(INSTALL_PARTS) > $@
-include $(OBJS:.o=.d)
endif
