#pragma once

// Walking over the hot heap of a table as compaction, drop_chunks and their planning do.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/chunk.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

namespace tsext::pg {

/// The time ranges of a table: chunks that exist in the directory, and the grid where there is
/// none.
struct ChunkMap {
  const TableOptions *options;
  ChunkRange *existing;  // in time order
  int count;
  ChunkRange last;  // answer of the last look-up
  bool has_last;
};

/// Reads the chunks of the directory, in the current memory context. rows: of LoadSegments.
ChunkMap MakeChunkMap(const TableOptions *options, const SegmentRow *rows, int count);
/// The chunk a time belongs to.
ChunkRange FindChunk(ChunkMap *map, int64_t time);

/// The time of a row in time units; false when it is NULL or ±infinity: such a row belongs to no
/// chunk and stays hot. Tables without a time column: 0.
bool RowTime(const TableOptions *options, TupleTableSlot *slot, int64_t *time);

/// A sequential scan of the hot heap alone, page by page. The scan registers its snapshot.
struct HotScan {
  Relation relation;
  Snapshot snapshot;
  TableScanDesc heap;
  TupleTableSlot *slot;
};
/// snapshot: an MVCC snapshot; nullptr = one taken now.
HotScan HotScanBegin(Relation relation, Snapshot snapshot = nullptr);
/// The next row visible to the scan's snapshot, its page pinned until the next call; nullptr at the
/// end.
TupleTableSlot *HotScanNext(HotScan *scan);
void HotScanEnd(HotScan *scan);

/// Hot rows of one chunk.
struct HotChunk {
  ChunkRange range;
  int64_t rows;
};
/// Counts the hot rows that `snapshot` (nullptr = one taken now) sees by chunk: palloc'd, in time
/// order.
HotChunk *CountHotRows(Relation relation, ChunkMap *map, int *count, Snapshot snapshot = nullptr);

}  // namespace tsext::pg
