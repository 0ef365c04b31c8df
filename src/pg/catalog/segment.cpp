// The segment directory and the running totals: plain rows of ordinary tables, written and read
// below the executor, so without privilege checks, triggers and rules.
//
// Rows are immutable: inserted once, deleted once. Whoever deletes a directory row owns the
// segment's bytes. Readers keep AccessShareLock on the directory to the end of their transaction:
// SegmentRow.tid stays good for DeleteSegment.

#include "pg/catalog/segment.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

// Attribute numbers, in the order of catalog.sql.
enum SegmentAttribute : AttrNumber {
  kSegmentStore = 1,
  kSegmentSeg,
  kSegmentChunkStart,
  kSegmentChunkEnd,
  kSegmentLevel,
  kSegmentTmin,
  kSegmentTmax,
  kSegmentNrows,
  kSegmentKeyLo,
  kSegmentKeyHi,
  kSegmentValueId,
  kSegmentNpieces,
  kSegmentNbytes,
  kSegmentPiecePages,
  kSegmentFlags,
  kSegmentAttributes = kSegmentFlags
};

enum TotalAttribute : AttrNumber {
  kTotalStore = 1,
  kTotalPart,
  kTotalRows,
  kTotalBytes,
  kTotalSegments,
  kTotalTmin,
  kTotalTmax,
  kTotalAttributes = kTotalTmax
};

inline constexpr AttrNumber kTombstoneStore = 1;
inline constexpr AttrNumber kTombstoneSeg = 2;
inline constexpr AttrNumber kHoldStore = 1;
inline constexpr AttrNumber kRangeStore = 1;

/// Rows of one store in tsext.store_total that FoldStoreTotal leaves alone.
inline constexpr int kTotalRowsKept = 32;

/// The transaction that deleted a segment last.
TransactionId deleting_transaction = InvalidTransactionId;

/// A snapshot for reading the directory: the caller's when it is an MVCC snapshot, else a fresh
/// one, registered until DoneWithSnapshot.
struct ReadSnapshot {
  Snapshot snapshot;
  bool is_registered;
};

ReadSnapshot UseSnapshot(Snapshot snapshot) {
  if (snapshot != nullptr && IsMVCCSnapshot(snapshot)) return {snapshot, false};
  // A catalog snapshot is the only fresh one that may also be taken in a parallel operation.
  return {RegisterSnapshot(GetCatalogSnapshot(InvalidOid)), true};
}

void DoneWithSnapshot(const ReadSnapshot &used) {
  if (used.is_registered) UnregisterSnapshot(used.snapshot);
}

void StoreKey(ScanKey key, AttrNumber attribute, Oid store) {
  ScanKeyInit(key, attribute, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(store));
}

void SegKey(ScanKey key, AttrNumber attribute, int32_t seg) {
  ScanKeyInit(key, attribute, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(seg));
}

/// Deletes every row of `store` that is there for a transaction which holds the table's lock. Rows
/// that another transaction deletes meanwhile are left to it.
void DeleteStoreRows(const char *table_name, const char *index_name, AttrNumber store_attribute,
                     Oid store) {
  const Oid table_id = FindCatalogRelation(table_name);
  if (!OidIsValid(table_id)) return;  // DROP EXTENSION … CASCADE came here first
  Relation table = table_open(table_id, RowExclusiveLock);
  ScanKeyData key;
  StoreKey(&key, store_attribute, store);
  // SnapshotSelf: what is committed now and what this transaction has written.
  SysScanDesc scan =
      systable_beginscan(table, FindCatalogRelation(index_name), true, SnapshotSelf, 1, &key);
  HeapTuple tuple;
  while ((tuple = systable_getnext(scan)) != nullptr) {
    TM_FailureData failure;
    heap_delete(table, &tuple->t_self, GetCurrentCommandId(true), InvalidSnapshot, true, &failure,
                false);
  }
  systable_endscan(scan);
  table_close(table, NoLock);
}

