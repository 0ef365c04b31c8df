#include "pg/table/merge.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "tsext/segment.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/catalog/chunk.hpp"
#include "pg/table/chunk_plan.hpp"
#include "pg/table/row_buffer.hpp"
#include "pg/table/segment_reader.hpp"
#include "pg/table/segment_writer.hpp"
#include "pg/table/store.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

namespace {

// An open chunk is rewritten when this many runs overlap in it: a row is then rewritten about
// log8(rows) times.
constexpr int kOpenChunkRuns = 8;
// Any other chunk, when so many do: a few long runs cost a query little, and rewriting them costs
// their whole size in the TOAST file until vacuum gives the old pieces' space back for use.
constexpr int kClosedChunkRuns = 4;
// Chunks of an 'auto' table with fewer rows than this are joined with their neighbours.
constexpr int64_t kSmallChunkRows = 500000;
// The widest chunk that joining makes: 2^13 days, some 22 years.
constexpr int kWidestDoubling = 13;
// Whoever waits is looked for after so many rows.
constexpr int64_t kRowsBetween = 1024;
// Rows are written when so many full segments are in the buffer, memory permitting.
constexpr int64_t kSegmentsPerWrite = 16;

/// Bytewise order; NULL (no segment-by columns) equals NULL and sorts before everything.
int CompareKeys(const bytea *a, const bytea *b) {
  if (a == nullptr || b == nullptr) return (a != nullptr) - (b != nullptr);
  const size_t a_size = VARSIZE_ANY_EXHDR(a);
  const size_t b_size = VARSIZE_ANY_EXHDR(b);
  const int order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), std::min(a_size, b_size));
  if (order != 0) return order;
  return a_size < b_size ? -1 : a_size > b_size;
}

bool HasOneKey(const SegmentRow &row) {
  return CompareKeys(row.key_lo, row.key_hi) == 0;
}

/// Whether all of `a` sorts before all of `b`. Two segments that share only their border series
/// count as ordered: they were cut there by the writer.
bool SortsBefore(const SegmentRow &a, const SegmentRow &b) {
  const int order = CompareKeys(a.key_hi, b.key_lo);
  if (order != 0) return order < 0;
  if (HasOneKey(a) && HasOneKey(b)) return a.tmax <= b.tmin;
  return true;
}

bool SortsEarlier(const SegmentRow *a, const SegmentRow *b) {
  const int order = CompareKeys(a->key_lo, b->key_lo);
  if (order != 0) return order < 0;
  return a->tmin < b->tmin;
}

/// Partitions segments (in sort order) into as few sorted runs as possible; run[i] is the run of
/// segment i.
int PartitionIntoRuns(const SegmentRow *const *segments, int count, int *run) {
  auto **last = static_cast<const SegmentRow **>(palloc(sizeof(SegmentRow *) * Max(count, 1)));
  int runs = 0;
  for (int i = 0; i < count; i++) {
    int r = 0;
    while (r < runs && !SortsBefore(*last[r], *segments[i])) r++;
    if (r == runs) runs++;
    last[r] = segments[i];
    run[i] = r;
  }
  pfree(last);
  return runs;
}

/// Now in units of the time type; kTimeMinimum when the type has no clock (integers).
int64_t NowOfType(Oid time_type) {
  switch (time_type) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
      return GetCurrentTimestamp();
    case DATEOID:
      return GetCurrentTimestamp() / USECS_PER_DAY;
    default:
      return kTimeMinimum;
  }
}

int64_t SecondsOfType(Oid time_type, int64_t seconds) {
  return time_type == DATEOID ? (seconds + SECS_PER_DAY - 1) / SECS_PER_DAY
                              : seconds * USECS_PER_SEC;
}

struct ChunkGroup {
  int64_t start, end;
  int first, count;  // in the array of rows
  int64_t rows;
};

Level WantedLevel(const TableOptions *options, const CompactRequest &request, int64_t chunk_end,
                  bool has_cold) {
  switch (request.level) {
    case CompactLevel::kHot:
      return Level::kHot;
    case CompactLevel::kCold:
      return Level::kCold;
    case CompactLevel::kAsSettings:
      break;
  }
  if (has_cold) return Level::kCold;  // a late row does not make an old chunk lighter again
  return cold_after_s >= 0 && EndedAgo(options, chunk_end, cold_after_s) ? Level::kCold
                                                                         : Level::kHot;
}

