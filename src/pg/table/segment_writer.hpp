#pragma once

// From a RowBuffer to segments: assign rows to chunks, sort by (segment-by, time), cut, encode,
// store, enter in the directory.

#include <cstdint>

#include "tsext/types.hpp"

#include "pg/table/row_buffer.hpp"

namespace tsext::pg {

struct WriteSegmentsOptions {
  Level level = Level::kHot;
  CommandId cid = 0;
  /// Chunks with fewer rows than this are left out: their row numbers are collected in `left`. 0 =
  /// write everything.
  int32_t minimum_rows = 0;
  /// When set, all rows belong to this chunk (merge, compress_chunk).
  bool fixed_chunk = false;
  int64_t chunk_start = 0, chunk_end = 0;
  /// The relation that automatically chosen segment-by columns are remembered for, when it is not
  /// the one written to: a rewrite fills a transient one.
  Relation owner = nullptr;
  /// Called before each segment; may raise an error.
  void (*between)() = nullptr;
};

struct WriteSegmentsResult {
  int64_t rows = 0;
  int32_t segments = 0;
  int64_t bytes = 0;
  int64_t *left = nullptr;  // palloc'd in the caller's context: rows not written
  int64_t left_count = 0;
};

/// Writes the buffer's rows in the current transaction. Chooses segment-by columns from the buffer
/// when the options leave that open and remembers them. The buffer keeps its rows. Rows whose time
/// is NULL or ±infinity belong to no chunk: they are always left out (`left`) and live in the hot
/// heap.
WriteSegmentsResult WriteSegments(Relation relation, RowBuffer *buffer, const TableOptions *options,
                                  const WriteSegmentsOptions &how);

}  // namespace tsext::pg