bytea *CopyBytea(Datum value) {
  return reinterpret_cast<bytea *>(PG_DETOAST_DATUM_COPY(value));
}

ByteView KeyOf(Datum value) {
  auto *bytes = reinterpret_cast<bytea *>(PG_DETOAST_DATUM_PACKED(value));
  return {reinterpret_cast<const std::byte *>(VARDATA_ANY(bytes)),
          static_cast<uint32_t>(VARSIZE_ANY_EXHDR(bytes))};
}

/// Whether the reader may find its keys in the segment.
bool MayHaveKeys(const SegmentKeyTest *keys, const Datum *values, const bool *nulls) {
  const int32_t flags = DatumGetInt32(values[kSegmentFlags - 1]);
  if (flags == 0 || nulls[kSegmentKeyLo - 1] || nulls[kSegmentKeyHi - 1]) return true;
  return keys->may_have(keys->self, flags, KeyOf(values[kSegmentKeyLo - 1]),
                        KeyOf(values[kSegmentKeyHi - 1]));
}

SegmentRow RowOfValues(HeapTuple tuple, const Datum *values, const bool *nulls) {
  const auto value = [&](SegmentAttribute attribute) { return values[attribute - 1]; };
  const auto bytes = [&](SegmentAttribute attribute) {
    return nulls[attribute - 1] ? nullptr : CopyBytea(values[attribute - 1]);
  };
  SegmentRow row = {};
  row.store = DatumGetObjectId(value(kSegmentStore));
  row.seg = DatumGetInt32(value(kSegmentSeg));
  row.chunk_start = DatumGetInt64(value(kSegmentChunkStart));
  row.chunk_end = DatumGetInt64(value(kSegmentChunkEnd));
  row.level = DatumGetInt16(value(kSegmentLevel));
  row.tmin = DatumGetInt64(value(kSegmentTmin));
  row.tmax = DatumGetInt64(value(kSegmentTmax));
  row.nrows = DatumGetInt32(value(kSegmentNrows));
  row.key_lo = bytes(kSegmentKeyLo);
  row.key_hi = bytes(kSegmentKeyHi);
  row.value_id = DatumGetObjectId(value(kSegmentValueId));
  row.npieces = DatumGetInt32(value(kSegmentNpieces));
  row.nbytes = DatumGetInt64(value(kSegmentNbytes));
  row.piece_pages = bytes(kSegmentPiecePages);
  row.flags = DatumGetInt32(value(kSegmentFlags));
  row.tid = tuple->t_self;
  return row;
}

SegmentRow RowOfTuple(HeapTuple tuple, TupleDesc descriptor) {
  Datum values[kSegmentAttributes];
  bool nulls[kSegmentAttributes];
  heap_deform_tuple(tuple, descriptor, values, nulls);
  return RowOfValues(tuple, values, nulls);
}

/// memcmp order, NULL first.
int CompareBytea(const bytea *a, const bytea *b) {
  if (a == nullptr || b == nullptr) return static_cast<int>(a != nullptr) - (b != nullptr);
  const size_t a_size = VARSIZE_ANY_EXHDR(a), b_size = VARSIZE_ANY_EXHDR(b);
  const int order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(a_size, b_size));
  return order != 0 ? order : static_cast<int>(a_size > b_size) - (a_size < b_size);
}

template <typename T>
int Compare(T a, T b) {
  return static_cast<int>(a > b) - static_cast<int>(a < b);
}

/// The order every reader of a store uses; total, so that all workers of a parallel scan agree.
int CompareSegments(const void *left, const void *right) {
  const auto &a = *static_cast<const SegmentRow *>(left);
  const auto &b = *static_cast<const SegmentRow *>(right);
  if (const int order = Compare(a.chunk_start, b.chunk_start)) return order;
  if (const int order = CompareBytea(a.key_lo, b.key_lo)) return order;
  if (const int order = Compare(a.tmin, b.tmin)) return order;
  return Compare(a.seg, b.seg);
}

