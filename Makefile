# The extension (PGXS). The core alone, with its tests, fuzzers and benchmarks: CMakeLists.txt.
#   make             build the extension under build/
#   make install     into the server that PG_CONFIG names
#   make demo        the main job on real data, on a private server     (make demo-stop ends it)
#   make test        everything that proves it works
EXTENSION  := tsext
VERSION    := 0.1.0
MODULE_big := tsext

SRCS := $(filter-out %_test.cpp %_fuzz.cpp %_tool.cpp src/core/replay.cpp, \
          $(sort $(wildcard src/*/*.cpp src/*/*/*.cpp)))
OBJS := $(SRCS:src/%.cpp=build/%.o)

# Order matters: stateful parts first, then what CREATE OR REPLACE can make again.
INSTALL_PARTS := src/pg/header.sql src/pg/catalog/catalog.sql src/pg/table/handler.sql \
                 $(filter-out src/pg/catalog/catalog.sql src/pg/table/handler.sql, \
                   $(sort $(wildcard src/pg/catalog/*.sql src/pg/table/*.sql src/pg/exec/*.sql src/pg/function/*.sql)))
DATA       := $(wildcard sql/upgrade/$(EXTENSION)--*--*.sql)
DATA_built := build/$(EXTENSION)--$(VERSION).sql

PG_CONFIG  ?= pg_config
PG_CPPFLAGS := -isystem $(shell $(PG_CONFIG) --includedir-server) -Isrc -Iinclude \
               -DTSEXT_VERSION='"$(VERSION)"' -DPGDLLEXPORT='__attribute__((visibility("default")))'
PG_CXXFLAGS := -std=c++20 -O3 -fvisibility=hidden -Wall -Wextra -Wno-unused-parameter -MMD -MP
SHLIB_LINK  := -lzstd -lstdc++ -lm
override with_llvm := no
EXTRA_CLEAN := build
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# One kernel source, three instruction sets; the CPU picks the table (src/core/codec/README in src/core).
build/core/codec/kernels_v3.o: CXXFLAGS += -march=x86-64-v3
build/core/codec/kernels_v4.o: CXXFLAGS += -march=x86-64-v4

build/%.o: src/%.cpp
	@mkdir -p $(@D)
	$(COMPILE.cc) -o $@ $<
$(DATA_built): $(INSTALL_PARTS)
	@mkdir -p $(@D)
	cat $^ > $@
-include $(OBJS:.o=.d)
