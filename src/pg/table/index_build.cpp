// Building and validating an index: the hot rows only. Heap's own versions read with heap_getnext,
// which refuses a table of another access method, so these read with heap's getnextslot. The rules
// (what to index under which tuple id, what counts as alive, when to wait) must be heap's exactly:
// the index serves heap's HOT chains.

#include "pg/table/index_build.hpp"

#include "pg/base/boundary.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
}

namespace tsext::pg {

namespace {

/// A key over rows that no index holds cannot be checked. The creation of the index has made all
/// rows hot (rewrite.cpp), so these came later: only CREATE INDEX CONCURRENTLY lets them.
void RefuseUniqueOverColdRows(Relation table, Relation index, const IndexInfo *info) {
  const bool is_exclusion = info->ii_ExclusionOps != nullptr;
  if (!info->ii_Unique && !is_exclusion) return;
  if (!Enter([&] { return HasColdRows(table, InvalidSnapshot); })) return;
  ereport(ERROR,
          (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
           is_exclusion ? errmsg("cannot create exclusion constraint \"%s\" on table \"%s\" with "
                                 "compressed rows",
                                 RelationGetRelationName(index), RelationGetRelationName(table))
                        : errmsg("cannot create unique index \"%s\" on table \"%s\" with "
                                 "compressed rows",
                                 RelationGetRelationName(index), RelationGetRelationName(table)),
           errdetail("Rows in compressed segments are in no index."),
           errhint("Create it again: that moves compressed rows back to the heap.")));
}

/// The roots of the HOT chains of the page the scan stands on.
struct RootOffsets {
  BlockNumber block = InvalidBlockNumber;
  OffsetNumber offsets[MaxHeapTuplesPerPage];
};

void ReadRootOffsets(HeapScanDesc scan, RootOffsets *roots) {
  LockBuffer(scan->rs_cbuf, BUFFER_LOCK_SHARE);
  heap_get_root_tuples(BufferGetPage(scan->rs_cbuf), roots->offsets);
  LockBuffer(scan->rs_cbuf, BUFFER_LOCK_UNLOCK);
  roots->block = scan->rs_cblock;
}

/// The tuple id an index has for `tuple`: that of the root of its HOT chain.
ItemPointerData RootTid(Relation table, HeapTuple tuple, HeapScanDesc scan, RootOffsets *roots) {
  ItemPointerData tid = tuple->t_self;
  if (!HeapTupleIsHeapOnly(tuple)) return tid;
  const OffsetNumber offset = ItemPointerGetOffsetNumber(&tid);
  // With only ShareUpdateExclusiveLock a HOT update may have come after the page was looked at.
  if (!OffsetNumberIsValid(roots->offsets[offset - 1])) ReadRootOffsets(scan, roots);
  if (!OffsetNumberIsValid(roots->offsets[offset - 1]))
    ereport(ERROR,
            (errcode(ERRCODE_DATA_CORRUPTED),
             errmsg_internal(
                 "failed to find parent tuple for heap-only tuple at (%u,%u) in table \"%s\"",
                 ItemPointerGetBlockNumber(&tid), offset, RelationGetRelationName(table))));
  ItemPointerSetOffsetNumber(&tid, roots->offsets[offset - 1]);
  return tid;
}

/// What an index build does with one tuple.
struct Verdict {
  bool index;                                     // enter it
  bool alive;                                     // take part in the check for uniqueness
  bool count;                                     // a live row of the table, as ANALYZE counts
  TransactionId wait_for = InvalidTransactionId;  // decide again when this one has ended
};

/// Judges a tuple for a build that reads with SnapshotAny.
///
/// anyvisible: tuples of running transactions count as visible (BRIN's summaries).
/// unique:     uniqueness is being checked.
/// Sets info->ii_BrokenHotChain when an old snapshot would miss a row in the index.
Verdict JudgeTuple(Relation table, HeapTuple tuple, Buffer buffer, TransactionId oldest_xmin,
                   bool anyvisible, bool unique, IndexInfo *info) {
  switch (HeapTupleSatisfiesVacuum(tuple, oldest_xmin, buffer)) {
    case HEAPTUPLE_DEAD:
      return {.index = false, .alive = false, .count = false};

    case HEAPTUPLE_LIVE:
      return {.index = true, .alive = true, .count = true};

    case HEAPTUPLE_RECENTLY_DEAD:
      // An old snapshot may want it. In a HOT chain only the newest version gets an entry, under
      // the root, so such snapshots must not use the index.
      if (HeapTupleIsHotUpdated(tuple)) {
        info->ii_BrokenHotChain = true;
        return {.index = false, .alive = false, .count = false};
      }
      return {.index = true, .alive = false, .count = false};

    case HEAPTUPLE_INSERT_IN_PROGRESS: {
      if (anyvisible) return {.index = true, .alive = true, .count = true};
      const TransactionId inserter = HeapTupleHeaderGetXmin(tuple->t_data);
      if (TransactionIdIsCurrentTransactionId(inserter))
        return {.index = true, .alive = true, .count = true};
      // The table is locked against writers: this should not happen.
      elog(WARNING, "concurrent insert in progress within table \"%s\"",
           RelationGetRelationName(table));
      return {.index = true,
              .alive = true,
              .count = false,
              .wait_for = unique ? inserter : InvalidTransactionId};
    }

    case HEAPTUPLE_DELETE_IN_PROGRESS: {
      if (anyvisible) return {.index = true, .alive = false, .count = true};
      const TransactionId deleter = HeapTupleHeaderGetUpdateXid(tuple->t_data);
      const bool hot_updated = HeapTupleIsHotUpdated(tuple);
      if (!TransactionIdIsCurrentTransactionId(deleter)) {
        elog(WARNING, "concurrent delete in progress within table \"%s\"",
             RelationGetRelationName(table));
        // Should the deleter abort, this is the version to index after all.
        const bool wait = unique || hot_updated;
        return {.index = true,
                .alive = false,
                .count = true,
                .wait_for = wait ? deleter : InvalidTransactionId};
      }
      if (hot_updated) {
        info->ii_BrokenHotChain = true;
        return {.index = false, .alive = false, .count = false};
      }
      return {.index = true, .alive = false, .count = false};
    }
  }
  elog(ERROR, "unexpected HeapTupleSatisfiesVacuum result");
  pg_unreachable();
}

/// Judges the tuple, waiting for transactions as long as the verdict depends on them. The scan's
/// pin keeps the tuple where it is meanwhile.
Verdict DecideTuple(Relation table, HeapTuple tuple, Buffer buffer, TransactionId oldest_xmin,
                    bool anyvisible, bool unique, IndexInfo *info) {
  for (;;) {
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    const Verdict verdict = JudgeTuple(table, tuple, buffer, oldest_xmin, anyvisible, unique, info);
    LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
    if (!TransactionIdIsValid(verdict.wait_for)) return verdict;
    XactLockTableWait(verdict.wait_for, table, &tuple->t_self, XLTW_InsertIndexUnique);
    CHECK_FOR_INTERRUPTS();
  }
}

BlockNumber BlocksTotal(HeapScanDesc scan) {
  auto *shared = reinterpret_cast<ParallelBlockTableScanDesc>(scan->rs_base.rs_parallel);
  return shared != nullptr ? shared->phs_nblocks : scan->rs_nblocks;
}

/// Blocks between the scan's start, which need not be block 0, and where it stands.
BlockNumber BlocksDone(HeapScanDesc scan) {
  auto *shared = reinterpret_cast<ParallelBlockTableScanDesc>(scan->rs_base.rs_parallel);
  const BlockNumber start = shared != nullptr ? shared->phs_startblock : scan->rs_startblock;
  if (scan->rs_cblock > start) return scan->rs_cblock - start;
  return BlocksTotal(scan) - start + scan->rs_cblock;
}

double IndexBuildRangeScan(Relation table, Relation index, IndexInfo *info, bool allow_sync,
                           bool anyvisible, bool progress, BlockNumber start_block,
                           BlockNumber block_count, IndexBuildCallback callback,
                           void *callback_state, TableScanDesc scan) {
  const bool unique = info->ii_Unique || info->ii_ExclusionOps != nullptr;
  RefuseUniqueOverColdRows(table, index, info);

  EState *estate = CreateExecutorState();
  ExprContext *econtext = GetPerTupleExprContext(estate);
  TupleTableSlot *slot = table_slot_create(table, nullptr);
  econtext->ecxt_scantuple = slot;
  ExprState *predicate = ExecPrepareQual(info->ii_Predicate, estate);

  // A plain build reads everything and judges by itself, because dead rows that old snapshots see
  // must be indexed too; a concurrent one reads what its snapshot sees.
  TransactionId oldest_xmin = InvalidTransactionId;
  if (!IsBootstrapProcessingMode() && !info->ii_Concurrent)
    oldest_xmin = GetOldestNonRemovableTransactionId(table);

  Snapshot own_snapshot = nullptr;
  Snapshot snapshot;
  TableScanDesc given = scan;  // of a parallel build, with a snapshot chosen by the same rule
  if (given != nullptr) {
    snapshot = given->rs_snapshot;
    scan = HeapScanOf(given);
  } else {
    snapshot = SnapshotAny;
    if (!TransactionIdIsValid(oldest_xmin))
      snapshot = own_snapshot = RegisterSnapshot(GetTransactionSnapshot());
    uint32 flags = SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE;
    if (allow_sync) flags |= SO_ALLOW_SYNC;
    scan = Heap()->scan_begin(table, snapshot, 0, nullptr, nullptr, flags);
  }
  auto *heap_scan = reinterpret_cast<HeapScanDesc>(scan);
  if (!allow_sync) heap_setscanlimits(scan, start_block, block_count);
  if (progress) pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, BlocksTotal(heap_scan));

