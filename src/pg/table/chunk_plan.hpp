#pragma once

// Which chunk a buffered row belongs to, and how two writers keep chunks of one table from
// overlapping. See "Chunks" in README.md.

#include <cstdint>

#include "pg/catalog/chunk.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/row_columns.hpp"

extern "C" {
#include "storage/lockdefs.h"
}

namespace tsext::pg {

/// Rows of a buffer that go to one chunk. rows: row numbers in their order in the buffer.
struct ChunkRows {
  ChunkRange range;
  bool is_new;  // no segment has this range yet
  uint32_t *rows;
  uint32_t count;
};

struct ChunkPlan {
  ChunkRows *chunks;  // ascending, only those to be written
  int count;
  bool has_new;
  int64_t *left;  // rows that go to no chunk: not a finite time, or too few for theirs
  int64_t left_count;
};

/// The lock that keeps chunks of a table from overlapping. A writer holds it in share mode, or
/// exclusively when it makes chunks, from reading the ranges until one directory row of each of its
/// chunks is inserted: ranges are read with a dirty snapshot, which sees rows of transactions in
/// progress, so nothing needs to be held until commit. Readers and row inserters never take it.
void LockChunkRanges(Relation relation, LOCKMODE mode);
void UnlockChunkRanges(Relation relation, LOCKMODE mode);

/// For a merge that puts one chunk, `range`, in the place of others. Takes the lock to the end of
/// the transaction, without waiting, and looks whether the directory has exactly `count` segments
/// there, those of transactions in progress included. False: not now.
bool MayJoinChunks(Relation relation, const ChunkRange &range, int count);

/// Distinct chunk ranges of a store, ascending; segments of transactions in progress count.
ChunkRange *LoadChunkRanges(Oid store, int *count);

/// Distributes the buffer's rows. `ranges` exist already; other times get chunks of the fixed
/// interval, or of one day widened to a power of two of days until a chunk would hold 500,000 of
/// these rows on average, clipped to where no chunk is. Chunks of fewer than minimum_rows are left
/// out. Memory from the current context.
ChunkPlan PlanChunks(const RowBuffer *buffer, const TableOptions *options, const ChunkRange *ranges,
                     int range_count, int64_t minimum_rows);
/// All rows with a finite time go to one chunk.
ChunkPlan PlanFixedChunk(const RowBuffer *buffer, ChunkRange range);

}  // namespace tsext::pg
