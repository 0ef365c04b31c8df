#include "pg/table/chunk_plan.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

// Virtual blocks are kVirtualBlock + seg with seg <= 2^31 - 16: this one is free for a lock.
constexpr BlockNumber kChunkRangesPage = 0xFFFFFFFE;

constexpr int64_t kRowsPerAutoChunk = 500000;

constexpr int kAttributeStore = 1;
constexpr int kAttributeChunkStart = 3;
constexpr int kAttributeChunkEnd = 4;

template <typename T>
T *AllocateArray(int64_t count) {
  return static_cast<T *>(
      MemoryContextAllocHuge(CurrentMemoryContext, sizeof(T) * std::max<int64_t>(count, 1)));
}

bool SameRange(const ChunkRange &a, const ChunkRange &b) {
  return a.start == b.start && a.end == b.end;
}

bool RangeBefore(const ChunkRange &a, const ChunkRange &b) {
  return a.start != b.start ? a.start < b.start : a.end < b.end;
}

bool Contains(const ChunkRange &range, int64_t time) {
  return time >= range.start && (time < range.end || range.end == kTimeMaximum);
}

/// A sorted list of ranges that do not overlap, searched for times that mostly go forward.
class RangeFinder {
 public:
  RangeFinder(const ChunkRange *ranges, int count) : ranges_(ranges), count_(count) {}

  /// Index of the range that holds `time`, -1 = none.
  int Find(int64_t time) {
    if (last_ >= 0 && Contains(ranges_[last_], time)) return last_;
    const ChunkRange *after =
        std::upper_bound(ranges_, ranges_ + count_, time,
                         [](int64_t at, const ChunkRange &range) { return at < range.start; });
    const int index = static_cast<int>(after - ranges_) - 1;
    if (index < 0 || !Contains(ranges_[index], time)) return -1;
    last_ = index;
    return index;
  }

 private:
  const ChunkRange *ranges_;
  int count_;
  int last_ = -1;
};

/// A chunk of the smallest width that would hold rows, named by its start; time: of one such row.
struct Cell {
  int64_t start;
  int64_t time;
};

/// Distinct cells, collected in any order.
struct CellSet {
  Cell *cells;
  int64_t count, capacity;

  void Compact() {
    std::sort(cells, cells + count, [](const Cell &a, const Cell &b) { return a.start < b.start; });
    count = std::unique(cells, cells + count,
                        [](const Cell &a, const Cell &b) { return a.start == b.start; }) -
            cells;
  }
  void Add(const Cell &cell) {
    if (count == capacity) {
      Compact();
      if (count > capacity / 2) {
        capacity *= 2;
        cells = static_cast<Cell *>(repalloc_huge(cells, sizeof(Cell) * capacity));
      }
    }
    cells[count++] = cell;
  }
};

/// The chunks that the cells make at this width; both ascending. Returns how many.
int WidenCells(const CellSet &cells, const TableOptions *options, int64_t width,
               const ChunkRange *ranges, int range_count, ChunkRange *chunks) {
  int count = 0;
  for (int64_t i = 0; i < cells.count; i++) {
    const ChunkRange chunk = ChunkForTime(options, width, cells.cells[i].time, ranges, range_count);
    if (count == 0 || !SameRange(chunks[count - 1], chunk)) chunks[count++] = chunk;
  }
  return count;
}

/// New chunks for the times that lie in none of `ranges`.
ChunkRange *PlanNewChunks(const RowBuffer *buffer, const TableOptions *options,
                          const ChunkRange *ranges, int range_count, int *new_count) {
  CellSet cells = {AllocateArray<Cell>(1024), 0, 1024};
  RangeFinder finder(ranges, range_count);
  const BufferColumn &times = buffer->columns[buffer->time_column];
  const int64_t width = options->chunk_interval;
  ChunkRange cell = {0, 0};
  int64_t rows = 0;
  for (int64_t row = 0; row < buffer->row_count; row++) {
    if (!buffer->HasFiniteTime(row)) continue;
    const int64_t time = times.Integer(row);
    const bool in_cell = cell.start != cell.end && Contains(cell, time);
    if (!in_cell && finder.Find(time) >= 0) continue;
    rows++;
    if (in_cell) continue;
    cell = ChunkForTime(options, width, time, ranges, range_count);
    cells.Add({cell.start, time});
  }
  cells.Compact();

  auto *chunks = AllocateArray<ChunkRange>(cells.count);
  int count = WidenCells(cells, options, width, ranges, range_count, chunks);
  int64_t best_width = width;
  int best_count = count;
  for (int64_t wider = width; options->interval_is_auto && count > 1 &&
                              rows / count < kRowsPerAutoChunk && wider <= INT64_MAX / 4;) {
    wider *= 2;
    count = WidenCells(cells, options, wider, ranges, range_count, chunks);
    if (count < best_count) {
      best_width = wider;
      best_count = count;
    }
  }
  *new_count = WidenCells(cells, options, best_width, ranges, range_count, chunks);
  return chunks;
}