/// Whether any row, dead ones included, has this (store, seg): an id is used again only after
/// vacuum has taken every trace of its last use.
bool IsIdUsed(Relation table, const char *index_name, AttrNumber store_attribute,
              AttrNumber seg_attribute, Oid store, int32_t seg) {
  ScanKeyData keys[2];
  StoreKey(&keys[0], store_attribute, store);
  SegKey(&keys[1], seg_attribute, seg);
  SysScanDesc scan =
      systable_beginscan(table, CatalogRelation(index_name), true, SnapshotAny, 2, keys);
  const bool found = HeapTupleIsValid(systable_getnext(scan));
  systable_endscan(scan);
  return found;
}

int32_t NewSegmentId(Relation directory, Oid store) {
  const Oid sequence = CatalogRelation("seg_id");
  Relation tombstones = table_open(CatalogRelation("tombstone"), AccessShareLock);
  int32_t seg;
  do {
    CHECK_FOR_INTERRUPTS();
    seg = static_cast<int32_t>(nextval_internal(sequence, false));
  } while (IsIdUsed(directory, "segment_pkey", kSegmentStore, kSegmentSeg, store, seg) ||
           IsIdUsed(tombstones, "tombstone_pkey", kTombstoneStore, kTombstoneSeg, store, seg));
  table_close(tombstones, AccessShareLock);
  return seg;
}

/// Raises an error when the directory does not hold this segment at row->tid: then the caller kept
/// a row over the end of the transaction that read it.
void CheckRowIsThere(Relation directory, const SegmentRow *row) {
  HeapTupleData tuple;
  tuple.t_self = row->tid;
  Buffer buffer;
  bool is_same = false;
  if (heap_fetch(directory, SnapshotAny, &tuple, &buffer, false)) {
    bool is_null;
    const TupleDesc descriptor = RelationGetDescr(directory);
    is_same =
        DatumGetObjectId(heap_getattr(&tuple, kSegmentStore, descriptor, &is_null)) == row->store &&
        DatumGetInt32(heap_getattr(&tuple, kSegmentSeg, descriptor, &is_null)) == row->seg &&
        DatumGetObjectId(heap_getattr(&tuple, kSegmentValueId, descriptor, &is_null)) ==
            row->value_id;
    ReleaseBuffer(buffer);
  }
  if (!is_same)
    elog(ERROR, "directory row of segment %d of store %u has moved", row->seg, row->store);
}

StoreTotal EmptyTotal() {
  return {0, 0, 0, kTimeMaximum, kTimeMinimum};
}

void AddTuple(StoreTotal &total, HeapTuple tuple, TupleDesc descriptor) {
  Datum values[kTotalAttributes];
  bool nulls[kTotalAttributes];
  heap_deform_tuple(tuple, descriptor, values, nulls);
  total.rows += DatumGetInt64(values[kTotalRows - 1]);
  total.bytes += DatumGetInt64(values[kTotalBytes - 1]);
  total.segments += DatumGetInt64(values[kTotalSegments - 1]);
  total.tmin = Min(total.tmin, DatumGetInt64(values[kTotalTmin - 1]));
  total.tmax = Max(total.tmax, DatumGetInt64(values[kTotalTmax - 1]));
}

void InsertTotal(Relation table, Oid store, const StoreTotal &total) {
  const int64_t part = nextval_internal(CatalogRelation("part_id"), false);
  Datum values[kTotalAttributes];
  bool nulls[kTotalAttributes] = {};
  values[kTotalStore - 1] = ObjectIdGetDatum(store);
  values[kTotalPart - 1] = Int64GetDatum(part);
  values[kTotalRows - 1] = Int64GetDatum(total.rows);
  values[kTotalBytes - 1] = Int64GetDatum(total.bytes);
  values[kTotalSegments - 1] = Int64GetDatum(total.segments);
  values[kTotalTmin - 1] = Int64GetDatum(total.tmin);
  values[kTotalTmax - 1] = Int64GetDatum(total.tmax);
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
  InsertCatalogRow(table, tuple, GetCurrentCommandId(true));
  heap_freetuple(tuple);
}

