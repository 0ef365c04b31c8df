// A scan in batches: which segments and vectors are visited, in what order. Their columns and rows
// are in batch_columns.cpp.
//
// In order kAny the cold rows come first, the hot ones last: cold batches are what a query that
// stops early is served fastest by. The other orders begin with the hot rows, whose times nothing
// is known of.

#include <algorithm>
#include <utility>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/batch_scan_state.hpp"
#include "pg/exec/vector_filter_run.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
}

namespace tsext::pg {

namespace {

/// Readers a scan by time may have open, so that vectors of several segments may be visited in turn
/// without reading their blocks again.
constexpr int kMaxReaders = 16;

void AddCounters(SegmentReaderCounters *sum, const SegmentReaderCounters &one) {
  sum->bytes_read += one.bytes_read;
  sum->values_decoded += one.values_decoded;
}

/// A time as it is stored, in time units: dates have infinities of their own.
int64_t TimeOfStored(int64_t value, Oid time_type) {
  return time_type == DATEOID ? TimeOfDatum(Int32GetDatum(static_cast<int32>(value)), DATEOID)
                              : value;
}

int64_t KeyOfTime(const BatchScan *scan, int64_t time) {
  return scan->order == BatchOrder::kOldest ? ~time : time;
}

// ---- Segments ----

void CloseReaders(BatchScan *scan) {
  for (int i = 0; i < scan->reader_count; i++) {
    AddCounters(&scan->closed_readers, SegmentReaderCount(scan->readers[i].reader));
    SegmentReaderClose(scan->readers[i].reader);
  }
  scan->reader_count = 0;
  scan->reader = nullptr;
}

bool ListMayHaveKey(void *self, int32_t flags, ByteView lo, ByteView hi) {
  return MayHaveKey(static_cast<const VectorFilters *>(self), flags, lo, hi);
}

/// The list of segments in the time range; kept over rescans that do not change the range. Only a
/// first scan leaves out segments by their keys: a rescan may look for other keys, and the
/// participants of a parallel scan must have the same list whatever they take the constants to be.
void LoadList(BatchScan *scan, int64_t from, int64_t to) {
  if (scan->shared != nullptr) AgreeOnRange(scan->shared, &from, &to);
  const bool is_first = scan->list_context == nullptr;
  SegmentKeyTest keys = {ListMayHaveKey, scan->filters, 0};
  const bool tests_keys = is_first && scan->shared == nullptr && scan->filters != nullptr;
  if (!is_first) {
    if (scan->from == from && scan->to == to && scan->skipped_by_key == 0) return;
    CloseReaders(scan);
    MemoryContextDelete(scan->list_context);
  }
  scan->list_context =
      AllocSetContextCreate(scan->context, "tsext segment list", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(scan->list_context);
  scan->from = from;
  scan->to = to;
  scan->segments = LoadSegments(scan->relation->rd_rel->reltoastrelid, from, to, scan->snapshot,
                                &scan->segment_count, tests_keys ? &keys : nullptr);
  scan->skipped_by_key = keys.skipped;
  scan->counters->segments += static_cast<uint64_t>(keys.skipped);
  scan->counters->segments_skipped_key += static_cast<uint64_t>(keys.skipped);
  MemoryContextSwitchTo(old);
  int64_t total = 0;
  for (int i = 0; i < scan->segment_count; i++) total += scan->segments[i].nbytes;
  scan->uses_ring = total / BLCKSZ > NBuffers / 4;
}

/// Makes the segment current; its blocks may be open from the last time.
void UseSegment(BatchScan *scan, int segment) {
  int slot = -1;
  const int limit = scan->order == BatchOrder::kAny ? 1 : kMaxReaders;
  for (int i = 0; i < scan->reader_count && slot < 0; i++)
    if (scan->readers[i].segment == segment) slot = i;
  if (slot < 0 && scan->reader_count < limit) {
    slot = scan->reader_count;
    scan->readers[slot].reader = SegmentReaderCreate(scan->relation, scan->snapshot, scan->context);
    if (scan->uses_ring) SegmentReaderUseRing(scan->readers[slot].reader);
    scan->reader_count++;
  } else if (slot < 0) {
    slot = 0;
    for (int i = 1; i < scan->reader_count; i++)
      if (scan->readers[i].last_use < scan->readers[slot].last_use) slot = i;
  }
  ReaderSlot &reader = scan->readers[slot];
  reader.segment = segment;
  reader.last_use = ++scan->use_counter;
  scan->reader = reader.reader;
  scan->segment = segment;
  SegmentReaderOpen(scan->reader, &scan->segments[segment]);
  ForgetSegmentColumns(scan);
}

/// Finds the vectors of the current segment that its sort key leaves.
void FindVectors(BatchScan *scan) {
  scan->next_vector = 0;
  scan->end_vector = SegmentReaderHead(scan->reader).vector_count();
  if (scan->segment_verdict == Verdict::kAll) return;
  const uint32_t count = scan->end_vector;
  FindKeyVectors(scan->filters, scan->reader, &scan->next_vector, &scan->end_vector);
  const uint32_t skipped = count - (scan->end_vector - scan->next_vector);
  scan->counters->vectors += skipped;
  scan->counters->vectors_skipped += skipped;
}

bool MayHaveKeyOf(const BatchScan *scan, const SegmentRow &row) {
  if (scan->filters == nullptr || row.flags == 0 || row.key_lo == nullptr || row.key_hi == nullptr)
    return true;
  const auto view = [](const bytea *key) {
    return ByteView{reinterpret_cast<const std::byte *>(VARDATA_ANY(key)),
                    static_cast<uint32_t>(VARSIZE_ANY_EXHDR(key))};
  };
  return MayHaveKey(scan->filters, row.flags, view(row.key_lo), view(row.key_hi));
}

/// Opens a segment and says what its footer tells of the filters; false: nothing of it is wanted.
bool EnterSegment(BatchScan *scan, int segment) {
  CHECK_FOR_INTERRUPTS();
  scan->counters->segments++;
  if (!MayHaveKeyOf(scan, scan->segments[segment])) {
    scan->counters->segments_skipped_key++;
    return false;
  }
  const SegmentRow &row = scan->segments[segment];
  if (scan->filters != nullptr && !MayHaveTimes(scan->filters, row.tmin, row.tmax)) {
    scan->counters->segments_skipped_range++;
    return false;
  }
  UseSegment(scan, segment);
  const SegmentHead &head = SegmentReaderHead(scan->reader);
  scan->segment_verdict =
      scan->filters == nullptr ? Verdict::kAll : JudgeSegment(scan->filters, head);
  if (scan->segment_verdict == Verdict::kNone) {
    scan->counters->segments_skipped_range++;
    return false;
  }
  // Rows of segments cannot be deleted yet: with tombstones, a segment that has any must not be
  // offered, and their bits are to be taken out of each vector's selection in FilterVector.
  if (scan->segment_verdict == Verdict::kAll && scan->footers.take_segment != nullptr &&
      scan->footers.take_segment(scan->footers.self, scan, head)) {
    scan->counters->segments_answered++;
    return false;
  }
  FindVectors(scan);
  return true;
}

/// Runs the filters over a vector of the current segment; false when no row of it is left. *is_over
/// is set when no other vector of the segment has one either.
bool FilterVector(BatchScan *scan, uint32_t vector, Batch *batch, bool *is_over) {
  CHECK_FOR_INTERRUPTS();
  const SegmentHead &head = SegmentReaderHead(scan->reader);
  Verdict verdict = Verdict::kAll;
  if (scan->segment_verdict != Verdict::kAll) verdict = JudgeVector(scan->filters, head, vector);
  scan->counters->vectors++;
  if (verdict == Verdict::kNone) {
    scan->counters->vectors_skipped++;
    return false;
  }
  if (verdict == Verdict::kAll && scan->footers.take_vector != nullptr &&
      scan->footers.take_vector(scan->footers.self, scan, head, vector)) {
    scan->counters->vectors_answered++;
    return false;
  }
  StartBatch(scan, head.VectorRows(vector), true);
  scan->vector = vector;
  scan->counters->rows += scan->rows;
  pgstat_count_index_tuples(scan->relation, scan->rows);
  if (verdict != Verdict::kAll) {
    const FilterResult result = RunFilters(scan->filters, scan, true, &scan->selection);
    if (result != FilterResult::kRows) {
      scan->counters->rows_filtered += scan->rows;
      *is_over = result == FilterResult::kSegmentOver;
      return false;
    }
  }
  FinishBatch(scan, batch);
  return true;
}

// ---- Any order ----

/// The next segment of the list that is wanted; false at its end.
bool NextSegment(BatchScan *scan) {
  const auto count = static_cast<uint32_t>(scan->segment_count);
  for (;;) {
    scan->next_segment = scan->shared != nullptr ? pg_atomic_fetch_add_u32(&scan->shared->cursor, 1)
                                                 : scan->next_segment + 1;
    if (scan->next_segment >= count) return false;
    if (EnterSegment(scan, static_cast<int>(scan->next_segment))) return true;
  }
}

bool NextColdBatch(BatchScan *scan, Batch *batch) {
  for (;;) {
    if (!scan->is_in_segment) {
      if (!NextSegment(scan)) return false;
      scan->is_in_segment = true;
    }
    bool is_over = false;
    while (scan->next_vector < scan->end_vector && !is_over) {
      if (FilterVector(scan, scan->next_vector++, batch, &is_over)) return true;
    }
    scan->is_in_segment = false;
  }
}

// ---- By time ----

/// The greatest of the keys comes first.
bool VisitsLater(const SegmentVisit &a, const SegmentVisit &b) {
  if (a.key != b.key) return a.key < b.key;
  return a.segment > b.segment;
}

void PushVisit(BatchScan *scan, const SegmentVisit &visit) {
  scan->visits[scan->visit_count++] = visit;
  std::push_heap(scan->visits, scan->visits + scan->visit_count, VisitsLater);
}

SegmentVisit PopVisit(BatchScan *scan) {
  std::pop_heap(scan->visits, scan->visits + scan->visit_count, VisitsLater);
  return scan->visits[--scan->visit_count];
}

void StartVisits(BatchScan *scan) {
  MemoryContextReset(scan->visit_context);
  scan->visits = static_cast<SegmentVisit *>(MemoryContextAllocHuge(
      scan->visit_context,
      sizeof(SegmentVisit) * static_cast<size_t>(Max(scan->segment_count, 1))));
  scan->visit_count = 0;
  scan->current = {};
  for (int i = 0; i < scan->segment_count; i++) {
    const SegmentRow &row = scan->segments[i];
    const int64_t time = scan->order == BatchOrder::kNewest ? row.tmax : row.tmin;
    PushVisit(scan, {KeyOfTime(scan, time), i, nullptr, 0, 0, 0});
  }
}

/// Lists the vectors of the current segment that may have a row, in the order of their times.
void ListVectors(BatchScan *scan, SegmentVisit *visit) {
  const SegmentHead &head = SegmentReaderHead(scan->reader);
  const int column = head.FindColumn(scan->time_attribute);
  visit->vectors = static_cast<VectorVisit *>(
      MemoryContextAlloc(scan->visit_context, sizeof(VectorVisit) * head.vector_count()));
  visit->count = visit->next = 0;
  visit->least_span = UINT64_MAX;
  for (uint32_t vector = scan->next_vector; vector < scan->end_vector; vector++) {
    VectorVisit entry = {visit->key, vector};
    if (column >= 0) {
      const VectorFooter footer = head.Vector(static_cast<uint32_t>(column), vector);
      const int64_t least = TimeOfStored(footer.min_integer, scan->time_type);
      const int64_t greatest = TimeOfStored(footer.max_integer, scan->time_type);
      if (footer.has_range) {
        entry.key = KeyOfTime(scan, scan->order == BatchOrder::kNewest ? greatest : least);
        visit->least_span =
            Min(visit->least_span, static_cast<uint64_t>(greatest) - static_cast<uint64_t>(least));
      } else {
        entry.key = INT64_MIN;  // times are all NULL
      }
    }
    visit->vectors[visit->count++] = entry;
  }
  std::sort(visit->vectors, visit->vectors + visit->count,
            [](const VectorVisit &a, const VectorVisit &b) {
              return a.key != b.key ? a.key > b.key : a.vector < b.vector;
            });
}

/// Makes the segment with the greatest key current; false when none is left. Unopened segments are
/// opened on the way.
bool NextVisit(BatchScan *scan) {
  if (scan->current.next < scan->current.count) {
    scan->current.key = scan->current.vectors[scan->current.next].key;
    PushVisit(scan, scan->current);
  }
  scan->current = {};
  while (scan->visit_count > 0) {
    SegmentVisit visit = PopVisit(scan);
    if (visit.vectors == nullptr) {
      if (!EnterSegment(scan, visit.segment)) continue;
      ListVectors(scan, &visit);
      if (visit.count == 0) continue;
      visit.key = visit.vectors[0].key;
      PushVisit(scan, visit);
      continue;
    }
    if (scan->segment != visit.segment) {
      UseSegment(scan, visit.segment);
      if (scan->filters != nullptr)
        scan->segment_verdict = JudgeSegment(scan->filters, SegmentReaderHead(scan->reader));
    }
    scan->current = visit;
    // Neighbouring vectors of one segment are visited together, within half of the least span: the
    // order promises no more than TimeLeft.
    const VectorVisit &first = visit.vectors[visit.next];
    const uint64_t slack = visit.least_span / 2;
    const auto above_least = static_cast<uint64_t>(first.key) - static_cast<uint64_t>(INT64_MIN);
    scan->visit_floor = slack > above_least
                            ? INT64_MIN
                            : static_cast<int64_t>(static_cast<uint64_t>(first.key) - slack);
    return true;
  }
  return false;
}

bool NextTimedBatch(BatchScan *scan, Batch *batch) {
  for (;;) {
    SegmentVisit &current = scan->current;
    if (current.next == current.count || current.vectors[current.next].key < scan->visit_floor) {
      if (!NextVisit(scan)) return false;
      continue;
    }
    bool is_over = false;
    if (FilterVector(scan, current.vectors[current.next++].vector, batch, &is_over)) return true;
    if (is_over) current.next = current.count;
  }
}

// ---- Hot rows ----

void BeginHot(BatchScan *scan) {
  MemoryContext old = MemoryContextSwitchTo(scan->context);
  scan->heap = scan->parallel != nullptr
                   ? table_beginscan_parallel(scan->relation, scan->parallel)
                   : table_beginscan(scan->relation, scan->snapshot, 0, nullptr);
  MemoryContextSwitchTo(old);
}

bool NextHotBatch(BatchScan *scan, Batch *batch) {
  if (scan->is_cold_only) return false;
  if (scan->hot == nullptr) {
    // Nothing to set up where every row is cold.
    if (reinterpret_cast<HeapScanDesc>(HeapScanOf(scan->heap))->rs_nblocks == 0) return false;
    scan->hot = HotBatchCreate(scan->relation, scan->heap, scan->context);
  }
  while (const uint32_t rows = HotBatchNext(scan->hot)) {
    StartBatch(scan, rows, false);
    scan->counters->rows += rows;
    scan->counters->hot_rows += rows;
    if (scan->filters != nullptr &&
        RunFilters(scan->filters, scan, false, &scan->selection) != FilterResult::kRows) {
      scan->counters->rows_filtered += rows;
      continue;
    }
    KeepSelectedRows(scan);
    FinishBatch(scan, batch);
    return true;
  }
  return false;
}

/// Before the first batch: the filters' constants, the list of segments, heap's scan.
void StartScan(BatchScan *scan) {
  int64_t from = kTimeMinimum;
  int64_t to = kTimeMaximum;
  scan->is_started = true;
  scan->stage = 0;
  scan->next_segment = UINT32_MAX;  // one before the first
  scan->is_in_segment = false;
  // Also where nothing can pass: a SERIALIZABLE transaction's lock on the table is taken by heap.
  if (scan->is_cold_only)
    PredicateLockRelation(scan->relation, scan->snapshot);
  else if (scan->heap == nullptr)
    BeginHot(scan);
  scan->is_empty = scan->filters != nullptr &&
                   !StartFilters(scan->filters, scan->time_attribute, scan->time_type, &from, &to);
  if (scan->is_empty) return;
  LoadList(scan, from, to);
  if (scan->order != BatchOrder::kAny) StartVisits(scan);
}

}  // namespace

BatchScan *BatchScanBegin(Relation relation, Snapshot snapshot, const Bitmapset *attributes,
                          VectorFilters *filters, BatchOrder order, ParallelTableScanDesc parallel,
                          MemoryContext context) {
  Assert(parallel == nullptr || order == BatchOrder::kAny);
  MemoryContext own = AllocSetContextCreate(context, "tsext batch scan", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old = MemoryContextSwitchTo(own);
  auto *scan = static_cast<BatchScan *>(palloc0(sizeof(BatchScan)));
  const TableOptions *options = GetTableOptions(relation);
  scan->relation = relation;
  scan->descriptor = RelationGetDescr(relation);
  scan->snapshot = snapshot;
  scan->context = own;
  scan->filters = filters;
  scan->order = order;
  scan->parallel = parallel;
  scan->shared = GetSharedColdScan(parallel);
  scan->time_attribute = options->time_attribute;
  scan->time_type = options->time_type;
  scan->counters = static_cast<BatchCounters *>(palloc0(sizeof(BatchCounters)));
  scan->readers = static_cast<ReaderSlot *>(
      palloc(sizeof(ReaderSlot) * (order == BatchOrder::kAny ? 1 : kMaxReaders)));
  scan->segment = -1;
  if (order != BatchOrder::kAny)
    scan->visit_context = AllocSetContextCreate(own, "tsext visits", ALLOCSET_DEFAULT_SIZES);
  MakeColumns(scan, attributes, filters == nullptr ? nullptr : FilterAttributes(filters));
  MemoryContextSwitchTo(old);
  return scan;
}

void BatchScanUseColdOnly(BatchScan *scan) {
  Assert(!scan->is_started);
  scan->is_cold_only = true;
}

bool BatchScanNext(BatchScan *scan, Batch *batch) {
  if (!scan->is_started) StartScan(scan);
  if (scan->is_empty) return false;
  const bool is_any = scan->order == BatchOrder::kAny;
  // Two stages, hot and cold, in the order's turn.
  for (; scan->stage < 2; scan->stage++) {
    const bool is_hot = (scan->stage == 1) == is_any;
    if (is_hot ? NextHotBatch(scan, batch)
               : (is_any ? NextColdBatch(scan, batch) : NextTimedBatch(scan, batch)))
      return true;
  }
  return false;
}

void BatchScanRescan(BatchScan *scan) {
  if (!scan->is_started) return;
  scan->is_started = false;
  if (scan->hot != nullptr) HotBatchRelease(scan->hot);
  if (scan->heap != nullptr) table_rescan(scan->heap, nullptr);
}

void BatchScanEnd(BatchScan *scan) {
  if (scan->hot != nullptr) HotBatchEnd(scan->hot);
  if (scan->heap != nullptr) table_endscan(scan->heap);
  CloseReaders(scan);
  MemoryContextDelete(scan->context);
}

void BatchScanUseFooters(BatchScan *scan, const BatchFooterReader &reader) {
  scan->footers = reader;
}

int64_t BatchScanTimeLeft(const BatchScan *scan) {
  const bool is_newest = scan->order == BatchOrder::kNewest;
  if (!scan->is_started || (scan->stage == 0 && !scan->is_empty))
    return is_newest ? kTimeMaximum : kTimeMinimum;
  int64_t key = INT64_MIN;
  if (scan->current.next < scan->current.count) key = scan->current.vectors[scan->current.next].key;
  if (scan->visit_count > 0) key = std::max(key, scan->visits[0].key);
  return is_newest ? key : ~key;
}

const BatchCounters &BatchScanCounters(const BatchScan *scan) {
  SegmentReaderCounters sum = scan->closed_readers;
  for (int i = 0; i < scan->reader_count; i++)
    AddCounters(&sum, SegmentReaderCount(scan->readers[i].reader));
  scan->counters->bytes_read = sum.bytes_read;
  scan->counters->values_decoded = sum.values_decoded;
  return *scan->counters;
}

void BatchScanTimes(const BatchScan *scan, int64_t *from, int64_t *to) {
  *from = scan->list_context == nullptr ? kTimeMinimum : scan->from;
  *to = scan->list_context == nullptr ? kTimeMaximum : scan->to;
}

int64_t BatchScanSegmentsInTime(const BatchScan *scan) {
  return scan->list_context == nullptr || scan->is_empty
             ? 0
             : scan->segment_count + scan->skipped_by_key;
}

}  // namespace tsext::pg
