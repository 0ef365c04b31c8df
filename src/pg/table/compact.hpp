#pragma once

// Hot rows to segments, many segments to few, HOT codecs to COLD ones. The protocol is in README.md
// ("Compaction").

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/segment.hpp"

namespace tsext::pg {

/// Which codecs the written segments use.
enum class CompactLevel : uint8_t {
  kAsSettings,  ///< COLD for chunks that ended tsext.cold_after ago, HOT for the others
  kHot,
  kCold,
};

/// What a compaction may touch.
struct CompactRequest {
  /// Only chunks inside [from, until).
  int64_t from = kTimeMinimum;
  int64_t until = kTimeMaximum;
  CompactLevel level = CompactLevel::kAsSettings;
  /// The background worker's manners: only chunks that have reached a threshold, only rows every
  /// snapshot sees, chunks on hold left alone, and the transaction ends early when it has moved
  /// enough or somebody waits for it.
  bool background = false;
  /// In the background, too, chunks are moved that have not reached a threshold.
  bool any_size = false;
  /// False: only merge what is cold already.
  bool move_rows = true;
};

struct CompactResult {
  int64_t rows_moved = 0;
  int32_t segments_written = 0;
  int32_t segments_merged = 0;
  int64_t bytes_before = 0;  ///< of the heap tuples moved and the segments merged
  int64_t bytes_after = 0;   ///< of the segments written
  bool more = false;         ///< stopped early: call again in a new transaction
};

/// Compacts and merges in the current transaction. The caller holds ShareUpdateExclusiveLock on
/// `relation` and has checked StaysHotBecause(). Needs READ COMMITTED (refused otherwise: an old
/// snapshot would see its own new segments).
CompactResult CompactRelation(Relation relation, const CompactRequest &request);

/// Moves the rows of one chunk back into the hot heap. Returns the number of rows.
int64_t DecompressChunk(Relation relation, int64_t chunk_start, int64_t chunk_end);

/// Opens a tsext table for one of the functions here: owner's rights, not in recovery, no
/// REPEATABLE READ, and takes the ShareUpdateExclusiveLock that excludes vacuum, DDL and other
/// compactions but neither readers nor writers.
Relation OpenForCompaction(Oid relation_id, const char *operation);

}  // namespace tsext::pg
