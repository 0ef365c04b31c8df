#include "pg/table/row.hpp"

#include "pg/base/boundary.hpp"
#include "pg/table/cold_scan.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/rewrite.hpp"
#include "pg/table/scan.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/heapam.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {

namespace {

[[noreturn]] void RaiseRowIsCompressed(Relation relation, const char *action) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("row is already compressed"),
                  errdetail("A row of table \"%s\" that lies in a compressed segment cannot be %s.",
                            RelationGetRelationName(relation), action),
                  errhint("Use decompress_chunk() to make the rows of its chunk hot again.")));
  pg_unreachable();
}

/// Reads a cold row; with a fresh snapshot when the caller's is no MVCC snapshot. SnapshotAny comes
/// from the UPDATE or DELETE that found the row: a merge may have replaced its segment since, which
/// only the statement's own snapshot still sees.
bool FetchColdRow(Relation relation, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot) {
  if (IsMVCCSnapshot(snapshot)) {
    PredicateLockRelation(relation, snapshot);
    return ColdFetchRow(relation, tid, snapshot, slot);
  }
  if (snapshot->snapshot_type == SNAPSHOT_ANY && ActiveSnapshotSet() &&
      IsMVCCSnapshot(GetActiveSnapshot()) && ColdFetchRow(relation, tid, GetActiveSnapshot(), slot))
    return true;
  Snapshot fresh = RegisterFreshSnapshot();
  const bool found = ColdFetchRow(relation, tid, fresh, slot);
  UnregisterSnapshot(fresh);
  if (snapshot->snapshot_type == SNAPSHOT_DIRTY) {
    // Nobody to wait for: a segment that can be read is committed.
    snapshot->xmin = snapshot->xmax = InvalidTransactionId;
    snapshot->speculativeToken = 0;
  }
  return found;
}

// An index scan sees hot rows only. CLUSTER wants just those; a check of an exclusion constraint
// runs under a snapshot from before the rows became hot.
IndexFetchTableData *IndexFetchBegin(Relation relation) {
  Snapshot snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : InvalidSnapshot;
  if (!IsDelegated(relation) && !HasBecomeHot(relation, snapshot))
    RefuseColdRows(relation, snapshot);
  return Heap()->index_fetch_begin(relation);
}

// No index holds a cold row. If one did, answering "not there" for good would lose it silently.
bool IndexFetchTuple(IndexFetchTableData *scan, ItemPointer tid, Snapshot snapshot,
                     TupleTableSlot *slot, bool *call_again, bool *all_dead) {
  if (IsVirtualTid(tid))
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg("an index of table \"%s\" holds a compressed row",
                           RelationGetRelationName(scan->rel)),
                    errhint("REINDEX the table.")));
  return Heap()->index_fetch_tuple(scan, tid, snapshot, slot, call_again, all_dead);
}

bool FetchRowVersion(Relation relation, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot) {
  if (!IsVirtualTid(tid)) return Heap()->tuple_fetch_row_version(relation, tid, snapshot, slot);
  return Enter([&] { return FetchColdRow(relation, tid, snapshot, slot); });
}

bool TupleTidValid(TableScanDesc scan, ItemPointer tid) {
  return IsVirtualTid(tid) || Heap()->tuple_tid_valid(HeapScanOf(scan), tid);
}

void TupleGetLatestTid(TableScanDesc scan, ItemPointer tid) {
  if (IsVirtualTid(tid)) return;  // a cold row has one version
  Heap()->tuple_get_latest_tid(HeapScanOf(scan), tid);
}

bool TupleSatisfiesSnapshot(Relation relation, TupleTableSlot *slot, Snapshot snapshot) {
  if (!IsVirtualTid(&slot->tts_tid))
    return Heap()->tuple_satisfies_snapshot(relation, slot, snapshot);
  return Enter([&] {
    TupleTableSlot *scratch = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
    const bool found = FetchColdRow(relation, &slot->tts_tid, snapshot, scratch);
    ExecDropSingleTupleTableSlot(scratch);
    return found;
  });
}

TM_Result TupleDelete(Relation relation, ItemPointer tid, CommandId cid, Snapshot snapshot,
                      Snapshot crosscheck, bool wait, TM_FailureData *failure,
                      bool changing_partition) {
  if (IsVirtualTid(tid)) RaiseRowIsCompressed(relation, "deleted");
  const TM_Result result = Heap()->tuple_delete(relation, tid, cid, snapshot, crosscheck, wait,
                                                failure, changing_partition);
  if (result == TM_Ok) Enter([&] { TouchOldRow(relation, tid, cid); });
  return result;
}

TM_Result TupleUpdate(Relation relation, ItemPointer tid, TupleTableSlot *slot, CommandId cid,
                      Snapshot snapshot, Snapshot crosscheck, bool wait, TM_FailureData *failure,
                      LockTupleMode *lock_mode, TsextUpdateIndexes *update_indexes) {
  if (IsVirtualTid(tid)) RaiseRowIsCompressed(relation, "updated");
  const TM_Result result = Heap()->tuple_update(relation, tid, slot, cid, snapshot, crosscheck,
                                                wait, failure, lock_mode, update_indexes);
  if (result == TM_Ok)
    Enter([&] {
      TouchOldRow(relation, tid, cid);
      TouchRow(relation, slot, cid);
    });
  return result;
}

// A row that a compaction moved while we waited for it carries the mark of a row that moved to
// another partition. Every caller of core that gets TM_Updated from a delete or update in READ
// COMMITTED comes here to find the row's newest version, and raises 40001 by itself otherwise: no
// write is lost. Rows of a partition may really have moved: heap has the message for both.
TM_Result TupleLock(Relation relation, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
                    CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy, uint8 flags,
                    TM_FailureData *failure) {
  if (IsVirtualTid(tid)) RaiseRowIsCompressed(relation, "locked");
  if ((flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) == 0)
    return Heap()->tuple_lock(relation, tid, snapshot, slot, cid, mode, wait_policy, flags,
                              failure);
  const TM_Result result =
      Heap()->tuple_lock(relation, tid, snapshot, slot, cid, mode, wait_policy,
                         static_cast<uint8>(flags & ~TUPLE_LOCK_FLAG_FIND_LAST_VERSION), failure);
  if (result != TM_Updated) return result;
  if (ItemPointerIndicatesMovedPartitions(&failure->ctid) && !relation->rd_rel->relispartition)
    ereport(ERROR,
            (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
             errmsg("could not serialize access due to concurrent compression"),
             errdetail("A row of table \"%s\" was compressed while the statement waited for it.",
                       RelationGetRelationName(relation)),
             errhint("The transaction might succeed if retried.")));
  ExecClearTuple(slot);
  return Heap()->tuple_lock(relation, tid, snapshot, slot, cid, mode, wait_policy, flags, failure);
}

}  // namespace

void SetRowCallbacks(TableAmRoutine *routine) {
  routine->index_fetch_begin = IndexFetchBegin;
  routine->index_fetch_tuple = IndexFetchTuple;
  routine->tuple_fetch_row_version = FetchRowVersion;
  routine->tuple_tid_valid = TupleTidValid;
  routine->tuple_get_latest_tid = TupleGetLatestTid;
  routine->tuple_satisfies_snapshot = TupleSatisfiesSnapshot;
  routine->tuple_delete = TupleDelete;
  routine->tuple_update = TupleUpdate;
  routine->tuple_lock = TupleLock;
}

}  // namespace tsext::pg
