#include "pg/exec/last_search.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/last_segment.hpp"
#include "pg/table/hot_rows.hpp"

extern "C" {
#include "access/htup_details.h"
#include "executor/executor.h"
#include "pgstat.h"
}

namespace tsext::pg {

namespace {

/// Stands for a segment's index: the row is hot, and its number is its tuple id.
constexpr int32_t kHot = -1;

uint64_t NumberOfTid(const ItemPointerData &tid) {
  return (uint64_t{ItemPointerGetBlockNumberNoCheck(&tid)} << 16) |
         ItemPointerGetOffsetNumberNoCheck(&tid);
}

ItemPointerData TidOfNumber(uint64_t number) {
  ItemPointerData tid;
  ItemPointerSet(&tid, static_cast<BlockNumber>(number >> 16), static_cast<OffsetNumber>(number));
  return tid;
}

/// So many values at most are fetched at once.
constexpr uint32_t kMostFetchedValues = 1 << 14;

/// Cold rows of one segment, column by column.
struct FetchedRows {
  MemoryContext context;  // the values
  int column_count;
  AttrNumber *attributes;  // of the output
  uint32_t capacity;       // rows
  uint32_t first, end;     // in the rows found
  uint32_t *rows;
  Datum *values;  // [column][row]
  bool *nulls;
};

}  // namespace

struct LastSearch {
  SegmentSearch cold;
  MemoryContext context;
  MemoryContext round_context;  // the list of segments and the rows found
  BestRow *found;               // of the current pass, by segment and row
  uint32_t found_count, found_at;
  FetchedRows fetched;
  TupleTableSlot *hot_slot;  // a buffer heap slot
  AttrNumber last_output;
  AttrNumber last_used;   // of hot rows to deform for keys, time and conditions
  uint32_t round_passes;  // that have begun in this round
  bool has_started, has_ended;
};

// ---- Hot rows ----

namespace {

/// Lends the first `last` columns of a hot row to a virtual slot.
void LendHotRow(TupleTableSlot *hot, AttrNumber last, TupleTableSlot *slot) {
  slot_getsomeattrs(hot, last);
  ExecClearTuple(slot);
  const auto count = static_cast<size_t>(last);
  memcpy(slot->tts_values, hot->tts_values, sizeof(Datum) * count);
  memcpy(slot->tts_isnull, hot->tts_isnull, sizeof(bool) * count);
  memset(slot->tts_isnull + count, true,
         static_cast<size_t>(slot->tts_tupleDescriptor->natts) - count);
  slot->tts_tid = hot->tts_tid;
  slot->tts_tableOid = hot->tts_tableOid;
  ExecStoreVirtualTuple(slot);
}

void AddHotKey(SeriesKey *key, Datum value, bool is_null, const DatumClass &type) {
  if (is_null) {
    key->AddNull();
  } else if (IsBytes(type.type)) {
    void *copy;
    key->AddBytes(DatumToBytes(value, type, &copy));
    if (copy != nullptr) pfree(copy);
  } else {
    key->AddInteger(DatumToInteger(value, type));
  }
}

void TakeHotRow(LastSearch *search, TupleTableSlot *hot, ExprContext *context,
                TupleTableSlot *slot) {
  SegmentSearch *cold = &search->cold;
  const LastQuery *query = cold->query;
  slot_getsomeattrs(hot, search->last_used);
  cold->key->Clear();
  for (int i = 0; i < query->key_count; i++) {
    const int at = query->keys[i] - 1;
    AddHotKey(cold->key, hot->tts_values[at], hot->tts_isnull[at], cold->columns[i].type);
  }
  const int time_at = query->time_attribute - 1;
  BestRow row;
  row.segment = kHot;
  row.row = NumberOfTid(hot->tts_tid);
  if (hot->tts_isnull[time_at]) {
    row.kind =
        query->nulls == LastNulls::kFirst ? BestRow::Kind::kNullFirst : BestRow::Kind::kNullLast;
  } else {
    row.kind = BestRow::Kind::kTimed;
    row.rank = RankOf(query->order, TimeOfDatum(hot->tts_values[time_at], query->time_type));
  }

  const uint32_t number = FindSeries(cold);
  if (number == SeriesTable::kOtherPass) return;
  const BestRow &best = cold->series->best(number);
  if (!IsBetter(row, best)) return;
  if (query->row_quals != nullptr || (query->key_quals != nullptr && !best.is_wanted)) {
    ResetExprContext(context);
    LendHotRow(hot, search->last_used, slot);
    const bool passes = PassesQuals(cold, number, context, slot);
    ExecClearTuple(slot);
    if (!passes) return;
  }
  KeepRow(cold, number, row);
}

void SearchHotRows(LastSearch *search, ExprContext *context, TupleTableSlot *slot) {
  HotScan scan = HotScanBegin(search->cold.query->relation, search->cold.snapshot);
  while (TupleTableSlot *hot = HotScanNext(&scan)) {
    if ((++search->cold.counters.hot_rows & 1023) == 0) CHECK_FOR_INTERRUPTS();
    TakeHotRow(search, hot, context, slot);
  }
  HotScanEnd(&scan);
}

// ---- Passes ----

/// The rows found, in the order in which they are read best.
void CollectFound(LastSearch *search) {
  const SeriesTable *series = search->cold.series;
  search->found_at = search->found_count = 0;
  search->fetched.first = search->fetched.end = 0;
  search->found = static_cast<BestRow *>(MemoryContextAllocHuge(
      search->round_context, sizeof(BestRow) * std::max<size_t>(series->size(), 1)));
  for (uint32_t i = 0; i < series->size(); i++) {
    const BestRow &best = series->best(i);
    if (best.kind == BestRow::Kind::kNone || best.kind == BestRow::Kind::kUnwanted) continue;
    search->found[search->found_count++] = best;
  }
  std::sort(search->found, search->found + search->found_count,
            [](const BestRow &a, const BestRow &b) {
              return a.segment != b.segment ? a.segment < b.segment : a.row < b.row;
            });
  search->cold.counters.series += search->found_count;
}

void RunPass(LastSearch *search, ExprContext *context, TupleTableSlot *slot) {
  search->cold.counters.passes++;
  search->round_passes++;
  search->cold.context = context;
  search->cold.slot = slot;
  SearchHotRows(search, context, slot);
  SearchSegments(&search->cold);
  if (search->found != nullptr) pfree(search->found);
  CollectFound(search);
}

void StartRound(LastSearch *search, ExprContext *context, TupleTableSlot *slot) {
  search->has_started = true;
  MemoryContextReset(search->round_context);
  search->found = nullptr;
  search->round_passes = 0;
  search->found_at = search->found_count = 0;
  search->has_ended = !StartConditions(&search->cold);
  if (search->has_ended) return;
  search->cold.series->Restart();
  MemoryContext old = MemoryContextSwitchTo(search->round_context);
  LoadNewestFirst(&search->cold);
  MemoryContextSwitchTo(old);
  RunPass(search, context, slot);
}

void SetUpFetch(FetchedRows *fetched, const Bitmapset *output) {
  fetched->context = AllocSetContextCreate(CurrentMemoryContext, "tsext last rows fetched",
                                           ALLOCSET_DEFAULT_SIZES);
  const auto count = static_cast<size_t>(bms_num_members(output));
  fetched->attributes = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * Max(count, 1)));
  for (int at = -1; (at = bms_next_member(output, at)) >= 0;)
    fetched->attributes[fetched->column_count++] = static_cast<AttrNumber>(at);
  fetched->capacity =
      static_cast<uint32_t>(std::max<size_t>(kMostFetchedValues / Max(count, 1), 1));
  fetched->rows = static_cast<uint32_t *>(palloc(sizeof(uint32_t) * fetched->capacity));
  fetched->values = static_cast<Datum *>(palloc(sizeof(Datum) * fetched->capacity * Max(count, 1)));
  fetched->nulls = static_cast<bool *>(palloc(sizeof(bool) * fetched->capacity * Max(count, 1)));
}