/// Whether the segments of one chunk (or of neighbours that were joined) should be rewritten.
bool WorthMerging(const TableOptions *options, const CompactRequest &request,
                  const ChunkGroup &group, bool newest, bool joined, Level level,
                  const SegmentRow *const *segments) {
  bool lighter = false;
  for (int i = 0; i < group.count; i++) lighter |= segments[i]->level < static_cast<int>(level);
  if (lighter || joined) return true;
  if (group.count < 2) return false;
  int *run = static_cast<int *>(palloc(sizeof(int) * group.count));
  const int runs = PartitionIntoRuns(segments, group.count, run);
  pfree(run);
  const int64_t full = (group.rows + kMaxSegmentRows - 1) / kMaxSegmentRows;
  const bool open = request.background && newest && !EndedAgo(options, group.end, compact_age_s);
  if (open) return runs >= kOpenChunkRuns || group.count >= full + kOpenChunkRuns;
  return runs >= kClosedChunkRuns || group.count > full + full / 4;
}

/// Joins neighbouring small chunks of an 'auto' table. groups are in time order and stay so;
/// returns the new count.
int JoinSmallNeighbours(const TableOptions *options, ChunkGroup *groups, bool *joined, int count) {
  for (int doubling = 1; doubling <= kWidestDoubling && count > 1; doubling++) {
    const int64_t width = options->chunk_interval << doubling;
    if (width >> doubling != options->chunk_interval) break;
    int kept = 0;
    for (int i = 0; i < count;) {
      // The aligned cell of the doubled width, as if the table had no chunk yet.
      const ChunkRange cell = ChunkForTime(options, width, groups[i].start, nullptr, 0);
      int next = i + 1;
      int64_t rows = groups[i].rows;
      if (cell.start != kTimeMinimum && cell.end != kTimeMaximum && groups[i].end <= cell.end) {
        while (next < count && groups[next].end <= cell.end) rows += groups[next++].rows;
        // A neighbour that reaches over the border (an older, wider interval) forbids the cell.
        const bool clear = (next == count || groups[next].start >= cell.end) &&
                           (kept == 0 || groups[kept - 1].end <= cell.start);
        if (!clear || rows > kSmallChunkRows) next = i + 1;
      }
      ChunkGroup group = groups[i];
      bool is_joined = joined[i];
      if (next > i + 1) {
        group = {cell.start, cell.end, groups[i].first, 0, 0};
        for (int k = i; k < next; k++) {
          group.count += groups[k].count;
          group.rows += groups[k].rows;
        }
        is_joined = true;
      }
      groups[kept] = group;
      joined[kept++] = is_joined;
      i = next;
    }
    count = kept;
  }
  return count;
}

/// One sorted run while it is merged: its segments one after the other, a vector of rows at a time.
struct Source {
  SegmentReader *reader;
  const SegmentRow **segments;
  int count;
  int at;                  // segment being read; == count at the end
  uint32_t vector;         // of that segment
  uint32_t row, rows;      // of that vector
  const Vector **columns;  // by attribute number - 1; nullptr: dropped or missing
};

void LoadVector(Relation relation, Source *source) {
  TupleDesc descriptor = RelationGetDescr(relation);
  for (int i = 0; i < descriptor->natts; i++) {
    source->columns[i] =
        TupleDescAttr(descriptor, i)->attisdropped
            ? nullptr
            : SegmentReaderVector(source->reader, static_cast<AttrNumber>(i + 1), source->vector);
  }
  source->row = 0;
  source->rows = SegmentReaderHead(source->reader).VectorRows(source->vector);
}

void OpenSegment(Relation relation, Source *source) {
  if (source->at == source->count) return;
  SegmentReaderOpen(source->reader, source->segments[source->at]);
  source->vector = 0;
  LoadVector(relation, source);
}

void Advance(Relation relation, Source *source, uint32_t rows) {
  source->row += rows;
  if (source->row < source->rows) return;
  CHECK_FOR_INTERRUPTS();
  if (++source->vector < SegmentReaderHead(source->reader).vector_count()) {
    LoadVector(relation, source);
    return;
  }
  source->at++;
  OpenSegment(relation, source);
}

