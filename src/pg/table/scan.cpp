#include "pg/table/scan.hpp"

#include "pg/base/boundary.hpp"
#include "pg/table/analyze.hpp"
#include "pg/table/cold_blocks.hpp"
#include "pg/table/delegation.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/skey.h"
#include "pgstat.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {

namespace {

// Behind heap's shared state stands that of the cold rows.
Size SharedColdOffset() {
  return MAXALIGN(sizeof(ParallelBlockTableScanDescData));
}

Size ParallelScanEstimate(Relation relation) {
  Assert(Heap()->parallelscan_estimate(relation) <= SharedColdOffset());
  return SharedColdOffset() + MAXALIGN(sizeof(SharedColdScan));
}

Size ParallelScanInitialize(Relation relation, ParallelTableScanDesc shared) {
  Heap()->parallelscan_initialize(relation, shared);
  SharedColdScan *cold = GetSharedColdScan(shared);
  SpinLockInit(&cold->mutex);
  cold->has_range = false;
  pg_atomic_init_u32(&cold->cursor, 0);
  return ParallelScanEstimate(relation);
}

void ParallelScanReinitialize(Relation relation, ParallelTableScanDesc shared) {
  Heap()->parallelscan_reinitialize(relation, shared);
  SharedColdScan *cold = GetSharedColdScan(shared);
  cold->has_range = false;
  pg_atomic_write_u32(&cold->cursor, 0);
}

// Scans that give cold rows. Others fetch by tuple id, and look at the id.
#if TSEXT_ANALYZE_READS_BLOCKS
constexpr uint32 kWrappedTypes = SO_TYPE_SEQSCAN | SO_TYPE_SAMPLESCAN | SO_TYPE_ANALYZE;
#else
constexpr uint32 kWrappedTypes = SO_TYPE_SEQSCAN | SO_TYPE_SAMPLESCAN;
#endif

TableScanDesc ScanBegin(Relation relation, Snapshot snapshot, int nkeys, ScanKeyData *keys,
                        ParallelTableScanDesc shared, uint32 flags) {
  // Heap takes the predicate lock of a SERIALIZABLE transaction on the whole relation, which covers
  // the cold rows too.
  if ((flags & (SO_TYPE_BITMAPSCAN | SO_TYPE_TIDRANGESCAN)) != 0)
    RefuseColdRows(relation, snapshot);
  const bool is_heaps = IsDelegated(relation) && snapshot == SnapshotAny;
  TableScanDesc heap = Delegate(
      relation, [&] { return Heap()->scan_begin(relation, snapshot, nkeys, keys, shared, flags); });
  if (is_heaps || (flags & kWrappedTypes) == 0) return heap;

  auto *scan = static_cast<TsextScan *>(palloc0(sizeof(TsextScan)));
  scan->base = *heap;
  scan->base.rs_flags = flags | kTsextScanFlag;
  scan->heap = heap;
  scan->context = CurrentMemoryContext;
  scan->cold_block = InvalidBlockNumber;
  scan->from = kTimeMinimum;
  scan->to = kTimeMaximum;
  return &scan->base;
}

void EndCold(TsextScan *scan) {
  if (scan->cold != nullptr) ColdScanEnd(scan->cold);
  if (scan->cold_blocks != nullptr) ColdBlocksClose(scan->cold_blocks);
  if (scan->own_snapshot != nullptr) UnregisterSnapshot(scan->own_snapshot);
  scan->own_snapshot = nullptr;
}

void ScanEnd(TableScanDesc base) {
  TsextScan *scan = AsTsextScan(base);
  if (scan == nullptr) return Heap()->scan_end(base);
  Enter([&] {
    if ((scan->base.rs_flags & SO_TYPE_ANALYZE) != 0) EndSample(scan);
    EndCold(scan);
  });
  Heap()->scan_end(scan->heap);  // gives back the snapshot when it is the scan's own
  pfree(scan);
}

void ScanRescan(TableScanDesc base, ScanKeyData *keys, bool set_params, bool allow_strategy,
                bool allow_sync, bool allow_pagemode) {
  Heap()->scan_rescan(HeapScanOf(base), keys, set_params, allow_strategy, allow_sync,
                      allow_pagemode);
  TsextScan *scan = AsTsextScan(base);
  if (scan == nullptr) return;
  if (scan->cold != nullptr) Enter([&] { ColdScanRescan(scan->cold); });
  scan->has_started = false;
  scan->in_cold = false;
  scan->cold_block = InvalidBlockNumber;
}

/// Whether a cold row satisfies the scan keys; heap tests those of hot rows itself.
bool SatisfiesKeys(const TableScanDescData *heap, TupleTableSlot *slot) {
  for (int i = 0; i < heap->rs_nkeys; i++) {
    ScanKeyData *key = &heap->rs_key[i];
    bool is_null;
    const Datum value = slot_getattr(slot, key->sk_attno, &is_null);
    if (is_null || (key->sk_flags & SK_ISNULL) != 0) return false;
    if (!DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation, value, key->sk_argument)))
      return false;
  }
  return true;
}