/// Fetches the row found at `first` and those of the same segment behind it.
void FetchRows(LastSearch *search, uint32_t first) {
  FetchedRows *fetched = &search->fetched;
  MemoryContextReset(fetched->context);
  const int32_t segment = search->found[first].segment;
  fetched->first = fetched->end = first;
  while (fetched->end < search->found_count && fetched->end - first < fetched->capacity &&
         search->found[fetched->end].segment == segment) {
    fetched->rows[fetched->end - first] = static_cast<uint32_t>(search->found[fetched->end].row);
    fetched->end++;
  }
  MemoryContext old = MemoryContextSwitchTo(fetched->context);
  SegmentReader *reader = OpenForFetch(&search->cold, segment);
  for (int i = 0; i < fetched->column_count; i++) {
    CHECK_FOR_INTERRUPTS();
    const size_t at = static_cast<size_t>(i) * fetched->capacity;
    SegmentReaderRows(reader, fetched->attributes[i], fetched->rows, fetched->end - first,
                      fetched->values + at, fetched->nulls + at);
  }
  MemoryContextSwitchTo(old);
}

void FetchColdRow(LastSearch *search, uint32_t found, TupleTableSlot *slot) {
  FetchedRows *fetched = &search->fetched;
  if (found < fetched->first || found >= fetched->end) FetchRows(search, found);
  memset(slot->tts_isnull, true, static_cast<size_t>(slot->tts_tupleDescriptor->natts));
  for (int i = 0; i < fetched->column_count; i++) {
    const int at = fetched->attributes[i] - 1;
    const size_t from = static_cast<size_t>(i) * fetched->capacity + found - fetched->first;
    slot->tts_values[at] = fetched->values[from];
    slot->tts_isnull[at] = fetched->nulls[from];
  }
  StoreColdRow(&search->cold, search->found[found].segment,
               static_cast<uint32_t>(search->found[found].row), slot);
}

