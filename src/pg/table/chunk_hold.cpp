#include "pg/table/chunk_hold.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {

namespace {

enum : AttrNumber { kStore = 1, kChunkStart, kChunkEnd };

/// Calls `visit` for the holds of a store that meet [from, until) until it returns false.
template <typename Visit>
void ForEachHold(Oid store, int64_t from, int64_t until, LOCKMODE lock, Visit &&visit) {
  Relation holds = table_open(CatalogRelation("chunk_hold"), lock);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData key[2];
  ScanKeyInit(&key[0], kStore, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(store));
  ScanKeyInit(&key[1], kChunkStart, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(until));
  SysScanDesc scan =
      systable_beginscan(holds, CatalogRelation("chunk_hold_pkey"), true, snapshot, 2, key);
  while (HeapTuple tuple = systable_getnext(scan)) {
    bool is_null;
    if (DatumGetInt64(heap_getattr(tuple, kChunkEnd, RelationGetDescr(holds), &is_null)) <= from)
      continue;
    if (!visit(holds, tuple)) break;
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(holds, NoLock);
}

}  // namespace

void HoldChunk(Oid store, int64_t start, int64_t end) {
  ReleaseHolds(store, start, end);
  CommandCounterIncrement();
  Relation holds = table_open(CatalogRelation("chunk_hold"), RowExclusiveLock);
  Datum values[3] = {ObjectIdGetDatum(store), Int64GetDatum(start), Int64GetDatum(end)};
  bool nulls[3] = {false, false, false};
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(holds), values, nulls);
  CatalogTupleInsert(holds, tuple);
  heap_freetuple(tuple);
  table_close(holds, NoLock);
}

void ReleaseHolds(Oid store, int64_t from, int64_t until) {
  ForEachHold(store, from, until, RowExclusiveLock, [](Relation holds, HeapTuple tuple) {
    CatalogTupleDelete(holds, &tuple->t_self);
    return true;
  });
}

bool ChunkIsOnHold(Oid store, int64_t start, int64_t end) {
  bool found = false;
  ForEachHold(store, start, end, AccessShareLock, [&found](Relation, HeapTuple) {
    found = true;
    return false;
  });
  return found;
}

}  // namespace tsext::pg
