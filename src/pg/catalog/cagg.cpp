// The tables of continuous aggregates: plain rows, written and read below the executor, so without
// privilege checks, triggers and rules. What a session caches of them, and how it hears of changes.

#include "pg/catalog/cagg.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/oid_table.hpp"
#include "pg/catalog/commit_gate.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "commands/trigger.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {
namespace {

// Attribute numbers, in the order of cagg.sql.
enum AggregateAttribute : AttrNumber {
  kMaterialization = 1,
  kView,
  kDirect,
  kBase,
  kSource,
  kLevel,
  kTimeType,
  kBucketColumn,
  kBucketCall,
  kBucketWidth,
  kBucketTimezone,
  kIsFixed,
  kReach,
  kCellWidth,
  kCellOrigin,
  kMargin,
  kMaterializedOnly,
  kAggregateAttributes = kMaterializedOnly
};

enum ThresholdAttribute : AttrNumber {
  kThresholdMaterialization = 1,
  kThreshold,
  kRefreshedAt,
  kThresholdAttributes = kRefreshedAt
};

enum LogAttribute : AttrNumber {
  kLogMaterialization = 1,
  kLogFirst,
  kLogLast,
  kLogRows,
  kLogAttributes = kLogRows
};

enum GoneAttribute : AttrNumber {
  kGoneMaterialization = 1,
  kGoneStart,
  kGoneUntil,
  kGoneLateRows,
  kGoneAttributes = kGoneLateRows
};

UnloggedFunction unlogged = nullptr;
RowsRefreshedFunction rows_refreshed = nullptr;

// ---------------------------------------------------------------------------------------------
// Rows

/// Calls `visit(table, tuple)` for the rows whose attribute is `value` until it returns false. For
/// no row when the table is not there: a database without the extension, or the extension goes.
/// index_name: nullptr when no index has the attribute.
template <typename Visit>
void ForEachRow(const char *table_name, const char *index_name, AttrNumber attribute, Oid value,
                Snapshot snapshot, LOCKMODE lock, Visit &&visit) {
  const Oid table_id = FindCatalogRelation(table_name);
  if (!OidIsValid(table_id)) return;
  Relation table = table_open(table_id, lock);
  // A catalog snapshot is the only fresh one that may also be taken in a parallel operation.
  const bool is_fresh = snapshot == nullptr;
  if (is_fresh) snapshot = RegisterSnapshot(GetCatalogSnapshot(InvalidOid));
  const Oid index_id = index_name != nullptr ? FindCatalogRelation(index_name) : InvalidOid;
  ScanKeyData key;
  ScanKeyInit(&key, attribute, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
  SysScanDesc scan = systable_beginscan(table, index_id, OidIsValid(index_id), snapshot, 1, &key);
  HeapTuple tuple;
  while ((tuple = systable_getnext(scan)) != nullptr && visit(table, tuple)) {
  }
  systable_endscan(scan);
  if (is_fresh) UnregisterSnapshot(snapshot);
  table_close(table, NoLock);
}

template <int N>
struct Values {
  Datum values[N];
  bool nulls[N];

  Values() : values{}, nulls{} {}
  Values(Relation table, HeapTuple tuple) {
    heap_deform_tuple(tuple, RelationGetDescr(table), values, nulls);
  }
  void Set(AttrNumber attribute, Datum value) { values[attribute - 1] = value; }
  void SetText(AttrNumber attribute, const char *text) {
    nulls[attribute - 1] = text == nullptr;
    if (text != nullptr) Set(attribute, CStringGetTextDatum(text));
  }
  Oid Id(AttrNumber attribute) const { return DatumGetObjectId(values[attribute - 1]); }
  int64_t Integer(AttrNumber attribute) const { return DatumGetInt64(values[attribute - 1]); }
  bool Bool(AttrNumber attribute) const { return DatumGetBool(values[attribute - 1]); }
  char *Text(AttrNumber attribute) const {
    return nulls[attribute - 1] ? nullptr : TextDatumGetCString(values[attribute - 1]);
  }

  /// Inserts them as a row.
  void Insert(const char *table_name, ItemPointer tid = nullptr) {
    Relation table = table_open(CatalogRelation(table_name), RowExclusiveLock);
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
    InsertCatalogRow(table, tuple, GetCurrentCommandId(true));
    if (tid != nullptr) *tid = tuple->t_self;
    heap_freetuple(tuple);
    table_close(table, NoLock);
  }
  /// Puts them in a row's place.
  void Update(Relation table, ItemPointer tid) {
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
    CatalogTupleUpdate(table, tid, tuple);
    heap_freetuple(tuple);
  }
};

/// Deletes a row that nobody else may be about to delete: 40001.
void DeleteRow(Relation table, ItemPointer tid) {
  TM_FailureData failure;
  if (heap_delete(table, tid, GetCurrentCommandId(true), InvalidSnapshot, /*wait=*/false, &failure,
                  /*changingPart=*/false) == TM_Ok)
    return;
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("could not serialize access to relation \"%s\" due to concurrent delete",
                         RelationGetRelationName(table)),
                  errhint("The transaction might succeed if retried.")));
}

