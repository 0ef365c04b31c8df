// Removing the rows of time ranges: hot rows one by one, segments inside as they are, the others by
// writing what is to stay anew. Everything is owned before anything is read or written, so whoever
// is in the way is met early.

#include "pg/table/remove_times.hpp"

#include <algorithm>

#include "tsext/segment.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/stop_point.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/hot_rows.hpp"
#include "pg/table/row_buffer.hpp"
#include "pg/table/segment_reader.hpp"
#include "pg/table/segment_writer.hpp"
#include "pg/table/store.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"
}

namespace tsext::pg {
namespace {

// What stays of a chunk is written when so many full segments are in the buffer, memory permitting.
constexpr int64_t kRowsPerWrite = int64_t{16} * kMaxSegmentRows;

struct Removal {
  Relation relation;
  Relation toast;
  const TableOptions *options;
  const TimeRange *ranges;
  int range_count;
  Snapshot snapshot;
  int64_t removed;
};

/// The first range that ends after `time`; nullptr: none.
const TimeRange *RangeAfter(const Removal &removal, int64_t time) {
  const TimeRange *end = removal.ranges + removal.range_count;
  const TimeRange *range = std::partition_point(
      removal.ranges, end, [time](const TimeRange &r) { return r.until <= time; });
  if (range == end && time == kTimeMaximum && range > removal.ranges &&
      range[-1].until == kTimeMaximum)
    range--;
  return range == end ? nullptr : range;
}

bool IsInside(const Removal &removal, int64_t time) {
  const TimeRange *range = RangeAfter(removal, time);
  return range != nullptr && range->from <= time;
}

/// How times between two others, inclusive, lie to the ranges.
enum class Overlap { kNone, kSome, kAll };

Overlap OverlapOf(const Removal &removal, int64_t least, int64_t greatest) {
  const TimeRange *range = RangeAfter(removal, least);
  if (range == nullptr || range->from > greatest) return Overlap::kNone;
  const bool holds_all =
      range->from <= least && (greatest < range->until || range->until == kTimeMaximum);
  return holds_all ? Overlap::kAll : Overlap::kSome;
}

// ---------------------------------------------------------------------------------------------
// Hot rows

[[noreturn]] void RowIsTaken(Relation relation) {
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("could not replace rows of table \"%s\" due to a concurrent change",
                         RelationGetRelationName(relation)),
                  errdetail("Another transaction has locked, updated or deleted one of them."),
                  errhint("The statement might succeed if retried.")));
}

void RemoveHotRows(Removal *removal) {
  const AttrNumber attribute = removal->options->time_attribute;
  const CommandId cid = GetCurrentCommandId(true);
  HotScan scan = HotScanBegin(removal->relation, removal->snapshot);
  int64_t seen = 0;
  while (TupleTableSlot *slot = HotScanNext(&scan)) {
    if ((++seen & 1023) == 0) CHECK_FOR_INTERRUPTS();
    bool is_null;
    const Datum time = slot_getattr(slot, attribute, &is_null);
    if (is_null || !IsInside(*removal, TimeOfDatum(time, removal->options->time_type))) continue;
    TM_FailureData failure;
    if (heap_delete(removal->relation, &slot->tts_tid, cid, InvalidSnapshot, /*wait=*/false,
                    &failure, /*changingPart=*/false) != TM_Ok)
      RowIsTaken(removal->relation);
    removal->removed++;
  }
  HotScanEnd(&scan);
}

// ---------------------------------------------------------------------------------------------
// Segments

/// Rows of one segment that lie inside.
int64_t CountInside(const Removal &removal, SegmentReader *reader) {
  const AttrNumber attribute = removal.options->time_attribute;
  const uint32_t vectors = SegmentReaderHead(reader).vector_count();
  int64_t inside = 0;
  for (uint32_t v = 0; v < vectors; v++) {
    CHECK_FOR_INTERRUPTS();
    const Vector *times = SegmentReaderVector(reader, attribute, v);
    for (uint32_t row = 0; row < times->count; row++)
      inside += IsInside(removal, times->integers[row]) ? 1 : 0;
  }
  return inside;
}

/// Deletes a segment's directory row: from then on it is ours alone.
void OwnSegment(Relation relation, const SegmentRow &row) {
  if (DeleteSegment(&row, GetCurrentCommandId(true))) return;
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("segment %d of table \"%s\" was removed concurrently", row.seg,
                         RelationGetRelationName(relation)),
                  errhint("The statement might succeed if retried.")));
}

void WriteKept(const Removal &removal, RowBuffer *buffer, const SegmentRow &like) {
  if (RowBufferRows(buffer) == 0) return;
  WriteSegmentsOptions how;
  how.level = static_cast<Level>(like.level);
  how.cid = GetCurrentCommandId(true);
  how.fixed_chunk = true;
  how.chunk_start = like.chunk_start;
  how.chunk_end = like.chunk_end;
  const WriteSegmentsResult written = WriteSegments(removal.relation, buffer, removal.options, how);
  if (written.left_count > 0)
    elog(ERROR, "a segment of \"%s\" holds rows without a time",
         RelationGetRelationName(removal.relation));
  RowBufferReset(buffer);
}