/// Where an index scan for segments with a tmin of at most `to` may stop: at the first tmax that is
/// not below what this returns (kTimeMaximum: nowhere).
///
/// Chunks seen by one snapshot do not overlap and segments do not leave theirs, so in the order of
/// tmax one chunk follows the other, and behind the chunk that holds `to` nothing can start before
/// it.
int64_t EndOfTmax(Relation directory, Oid index, Oid store, int64_t to, Snapshot snapshot) {
  if (to == kTimeMaximum) return kTimeMaximum;
  ScanKeyData keys[2];
  StoreKey(&keys[0], kSegmentStore, store);
  ScanKeyInit(&keys[1], kSegmentTmax, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(to));
  SysScanDesc scan = systable_beginscan(directory, index, true, snapshot, lengthof(keys), keys);
  int64_t end = kTimeMaximum;
  if (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple)) {
    bool is_null;
    const TupleDesc descriptor = RelationGetDescr(directory);
    const int64_t chunk_start =
        DatumGetInt64(heap_getattr(tuple, kSegmentChunkStart, descriptor, &is_null));
    end = chunk_start > to
              ? to
              : DatumGetInt64(heap_getattr(tuple, kSegmentChunkEnd, descriptor, &is_null));
  }
  systable_endscan(scan);
  return end;
}

}  // namespace

// The system caches are the cache: they know when the extension is dropped, made again or rolled
// back.
Oid FindCatalogRelation(const char *name) {
  const Oid schema = get_namespace_oid("tsext", true);
  return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

void InsertCatalogRow(Relation table, HeapTuple tuple, CommandId cid) {
  // Marks the command as one that writes, so that the next CommandCounterIncrement counts.
  (void)GetCurrentCommandId(true);
  // A subscriber has no use for it, and it tells of people's data.
  heap_insert(table, tuple, cid, HEAP_INSERT_NO_LOGICAL, nullptr);

  const TupleDesc descriptor = RelationGetDescr(table);
  List *indexes = RelationGetIndexList(table);
  ListCell *cell;
  foreach (cell, indexes) {
    Relation index = index_open(lfirst_oid(cell), RowExclusiveLock);
    const Form_pg_index form = index->rd_index;
    if (form->indisready) {
      Datum values[INDEX_MAX_KEYS];
      bool nulls[INDEX_MAX_KEYS];
      for (int i = 0; i < form->indnatts; i++)
        values[i] = heap_getattr(tuple, form->indkey.values[i], descriptor, &nulls[i]);
      index_insert(index, values, nulls, &tuple->t_self, table,
                   form->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, nullptr);
    }
    index_close(index, NoLock);
  }
  list_free(indexes);
}

Oid CatalogRelation(const char *name) {
  const Oid relation = FindCatalogRelation(name);
  if (!OidIsValid(relation))
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("relation \"tsext.%s\" does not exist", name),
                    errdetail("The catalogs of extension tsext are missing from this database."),
                    errhint("Create the extension with CREATE EXTENSION tsext.")));
  return relation;
}

const char *ExtensionSchema() {
  Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
              CStringGetDatum("tsext"));
  const SysScanDesc scan =
      systable_beginscan(extensions, ExtensionNameIndexId, true, nullptr, 1, &key);
  const HeapTuple tuple = systable_getnext(scan);
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "extension tsext is not there");
  const Oid schema = reinterpret_cast<Form_pg_extension>(GETSTRUCT(tuple))->extnamespace;
  systable_endscan(scan);
  table_close(extensions, AccessShareLock);
  return quote_identifier(get_namespace_name(schema));
}