/// Sorts the rows into their chunks. ranges: ascending, holding every finite time.
ChunkPlan Distribute(const RowBuffer *buffer, const ChunkRange *ranges, const bool *is_new,
                     int range_count, int64_t minimum_rows) {
  constexpr uint32_t kNoRange = UINT32_MAX;
  auto *counts = static_cast<uint32_t *>(palloc0(sizeof(uint32_t) * (range_count + 1)));
  const auto range_of = [&](RangeFinder &finder, int64_t row) -> uint32_t {
    if (buffer->time_column < 0) return 0;
    if (!buffer->HasFiniteTime(row)) return kNoRange;
    return static_cast<uint32_t>(finder.Find(RowBufferTime(buffer, row)));
  };
  int64_t left_count = 0;
  RangeFinder counter(ranges, range_count);
  for (int64_t row = 0; row < buffer->row_count; row++) {
    const uint32_t range = range_of(counter, row);
    if (range == kNoRange)
      left_count++;
    else
      counts[range]++;
  }

  ChunkPlan plan = {};
  plan.chunks = AllocateArray<ChunkRows>(range_count);
  auto **next = AllocateArray<uint32_t *>(range_count);  // where the range's next row goes
  for (int i = 0; i < range_count; i++) {
    next[i] = nullptr;
    if (counts[i] == 0) continue;
    if (counts[i] < minimum_rows) {
      left_count += counts[i];
      continue;
    }
    next[i] = AllocateArray<uint32_t>(counts[i]);
    plan.chunks[plan.count++] = {ranges[i], is_new[i], next[i], counts[i]};
    plan.has_new |= is_new[i];
  }
  plan.left = AllocateArray<int64_t>(left_count);
  RangeFinder finder(ranges, range_count);
  for (int64_t row = 0; row < buffer->row_count; row++) {
    const uint32_t range = range_of(finder, row);
    if (range == kNoRange || next[range] == nullptr)
      plan.left[plan.left_count++] = row;
    else
      *next[range]++ = static_cast<uint32_t>(row);
  }
  return plan;
}

}  // namespace

void LockChunkRanges(Relation relation, LOCKMODE mode) {
  LockPage(relation, kChunkRangesPage, mode);
}

void UnlockChunkRanges(Relation relation, LOCKMODE mode) {
  UnlockPage(relation, kChunkRangesPage, mode);
}

namespace {

/// Calls `take` for the chunk range of each directory row of a store that `snapshot` shows and
/// `counts` accepts.
template <typename Counts, typename Take>
void ForEachDirectoryRow(Oid store, Snapshot snapshot, Counts &&counts, Take &&take) {
  const Relation directory = table_open(CatalogRelation("segment"), AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, kAttributeStore, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(store));
  const SysScanDesc scan =
      systable_beginscan(directory, CatalogRelation("segment_pkey"), true, snapshot, 1, &key);
  while (HeapTuple tuple = systable_getnext(scan)) {
    if (!counts(tuple->t_data)) continue;
    bool is_null;
    const TupleDesc descriptor = RelationGetDescr(directory);
    take(ChunkRange{DatumGetInt64(heap_getattr(tuple, kAttributeChunkStart, descriptor, &is_null)),
                    DatumGetInt64(heap_getattr(tuple, kAttributeChunkEnd, descriptor, &is_null))});
  }
  systable_endscan(scan);
  table_close(directory, AccessShareLock);
}

/// Calls `take` for the chunk range of every segment of a store that is not certainly gone: those
/// of other transactions in progress, and those that such transactions delete, count.
template <typename Take>
void ForEachSegmentRange(Oid store, Take &&take) {
  SnapshotData dirty;
  InitDirtySnapshot(dirty);
  ForEachDirectoryRow(
      store, &dirty, [](HeapTupleHeader) { return true; }, take);
}

/// The same for segments that this very transaction has deleted: others see them until it commits.
template <typename Take>
void ForEachDeletedRange(Oid store, Take &&take) {
  if (!HasDeletedSegments()) return;
  const auto is_ours = [](HeapTupleHeader row) {
    return (row->t_infomask & HEAP_XMAX_INVALID) == 0 &&
           TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(row));
  };
  ForEachDirectoryRow(store, SnapshotAny, is_ours, take);
}