/// Adds the rows of a vector that stay to the buffer; returns their number. Columns are decoded
/// only when there is such a row.
int64_t KeepRows(const Removal &removal, SegmentReader *reader, uint32_t v, const Vector **columns,
                 RowBuffer *buffer) {
  const TupleDesc descriptor = RelationGetDescr(removal.relation);
  const Vector *times = SegmentReaderVector(reader, removal.options->time_attribute, v);
  int64_t kept = 0;
  for (uint32_t row = 0; row < times->count;) {
    if (IsInside(removal, times->integers[row])) {
      row++;
      continue;
    }
    const uint32_t first = row;
    while (row < times->count && !IsInside(removal, times->integers[row])) row++;
    if (kept == 0) {
      // The time column is among them: the same vector, read once.
      for (int i = 0; i < descriptor->natts; i++) {
        const auto attribute = static_cast<AttrNumber>(i + 1);
        if (attribute == removal.options->time_attribute)
          columns[i] = times;
        else if (!TupleDescAttr(descriptor, i)->attisdropped)
          columns[i] = SegmentReaderVector(reader, attribute, v);
      }
    }
    RowBufferAppendVectors(buffer, columns, first, row - first);
    kept += row - first;
  }
  return kept;
}

/// Writes what stays of segments of one chunk and level anew.
void RewriteGroup(const Removal &removal, SegmentReader *reader, SegmentRow *const *rows, int count,
                  RowBuffer *buffer) {
  const auto natts = static_cast<size_t>(RelationGetNumberOfAttributes(removal.relation));
  auto **columns = static_cast<const Vector **>(palloc0(natts * sizeof(Vector *)));
  for (int i = 0; i < count; i++) {
    SegmentReaderOpen(reader, rows[i]);
    const uint32_t vectors = SegmentReaderHead(reader).vector_count();
    for (uint32_t v = 0; v < vectors; v++) {
      CHECK_FOR_INTERRUPTS();
      KeepRows(removal, reader, v, columns, buffer);
      if (RowBufferRows(buffer) >= kRowsPerWrite || RowBufferMemory(buffer) >= BulkMemoryBytes())
        WriteKept(removal, buffer, *rows[0]);
    }
  }
  WriteKept(removal, buffer, *rows[0]);
  pfree(columns);
}

/// Segments of one chunk and level next to each other.
bool ComesBefore(const SegmentRow *a, const SegmentRow *b) {
  if (a->chunk_start != b->chunk_start) return a->chunk_start < b->chunk_start;
  return a->level < b->level;
}

void RewriteSegments(const Removal &removal, SegmentReader *reader, SegmentRow **rows, int count,
                     MemoryContext context) {
  if (count == 0) return;
  std::stable_sort(rows, rows + count, ComesBefore);
  RowBuffer *buffer = RowBufferCreate(removal.relation, removal.options, context);
  for (int first = 0; first < count;) {
    int next = first + 1;
    while (next < count && !ComesBefore(rows[first], rows[next])) next++;
    RewriteGroup(removal, reader, rows + first, next - first, buffer);
    first = next;
  }
  RowBufferDestroy(buffer);
}

void RemoveSegments(Removal *removal, MemoryContext context) {
  const int64_t from = removal->ranges[0].from;
  const int64_t to = removal->ranges[removal->range_count - 1].until;
  const Oid store = RelationGetRelid(removal->toast);
  int count;
  SegmentRow *rows = LoadSegments(store, from, to, removal->snapshot, &count);
  if (count == 0) return;
  // What heap_delete() does for a row: SERIALIZABLE readers of the table conflict with this.
  CheckForSerializableConflictIn(removal->relation, nullptr, InvalidBlockNumber);
  SegmentReader *reader = SegmentReaderCreate(removal->relation, removal->snapshot, context);
  auto **gone = static_cast<SegmentRow **>(palloc(sizeof(SegmentRow *) * count));
  auto **partial = static_cast<SegmentRow **>(palloc(sizeof(SegmentRow *) * count));
  int gone_count = 0;
  int partial_count = 0;
  int64_t gone_rows = 0;
  int64_t gone_bytes = 0;
  for (int i = 0; i < count; i++) {
    CHECK_FOR_INTERRUPTS();
    SegmentRow &row = rows[i];
    const Overlap overlap = OverlapOf(*removal, row.tmin, row.tmax);
    if (overlap == Overlap::kNone) continue;
    int64_t inside = row.nrows;
    if (overlap == Overlap::kSome) {
      SegmentReaderOpen(reader, &row);
      inside = CountInside(*removal, reader);
      if (inside == 0) continue;
    }
    OwnSegment(removal->relation, row);
    if (inside < row.nrows) partial[partial_count++] = &row;
    gone[gone_count++] = &row;
    gone_rows += row.nrows;
    gone_bytes += row.nbytes;
    removal->removed += inside;
  }
  StopPoint("remove_after_delete");
  RewriteSegments(*removal, reader, partial, partial_count, context);
  StopPoint("remove_after_write");
  SegmentReaderClose(reader);
  for (int i = 0; i < gone_count; i++)
    StoreFree(removal->toast, gone[i], GetCurrentCommandId(true));
  if (gone_count > 0)
    AddStoreTotal(store, -gone_rows, -gone_bytes, -gone_count, kTimeMaximum, kTimeMinimum);
}

}  // namespace

int64_t RemoveTimes(Relation relation, const TimeRange *ranges, int count, Snapshot snapshot) {
  if (count == 0) return 0;
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext removal", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  Removal removal{};
  removal.relation = relation;
  removal.options = GetTableOptions(relation);
  removal.ranges = ranges;
  removal.range_count = count;
  removal.snapshot = snapshot;
  if (removal.options->time_attribute == InvalidAttrNumber)
    elog(ERROR, "table \"%s\" has no time column", RelationGetRelationName(relation));

  RemoveHotRows(&removal);
  if (OidIsValid(relation->rd_rel->reltoastrelid)) {
    removal.toast = table_open(relation->rd_rel->reltoastrelid, RowExclusiveLock);
    RemoveSegments(&removal, context);
    table_close(removal.toast, NoLock);
  }
  MemoryContextSwitchTo(caller);
  MemoryContextDelete(context);
  CommandCounterIncrement();
  return removal.removed;
}

}  // namespace tsext::pg