SegmentRow *LoadSegments(Oid store, int64_t from, int64_t to, Snapshot snapshot, int *count,
                         SegmentKeyTest *keys_wanted) {
  *count = 0;
  if (!OidIsValid(store)) return nullptr;
  const ReadSnapshot use = UseSnapshot(snapshot);
  Relation directory = table_open(CatalogRelation("segment"), AccessShareLock);
  const Oid index = CatalogRelation("segment_time");
  ScanKeyData keys[4];  // in the order of the index's columns
  int key_count = 0;
  StoreKey(&keys[key_count++], kSegmentStore, store);
  ScanKeyInit(&keys[key_count++], kSegmentTmax, BTGreaterEqualStrategyNumber, F_INT8GE,
              Int64GetDatum(from));
  if (const int64_t end = EndOfTmax(directory, index, store, to, use.snapshot); end != kTimeMaximum)
    ScanKeyInit(&keys[key_count++], kSegmentTmax, BTLessStrategyNumber, F_INT8LT,
                Int64GetDatum(end));
  ScanKeyInit(&keys[key_count++], kSegmentTmin, BTLessEqualStrategyNumber, F_INT8LE,
              Int64GetDatum(to));
  SysScanDesc scan = systable_beginscan(directory, index, true, use.snapshot, key_count, keys);
  SegmentRow *rows = nullptr;
  size_t capacity = 0;
  size_t used = 0;
  HeapTuple tuple;
  while ((tuple = systable_getnext(scan)) != nullptr) {
    Datum values[kSegmentAttributes];
    bool nulls[kSegmentAttributes];
    heap_deform_tuple(tuple, RelationGetDescr(directory), values, nulls);
    if (keys_wanted != nullptr && !MayHaveKeys(keys_wanted, values, nulls)) {
      keys_wanted->skipped++;
      continue;
    }
    if (used == capacity) {
      capacity = capacity == 0 ? 16 : capacity * 2;
      const size_t size = capacity * sizeof(SegmentRow);
      rows = static_cast<SegmentRow *>(rows == nullptr
                                           ? MemoryContextAllocHuge(CurrentMemoryContext, size)
                                           : repalloc_huge(rows, size));
    }
    rows[used++] = RowOfValues(tuple, values, nulls);
    CHECK_FOR_INTERRUPTS();
  }
  systable_endscan(scan);
  table_close(directory, NoLock);
  DoneWithSnapshot(use);
  if (used > 1) qsort(rows, used, sizeof(SegmentRow), CompareSegments);
  *count = static_cast<int>(used);
  return rows;
}

SegmentRow *LoadSegment(Oid store, int32_t seg, Snapshot snapshot) {
  if (!OidIsValid(store)) return nullptr;
  const ReadSnapshot use = UseSnapshot(snapshot);
  Relation directory = table_open(CatalogRelation("segment"), AccessShareLock);
  ScanKeyData keys[2];
  StoreKey(&keys[0], kSegmentStore, store);
  SegKey(&keys[1], kSegmentSeg, seg);
  SysScanDesc scan = systable_beginscan(directory, CatalogRelation("segment_pkey"), true,
                                        use.snapshot, lengthof(keys), keys);
  SegmentRow *row = nullptr;
  if (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple)) {
    row = static_cast<SegmentRow *>(palloc(sizeof(SegmentRow)));
    *row = RowOfTuple(tuple, RelationGetDescr(directory));
  }
  systable_endscan(scan);
  table_close(directory, NoLock);
  DoneWithSnapshot(use);
  return row;
}

bool HasSegments(Oid store, Snapshot snapshot) {
  if (!OidIsValid(store)) return false;
  // An index scan by store copies a page full of entries before it returns the first. So the
  // segment seen last is looked for first: whether a store has one segment or 10,000 then costs the
  // same.
  static struct {
    Oid store;
    int32_t seg;
  } seen_last[64];
  auto &seen = seen_last[store % lengthof(seen_last)];
  const ReadSnapshot use = UseSnapshot(snapshot);
  Relation directory = table_open(CatalogRelation("segment"), AccessShareLock);
  const Oid index = CatalogRelation("segment_pkey");
  bool found = false;
  for (int keys = seen.store == store ? 2 : 1; keys > 0 && !found; keys--) {
    ScanKeyData key[2];
    StoreKey(&key[0], kSegmentStore, store);
    SegKey(&key[1], kSegmentSeg, seen.seg);
    SysScanDesc scan = systable_beginscan(directory, index, true, use.snapshot, keys, key);
    const HeapTuple tuple = systable_getnext(scan);
    found = HeapTupleIsValid(tuple);
    if (found && keys == 1) {
      bool is_null;
      seen = {store, DatumGetInt32(
                         heap_getattr(tuple, kSegmentSeg, RelationGetDescr(directory), &is_null))};
    }
    systable_endscan(scan);
  }
  table_close(directory, NoLock);
  DoneWithSnapshot(use);
  return found;
}

