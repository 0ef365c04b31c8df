// What a transaction has touched lives in its memory: per table a sorted array of ranges of cells.
// It is logged at the end, once, for the aggregates whose threshold is above. What a session knows
// of a table stays with it over transactions, so that a row at a time costs little.
//
// A range remembers the first command that touched it: ReadLog shows it to exactly those snapshots
// of the transaction that see what the command wrote, as if it had been logged with the row. More
// than was touched may be logged, never less; so a rollback to a savepoint takes nothing back.

#include "pg/table/touched.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/oid_table.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/commit_gate.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

// With so many ranges a table's nearest neighbours are joined.
constexpr int kMostRanges = 4096;
// So many need no memory of their own.
constexpr int kFirstRanges = 4;
// No AggregatesVersion().
constexpr uint64_t kUnknownVersion = UINT64_MAX;

/// Cells next to each other, and what was touched in them.
struct TouchedRange {
  int64_t first, last;  // ends of the cells, both inclusive
  int64_t low, high;    // least and greatest time
  int64_t rows;
  CommandId cid;  // the first command
};

/// A followed table that this session writes to.
struct TouchedTable {
  Oid base;  // key
  // What is known of it, for all transactions.
  uint64_t version;  // AggregatesVersion() before it was found out
  AttrNumber time_attribute;
  Oid time_type;
  int64_t cell_width, cell_origin;
  int64_t cell_first, cell_last;  // the last cell that was asked for
  // Of its aggregates, as long as ThresholdMoves() is `moves`; 0: nothing is known.
  uint64_t moves;
  int64_t greatest_threshold, greatest_margin;
  // What this transaction has touched.
  bool is_touched;
  TouchedTable *next;
  TouchedRange *ranges;  // ascending, disjoint
  int count, capacity;
  int most;     // ranges, before they are joined
  int current;  // the range of the last row
  TouchedRange first_ranges[kFirstRanges];
};

// By base, for the whole session.
HTAB *known_tables = nullptr;
TouchedTable *last_known = nullptr;
// Of the current transaction.
TouchedTable *tables = nullptr;
TouchedTable *last_table = nullptr;
// Queries of this transaction have read the log with snapshots of commands up to this one. What
// they have been told stays as it is: a query reads the log more than once.
CommandId last_answered = FirstCommandId;

PrepareSourceGoesFunction prepare_source_goes = nullptr;
SourceGoesFunction source_goes = nullptr;
SourceLimitFunction source_limit = nullptr;

/// The remainder that is not negative.
int64_t Modulo(int64_t value, int64_t divisor) {
  const int64_t rest = value % divisor;
  return rest < 0 ? rest + divisor : rest;
}

/// Keeps the cell of a time; the infinities and what is next to the ends of int64 have their own.
void FindCell(TouchedTable *table, int64_t time) {
  table->cell_first = table->cell_last = time;
  const int64_t width = table->cell_width;
  if (width <= 1 || time == kTimeMinimum || time == kTimeMaximum) return;
  int64_t offset = Modulo(time, width) - Modulo(table->cell_origin, width);
  if (offset < 0) offset += width;
  table->cell_first = time > kTimeMinimum + offset ? time - offset : kTimeMinimum + 1;
  table->cell_last = time < kTimeMaximum - width ? time - offset + width - 1 : kTimeMaximum - 1;
}

TouchedTable *KnownTable(Oid base) {
  if (last_known != nullptr && last_known->base == base) return last_known;
  if (known_tables == nullptr) known_tables = NewOidTable<TouchedTable>("tsext tables written to");
  bool found;
  auto *table = static_cast<TouchedTable *>(hash_search(known_tables, &base, HASH_ENTER, &found));
  if (!found) {
    *table = {};
    table->base = base;
    table->version = kUnknownVersion;
  }
  last_known = table;
  return table;
}