  double live_rows = 0;
  BlockNumber reported = InvalidBlockNumber;
  RootOffsets roots;
  while (Heap()->scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    if (progress && BlocksDone(heap_scan) != reported) {
      reported = BlocksDone(heap_scan);
      pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, reported);
    }
    if (heap_scan->rs_cblock != roots.block) ReadRootOffsets(heap_scan, &roots);

    HeapTuple tuple = ExecFetchSlotHeapTuple(slot, false, nullptr);
    Verdict verdict = {.index = true, .alive = true, .count = true};
    if (snapshot == SnapshotAny)
      verdict =
          DecideTuple(table, tuple, heap_scan->rs_cbuf, oldest_xmin, anyvisible, unique, info);
    if (verdict.count) live_rows += 1;
    if (!verdict.index) continue;

    MemoryContextReset(econtext->ecxt_per_tuple_memory);
    if (predicate != nullptr && !ExecQual(predicate, econtext)) continue;
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(info, slot, estate, values, nulls);
    ItemPointerData tid = RootTid(table, tuple, heap_scan, &roots);
    callback(index, &tid, values, nulls, verdict.alive, callback_state);
  }
  if (progress) pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, BlocksTotal(heap_scan));

  if (given != nullptr)
    table_endscan(given);
  else
    Heap()->scan_end(scan);
  if (own_snapshot != nullptr) UnregisterSnapshot(own_snapshot);
  ExecDropSingleTupleTableSlot(slot);
  FreeExecutorState(estate);
  info->ii_ExpressionsState = NIL;  // they were in the executor state
  info->ii_PredicateState = nullptr;
  return live_rows;
}