void InsertSegment(SegmentRow *row, CommandId cid) {
  Relation directory = table_open(CatalogRelation("segment"), RowExclusiveLock);
  row->seg = NewSegmentId(directory, row->store);

  Datum values[kSegmentAttributes];
  bool nulls[kSegmentAttributes] = {};
  const auto set = [&](SegmentAttribute attribute, Datum value) { values[attribute - 1] = value; };
  const auto set_bytes = [&](SegmentAttribute attribute, bytea *value) {
    values[attribute - 1] = PointerGetDatum(value);
    nulls[attribute - 1] = value == nullptr;
  };
  set(kSegmentStore, ObjectIdGetDatum(row->store));
  set(kSegmentSeg, Int32GetDatum(row->seg));
  set(kSegmentChunkStart, Int64GetDatum(row->chunk_start));
  set(kSegmentChunkEnd, Int64GetDatum(row->chunk_end));
  set(kSegmentLevel, Int16GetDatum(row->level));
  set(kSegmentTmin, Int64GetDatum(row->tmin));
  set(kSegmentTmax, Int64GetDatum(row->tmax));
  set(kSegmentNrows, Int32GetDatum(row->nrows));
  set_bytes(kSegmentKeyLo, row->key_lo);
  set_bytes(kSegmentKeyHi, row->key_hi);
  set(kSegmentValueId, ObjectIdGetDatum(row->value_id));
  set(kSegmentNpieces, Int32GetDatum(row->npieces));
  set(kSegmentNbytes, Int64GetDatum(row->nbytes));
  set_bytes(kSegmentPiecePages, row->piece_pages);
  set(kSegmentFlags, Int32GetDatum(row->flags));

  HeapTuple tuple = heap_form_tuple(RelationGetDescr(directory), values, nulls);
  InsertCatalogRow(directory, tuple, cid);
  row->tid = tuple->t_self;
  heap_freetuple(tuple);
  table_close(directory, NoLock);
}

bool DeleteSegment(const SegmentRow *row, CommandId cid) {
  Relation directory = table_open(CatalogRelation("segment"), RowExclusiveLock);
  CheckRowIsThere(directory, row);
  (void)GetCurrentCommandId(true);
  deleting_transaction = GetTopTransactionId();
  ItemPointerData tid = row->tid;
  TM_FailureData failure;
  const TM_Result result =
      heap_delete(directory, &tid, cid, InvalidSnapshot, false, &failure, false);
  table_close(directory, NoLock);
  return result == TM_Ok;
}

bool HasDeletedSegments() {
  return TransactionIdIsValid(deleting_transaction) &&
         deleting_transaction == GetTopTransactionIdIfAny();
}

void UpdateSegmentPieces(const SegmentRow *row) {
  Relation directory = table_open(CatalogRelation("segment"), RowExclusiveLock);
  CheckRowIsThere(directory, row);
  HeapTupleData old_tuple;
  old_tuple.t_self = row->tid;
  Buffer buffer;
  if (!heap_fetch(directory, SnapshotAny, &old_tuple, &buffer, false))
    elog(ERROR, "directory row of segment %d of store %u has gone", row->seg, row->store);
  Datum values[kSegmentAttributes] = {};
  bool nulls[kSegmentAttributes] = {};
  bool replace[kSegmentAttributes] = {};
  values[kSegmentPiecePages - 1] = PointerGetDatum(row->piece_pages);
  nulls[kSegmentPiecePages - 1] = row->piece_pages == nullptr;
  replace[kSegmentPiecePages - 1] = true;
  HeapTuple tuple =
      heap_modify_tuple(&old_tuple, RelationGetDescr(directory), values, nulls, replace);
  ReleaseBuffer(buffer);
  CatalogTupleUpdate(directory, &tuple->t_self, tuple);
  heap_freetuple(tuple);
  table_close(directory, NoLock);
}