/// Deletes the rows of an aggregate that are committed or our own. SnapshotSelf shows both.
void DeleteRows(const char *table_name, const char *index_name, Oid materialization) {
  ForEachRow(table_name, index_name, 1, materialization, SnapshotSelf, RowExclusiveLock,
             [](Relation table, HeapTuple tuple) {
               TM_FailureData failure;
               (void)heap_delete(table, &tuple->t_self, GetCurrentCommandId(true), InvalidSnapshot,
                                 /*wait=*/true, &failure, /*changingPart=*/false);
               return true;
             });
}

/// Everything but the definition.
void DeleteState(Oid materialization) {
  DeleteRows("cagg_threshold", "cagg_threshold_pkey", materialization);
  DeleteRows("cagg_log", "cagg_log_materialization", materialization);
  DeleteRows("cagg_gone", "cagg_gone_pkey", materialization);
}

enum class Detail { kForWriters, kAll };

ContinuousAggregate AggregateOfTuple(Relation table, HeapTuple tuple, Detail detail) {
  const Values<kAggregateAttributes> row(table, tuple);
  ContinuousAggregate aggregate = {};
  aggregate.materialization = row.Id(kMaterialization);
  aggregate.view = row.Id(kView);
  aggregate.direct = row.Id(kDirect);
  aggregate.base = row.Id(kBase);
  aggregate.source = row.Id(kSource);
  aggregate.level = DatumGetInt16(row.values[kLevel - 1]);
  aggregate.time_type = row.Id(kTimeType);
  aggregate.bucket_column = *DatumGetName(row.values[kBucketColumn - 1]);
  aggregate.is_fixed = row.Bool(kIsFixed);
  aggregate.reach = row.Integer(kReach);
  aggregate.cell_width = row.Integer(kCellWidth);
  aggregate.cell_origin = row.Integer(kCellOrigin);
  aggregate.margin = row.Integer(kMargin);
  aggregate.materialized_only = row.Bool(kMaterializedOnly);
  if (detail == Detail::kAll) {
    aggregate.bucket_call = row.Text(kBucketCall);
    aggregate.bucket_width = row.Text(kBucketWidth);
    aggregate.bucket_timezone = row.Text(kBucketTimezone);
  }
  return aggregate;
}

/// A growing array in the current memory context.
template <typename T>
struct PallocArray {
  T *items = nullptr;
  int count = 0;
  int capacity = 0;

  void Add(const T &item) {
    if (count == capacity) {
      capacity = capacity == 0 ? 4 : capacity * 2;
      const Size size = sizeof(T) * static_cast<Size>(capacity);
      items = static_cast<T *>(items == nullptr ? palloc(size) : repalloc(items, size));
    }
    items[count++] = item;
  }
};

ContinuousAggregate *ReadAggregatesOfBase(Oid base, Snapshot snapshot, Detail detail, int *count) {
  PallocArray<ContinuousAggregate> found;
  ForEachRow("cagg", "cagg_base", kBase, base, snapshot, AccessShareLock,
             [&](Relation table, HeapTuple tuple) {
               found.Add(AggregateOfTuple(table, tuple, detail));
               return true;
             });
  // One order for everybody: lower levels first, older ones first.
  std::sort(found.items, found.items + found.count,
            [](const ContinuousAggregate &a, const ContinuousAggregate &b) {
              return a.level != b.level ? a.level < b.level : a.materialization < b.materialization;
            });
  *count = found.count;
  return found.items;
}