/// Finds out what lasts over transactions; false: nobody follows the table.
bool LearnTable(TouchedTable *table, Relation relation) {
  table->version = kUnknownVersion;
  const uint64_t version = AggregatesVersion();
  int count;
  const ContinuousAggregate *aggregates = CachedAggregatesOfBase(table->base, &count);
  if (count == 0) return false;
  const ContinuousAggregate *narrowest =
      std::min_element(aggregates, aggregates + count,
                       [](const ContinuousAggregate &a, const ContinuousAggregate &b) {
                         return a.cell_width < b.cell_width;
                       });
  table->cell_width = narrowest->cell_width;
  table->cell_origin = narrowest->cell_origin;
  table->cell_first = 1;
  table->cell_last = 0;
  TableOptions *options = GetTableOptions(relation);
  table->time_attribute = options->time_attribute;
  table->time_type = options->time_type;
  pfree(options);
  table->version = version;
  return true;
}

/// Adds a table to those that this transaction touches.
void BeginTouching(TouchedTable *table) {
  table->ranges = table->first_ranges;
  table->capacity = kFirstRanges;
  table->count = 0;
  table->most = kMostRanges;
  table->next = tables;
  table->is_touched = true;
  tables = table;
}

void EndTouching() {
  for (TouchedTable *table = tables; table != nullptr; table = table->next)
    table->is_touched = false;
  tables = last_table = nullptr;
  last_answered = FirstCommandId;
}

/// The table's state; nullptr when nobody follows it.
TouchedTable *TableOf(Relation relation) {
  const Oid base = RelationGetRelid(relation);
  if (last_table != nullptr && last_table->base == base) return last_table;
  if (!HasAggregates(base)) return nullptr;
  TouchedTable *table = KnownTable(base);
  if (!table->is_touched) {
    if (table->version != AggregatesVersion() && !LearnTable(table, relation)) return nullptr;
    BeginTouching(table);
  }
  last_table = table;
  return table;
}

/// Adds a row to a range that has its time.
void AddRow(TouchedRange *range, int64_t time, CommandId cid) {
  range->low = Min(range->low, time);
  range->high = Max(range->high, time);
  range->cid = Min(range->cid, cid);
  range->rows++;
}

/// Makes `left` the range of both, and of what lies between.
void JoinRanges(TouchedRange *left, const TouchedRange &right) {
  left->last = Max(left->last, right.last);
  left->low = Min(left->low, right.low);
  left->high = Max(left->high, right.high);
  left->rows += right.rows;
  left->cid = Min(left->cid, right.cid);
}

bool IsAnswered(const TouchedRange &range) {
  return range.cid < last_answered;
}

uint64_t GapBetween(const TouchedRange &left, const TouchedRange &right) {
  return static_cast<uint64_t>(right.first) - static_cast<uint64_t>(left.last);
}

/// Halves the number of ranges by joining those with the least between them. Ranges that a query
/// knows already stay.
void JoinNearest(TouchedTable *table) {
  TouchedRange *ranges = table->ranges;
  auto *gaps = static_cast<uint64_t *>(palloc(sizeof(uint64_t) * static_cast<Size>(table->count)));
  int gap_count = 0;
  for (int i = 1; i < table->count; i++)
    if (!IsAnswered(ranges[i - 1]) && !IsAnswered(ranges[i]))
      gaps[gap_count++] = GapBetween(ranges[i - 1], ranges[i]);
  const int wanted = Min(table->count / 2, gap_count);
  if (wanted > 0) {
    std::nth_element(gaps, gaps + wanted - 1, gaps + gap_count);
    const uint64_t widest = gaps[wanted - 1];
    int kept = 0;
    for (int i = 1; i < table->count; i++) {
      TouchedRange *left = &ranges[kept];
      if (!IsAnswered(*left) && !IsAnswered(ranges[i]) && GapBetween(*left, ranges[i]) <= widest)
        JoinRanges(left, ranges[i]);
      else
        ranges[++kept] = ranges[i];
    }
    table->count = kept + 1;
  }
  pfree(gaps);
  while (table->count > table->most / 2) table->most *= 2;
}