/// The cold part of the scan, looked for when the scan first needs it; NULL when nothing is cold.
ColdScan *Cold(TsextScan *scan) {
  if (!scan->cold_is_known) {
    Relation relation = scan->base.rs_rd;
    Snapshot snapshot = scan->base.rs_snapshot;
    if (!IsMVCCSnapshot(snapshot)) snapshot = scan->own_snapshot = RegisterFreshSnapshot();
    SharedColdScan *shared = GetSharedColdScan(scan->base.rs_parallel);
    if (shared != nullptr) AgreeOnRange(shared, &scan->from, &scan->to);
    if (HasColdRows(relation, snapshot))
      scan->cold = ColdScanBegin(relation, snapshot, scan->attributes, scan->from, scan->to,
                                 shared != nullptr ? &shared->cursor : nullptr, scan->context);
    scan->cold_is_known = true;
  }
  return scan->cold;
}

bool NextColdRow(TsextScan *scan, ScanDirection direction, TupleTableSlot *slot) {
  ColdScan *cold = Cold(scan);
  if (cold == nullptr) return false;
  while (ColdScanNext(cold, direction, slot)) {
    if (!SatisfiesKeys(scan->heap, slot)) continue;
    Snapshot snapshot = scan->base.rs_snapshot;
    if (snapshot->snapshot_type == SNAPSHOT_DIRTY) {
      // The caller looks here for a transaction to wait for: what hot rows left would be wrong.
      snapshot->xmin = snapshot->xmax = InvalidTransactionId;
      snapshot->speculativeToken = 0;
    }
    pgstat_count_heap_getnext(scan->base.rs_rd);
    return true;
  }
  return false;
}

bool ScanGetNextSlot(TableScanDesc base, ScanDirection direction, TupleTableSlot *slot) {
  if (AsTsextScan(base) == nullptr) return Heap()->scan_getnextslot(base, direction, slot);
  return NextRow(base, direction, slot, slot) != nullptr;
}

}  // namespace

SharedColdScan *GetSharedColdScan(ParallelTableScanDesc shared) {
  return shared == nullptr ? nullptr
                           : reinterpret_cast<SharedColdScan *>(reinterpret_cast<char *>(shared) +
                                                                SharedColdOffset());
}

void AgreeOnRange(SharedColdScan *shared, int64_t *from, int64_t *to) {
  SpinLockAcquire(&shared->mutex);
  if (!shared->has_range) {
    shared->from = *from;
    shared->to = *to;
    shared->has_range = true;
  }
  *from = shared->from;
  *to = shared->to;
  SpinLockRelease(&shared->mutex);
}

void RestrictScan(TableScanDesc base, const Bitmapset *attributes, int64_t from, int64_t to) {
  TsextScan *scan = AsTsextScan(base);
  Assert(scan != nullptr && !scan->has_started);
  if (scan->from != from || scan->to != to) {
    // The list of segments belongs to the old range: the next row makes another.
    EndCold(scan);
    scan->cold = nullptr;
    scan->cold_is_known = false;
  }
  scan->attributes = attributes;
  scan->from = from;
  scan->to = to;
}

/// Rows in the order hot, cold; backwards exactly the reverse. A part that has come to its end in
/// one direction gives its last row first when asked in the other.
TupleTableSlot *NextRow(TableScanDesc base, ScanDirection direction, TupleTableSlot *hot_slot,
                        TupleTableSlot *cold_slot) {
  TsextScan *scan = AsTsextScan(base);
  const bool backward = ScanDirectionIsBackward(direction);
  if (!scan->has_started) {
    scan->has_started = true;
    scan->in_cold = backward;
  }
  if (!scan->in_cold) {
    if (Heap()->scan_getnextslot(scan->heap, direction, hot_slot)) return hot_slot;
    if (backward) return nullptr;
    scan->in_cold = true;
  }
  if (Enter([&] { return NextColdRow(scan, direction, cold_slot); })) return cold_slot;
  ExecClearTuple(cold_slot);
  if (!backward) return nullptr;
  scan->in_cold = false;
  return Heap()->scan_getnextslot(scan->heap, direction, hot_slot) ? hot_slot : nullptr;
}

Snapshot RegisterFreshSnapshot() {
  // A catalog snapshot is the only fresh one that may also be taken inside a parallel operation.
  return RegisterSnapshot(GetCatalogSnapshot(CatalogRelation("segment")));
}

bool HasColdRows(Relation relation, Snapshot snapshot) {
  const Oid store = relation->rd_rel->reltoastrelid;
  if (!OidIsValid(store)) return false;
  if (snapshot != InvalidSnapshot && IsMVCCSnapshot(snapshot)) return HasSegments(store, snapshot);
  Snapshot fresh = RegisterFreshSnapshot();
  const bool has = HasSegments(store, fresh);
  UnregisterSnapshot(fresh);
  return has;
}

void RefuseColdRows(Relation relation, Snapshot snapshot) {
  if (!RelationIsPermanent(relation)) return;
  if (!Enter([&] { return HasColdRows(relation, snapshot); })) return;
  ResetPlanCache();  // so that a retry does not run the same plan
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("could not use an index of table \"%s\" due to concurrent compression",
                         RelationGetRelationName(relation)),
                  errdetail("The plan was made when no row of the table was compressed."),
                  errhint("The transaction might succeed if retried.")));
}

void SetScanCallbacks(TableAmRoutine *routine) {
  routine->scan_begin = ScanBegin;
  routine->scan_end = ScanEnd;
  routine->scan_rescan = ScanRescan;
  routine->scan_getnextslot = ScanGetNextSlot;
  routine->parallelscan_estimate = ParallelScanEstimate;
  routine->parallelscan_initialize = ParallelScanInitialize;
  routine->parallelscan_reinitialize = ParallelScanReinitialize;
  // Bitmap and TID range scans are heap's, on heap's descriptor: they exist only while nothing is
  // cold.
}

}  // namespace tsext::pg