ContinuousAggregate *FindAggregate(const char *index, AggregateAttribute attribute, Oid value) {
  ContinuousAggregate *found = nullptr;
  ForEachRow("cagg", index, attribute, value, nullptr, AccessShareLock,
             [&](Relation table, HeapTuple tuple) {
               found = static_cast<ContinuousAggregate *>(palloc(sizeof(ContinuousAggregate)));
               *found = AggregateOfTuple(table, tuple, Detail::kAll);
               return false;
             });
  return found;
}

/// Tells sessions that write to the table; it may have gone already.
void InvalidateBase(Oid base) {
  if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(base))) CacheInvalidateRelcacheByRelid(base);
}

// ---------------------------------------------------------------------------------------------
// The cache of a table's aggregates

struct BaseEntry {
  Oid base;  // key
  bool is_valid;
  int count;
  ContinuousAggregate *aggregates;
};

HTAB *bases = nullptr;
BaseEntry *last_base = nullptr;  // a valid entry or nullptr
BaseEntry *filling = nullptr;    // being read
uint64_t base_messages = 0;      // invalidations that came

/// Entries with aggregates stay: a caller may still read them. The others are many.
void ForgetEntry(BaseEntry *entry) {
  entry->is_valid = false;
  if (entry->aggregates == nullptr && entry != filling)
    (void)hash_search(bases, &entry->base, HASH_REMOVE, nullptr);
}

/// A relcache callback: a relation, or InvalidOid for all of them.
void ForgetBase(Datum, Oid relation) {
  base_messages++;
  if (bases == nullptr) return;
  last_base = nullptr;
  if (OidIsValid(relation)) {
    auto *entry = static_cast<BaseEntry *>(hash_search(bases, &relation, HASH_FIND, nullptr));
    if (entry != nullptr) ForgetEntry(entry);
    return;
  }
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, bases);
  while (auto *entry = static_cast<BaseEntry *>(hash_seq_search(&status))) ForgetEntry(entry);
}

BaseEntry *FindBase(Oid base) {
  if (bases == nullptr) bases = NewOidTable<BaseEntry>("tsext tables with continuous aggregates");
  bool found;
  auto *entry = static_cast<BaseEntry *>(hash_search(bases, &base, HASH_ENTER, &found));
  if (!found) {
    entry->is_valid = false;
    entry->count = 0;
    entry->aggregates = nullptr;
  }
  return entry;
}

void FillBase(BaseEntry *entry) {
  const uint64_t messages = base_messages;
  filling = entry;
  int count;
  ContinuousAggregate *read =
      ReadAggregatesOfBase(entry->base, nullptr, Detail::kForWriters, &count);
  filling = nullptr;
  ContinuousAggregate *kept = nullptr;
  if (count > 0) {
    const Size size = sizeof(ContinuousAggregate) * static_cast<Size>(count);
    kept = static_cast<ContinuousAggregate *>(MemoryContextAlloc(TopMemoryContext, size));
    memcpy(kept, read, size);
    pfree(read);
  }
  if (entry->aggregates != nullptr) pfree(entry->aggregates);
  entry->aggregates = kept;
  entry->count = count;
  // An invalidation that came while we read may have been about what we read: good for this call,
  // to be read anew by the next.
  entry->is_valid = messages == base_messages;
}

// ---------------------------------------------------------------------------------------------
// Thresholds

struct ThresholdEntry {
  Oid materialization;  // key
  uint64_t moves;       // of when it was read
  int64_t threshold;
};

HTAB *thresholds = nullptr;

ThresholdEntry *FindThreshold(Oid materialization) {
  if (thresholds == nullptr) thresholds = NewOidTable<ThresholdEntry>("tsext thresholds");
  bool found;
  auto *entry =
      static_cast<ThresholdEntry *>(hash_search(thresholds, &materialization, HASH_ENTER, &found));
  if (!found) entry->moves = 0;  // less than any count
  return entry;
}

}  // namespace