/// Whether ranges may be one: nothing lies between them, and the same snapshots see them.
bool AreOne(const TouchedRange &left, const TouchedRange &right) {
  return left.last != kTimeMaximum && left.last + 1 == right.first && left.cid == right.cid;
}

/// Makes room for one more range.
void NeedRoom(TouchedTable *table) {
  if (likely(table->count < table->capacity)) return;
  const int capacity = Max(16, table->capacity * 2);
  const Size size = sizeof(TouchedRange) * static_cast<Size>(capacity);
  if (table->ranges == table->first_ranges) {
    auto *ranges = static_cast<TouchedRange *>(MemoryContextAlloc(TopTransactionContext, size));
    table->ranges = std::copy(table->ranges, table->ranges + table->count, ranges) - table->count;
  } else {
    table->ranges = static_cast<TouchedRange *>(repalloc_huge(table->ranges, size));
  }
  table->capacity = capacity;
}

/// Puts a new range behind `before` ranges.
void InsertRange(TouchedTable *table, int before, const TouchedRange &range) {
  TouchedRange *at = table->ranges + before;
  if (before > 0 && AreOne(at[-1], range)) {
    JoinRanges(at - 1, range);
    if (before < table->count && AreOne(at[-1], *at)) {
      JoinRanges(at - 1, *at);
      table->count--;
      memmove(at, at + 1, sizeof(TouchedRange) * static_cast<Size>(table->count - before));
    }
    table->current = before - 1;
    return;
  }
  table->current = before;
  if (before < table->count && AreOne(range, *at)) {
    TouchedRange joined = range;
    JoinRanges(&joined, *at);
    *at = joined;
    return;
  }
  NeedRoom(table);
  at = table->ranges + before;
  memmove(at + 1, at, sizeof(TouchedRange) * static_cast<Size>(table->count - before));
  *at = range;
  table->count++;
}

/// A time that is not in the current range.
void TouchElsewhere(TouchedTable *table, int64_t time, CommandId cid) {
  const TouchedRange *end = table->ranges + table->count;
  const TouchedRange *after = std::upper_bound(
      table->ranges, const_cast<TouchedRange *>(end), time,
      [](int64_t wanted, const TouchedRange &range) { return wanted < range.first; });
  int before = static_cast<int>(after - table->ranges);
  if (before > 0 && time <= after[-1].last) {
    table->current = before - 1;
    AddRow(&table->ranges[before - 1], time, cid);
    return;
  }
  if (table->count >= table->most) {
    JoinNearest(table);
    table->current = 0;
    TouchElsewhere(table, time, cid);
    return;
  }
  if (time < table->cell_first || time > table->cell_last) FindCell(table, time);
  InsertRange(table, before, {table->cell_first, table->cell_last, time, time, 1, cid});
}

void Touch(TouchedTable *table, int64_t time, CommandId cid) {
  if (likely(table->count > 0)) {
    TouchedRange *range = &table->ranges[table->current];
    if (likely(time >= range->first && time <= range->last)) return AddRow(range, time, cid);
  }
  TouchElsewhere(table, time, cid);
}

// ---------------------------------------------------------------------------------------------
// The log

