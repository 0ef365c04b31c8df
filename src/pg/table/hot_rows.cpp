#include "pg/table/hot_rows.hpp"

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/base/datum.hpp"

extern "C" {
#include "utils/date.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace tsext::pg {

ChunkMap MakeChunkMap(const TableOptions *options, const SegmentRow *rows, int count) {
  ChunkMap map{};
  map.options = options;
  map.existing = static_cast<ChunkRange *>(palloc(sizeof(ChunkRange) * Max(count, 1)));
  for (int i = 0; i < count; i++) {
    if (map.count == 0 || map.existing[map.count - 1].start != rows[i].chunk_start) {
      map.existing[map.count++] = {rows[i].chunk_start, rows[i].chunk_end};
    }
  }
  return map;
}

ChunkRange FindChunk(ChunkMap *map, int64_t time) {
  if (map->has_last && time >= map->last.start &&
      (time < map->last.end || map->last.end == kTimeMaximum))
    return map->last;
  if (map->options->time_attribute == InvalidAttrNumber) return {kTimeMinimum, kTimeMaximum};
  map->last =
      ChunkForTime(map->options, map->options->chunk_interval, time, map->existing, map->count);
  map->has_last = true;
  return map->last;
}

bool RowTime(const TableOptions *options, TupleTableSlot *slot, int64_t *time) {
  *time = 0;
  if (options->time_attribute == InvalidAttrNumber) return true;
  bool is_null;
  const Datum value = slot_getattr(slot, options->time_attribute, &is_null);
  if (is_null) return false;
  Form_pg_attribute attribute =
      TupleDescAttr(slot->tts_tupleDescriptor, options->time_attribute - 1);
  *time = DatumToInteger(value, ClassOf(attribute));
  switch (options->time_type) {
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
      return !TIMESTAMP_NOT_FINITE(*time);
    case DATEOID:
      return !DATE_NOT_FINITE(static_cast<DateADT>(*time));
    default:
      return true;
  }
}

HotScan HotScanBegin(Relation relation, Snapshot snapshot) {
  HotScan scan{};
  scan.relation = relation;
  scan.snapshot = RegisterSnapshot(snapshot != nullptr ? snapshot : GetLatestSnapshot());
  scan.slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsBufferHeapTuple);
  scan.heap =
      GetHeapamTableAmRoutine()->scan_begin(relation, scan.snapshot, 0, nullptr, nullptr,
                                            SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
  return scan;
}

TupleTableSlot *HotScanNext(HotScan *scan) {
  return GetHeapamTableAmRoutine()->scan_getnextslot(scan->heap, ForwardScanDirection, scan->slot)
             ? scan->slot
             : nullptr;
}

void HotScanEnd(HotScan *scan) {
  GetHeapamTableAmRoutine()->scan_end(scan->heap);
  ExecDropSingleTupleTableSlot(scan->slot);
  UnregisterSnapshot(scan->snapshot);
}

HotChunk *CountHotRows(Relation relation, ChunkMap *map, int *count, Snapshot snapshot) {
  HASHCTL control{};
  control.keysize = sizeof(ChunkRange);
  control.entrysize = sizeof(HotChunk);
  control.hcxt = CurrentMemoryContext;
  HTAB *table =
      hash_create("tsext hot rows by chunk", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

  HotScan scan = HotScanBegin(relation, snapshot);
  HotChunk *chunk = nullptr;
  int64_t rows = 0;
  while (TupleTableSlot *slot = HotScanNext(&scan)) {
    if ((++rows & 1023) == 0) CHECK_FOR_INTERRUPTS();
    int64_t time;
    if (!RowTime(map->options, slot, &time)) continue;
    const ChunkRange range = FindChunk(map, time);
    if (chunk == nullptr || chunk->range.start != range.start) {
      bool found;
      chunk = static_cast<HotChunk *>(hash_search(table, &range, HASH_ENTER, &found));
      if (!found) chunk->rows = 0;
    }
    chunk->rows++;
  }
  HotScanEnd(&scan);

  *count = static_cast<int>(hash_get_num_entries(table));
  auto *chunks = static_cast<HotChunk *>(palloc(sizeof(HotChunk) * Max(*count, 1)));
  HASH_SEQ_STATUS status;
  hash_seq_init(&status, table);
  int at = 0;
  while (auto *entry = static_cast<HotChunk *>(hash_seq_search(&status))) chunks[at++] = *entry;
  hash_destroy(table);
  std::sort(chunks, chunks + *count,
            [](const HotChunk &a, const HotChunk &b) { return a.range.start < b.range.start; });
  return chunks;
}

}  // namespace tsext::pg
