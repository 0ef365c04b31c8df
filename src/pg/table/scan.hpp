#pragma once

// Sequential scans: hot rows from heap, then cold rows from segments.

#include "pg/base/postgres.hpp"
#include "pg/table/cold_scan.hpp"

extern "C" {
#include "access/relscan.h"
#include "storage/spin.h"
}

namespace tsext::pg {

struct ColdBlocks;

/// What table_beginscan gives for a tsext table, unless heap's code asked (then it is heap's own).
struct TsextScan {
  TableScanDescData base;       // rs_flags has kTsextScanFlag
  TableScanDesc heap;           // heap's descriptor over the hot rows
  MemoryContext context;        // where both live
  bool cold_is_known;           // whether there are cold rows has been found out
  bool has_started;             // a row was asked for since the last rescan
  bool in_cold;                 // the scan stands among the cold rows
  ColdScan *cold;               // sequential scans; NULL when nothing is cold
  Snapshot own_snapshot;        // registered for the cold rows when the scan's is no MVCC snapshot
  const Bitmapset *attributes;  // of cold rows to decode; NULL: all
  int64_t from, to;             // segments whose time range does not meet it are passed by
  // TABLESAMPLE and ANALYZE see runs of cold rows as blocks behind heap's last one.
  ColdBlocks *cold_blocks;  // NULL when nothing is cold
  BlockNumber hot_blocks;   // number of the first of them
  BlockNumber cold_block;   // the current one, counted from 0; InvalidBlockNumber: in the heap
  uint32_t cold_block_rows;
  uint32_t cold_block_row;
  // Of ANALYZE: pages of the heap in its sample, and the live rows on them.
  double sampled_hot_blocks, sampled_hot_rows;
};

/// Tells our descriptors from heap's, which carry the flags of their caller: the low bits.
inline constexpr uint32 kTsextScanFlag = 1u << 30;

/// Our descriptor, or NULL when the scan is heap's own.
inline TsextScan *AsTsextScan(TableScanDesc scan) {
  return (scan->rs_flags & kTsextScanFlag) != 0 ? reinterpret_cast<TsextScan *>(scan) : nullptr;
}

/// Heap's descriptor of any scan of a tsext table.
inline TableScanDesc HeapScanOf(TableScanDesc scan) {
  TsextScan *ours = AsTsextScan(scan);
  return ours != nullptr ? ours->heap : scan;
}

/// What the participants of a parallel scan share of the cold rows. Each loads the same list of
/// segments and takes the next one by the cursor, so the list's time range must be the same for
/// all: the first one to come decides it.
struct SharedColdScan {
  slock_t mutex;
  bool has_range;
  int64_t from, to;
  pg_atomic_uint32 cursor;
};

/// Of the shared part that table_parallelscan_initialize() made; nullptr for nullptr.
SharedColdScan *GetSharedColdScan(ParallelTableScanDesc shared);
/// Replaces the caller's range by the one that all participants use.
void AgreeOnRange(SharedColdScan *shared, int64_t *from, int64_t *to);

/// A fresh snapshot for cold rows when the caller's is no MVCC snapshot (SnapshotAny, Dirty, Self)
/// or missing. Registered; give it back with UnregisterSnapshot.
Snapshot RegisterFreshSnapshot();

/// Narrows a scan before its first row, or between a rescan and the row after it: only these
/// attributes of cold rows are decoded (NULL: all; the others come out NULL) and only segments that
/// meet [from, to] are read. attributes must outlive the scan.
void RestrictScan(TableScanDesc scan, const Bitmapset *attributes, int64_t from, int64_t to);

/// The next row: a hot one in `hot_slot` (a buffer heap slot), a cold one in `cold_slot` (any kind,
/// also the same). Returns the slot that has it, nullptr at the end.
TupleTableSlot *NextRow(TableScanDesc scan, ScanDirection direction, TupleTableSlot *hot_slot,
                        TupleTableSlot *cold_slot);

/// Whether the table has any segment the snapshot sees.
bool HasColdRows(Relation relation, Snapshot snapshot);

/// Raises 40001 when the table has cold rows that `snapshot` sees: called by what reads hot rows
/// only (index, bitmap and TID range scans). The planner makes such plans while nothing is cold;
/// one that was made just before the first compaction must not run after it. A retry gets a new
/// plan.
void RefuseColdRows(Relation relation, Snapshot snapshot);

/// Puts the callbacks of sequential scans into `routine`.
void SetScanCallbacks(TableAmRoutine *routine);

}  // namespace tsext::pg