/// What the transaction itself sees of an aggregate's log before it is written: ReadLog.
LogEntry *Unlogged(Oid materialization, CommandId before, int *count) {
  *count = 0;
  for (const TouchedTable *table = tables; table != nullptr; table = table->next) {
    int aggregate_count;
    const ContinuousAggregate *aggregates = CachedAggregatesOfBase(table->base, &aggregate_count);
    if (std::none_of(aggregates, aggregates + aggregate_count,
                     [materialization](const ContinuousAggregate &aggregate) {
                       return aggregate.materialization == materialization;
                     }))
      continue;
    last_answered = Max(last_answered, before);
    auto *entries =
        static_cast<LogEntry *>(palloc(sizeof(LogEntry) * static_cast<Size>(table->count)));
    for (int i = 0; i < table->count; i++) {
      const TouchedRange &range = table->ranges[i];
      if (range.cid >= before) continue;
      LogEntry *entry = &entries[(*count)++];
      // Cells, not times: what a query was told does not change when more rows come into them.
      *entry = {range.first, range.last, range.rows, {}};
      ItemPointerSetInvalid(&entry->tid);
    }
    return entries;
  }
  return nullptr;
}

/// time - margin, time + margin, without overflow; margin >= 0.
int64_t Less(int64_t time, int64_t margin) {
  return time < kTimeMinimum + margin ? kTimeMinimum : time - margin;
}

int64_t More(int64_t time, int64_t margin) {
  return time > kTimeMaximum - margin ? kTimeMaximum : time + margin;
}

void LogRanges(const TouchedTable *table, Oid materialization) {
  for (int i = 0; i < table->count; i++) {
    const TouchedRange &range = table->ranges[i];
    AppendLog(materialization, range.low, range.high, range.rows, nullptr);
  }
}

void LogRangesBelow(const TouchedTable *table, const ContinuousAggregate &aggregate,
                    int64_t threshold) {
  for (int i = 0; i < table->count; i++) {
    const TouchedRange &range = table->ranges[i];
    if (Less(range.low, aggregate.margin) >= threshold) break;
    const int64_t end = More(threshold, aggregate.margin);
    AppendLog(aggregate.materialization, range.low, end > range.high ? range.high : end - 1,
              range.rows, nullptr);
  }
}

/// Whether this transaction has touched one table only, above all thresholds. It is then in the
/// gate until its end: none of them moves before.
bool HasNothingToLog() {
  const TouchedTable *table = tables;
  if (table->next != nullptr || table->count == 0 || table->moves == 0 ||
      Less(table->ranges[0].low, table->greatest_margin) < table->greatest_threshold)
    return false;
  StopPoint("touch_before_threshold");
  if (!EnterGate(table->base, table->moves)) return false;
  StopPoint("touch_after_threshold");
  return true;
}

/// Locks may bring invalidations, so a copy; palloc'd.
ContinuousAggregate *CopyAggregates(Oid base, int *count) {
  const ContinuousAggregate *cached = CachedAggregatesOfBase(base, count);
  auto *aggregates = static_cast<ContinuousAggregate *>(
      palloc(sizeof(ContinuousAggregate) * static_cast<Size>(*count)));
  return std::copy(cached, cached + *count, aggregates) - *count;
}

/// Logs what was touched below the thresholds. Refreshes move them under ExclusiveLock on the view:
/// until our commit they stay where we find them.
void LogTableBelow(TouchedTable *table) {
  const uint64_t moves = ThresholdMoves();
  int count;
  ContinuousAggregate *aggregates = CopyAggregates(table->base, &count);
  int64_t greatest_threshold = kTimeMinimum;
  int64_t greatest_margin = 0;
  for (int i = 0; i < count; i++) {
    StopPoint("touch_before_threshold");
    LockRelationOid(aggregates[i].view, RowShareLock);
    const int64_t threshold = CachedThreshold(aggregates[i].materialization);
    StopPoint("touch_after_threshold");
    LogRangesBelow(table, aggregates[i], threshold);
    greatest_threshold = Max(greatest_threshold, threshold);
    greatest_margin = Max(greatest_margin, aggregates[i].margin);
  }
  pfree(aggregates);
  // Known to the next transaction, unless it is only true for this one. Aggregates that are made
  // count as moved thresholds.
  if (HasMovedThreshold()) return;
  table->moves = moves;
  table->greatest_threshold = greatest_threshold;
  table->greatest_margin = greatest_margin;
}