/// The tuple ids an index already has, in ascending order, for a merge with the table's.
struct IndexedTids {
  Tuplesortstate *sort;
  bool has_current = false;
  bool at_end = false;
  ItemPointerData current;
  // Offsets that were passed on the table's current page: HOT roots come out of order there.
  bool passed[MaxHeapTuplesPerPage];
};

/// Whether the index has `tid`. Asked page by page in ascending order; block: the table's current
/// page.
bool IndexHas(IndexedTids *indexed, const ItemPointerData *tid, BlockNumber block) {
  while (!indexed->at_end &&
         (!indexed->has_current ||
          ItemPointerCompare(&indexed->current, const_cast<ItemPointer>(tid)) < 0)) {
    if (indexed->has_current && ItemPointerGetBlockNumber(&indexed->current) == block)
      indexed->passed[ItemPointerGetOffsetNumber(&indexed->current) - 1] = true;
    Datum encoded;
    bool is_null;
    indexed->at_end = !tuplesort_getdatum(indexed->sort, true, &encoded, &is_null, nullptr);
    indexed->has_current = !indexed->at_end;
    if (indexed->has_current) {
      itemptr_decode(&indexed->current, DatumGetInt64(encoded));
#ifndef USE_FLOAT8_BYVAL
      pfree(DatumGetPointer(encoded));
#endif
    }
  }
  if (indexed->passed[ItemPointerGetOffsetNumber(tid) - 1]) return true;
  return indexed->has_current &&
         ItemPointerCompare(&indexed->current, const_cast<ItemPointer>(tid)) == 0;
}

