// Which time ranges have rows to be downsampled. What was downsampled before is remembered with the
// number of rows it had afterwards: as long as it has as many, all of them at starts of buckets,
// nobody has written to it, and counting costs no more than the directory and a look at the hot
// rows.

#include <algorithm>

#include "tsext/segment.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/job/downsample.hpp"
#include "pg/table/hot_rows.hpp"
#include "pg/table/segment_reader.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PGDLLEXPORT Datum tsext_time_bucket_timestamp(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum tsext_time_bucket_date(PG_FUNCTION_ARGS);
}

namespace tsext::pg {
namespace {

// Neighbouring ranges are done together, and remembered as one, while they have fewer rows.
constexpr int64_t kRowsPerRange = 500000;

enum : AttrNumber {
  kStore = 1,
  kBucketMonths,
  kBucketWidth,
  kStart,
  kUntil,
  kRows,
  kColumns = kRows
};

/// Days of a bucket count 24 hours.
int64_t WidthOf(const Interval &bucket) {
  return int64_t{bucket.day} * USECS_PER_DAY + bucket.time;
}

/// Calls visit(table, tuple, range) for the done ranges of a table and bucket.
template <typename Visit>
void ForEachDoneRange(const Downsampling &what, LOCKMODE lock, Visit &&visit) {
  Relation table = table_open(CatalogRelation("downsample_range"), lock);
  const TupleDesc descriptor = RelationGetDescr(table);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], kStore, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(what.store));
  ScanKeyInit(&keys[1], kBucketMonths, BTEqualStrategyNumber, F_INT4EQ,
              Int32GetDatum(what.bucket.month));
  ScanKeyInit(&keys[2], kBucketWidth, BTEqualStrategyNumber, F_INT8EQ,
              Int64GetDatum(WidthOf(what.bucket)));
  const SysScanDesc scan = systable_beginscan(table, CatalogRelation("downsample_range_pkey"), true,
                                              snapshot, lengthof(keys), keys);
  while (HeapTuple tuple = systable_getnext(scan)) {
    Datum values[kColumns];
    bool nulls[kColumns];
    heap_deform_tuple(tuple, descriptor, values, nulls);
    visit(table, tuple,
          DoneRange{DatumGetInt64(values[kStart - 1]), DatumGetInt64(values[kUntil - 1]),
                    DatumGetInt64(values[kRows - 1]), tuple->t_self});
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(table, NoLock);
}

/// Deletes a row without waiting. Somebody else may be deleting it: remove_downsampling_policy()
/// while the job runs.
void DeleteDoneRange(Relation table, HeapTuple tuple) {
  TM_FailureData failure;
  ItemPointerData tid = tuple->t_self;
  (void)heap_delete(table, &tid, GetCurrentCommandId(true), InvalidSnapshot, /*wait=*/false,
                    &failure, /*changingPart=*/false);
}

void InsertDoneRange(const Downsampling &what, const DoneRange &range) {
  Relation table = table_open(CatalogRelation("downsample_range"), RowExclusiveLock);
  Datum values[kColumns] = {ObjectIdGetDatum(what.store),        Int32GetDatum(what.bucket.month),
                            Int64GetDatum(WidthOf(what.bucket)), Int64GetDatum(range.start),
                            Int64GetDatum(range.until),          Int64GetDatum(range.rows)};
  bool nulls[kColumns] = {};
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
  InsertCatalogRow(table, tuple, GetCurrentCommandId(true));
  heap_freetuple(tuple);
  table_close(table, NoLock);
}

// ---------------------------------------------------------------------------------------------

/// Rows of one chunk that lie in one gap between done ranges.
struct Part {
  struct Key {
    int64_t chunk_start;
    int64_t gap;  // in front of the done range of this number
  } key;
  int64_t least, greatest, rows;
};

/// What is in a done range now.
struct Presence {
  int64_t rows;
  bool is_raw;  // some row is at no start of a bucket
};

struct Planner {
  const Downsampling *what;
  int64_t cutoff;
  const DoneRange *done;
  int done_count;
  Presence *present;  // one each
  ChunkMap map;
  HTAB *parts;
};

/// The first done range that ends after `time`; done_count: none.
int DoneAfter(const Planner &planner, int64_t time) {
  const DoneRange *end = planner.done + planner.done_count;
  return static_cast<int>(
      std::partition_point(planner.done, end,
                           [time](const DoneRange &range) { return range.until <= time; }) -
      planner.done);
}

bool IsIn(const Planner &planner, int index, int64_t time) {
  return index < planner.done_count && planner.done[index].start <= time;
}

void AddToPart(Planner *planner, int64_t chunk_start, int gap, int64_t least, int64_t greatest,
               int64_t rows) {
  const Part::Key key = {chunk_start, gap};
  bool found;
  auto *part = static_cast<Part *>(hash_search(planner->parts, &key, HASH_ENTER, &found));
  if (!found) {
    part->least = least;
    part->greatest = greatest;
    part->rows = 0;
  }
  part->least = std::min(part->least, least);
  part->greatest = std::max(part->greatest, greatest);
  part->rows += rows;
}

void AddToDone(Planner *planner, int index, int64_t rows, int64_t least, int64_t greatest) {
  Presence &present = planner->present[index];
  present.rows += rows;
  if (!present.is_raw)
    present.is_raw = StartOfBucket(*planner->what, least) != least ||
                     (greatest != least && StartOfBucket(*planner->what, greatest) != greatest);
}

void AddRow(Planner *planner, int64_t chunk_start, int64_t time) {
  const int index = DoneAfter(*planner, time);
  if (IsIn(*planner, index, time))
    AddToDone(planner, index, 1, time, time);
  else if (time < planner->cutoff)
    AddToPart(planner, chunk_start, index, time, time, 1);
}

void AddHotRows(Planner *planner) {
  HotScan scan = HotScanBegin(planner->what->relation);
  int64_t seen = 0;
  while (TupleTableSlot *slot = HotScanNext(&scan)) {
    if ((++seen & 1023) == 0) CHECK_FOR_INTERRUPTS();
    int64_t time;
    if (!RowTime(planner->what->options, slot, &time)) continue;
    AddRow(planner, FindChunk(&planner->map, time).start, time);
  }
  HotScanEnd(&scan);
}

/// Counts a segment as a whole where its first and last time lie together; false: they do not.
bool AddWholeSegment(Planner *planner, const SegmentRow &row) {
  const int index = DoneAfter(*planner, row.tmin);
  if (IsIn(*planner, index, row.tmin)) {
    if (row.tmax >= planner->done[index].until) return false;
    AddToDone(planner, index, row.nrows, row.tmin, row.tmax);
    return true;
  }
  if (index < planner->done_count && row.tmax >= planner->done[index].start) return false;
  if (row.tmin < planner->cutoff)
    AddToPart(planner, row.chunk_start, index, row.tmin, std::min(row.tmax, planner->cutoff - 1),
              row.nrows);
  return true;
}

void AddSegments(Planner *planner, const SegmentRow *rows, int count) {
  const Downsampling &what = *planner->what;
  SegmentReader *reader = nullptr;
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  for (int i = 0; i < count; i++) {
    CHECK_FOR_INTERRUPTS();
    if (AddWholeSegment(planner, rows[i])) continue;
    if (reader == nullptr)
      reader = SegmentReaderCreate(what.relation, snapshot, CurrentMemoryContext);
    SegmentReaderOpen(reader, &rows[i]);
    const uint32_t vectors = SegmentReaderHead(reader).vector_count();
    for (uint32_t v = 0; v < vectors; v++) {
      CHECK_FOR_INTERRUPTS();
      const Vector *times = SegmentReaderVector(reader, what.options->time_attribute, v);
      for (uint32_t row = 0; row < times->count; row++)
        AddRow(planner, rows[i].chunk_start, times->integers[row]);
    }
  }
  if (reader != nullptr) SegmentReaderClose(reader);
  UnregisterSnapshot(snapshot);
}

/// Everything that is to be done, each by itself: ascending, not disjoint.
RangeToDo *CollectRanges(const Planner &planner, int *count) {
  const Downsampling &what = *planner.what;
  const auto capacity =
      static_cast<size_t>(hash_get_num_entries(planner.parts) + planner.done_count + 1);
  auto *ranges = static_cast<RangeToDo *>(palloc0(capacity * sizeof(RangeToDo)));
  *count = 0;
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, planner.parts);
  while (auto *part = static_cast<Part *>(hash_seq_search(&status))) {
    RangeToDo &range = ranges[(*count)++];
    range.from = StartOfBucket(what, part->least);
    range.until = std::min(NextBucket(what, StartOfBucket(what, part->greatest)), planner.cutoff);
    range.rows = part->rows;
  }
  for (int i = 0; i < planner.done_count; i++) {
    const DoneRange &done = planner.done[i];
    const Presence &present = planner.present[i];
    const bool is_same = present.rows == done.rows && !present.is_raw;
    if (is_same || present.rows == 0 || done.start >= planner.cutoff) continue;
    RangeToDo &range = ranges[(*count)++];
    range.from = done.start;
    range.until = std::min(done.until, planner.cutoff);
    range.rows = present.rows;
  }
  std::sort(ranges, ranges + *count,
            [](const RangeToDo &a, const RangeToDo &b) { return a.from < b.from; });
  return ranges;
}