/// The table's sort key as attribute numbers: segment-by columns, then order-by or the time column.
int SortKeyOf(const TableOptions *options, int16_t *key) {
  int count = 0;
  for (int i = 0; i < options->segment_by_count; i++) key[count++] = options->segment_by[i];
  for (int i = 0; i < options->order_by_count; i++) key[count++] = options->order_by[i];
  if (options->order_by_count == 0 && options->time_attribute != InvalidAttrNumber)
    key[count++] = options->time_attribute;
  return count;
}

int CompareFloats(double a, double b) {
  const bool a_nan = a != a;
  const bool b_nan = b != b;
  if (a_nan || b_nan) return a_nan - b_nan;
  return a < b ? -1 : a > b;
}

/// NULLs sort last, as in the writer.
int CompareValues(const Vector *a, uint32_t a_row, const Vector *b, uint32_t b_row) {
  const bool a_null = a == nullptr || a->IsNull(a_row);
  const bool b_null = b == nullptr || b->IsNull(b_row);
  if (a_null || b_null) return a_null - b_null;
  if (IsInteger(a->type)) {
    const int64_t x = a->integers[a_row];
    const int64_t y = b->integers[b_row];
    return x < y ? -1 : x > y;
  }
  if (a->type == PhysicalType::kFloat64) return CompareFloats(a->doubles[a_row], b->doubles[b_row]);
  if (a->type == PhysicalType::kFloat32) return CompareFloats(a->floats[a_row], b->floats[b_row]);
  const ByteView x = a->bytes[a_row];
  const ByteView y = b->bytes[b_row];
  const uint32_t size = std::min(x.size, y.size);
  const int order = size == 0 ? 0 : memcmp(x.data, y.data, size);
  if (order != 0) return order;
  return x.size < y.size ? -1 : x.size > y.size;
}

int CompareRows(const Source &a, uint32_t a_row, const Source &b, uint32_t b_row,
                std::span<const int16_t> key) {
  for (const int16_t attribute : key) {
    const int order =
        CompareValues(a.columns[attribute - 1], a_row, b.columns[attribute - 1], b_row);
    if (order != 0) return order;
  }
  return 0;
}

/// How many rows of `source`, from its current one on, do not sort after the current row of
/// `other`.
uint32_t RunLength(const Source &source, const Source &other, std::span<const int16_t> key) {
  uint32_t low = source.row + 1;  // the caller knows that the current row qualifies
  uint32_t step = 1;
  while (low + step < source.rows && CompareRows(source, low + step, other, other.row, key) <= 0) {
    low += step;
    step *= 2;
  }
  uint32_t high = std::min(low + step, source.rows);
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (CompareRows(source, middle, other, other.row, key) <= 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - source.row;
}

/// Collects merged rows and writes them whenever a few full segments are there.
class GroupWriter {
 public:
  GroupWriter(Relation relation, const TableOptions *options, const MergeGroup &group,
              MemoryContext context, void (*between)())
      : relation_(relation),
        options_(options),
        buffer_(RowBufferCreate(relation, options, context)) {
    how_.level = group.level;
    how_.cid = GetCurrentCommandId(true);
    how_.fixed_chunk = true;
    how_.between = between;
    how_.chunk_start = group.start;
    how_.chunk_end = group.end;
  }

  void Append(const Vector *const *columns, uint32_t from, uint32_t count) {
    while (count > 0) {
      const int64_t room = target_ - RowBufferRows(buffer_);
      const auto part = static_cast<uint32_t>(std::min<int64_t>(room, count));
      RowBufferAppendVectors(buffer_, columns, from, part);
      from += part;
      count -= part;
      if (RowBufferRows(buffer_) == target_) Reached();
    }
  }

  WriteSegmentsResult Finish() {
    Write();
    RowBufferDestroy(buffer_);
    return total_;
  }

 private:
  /// One more full segment is in the buffer: take another while there is memory for it, so that
  /// writes are long and end exactly at full segments.
  void Reached() {
    const size_t per_segment =
        RowBufferMemory(buffer_) / static_cast<size_t>(target_ / kMaxSegmentRows);
    if (target_ < kSegmentsPerWrite * kMaxSegmentRows &&
        RowBufferMemory(buffer_) + per_segment <= BulkMemoryBytes()) {
      target_ += kMaxSegmentRows;
    } else {
      Write();
    }
  }

  void Write() {
    if (RowBufferRows(buffer_) == 0) return;
    const WriteSegmentsResult written = WriteSegments(relation_, buffer_, options_, how_);
    if (written.left_count > 0)
      elog(ERROR, "a merged segment of \"%s\" holds rows without a time",
           RelationGetRelationName(relation_));
    total_.rows += written.rows;
    total_.segments += written.segments;
    total_.bytes += written.bytes;
    RowBufferReset(buffer_);
    target_ = kMaxSegmentRows;
  }

  Relation relation_;
  const TableOptions *options_;
  RowBuffer *buffer_;
  WriteSegmentsOptions how_;
  WriteSegmentsResult total_;
  int64_t target_ = kMaxSegmentRows;
};

/// Streams the rows of all sources to the writer in sort order.
void MergeSources(Relation relation, Source *sources, int count, std::span<const int16_t> key,
                  void (*between)(), GroupWriter *writer) {
  int64_t merged = 0;
  int64_t looked = 0;
  for (;;) {
    if (between != nullptr && merged - looked >= kRowsBetween) {
      looked = merged;
      between();
    }
    Source *least = nullptr;
    Source *second = nullptr;
    for (int i = 0; i < count; i++) {
      Source *source = &sources[i];
      if (source->at == source->count) continue;
      if (least == nullptr || CompareRows(*source, source->row, *least, least->row, key) < 0) {
        second = least;
        least = source;
      } else if (second == nullptr ||
                 CompareRows(*source, source->row, *second, second->row, key) < 0) {
        second = source;
      }
    }
    if (least == nullptr) return;
    const uint32_t rows =
        second == nullptr ? least->rows - least->row : RunLength(*least, *second, key);
    merged += rows;
    writer->Append(least->columns, least->row, rows);
    Advance(relation, least, rows);
  }
}

/// True when every segment of the source was sorted by today's key: else it is no run to merge,
/// only rows to sort.
bool IsSortedBy(Source *source, std::span<const int16_t> key) {
  for (int i = 0; i < source->count; i++) {
    SegmentReaderOpen(source->reader, source->segments[i]);
    const auto stored = SegmentReaderHead(source->reader).sort_key();
    if (!std::equal(stored.begin(), stored.end(), key.begin(), key.end())) return false;
  }
  return true;
}

/// Whether the new segments' chunk is wider than that of some old one.
bool JoinsChunks(const MergeGroup &group) {
  for (int i = 0; i < group.count; i++)
    if (group.segments[i]->chunk_start != group.start || group.segments[i]->chunk_end != group.end)
      return true;
  return false;
}

}  // namespace

