#pragma once

// Chunks: time ranges [start, end) of a table. They are no relations; a chunk exists when a segment
// of the directory carries its range, and its name is 'schema.table@<start>'.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/options.hpp"

namespace tsext::pg {

struct ChunkRange {
  int64_t start;
  int64_t end;  // exclusive; kTimeMaximum includes the last value
};

/// The chunk that rows of a time belong to.
///
/// width:    of a new chunk in time units, > 0 (the fixed interval, or what 'auto' is worth now).
/// existing: the ranges the table has, ascending, not overlapping.
/// Returns the existing chunk that holds `time`; else the cell of the grid (origin 2000-01-03 for
/// time types, 0 for integers) clipped against its existing neighbours, so that chunks never
/// overlap. A cell that reaches past the type's range is open: kTimeMinimum, kTimeMaximum. Without
/// a time column everything is one chunk.
ChunkRange ChunkForTime(const TableOptions *options, int64_t width, int64_t time,
                        const ChunkRange *existing, int count);

/// 'schema.table@2024-01-15 00:00:00+00', always with the schema, identifiers quoted when needed.
char *ChunkName(Oid relation_id, int64_t start, Oid time_type);

struct ParsedChunkName {
  Oid relation_id;
  int64_t start;
};
/// Reads a name as show_chunks() gives it, schema optional. Errors: 22023 when it is no chunk name
/// or the table is not a tsext table, 42P01 when there is no such table, and those of the time
/// type's input. Whether there is such a chunk is not checked; takes no lock.
ParsedChunkName ParseChunkName(const char *name);

}  // namespace tsext::pg