/// Makes ranges disjoint, and puts small neighbours together.
int JoinRanges(RangeToDo *ranges, int count) {
  int kept = 0;
  for (int i = 0; i < count; i++) {
    RangeToDo range = ranges[i];
    RangeToDo *last = kept == 0 ? nullptr : &ranges[kept - 1];
    // A bucket that lies in two chunks belongs to the first range.
    if (last != nullptr) range.from = std::max(range.from, last->until);
    if (range.from >= range.until) {
      if (last != nullptr) last->rows += range.rows;
    } else if (last != nullptr && last->until == range.from &&
               last->rows + range.rows <= kRowsPerRange) {
      last->until = range.until;
      last->rows += range.rows;
    } else {
      ranges[kept++] = range;
    }
  }
  return kept;
}

/// Notes the small and unchanged done range that ends where a range begins.
void FindNeighbour(const Planner &planner, RangeToDo *range) {
  const int after = DoneAfter(planner, range->from);
  if (after == 0) return;
  const DoneRange &done = planner.done[after - 1];
  const Presence &present = planner.present[after - 1];
  range->follows = done.until == range->from && present.rows == done.rows && !present.is_raw &&
                   done.rows + range->rows <= kRowsPerRange;
  range->before = done;
}

}  // namespace

int64_t StartOfBucket(const Downsampling &what, int64_t time) {
  const Oid type = what.options->time_type;
  const PGFunction function =
      type == DATEOID ? tsext_time_bucket_date : tsext_time_bucket_timestamp;
  return TimeOfDatum(
      DirectFunctionCall2(function, IntervalPGetDatum(&what.bucket), DatumOfTime(time, type)),
      type);
}

