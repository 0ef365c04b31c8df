#include "pg/table/rewrite.hpp"

#include <cstddef>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/chunk_hold.hpp"
#include "pg/table/compact.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/merge.hpp"
#include "pg/table/scan.hpp"
#include "pg/table/segment_reader.hpp"
#include "pg/table/store.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/genam.h"
#include "access/table.h"
#include "access/tupdesc_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace tsext::pg {

namespace {

object_access_hook_type previous_object_access = nullptr;

// The table that the running command has made hot for a key, and the first command after that.
Oid table_made_hot = InvalidOid;
CommandId made_hot_before;

void ForgetTableMadeHot(XactEvent event, void *) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
    table_made_hot = InvalidOid;
}

/// Forgets the segments of a table that loses all its rows; rolled back with the transaction. The
/// pieces go with the TOAST table's file.
void ForgetSegments(Relation relation) {
  const Oid store = relation->rd_rel->reltoastrelid;
  if (OidIsValid(store) && RelationIsPermanent(relation)) Enter([&] { DeleteStore(store); });
}

// CREATE TABLE comes here before the table has a store, TRUNCATE after.
void SetNewFile(Relation relation, const TsextFileLocator *locator, char persistence,
                TransactionId *freeze_xid, MultiXactId *minimum_multi) {
  Heap()->TSEXT_SET_NEW_FILE(relation, locator, persistence, freeze_xid, minimum_multi);
  ForgetSegments(relation);
  Enter([&] { TouchAll(relation); });
}

// TRUNCATE of a table that this subtransaction made.
void NontransactionalTruncate(Relation relation) {
  Heap()->relation_nontransactional_truncate(relation);
  ForgetSegments(relation);
  Enter([&] { TouchAll(relation); });
}

/// The greatest attribute whose value rows without it take from the catalog (ADD COLUMN with a
/// default); 0: there is none.
AttrNumber LastMissingAttribute(TupleDesc descriptor) {
  if (descriptor->constr == nullptr || descriptor->constr->missing == nullptr) return 0;
  for (int i = descriptor->natts; i > 0; i--) {
    if (TupleDescAttr(descriptor, i - 1)->attisdropped) continue;
    if (descriptor->constr->missing[i - 1].am_present) return static_cast<AttrNumber>(i);
  }
  return 0;
}

/// Writes anew the segments from before a column was added: the rewrite ends with the catalog
/// forgetting the value their rows have in it.
void FillMissingColumns(Relation table) {
  const AttrNumber last = LastMissingAttribute(RelationGetDescr(table));
  if (last == 0) return;
  Snapshot snapshot = RegisterFreshSnapshot();
  int count;
  SegmentRow *segments =
      LoadSegments(table->rd_rel->reltoastrelid, kTimeMinimum, kTimeMaximum, snapshot, &count);
  SegmentReader *reader = SegmentReaderCreate(table, snapshot, CurrentMemoryContext);
  const TableOptions *options = GetTableOptions(table);
  CompactResult result;
  for (int i = 0; i < count; i++) {
    CHECK_FOR_INTERRUPTS();
    const SegmentRow *segment = &segments[i];
    SegmentReaderOpen(reader, segment);
    if (SegmentReaderHead(reader).attribute_count() >= last) continue;
    MergeSegments(
        table, options,
        {segment->chunk_start, segment->chunk_end, static_cast<Level>(segment->level), 1, &segment},
        &result, nullptr);
  }
  SegmentReaderClose(reader);
  UnregisterSnapshot(snapshot);
}

/// Copies the pieces of all live segments to the file that becomes the store's. The TOAST table
/// keeps its OID, so directory rows and value ids stay; where the pieces are is new.
void CopySegments(Relation old_table, Relation new_table) {
  const Oid store = old_table->rd_rel->reltoastrelid;
  Snapshot snapshot = RegisterFreshSnapshot();
  int count;
  SegmentRow *segments = LoadSegments(store, kTimeMinimum, kTimeMaximum, snapshot, &count);
  if (count > 0) {
    if (new_table->rd_toastoid != store)
      elog(ERROR, "rewrite of table \"%s\" does not keep its TOAST table",
           RelationGetRelationName(old_table));
    Relation old_toast = table_open(store, AccessShareLock);
    Relation new_toast = table_open(new_table->rd_rel->reltoastrelid, RowExclusiveLock);
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "tsext segment copy", ALLOCSET_DEFAULT_SIZES);
    MemoryContext outer = MemoryContextSwitchTo(context);
    for (int i = 0; i < count; i++) {
      CHECK_FOR_INTERRUPTS();
      SegmentRow row = segments[i];
      const auto size = static_cast<size_t>(row.nbytes);
      auto *data = static_cast<std::byte *>(palloc_extended(size, MCXT_ALLOC_HUGE));
      StoreRead(old_toast, &row, snapshot, 0, size, data);
      StoreAppend(new_toast, &row, data, size, GetCurrentCommandId(true));
      UpdateSegmentPieces(&row);
      MemoryContextReset(context);
    }
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(context);
    table_close(new_toast, NoLock);
    table_close(old_toast, NoLock);
  }
  UnregisterSnapshot(snapshot);
}