void IndexValidateScan(Relation table, Relation index, IndexInfo *info, Snapshot snapshot,
                       ValidateIndexState *state) {
  RefuseUniqueOverColdRows(table, index, info);
  EState *estate = CreateExecutorState();
  ExprContext *econtext = GetPerTupleExprContext(estate);
  TupleTableSlot *slot = table_slot_create(table, nullptr);
  econtext->ecxt_scantuple = slot;
  ExprState *predicate = ExecPrepareQual(info->ii_Predicate, estate);

  // From block 0 on, never synchronised with another scan: the merge needs ascending tuple ids.
  TableScanDesc scan = Heap()->scan_begin(table, snapshot, 0, nullptr, nullptr,
                                          SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
  auto *heap_scan = reinterpret_cast<HeapScanDesc>(scan);
  pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, heap_scan->rs_nblocks);

  RootOffsets roots;
  IndexedTids indexed;
  indexed.sort = state->tuplesort;
  while (Heap()->scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    state->htups += 1;
    if (heap_scan->rs_cblock != roots.block) {
      pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, heap_scan->rs_cblock);
      ReadRootOffsets(heap_scan, &roots);
      memset(indexed.passed, 0, sizeof indexed.passed);
    }
    HeapTuple tuple = ExecFetchSlotHeapTuple(slot, false, nullptr);
    ItemPointerData tid = RootTid(table, tuple, heap_scan, &roots);
    if (IndexHas(&indexed, &tid, roots.block)) continue;

    MemoryContextReset(econtext->ecxt_per_tuple_memory);
    if (predicate != nullptr && !ExecQual(predicate, econtext)) continue;
    Datum values[INDEX_MAX_KEYS];
    bool nulls[INDEX_MAX_KEYS];
    FormIndexDatum(info, slot, estate, values, nulls);
    // A unique check of the whole HOT chain, even when this version is dead by now.
    index_insert(index, values, nulls, &tid, table,
                 info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
    state->tups_inserted += 1;
  }

  Heap()->scan_end(scan);
  ExecDropSingleTupleTableSlot(slot);
  FreeExecutorState(estate);
  info->ii_ExpressionsState = NIL;  // they were in the executor state
  info->ii_PredicateState = nullptr;
}

}  // namespace

void SetIndexBuildCallbacks(TableAmRoutine *routine) {
  routine->index_build_range_scan = IndexBuildRangeScan;
  routine->index_validate_scan = IndexValidateScan;
}

}  // namespace tsext::pg