int64_t NextBucket(const Downsampling &what, int64_t start) {
  const bool is_date = what.options->time_type == DATEOID;
  int64_t least;
  int64_t greatest;
  TimeTypeRange(what.options->time_type, &least, &greatest);
  if (what.bucket.month == 0) {
    const int64_t width = WidthOf(what.bucket);
    // A width that divides a day leaves dates alone.
    const int64_t step = is_date ? std::max<int64_t>(width / USECS_PER_DAY, 1) : width;
    return start > greatest - step ? greatest + 1 : start + step;
  }
  // Months count in UTC, so timestamptz is taken for timestamp.
  const Timestamp from = is_date ? start * USECS_PER_DAY : start;
  int64_t end;
  TimeTypeRange(TIMESTAMPOID, &least, &end);
  if (from > end - int64_t{what.bucket.month} * 31 * USECS_PER_DAY) return greatest + 1;
  const Timestamp next = DatumGetTimestamp(DirectFunctionCall2(
      timestamp_pl_interval, TimestampGetDatum(from), IntervalPGetDatum(&what.bucket)));
  return is_date ? next / USECS_PER_DAY : next;
}

DoneRange *LoadDoneRanges(const Downsampling &what, int *count) {
  *count = 0;
  if (!OidIsValid(what.store)) return nullptr;
  int capacity = 64;
  auto *ranges = static_cast<DoneRange *>(palloc(capacity * sizeof(DoneRange)));
  ForEachDoneRange(what, AccessShareLock, [&](Relation, HeapTuple, const DoneRange &range) {
    if (*count == capacity) {
      capacity *= 2;
      ranges = static_cast<DoneRange *>(repalloc_huge(ranges, capacity * sizeof(DoneRange)));
    }
    ranges[(*count)++] = range;
  });
  return ranges;
}