void CopyForCluster(Relation old_table, Relation new_table, Relation index, bool use_sort,
                    TransactionId oldest_xmin, TransactionId *xid_cutoff, MultiXactId *multi_cutoff,
                    double *tuples, double *vacuumed, double *recently_dead) {
  Delegate(old_table, [&] {
    Heap()->relation_copy_for_cluster(old_table, new_table, index, use_sort, oldest_xmin,
                                      xid_cutoff, multi_cutoff, tuples, vacuumed, recently_dead);
  });
  if (OidIsValid(old_table->rd_rel->reltoastrelid) && RelationIsPermanent(old_table)) {
    Enter([&] {
      FillMissingColumns(old_table);
      CopySegments(old_table, new_table);
    });
  }
}

/// A table goes, and its store with it. Comes before its rows leave the catalogs, but maybe after
/// those of the extension did.
void TableDropped(Oid relation_id) {
  if (!IsTsextTable(relation_id)) return;
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation_id));
  if (!HeapTupleIsValid(tuple)) return;
  const Oid store = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->reltoastrelid;
  ReleaseSysCache(tuple);
  DeleteStore(store);
}

/// A key over compressed rows cannot be checked, and load first, key later is how dumps are
/// restored: so a new unique index or exclusion constraint makes all rows of its table hot. Comes
/// before the index is built, and outside a parallel operation; the command's lock on the table
/// keeps new segments out, or the build finds them and refuses.
void IndexCreated(Oid index_id) {
  Relation catalog = table_open(IndexRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_index_indexrelid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(index_id));
  SysScanDesc scan = systable_beginscan(catalog, IndexRelidIndexId, true, SnapshotSelf, 1, &key);
  Oid table_id = InvalidOid;
  if (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple)) {
    const auto *index = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    if (index->indisunique || index->indisexclusion) table_id = index->indrelid;
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  if (!OidIsValid(table_id) || IsBinaryUpgrade || !IsTsextTable(table_id)) return;

  Relation table = table_open(table_id, RowExclusiveLock);
  MakeTableHot(table);
  table_close(table, NoLock);
}

void ObjectAccessed(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
                    void *argument) {
  if (previous_object_access != nullptr)
    previous_object_access(access, class_id, object_id, sub_id, argument);
  if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
    Enter([&] { TableDropped(object_id); });
  if (access == OAT_POST_CREATE && class_id == RelationRelationId && sub_id == 0)
    Enter([&] { IndexCreated(object_id); });
}

}  // namespace

void SetRewriteCallbacks(TableAmRoutine *routine) {
  routine->TSEXT_SET_NEW_FILE = SetNewFile;
  routine->relation_nontransactional_truncate = NontransactionalTruncate;
  routine->relation_copy_for_cluster = CopyForCluster;
}

void MakeTableHot(Relation table) {
  const Oid store = table->rd_rel->reltoastrelid;
  if (!HasSegments(store, nullptr)) return;
  ereport(NOTICE,
          (errmsg("moving the compressed rows of table \"%s\" back to its heap",
                  RelationGetRelationName(table)),
           errdetail("A table with a unique index or an exclusion constraint is not compressed.")));
  DecompressChunk(table, kTimeMinimum, kTimeMaximum);
  ReleaseHolds(store, kTimeMinimum, kTimeMaximum);
  CommandCounterIncrement();
  table_made_hot = RelationGetRelid(table);
  made_hot_before = GetCurrentCommandId(false);
}

bool HasBecomeHot(Relation relation, Snapshot snapshot) {
  return RelationGetRelid(relation) == table_made_hot && snapshot != InvalidSnapshot &&
         snapshot->curcid < made_hot_before;
}

void InitRewrite() {
  RegisterXactCallback(ForgetTableMadeHot, nullptr);
  previous_object_access = object_access_hook;
  object_access_hook = ObjectAccessed;
}

}  // namespace tsext::pg