bool EndedAgo(const TableOptions *options, int64_t chunk_end, int64_t seconds) {
  const int64_t now = NowOfType(options->time_type);
  return now != kTimeMinimum && chunk_end != kTimeMaximum &&
         chunk_end <= now - SecondsOfType(options->time_type, seconds);
}

MergeGroup *PlanMerges(const TableOptions *options, const SegmentRow *rows, int count,
                       const CompactRequest &request, int *group_count) {
  *group_count = 0;
  if (count == 0) return nullptr;

  auto *groups = static_cast<ChunkGroup *>(palloc(sizeof(ChunkGroup) * count));
  auto *joined = static_cast<bool *>(palloc0(sizeof(bool) * count));
  int chunks = 0;
  for (int i = 0; i < count; i++) {
    if (chunks == 0 || groups[chunks - 1].start != rows[i].chunk_start) {
      groups[chunks++] = {rows[i].chunk_start, rows[i].chunk_end, i, 0, 0};
    }
    groups[chunks - 1].count++;
    groups[chunks - 1].rows += rows[i].nrows;
  }
  const int64_t newest_start = groups[chunks - 1].start;
  if (options->interval_is_auto && options->time_attribute != InvalidAttrNumber) {
    // The newest chunk still grows: leave it out of joins unless its time is over.
    const bool newest_is_open = !EndedAgo(options, groups[chunks - 1].end, compact_age_s);
    const ChunkGroup newest = groups[chunks - 1];
    const int joinable = newest_is_open && request.background ? chunks - 1 : chunks;
    const int left = JoinSmallNeighbours(options, groups, joined, joinable);
    if (joinable < chunks) {
      groups[left] = newest;
      joined[left] = false;
    }
    chunks = left + (chunks - joinable);
  }

  auto *result = static_cast<MergeGroup *>(palloc(sizeof(MergeGroup) * chunks));
  for (int i = 0; i < chunks; i++) {
    const ChunkGroup &group = groups[i];
    if (group.start < request.from || group.end > request.until) continue;
    auto **segments = static_cast<const SegmentRow **>(palloc(sizeof(SegmentRow *) * group.count));
    bool has_cold = false;
    for (int k = 0; k < group.count; k++) {
      segments[k] = &rows[group.first + k];
      has_cold |= segments[k]->level == static_cast<int>(Level::kCold);
    }
    std::sort(segments, segments + group.count, SortsEarlier);
    const Level level = WantedLevel(options, request, group.end, has_cold);
    const bool newest = group.end > newest_start;
    if (!WorthMerging(options, request, group, newest, joined[i], level, segments)) continue;
    result[(*group_count)++] = {group.start, group.end, level, group.count, segments};
  }
  return result;
}