ContinuousAggregate *AggregatesOfBase(Oid base, Snapshot snapshot, int *count) {
  return ReadAggregatesOfBase(base, snapshot, Detail::kAll, count);
}

ContinuousAggregate *AggregateOfView(Oid view) {
  return FindAggregate("cagg_view", kView, view);
}

ContinuousAggregate *AggregateOfMaterialization(Oid materialization) {
  return FindAggregate("cagg_pkey", kMaterialization, materialization);
}

ContinuousAggregate *AggregateOfDirect(Oid direct) {
  return FindAggregate(nullptr, kDirect, direct);
}

const ContinuousAggregate *CachedAggregatesOfBase(Oid base, int *count) {
  BaseEntry *entry = last_base;
  if (entry == nullptr || entry->base != base) {
    entry = FindBase(base);
    if (!entry->is_valid) FillBase(entry);
    if (entry->is_valid) last_base = entry;
  }
  *count = entry->count;
  return entry->aggregates;
}

uint64_t AggregatesVersion() {
  return base_messages;
}

bool HasAggregates(Oid base) {
  int count;
  (void)CachedAggregatesOfBase(base, &count);
  return count > 0;
}

void RefuseOtherTime(Oid table, AttrNumber column) {
  int count;
  const ContinuousAggregate *aggregates = CachedAggregatesOfBase(table, &count);
  const ContinuousAggregate *own = AggregateOfMaterialization(table);
  const bool is_bucket =
      own != nullptr && column != InvalidAttrNumber &&
      strcmp(get_attname(table, column, false), NameStr(own->bucket_column)) == 0;
  if (count == 0 && (own == nullptr || is_bucket)) return;
  ereport(
      ERROR,
      (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
       errmsg("cannot change the time column of table \"%s\"", get_rel_name(table)),
       count > 0 ? errdetail("Continuous aggregate \"%s\" follows the changes of its rows by it.",
                             get_rel_name(aggregates[0].view))
                 : errdetail("Continuous aggregate \"%s\" finds its buckets by it.",
                             get_rel_name(own->view)),
       count > 0 ? errhint("Drop the continuous aggregate first.") : 0));
}

void RefuseNoTime(Oid base) {
  int count;
  const ContinuousAggregate *aggregates = CachedAggregatesOfBase(base, &count);
  if (count == 0) return;
  ereport(ERROR,
          (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
           errmsg("cannot allow NULL in the time column of table \"%s\"", get_rel_name(base)),
           errdetail("Continuous aggregate \"%s\" reads it, and rows without a time belong to no "
                     "bucket.",
                     get_rel_name(aggregates[0].view)),
           errhint("Drop the continuous aggregate first.")));
}

int64_t ReadThreshold(Oid materialization, Snapshot snapshot) {
  int64_t threshold = kTimeMinimum;
  ForEachRow("cagg_threshold", "cagg_threshold_pkey", kThresholdMaterialization, materialization,
             snapshot, AccessShareLock, [&](Relation table, HeapTuple tuple) {
               threshold = Values<kThresholdAttributes>(table, tuple).Integer(kThreshold);
               return false;
             });
  return threshold;
}