/// Logs what was touched for every aggregate, without locks.
void LogTableForAll(const TouchedTable *table) {
  int count;
  ContinuousAggregate *aggregates = CopyAggregates(table->base, &count);
  for (int i = 0; i < count; i++) LogRanges(table, aggregates[i].materialization);
  pfree(aggregates);
}

void BeforeCommit() {
  if (likely(HasNothingToLog())) return;
  for (TouchedTable *table = tables; table != nullptr; table = table->next) LogTableBelow(table);
}

void BeforePrepare() {
  for (const TouchedTable *table = tables; table != nullptr; table = table->next)
    LogTableForAll(table);
}

void AtTransactionEvent(XactEvent event, void *) {
  if (tables == nullptr) return;
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
      Enter(BeforeCommit);
      break;
    case XACT_EVENT_PRE_PREPARE:
      Enter(BeforePrepare);
      break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE:
      EndTouching();
      break;
    default:
      break;
  }
}

}  // namespace

bool IsFollowed(Relation relation) {
  return HasAggregates(RelationGetRelid(relation));
}

void TouchTime(Relation relation, int64_t time, CommandId cid) {
  TouchedTable *table = TableOf(relation);
  if (table != nullptr) Touch(table, time, cid);
}

void TouchRow(Relation relation, TupleTableSlot *slot, CommandId cid) {
  TouchedTable *table = TableOf(relation);
  if (table == nullptr || table->time_attribute == InvalidAttrNumber) return;
  bool is_null;
  const Datum time = slot_getattr(slot, table->time_attribute, &is_null);
  if (!is_null) Touch(table, TimeOfDatum(time, table->time_type), cid);
}

void TouchOldRow(Relation relation, ItemPointer tid, CommandId cid) {
  TouchedTable *table = TableOf(relation);
  if (table == nullptr || table->time_attribute == InvalidAttrNumber) return;
  HeapTupleData tuple;
  tuple.t_self = *tid;
  Buffer buffer;
  if (!heap_fetch(relation, SnapshotAny, &tuple, &buffer, false))
    elog(ERROR, "a row of table \"%s\" that was just replaced is not there",
         RelationGetRelationName(relation));
  bool is_null;
  const Datum time =
      heap_getattr(&tuple, table->time_attribute, RelationGetDescr(relation), &is_null);
  if (!is_null) Touch(table, TimeOfDatum(time, table->time_type), cid);
  ReleaseBuffer(buffer);
}

// It shows at once to every snapshot, and it is refused while a query reads the table.
void TouchAll(Relation relation) {
  TouchedTable *table = TableOf(relation);
  if (table == nullptr) return;
  int64_t rows = 0;
  for (int i = 0; i < table->count; i++) rows += table->ranges[i].rows;
  table->ranges[0] = {kTimeMinimum, kTimeMaximum, kTimeMinimum, kTimeMaximum, rows, FirstCommandId};
  table->count = 1;
  table->current = 0;
}

void SetSourceGoesFunctions(PrepareSourceGoesFunction prepare, SourceGoesFunction goes,
                            SourceLimitFunction limit) {
  prepare_source_goes = prepare;
  source_goes = goes;
  source_limit = limit;
}

void PrepareSourceGoes(Relation relation, int64_t from, int64_t until) {
  if (prepare_source_goes != nullptr) prepare_source_goes(relation, from, until);
}

void SourceGoes(Relation base, int64_t from, int64_t until, Snapshot snapshot) {
  if (IsFollowed(base) && source_goes != nullptr) source_goes(base, from, until, snapshot);
}

int64_t SourceLimit(Relation base, int64_t time) {
  if (!IsFollowed(base) || source_limit == nullptr) return kTimeMaximum;
  return source_limit(base, time);
}

void InitTouched() {
  RegisterXactCallback(AtTransactionEvent, nullptr);
  SetUnloggedFunction(Unlogged);
}

}  // namespace tsext::pg