void RecordDoneRange(const Downsampling &what, const DoneRange &range, const DoneRange *before) {
  if (!OidIsValid(what.store)) return;
  DoneRange joined = range;
  ForEachDoneRange(what, RowExclusiveLock,
                   [&](Relation table, HeapTuple tuple, const DoneRange &done) {
                     const bool is_before = before != nullptr && done.start == before->start &&
                                            done.until == before->until &&
                                            done.rows == before->rows && done.until == range.start;
                     if (!is_before && (done.until <= range.start || done.start >= range.until))
                       return;
                     if (is_before) {
                       joined.start = done.start;
                       joined.rows += done.rows;
                     }
                     DeleteDoneRange(table, tuple);
                   });
  CommandCounterIncrement();
  if (joined.rows > 0) InsertDoneRange(what, joined);
  CommandCounterIncrement();
}

void ForgetDoneRanges(Oid store) {
  if (!OidIsValid(store)) return;
  Relation table = table_open(CatalogRelation("downsample_range"), RowExclusiveLock);
  ScanKeyData key;
  ScanKeyInit(&key, kStore, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(store));
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const SysScanDesc scan =
      systable_beginscan(table, CatalogRelation("downsample_range_pkey"), true, snapshot, 1, &key);
  while (HeapTuple tuple = systable_getnext(scan)) DeleteDoneRange(table, tuple);
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(table, NoLock);
  CommandCounterIncrement();
}

RangeToDo *PlanDownsampling(const Downsampling &what, int64_t cutoff, int *count) {
  Planner planner{};
  planner.what = &what;
  planner.cutoff = cutoff;
  planner.done = LoadDoneRanges(what, &planner.done_count);
  planner.present = static_cast<Presence *>(palloc0(sizeof(Presence) * Max(planner.done_count, 1)));
  int segment_count;
  const SegmentRow *segments =
      LoadSegments(what.store, kTimeMinimum, kTimeMaximum, nullptr, &segment_count);
  planner.map = MakeChunkMap(what.options, segments, segment_count);
  HASHCTL control{};
  control.keysize = sizeof(Part::Key);
  control.entrysize = sizeof(Part);
  control.hcxt = CurrentMemoryContext;
  planner.parts =
      hash_create("tsext rows to downsample", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  AddHotRows(&planner);
  AddSegments(&planner, segments, segment_count);
  RangeToDo *ranges = CollectRanges(planner, count);
  *count = JoinRanges(ranges, *count);
  for (int i = 0; i < *count; i++) FindNeighbour(planner, &ranges[i]);
  return ranges;
}

}  // namespace tsext::pg