/// Ranges as they are collected, most often many equal ones in a row.
struct RangeList {
  ChunkRange *ranges = AllocateArray<ChunkRange>(64);
  int64_t capacity = 64, count = 0;

  void Add(const ChunkRange &range) {
    if (count > 0 && SameRange(ranges[count - 1], range)) return;
    if (count == capacity) {
      capacity *= 2;
      ranges = static_cast<ChunkRange *>(repalloc_huge(ranges, sizeof(ChunkRange) * capacity));
    }
    ranges[count++] = range;
  }
  void SortUnique() {
    std::sort(ranges, ranges + count, RangeBefore);
    count = std::unique(ranges, ranges + count, SameRange) - ranges;
  }
};

bool Meets(const RangeList &list, const ChunkRange &range) {
  const ChunkRange *begin = list.ranges;
  const ChunkRange *end = begin + list.count;
  const ChunkRange *at = std::partition_point(
      begin, end, [&range](const ChunkRange &other) { return other.end <= range.start; });
  return at != end && at->start < range.end;
}

}  // namespace

bool MayJoinChunks(Relation relation, const ChunkRange &range, int count) {
  if (!ConditionalLockPage(relation, kChunkRangesPage, ExclusiveLock)) return false;
  int found = 0;
  ForEachSegmentRange(relation->rd_rel->reltoastrelid, [&](const ChunkRange &segment) {
    found += static_cast<int>(segment.start < range.end && segment.end > range.start);
  });
  if (found == count) return true;
  UnlockChunkRanges(relation, ExclusiveLock);
  return false;
}

ChunkRange *LoadChunkRanges(Oid store, int *count) {
  RangeList live;
  ForEachSegmentRange(store, [&](const ChunkRange &range) { live.Add(range); });
  live.SortUnique();
  RangeList deleted;
  ForEachDeletedRange(store, [&](const ChunkRange &range) { deleted.Add(range); });
  if (deleted.count > 0) {
    // A merge that joined chunks left its parts behind; it holds the lock, so the joined one
    // counts.
    std::sort(deleted.ranges, deleted.ranges + deleted.count,
              [](const ChunkRange &a, const ChunkRange &b) {
                return a.start != b.start ? a.start < b.start : a.end > b.end;
              });
    RangeList kept;
    for (int64_t i = 0; i < deleted.count; i++) {
      const ChunkRange &range = deleted.ranges[i];
      const bool is_part = kept.count > 0 && range.start < kept.ranges[kept.count - 1].end;
      if (!is_part && !Meets(live, range)) kept.Add(range);
    }
    for (int64_t i = 0; i < kept.count; i++) live.Add(kept.ranges[i]);
    live.SortUnique();
  }
  *count = static_cast<int>(live.count);
  return live.ranges;
}

ChunkPlan PlanChunks(const RowBuffer *buffer, const TableOptions *options, const ChunkRange *ranges,
                     int range_count, int64_t minimum_rows) {
  int new_count = 0;
  ChunkRange everything = {kTimeMinimum, kTimeMaximum};
  ChunkRange *new_ranges = nullptr;
  if (buffer->time_column >= 0) {
    new_ranges = PlanNewChunks(buffer, options, ranges, range_count, &new_count);
  } else if (range_count == 0) {
    new_ranges = &everything;
    new_count = 1;
  }
  const int all_count = range_count + new_count;
  auto *all = AllocateArray<ChunkRange>(all_count);
  auto *is_new = AllocateArray<bool>(all_count);
  for (int i = 0, old_at = 0, new_at = 0; i < all_count; i++) {
    is_new[i] = old_at == range_count ||
                (new_at < new_count && RangeBefore(new_ranges[new_at], ranges[old_at]));
    all[i] = is_new[i] ? new_ranges[new_at++] : ranges[old_at++];
  }
  return Distribute(buffer, all, is_new, all_count, minimum_rows);
}

ChunkPlan PlanFixedChunk(const RowBuffer *buffer, ChunkRange range) {
  const bool is_new = false;
  // Distribute() looks for the row's time; a caller that names the chunk has looked already.
  const ChunkRange everything = {kTimeMinimum, kTimeMaximum};
  ChunkPlan plan = Distribute(buffer, &everything, &is_new, 1, 0);
  for (int i = 0; i < plan.count; i++) plan.chunks[i].range = range;
  return plan;
}

}  // namespace tsext::pg