void MergeSegments(Relation relation, const TableOptions *options, const MergeGroup &group,
                   CompactResult *result, void (*between)()) {
  // A bulk writer may be adding to one of the chunks, or making one between them.
  if (JoinsChunks(group) && !MayJoinChunks(relation, {group.start, group.end}, group.count)) return;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext merge", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  Relation toast = table_open(relation->rd_rel->reltoastrelid, RowExclusiveLock);
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const int attributes = RelationGetNumberOfAttributes(relation);

  // Own the segments first: whoever else wants to remove one finds its directory row deleted.
  int64_t old_rows = 0;
  int64_t old_bytes = 0;
  for (int i = 0; i < group.count; i++) {
    if (!DeleteSegment(group.segments[i], GetCurrentCommandId(true))) {
      ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                      errmsg("segment %d of \"%s\" was removed concurrently",
                             group.segments[i]->seg, RelationGetRelationName(relation))));
    }
    old_rows += group.segments[i]->nrows;
    old_bytes += group.segments[i]->nbytes;
  }
  StopPoint("merge_after_delete");

  int *run = static_cast<int *>(palloc(sizeof(int) * group.count));
  const int source_count = PartitionIntoRuns(group.segments, group.count, run);
  auto *sources = static_cast<Source *>(palloc0(sizeof(Source) * source_count));
  for (int r = 0; r < source_count; r++) {
    Source *source = &sources[r];
    source->reader = SegmentReaderCreate(relation, snapshot, context);
    source->segments = static_cast<const SegmentRow **>(palloc(sizeof(SegmentRow *) * group.count));
    source->columns = static_cast<const Vector **>(palloc(sizeof(Vector *) * attributes));
    for (int i = 0; i < group.count; i++) {
      if (run[i] == r) source->segments[source->count++] = group.segments[i];
    }
  }

  int16_t key[2 * kMaxSortColumns + 1];
  const std::span<const int16_t> sort_key(key, static_cast<size_t>(SortKeyOf(options, key)));
  bool sorted = true;
  for (int r = 0; r < source_count && sorted; r++) sorted = IsSortedBy(&sources[r], sort_key);

  GroupWriter writer(relation, options, group, context, between);
  if (sorted) {
    for (int r = 0; r < source_count; r++) OpenSegment(relation, &sources[r]);
    MergeSources(relation, sources, source_count, sort_key, between, &writer);
  } else {
    // Sorted by another key: one source after the other; the writer sorts what fits in memory and a
    // later merge, now over runs of the right key, does the rest.
    for (int r = 0; r < source_count; r++) {
      OpenSegment(relation, &sources[r]);
      MergeSources(relation, &sources[r], 1, {}, between, &writer);
    }
  }
  const WriteSegmentsResult written = writer.Finish();
  if (written.rows != old_rows) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("merging segments of \"%s\" read %lld rows where the directory has %lld",
                           RelationGetRelationName(relation), static_cast<long long>(written.rows),
                           static_cast<long long>(old_rows)),
                    errhint("Run tsext.verify() on the table.")));
  }
  StopPoint("merge_after_write");
  for (int r = 0; r < source_count; r++) SegmentReaderClose(sources[r].reader);
  for (int i = 0; i < group.count; i++)
    StoreFree(toast, group.segments[i], GetCurrentCommandId(true));
  AddStoreTotal(toast->rd_id, -old_rows, -old_bytes, -group.count, kTimeMaximum, kTimeMinimum);
  StopPoint("merge_after_free");

  UnregisterSnapshot(snapshot);
  table_close(toast, NoLock);
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  CommandCounterIncrement();
  result->segments_merged += group.count;
  result->segments_written += written.segments;
  result->bytes_before += old_bytes;
  result->bytes_after += written.bytes;
}

}  // namespace tsext::pg
