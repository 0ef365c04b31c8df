#pragma once

// Rows of segments, one at a time, for every caller that wants tuples: the sequential scan, fetches
// by tuple id, rewrites.

#include <cstdint>

#include "pg/base/postgres.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/segment_reader.hpp"

extern "C" {
#include "access/sdir.h"
#include "nodes/bitmapset.h"
#include "port/atomics.h"
}

namespace tsext::pg {

struct ColdScan;

/// Starts a scan over the segments of `relation` that `snapshot` sees.
///
/// attributes: attribute numbers to decode (others come out NULL); NULL = all that are not dropped
///             (an empty Bitmapset is NULL, too: {0} decodes nothing).
/// from, to:   segments and vectors whose times do not meet [from, to] are passed by; the rows of
///             the others are not filtered.
/// cursor:     shared by the participants of a parallel scan: each takes the next segment of the
///             common list; or NULL.
///
/// Memory lives in a child of `context`.
ColdScan *ColdScanBegin(Relation relation, Snapshot snapshot, const Bitmapset *attributes,
                        int64_t from, int64_t to, pg_atomic_uint32 *cursor, MemoryContext context);
/// Stores the next row in `slot` as a virtual tuple with its virtual tuple id in tts_tid; false and
/// an empty slot at the end. Pass-by-reference values live until the next call. Backward scans are
/// not possible with a shared cursor. For slots that are not virtual (buffer heap slots) the row is
/// formed into a tuple.
bool ColdScanNext(ColdScan *scan, ScanDirection direction, TupleTableSlot *slot);
void ColdScanRescan(ColdScan *scan);
void ColdScanEnd(ColdScan *scan);

/// Fetches one row by virtual tuple id into `slot`; false when no segment visible to the snapshot
/// has it.
bool ColdFetchRow(Relation relation, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot);

inline bool IsVirtualTid(const ItemPointerData *tid) {
  return ItemPointerGetBlockNumberNoCheck(tid) >= kVirtualBlock &&
         ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber;
}

}  // namespace tsext::pg