void WriteThreshold(Oid materialization, int64_t threshold) {
  NoteThresholdMove();
  Values<kThresholdAttributes> row;
  row.Set(kThresholdMaterialization, ObjectIdGetDatum(materialization));
  row.Set(kThreshold, Int64GetDatum(threshold));
  row.Set(kRefreshedAt, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
  bool is_there = false;
  ForEachRow("cagg_threshold", "cagg_threshold_pkey", kThresholdMaterialization, materialization,
             SnapshotSelf, RowExclusiveLock, [&](Relation table, HeapTuple tuple) {
               row.Update(table, &tuple->t_self);
               is_there = true;
               return false;
             });
  if (!is_there) row.Insert("cagg_threshold");
  CommandCounterIncrement();
}

int64_t CachedThreshold(Oid materialization) {
  const uint64_t moves = ThresholdMoves();
  if (moves == 0 || HasMovedThreshold()) return ReadThreshold(materialization, nullptr);
  ThresholdEntry *entry = FindThreshold(materialization);
  if (entry->moves != moves) {
    entry->threshold = ReadThreshold(materialization, nullptr);
    entry->moves = moves;
  }
  return entry->threshold;
}

void AppendLog(Oid materialization, int64_t first, int64_t last, int64_t rows, ItemPointer tid) {
  Values<kLogAttributes> row;
  row.Set(kLogMaterialization, ObjectIdGetDatum(materialization));
  row.Set(kLogFirst, Int64GetDatum(first));
  row.Set(kLogLast, Int64GetDatum(last));
  row.Set(kLogRows, Int64GetDatum(rows));
  row.Insert("cagg_log", tid);
}

LogEntry *ReadLog(Oid materialization, Snapshot snapshot, int *count) {
  if (IsParallelWorker())
    elog(ERROR, "the log of a continuous aggregate cannot be read in a parallel worker");
  PallocArray<LogEntry> entries;
  if (unlogged != nullptr) {
    int own_count;
    const LogEntry *own =
        unlogged(materialization,
                 snapshot != nullptr ? snapshot->curcid : GetCurrentCommandId(false), &own_count);
    for (int i = 0; i < own_count; i++) entries.Add(own[i]);
  }
  ForEachRow("cagg_log", "cagg_log_materialization", kLogMaterialization, materialization, snapshot,
             AccessShareLock, [&](Relation table, HeapTuple tuple) {
               const Values<kLogAttributes> row(table, tuple);
               entries.Add({row.Integer(kLogFirst), row.Integer(kLogLast), row.Integer(kLogRows),
                            tuple->t_self});
               return true;
             });
  *count = entries.count;
  return entries.items;
}

void DeleteLogEntry(ItemPointer tid) {
  if (!ItemPointerIsValid(tid)) return;  // not written yet
  Relation log = table_open(CatalogRelation("cagg_log"), RowExclusiveLock);
  DeleteRow(log, tid);
  table_close(log, NoLock);
}

void SetUnloggedFunction(UnloggedFunction function) {
  unlogged = function;
}

GoneRange *ReadGone(Oid materialization, Snapshot snapshot, int *count) {
  PallocArray<GoneRange> ranges;
  ForEachRow(
      "cagg_gone", "cagg_gone_pkey", kGoneMaterialization, materialization, snapshot,
      AccessShareLock, [&](Relation table, HeapTuple tuple) {
        const Values<kGoneAttributes> row(table, tuple);
        ranges.Add({row.Integer(kGoneStart), row.Integer(kGoneUntil), row.Integer(kGoneLateRows)});
        return true;
      });
  std::sort(ranges.items, ranges.items + ranges.count,
            [](const GoneRange &a, const GoneRange &b) { return a.start < b.start; });
  *count = ranges.count;
  return ranges.items;
}

void AddGone(Oid materialization, int64_t start, int64_t until) {
  GoneRange joined = {start, until, 0};
  ForEachRow("cagg_gone", "cagg_gone_pkey", kGoneMaterialization, materialization, SnapshotSelf,
             RowExclusiveLock, [&](Relation table, HeapTuple tuple) {
               const Values<kGoneAttributes> row(table, tuple);
               // Stored ranges do not meet one another: those that meet the joined range meet the
               // given one.
               if (row.Integer(kGoneStart) > until || row.Integer(kGoneUntil) < start) return true;
               joined.start = Min(joined.start, row.Integer(kGoneStart));
               joined.until = Max(joined.until, row.Integer(kGoneUntil));
               joined.late_rows += row.Integer(kGoneLateRows);
               DeleteRow(table, &tuple->t_self);
               return true;
             });
  Values<kGoneAttributes> row;
  row.Set(kGoneMaterialization, ObjectIdGetDatum(materialization));
  row.Set(kGoneStart, Int64GetDatum(joined.start));
  row.Set(kGoneUntil, Int64GetDatum(joined.until));
  row.Set(kGoneLateRows, Int64GetDatum(joined.late_rows));
  row.Insert("cagg_gone");
  CommandCounterIncrement();
}

void AddLateRows(Oid materialization, int64_t start, int64_t rows) {
  ForEachRow("cagg_gone", "cagg_gone_pkey", kGoneMaterialization, materialization, SnapshotSelf,
             RowExclusiveLock, [&](Relation table, HeapTuple tuple) {
               Values<kGoneAttributes> row(table, tuple);
               if (row.Integer(kGoneStart) != start) return true;
               row.Set(kGoneLateRows, Int64GetDatum(row.Integer(kGoneLateRows) + rows));
               row.Update(table, &tuple->t_self);
               return false;
             });
  CommandCounterIncrement();
}

void SetRowsRefreshedFunction(RowsRefreshedFunction function) {
  rows_refreshed = function;
}

void RowsRefreshed(int64_t rows) {
  if (rows_refreshed != nullptr) rows_refreshed(rows);
}

void DeleteAggregate(const ContinuousAggregate &aggregate) {
  NoteThresholdMove();  // sessions that know its threshold read it again, and find none
  CommandCounterIncrement();
  DeleteRows("cagg", "cagg_pkey", aggregate.materialization);
  DeleteState(aggregate.materialization);
  InvalidateBase(aggregate.base);
  CommandCounterIncrement();
}

namespace {

Values<kAggregateAttributes> RowOfAggregate(const ContinuousAggregate &aggregate) {
  Values<kAggregateAttributes> row;
  row.Set(kMaterialization, ObjectIdGetDatum(aggregate.materialization));
  row.Set(kView, ObjectIdGetDatum(aggregate.view));
  row.Set(kDirect, ObjectIdGetDatum(aggregate.direct));
  row.Set(kBase, ObjectIdGetDatum(aggregate.base));
  row.Set(kSource, ObjectIdGetDatum(aggregate.source));
  row.Set(kLevel, Int16GetDatum(aggregate.level));
  row.Set(kTimeType, ObjectIdGetDatum(aggregate.time_type));
  row.Set(kBucketColumn, NameGetDatum(&aggregate.bucket_column));
  row.SetText(kBucketCall, aggregate.bucket_call);
  row.SetText(kBucketWidth, aggregate.bucket_width);
  row.SetText(kBucketTimezone, aggregate.bucket_timezone);
  row.Set(kIsFixed, BoolGetDatum(aggregate.is_fixed));
  row.Set(kReach, Int64GetDatum(aggregate.reach));
  row.Set(kCellWidth, Int64GetDatum(aggregate.cell_width));
  row.Set(kCellOrigin, Int64GetDatum(aggregate.cell_origin));
  row.Set(kMargin, Int64GetDatum(aggregate.margin));
  row.Set(kMaterializedOnly, BoolGetDatum(aggregate.materialized_only));
  return row;
}

}  // namespace

void UpdateAggregate(const ContinuousAggregate &aggregate) {
  Values<kAggregateAttributes> row = RowOfAggregate(aggregate);
  ForEachRow("cagg", "cagg_pkey", kMaterialization, aggregate.materialization, SnapshotSelf,
             RowExclusiveLock, [&](Relation table, HeapTuple tuple) {
               row.Update(table, &tuple->t_self);
               return false;
             });
  InvalidateBase(aggregate.base);
  CommandCounterIncrement();
}

void InsertAggregate(const ContinuousAggregate &aggregate) {
  // An OID that was in use before may have left entries of a transaction that was prepared then.
  DeleteState(aggregate.materialization);
  RowOfAggregate(aggregate).Insert("cagg");

  NoteThresholdMove();
  Values<kThresholdAttributes> threshold;
  threshold.Set(kThresholdMaterialization, ObjectIdGetDatum(aggregate.materialization));
  threshold.Set(kThreshold, Int64GetDatum(kTimeMinimum));
  threshold.nulls[kRefreshedAt - 1] = true;
  threshold.Insert("cagg_threshold");
  InvalidateBase(aggregate.base);
  CommandCounterIncrement();
}

void InitAggregateCatalog() {
  CacheRegisterRelcacheCallback(ForgetBase, 0);
}

}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

/// A statement trigger of tsext.cagg and tsext.cagg_threshold: rows that SQL writes, which is COPY
/// when a dump is restored.
TSEXT_FUNCTION(tsext_aggregates_changed) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("function \"%s\" must be called as a trigger", "aggregates_changed")));
  NoteThresholdMove();
  CacheInvalidateRelcacheAll();
  PG_RETURN_POINTER(nullptr);
}