void DeleteStore(Oid store) {
  if (!OidIsValid(store)) return;
  DeleteStoreRows("segment", "segment_pkey", kSegmentStore, store);
  DeleteStoreRows("tombstone", "tombstone_pkey", kTombstoneStore, store);
  DeleteStoreRows("store_total", "store_total_pkey", kTotalStore, store);
  DeleteStoreRows("chunk_hold", "chunk_hold_pkey", kHoldStore, store);
  DeleteStoreRows("downsample_range", "downsample_range_pkey", kRangeStore, store);
}

void AddStoreTotal(Oid store, int64_t rows, int64_t bytes, int64_t segments, int64_t tmin,
                   int64_t tmax) {
  Relation table = table_open(CatalogRelation("store_total"), RowExclusiveLock);
  InsertTotal(table, store, {rows, bytes, segments, tmin, tmax});
  table_close(table, NoLock);
  CacheInvalidateRelcacheByRelid(store);  // for CachedStoreTotal()
}

StoreTotal GetStoreTotal(Oid store, Snapshot snapshot) {
  StoreTotal total = EmptyTotal();
  if (!OidIsValid(store)) return total;
  const ReadSnapshot use = UseSnapshot(snapshot);
  Relation table = table_open(CatalogRelation("store_total"), AccessShareLock);
  ScanKeyData key;
  StoreKey(&key, kTotalStore, store);
  SysScanDesc scan =
      systable_beginscan(table, CatalogRelation("store_total_pkey"), true, use.snapshot, 1, &key);
  HeapTuple tuple;
  while ((tuple = systable_getnext(scan)) != nullptr)
    AddTuple(total, tuple, RelationGetDescr(table));
  systable_endscan(scan);
  table_close(table, NoLock);
  DoneWithSnapshot(use);
  return total;
}

void FoldStoreTotal(Oid store) {
  if (!OidIsValid(store)) return;
  const ReadSnapshot use = UseSnapshot(nullptr);
  Relation table = table_open(CatalogRelation("store_total"), RowExclusiveLock);
  ScanKeyData key;
  StoreKey(&key, kTotalStore, store);
  const Oid index = CatalogRelation("store_total_pkey");
  SysScanDesc scan = systable_beginscan(table, index, true, use.snapshot, 1, &key);
  int count = 0;
  while (systable_getnext(scan) != nullptr) count++;
  systable_endscan(scan);

  if (count > kTotalRowsKept) {
    // The sum of exactly the rows that were deleted here: a concurrent fold or add loses nothing.
    StoreTotal total = EmptyTotal();
    scan = systable_beginscan(table, index, true, use.snapshot, 1, &key);
    HeapTuple tuple;
    while ((tuple = systable_getnext(scan)) != nullptr) {
      TM_FailureData failure;
      if (heap_delete(table, &tuple->t_self, GetCurrentCommandId(true), InvalidSnapshot, false,
                      &failure, false) == TM_Ok)
        AddTuple(total, tuple, RelationGetDescr(table));
    }
    systable_endscan(scan);
    InsertTotal(table, store, total);
  }
  table_close(table, NoLock);
  DoneWithSnapshot(use);
}

}  // namespace tsext::pg

/// A trigger that fires in replication workers only and drops the row.
TSEXT_FUNCTION(tsext_ignore_replicated_row) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("must be called as a trigger")));
  return PointerGetDatum(nullptr);
}