/// Puts a row that was found into the slot.
void FetchRow(LastSearch *search, uint32_t found, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  const BestRow &row = search->found[found];
  if (row.segment != kHot) return FetchColdRow(search, found, slot);
  ItemPointerData tid = TidOfNumber(row.row);
  if (!table_tuple_fetch_row_version(search->cold.query->relation, &tid, search->cold.snapshot,
                                     search->hot_slot))
    elog(ERROR, "row of table \"%s\" has gone",
         RelationGetRelationName(search->cold.query->relation));
  LendHotRow(search->hot_slot, search->last_output, slot);
}

AttrNumber Greatest(const Bitmapset *attributes) {
  int greatest = 0;
  for (int member = -1; (member = bms_next_member(attributes, member)) >= 0;) greatest = member;
  return static_cast<AttrNumber>(greatest);
}

}  // namespace

LastSearch *LastSearchBegin(const LastQuery *query, Snapshot snapshot, size_t memory_bytes,
                            MemoryContext parent) {
  MemoryContext context = AllocSetContextCreate(parent, "tsext last rows", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(context);
  auto *search = static_cast<LastSearch *>(palloc0(sizeof(LastSearch)));
  search->context = context;
  search->round_context =
      AllocSetContextCreate(context, "tsext last rows found", ALLOCSET_DEFAULT_SIZES);
  search->hot_slot =
      MakeSingleTupleTableSlot(RelationGetDescr(query->relation), &TTSOpsBufferHeapTuple);
  search->last_output = Greatest(query->output);  // 0: none
  search->last_used = std::max(query->time_attribute, Greatest(query->all_quals_read));
  for (int i = 0; i < query->key_count; i++)
    search->last_used = std::max(search->last_used, query->keys[i]);
  SetUpFetch(&search->fetched, query->output);
  SetUpSegmentSearch(&search->cold, query, snapshot, memory_bytes, context);
  MemoryContextSwitchTo(old);
  return search;
}

bool LastSearchNext(LastSearch *search, ExprContext *context, TupleTableSlot *slot) {
  if (!search->has_started) StartRound(search, context, slot);
  while (!search->has_ended && search->found_at == search->found_count) {
    search->has_ended = !search->cold.series->NextPass();
    if (!search->has_ended) RunPass(search, context, slot);
  }
  if (search->has_ended) {
    ExecClearTuple(slot);
    return false;
  }
  MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
  FetchRow(search, search->found_at++, slot);
  MemoryContextSwitchTo(old);
  pgstat_count_heap_getnext(search->cold.query->relation);
  return true;
}

void LastSearchRescan(LastSearch *search, bool same_parameters) {
  // What was found in one pass can be given out again.
  const bool is_whole = search->round_passes == 1;
  if (search->has_started && same_parameters && is_whole)
    search->found_at = 0;
  else
    search->has_started = false;
  search->has_ended = false;
}

void LastSearchEnd(LastSearch *search) {
  ExecDropSingleTupleTableSlot(search->hot_slot);
  CloseSegmentSearch(&search->cold);
  MemoryContextDelete(search->context);
}

const LastCounters &LastSearchCount(const LastSearch *search) {
  return search->cold.counters;
}

}  // namespace tsext::pg
