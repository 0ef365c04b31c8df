// show_chunks() and what the view tsext.chunks is made of: the chunks of the directory, and those
// that hot rows would make.

#include <algorithm>
#include <cmath>

#include "pg/base/boundary.hpp"
#include "pg/catalog/chunk.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/function/readable.hpp"
#include "pg/table/hot_rows.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

struct Chunk {
  ChunkRange range;
  int64_t segments, cold_rows, cold_bytes;
  int64_t heavy_segments;  // those with COLD codecs
  int64_t hot_rows;
};

/// Sums the segments of each chunk; rows: in order of chunk_start.
int SumSegments(const SegmentRow *rows, int count, Chunk *chunks) {
  int used = 0;
  for (int i = 0; i < count; ++i) {
    if (used == 0 || chunks[used - 1].range.start != rows[i].chunk_start)
      chunks[used++] = {{rows[i].chunk_start, rows[i].chunk_end}, 0, 0, 0, 0, 0};
    Chunk &chunk = chunks[used - 1];
    ++chunk.segments;
    chunk.cold_rows += rows[i].nrows;
    chunk.cold_bytes += rows[i].nbytes;
    chunk.heavy_segments += rows[i].level == static_cast<int16_t>(Level::kCold) ? 1 : 0;
  }
  return used;
}

/// The chunks of a table in time order, those of hot rows alone too; palloc'd. Rows without a
/// finite time belong to none.
Chunk *ListChunks(Relation relation, int *count) {
  const TableOptions *options = GetTableOptions(relation);
  int row_count;
  const SegmentRow *rows = LoadSegments(relation->rd_rel->reltoastrelid, kTimeMinimum, kTimeMaximum,
                                        nullptr, &row_count);
  ChunkMap map = MakeChunkMap(options, rows, row_count);
  int hot_count;
  const HotChunk *hot = CountHotRows(relation, &map, &hot_count);
  const size_t capacity = static_cast<size_t>(row_count) + static_cast<size_t>(hot_count) + 1;
  auto *chunks = static_cast<Chunk *>(palloc_extended(capacity * sizeof(Chunk), MCXT_ALLOC_HUGE));
  const int cold_count = SumSegments(rows, row_count, chunks);
  *count = cold_count;
  int at = 0;
  for (int i = 0; i < hot_count; ++i) {
    while (at < cold_count && chunks[at].range.start < hot[i].range.start) ++at;
    if (at < cold_count && chunks[at].range.start == hot[i].range.start)
      chunks[at].hot_rows = hot[i].rows;
    else
      chunks[(*count)++] = {hot[i].range, 0, 0, 0, 0, hot[i].rows};
  }
  std::sort(chunks, chunks + *count,
            [](const Chunk &a, const Chunk &b) { return a.range.start < b.range.start; });
  return chunks;
}

const char *TierOf(const Chunk &chunk) {
  if (chunk.segments == 0) return "hot";
  return chunk.hot_rows == 0 ? "cold" : "mixed";
}

/// Which codecs the segments have; nullptr without any.
const char *LevelOf(const Chunk &chunk) {
  if (chunk.segments == 0) return nullptr;
  if (chunk.heavy_segments == 0) return "hot";
  return chunk.heavy_segments == chunk.segments ? "cold" : "mixed";
}

/// A boundary argument in time units; `open` when it is NULL.
int64_t Boundary(FunctionCallInfo fcinfo, int index, const TableOptions *options, const char *name,
                 int64_t open) {
  if (PG_ARGISNULL(index)) return open;
  return TimeArgument(PG_GETARG_DATUM(index), get_fn_expr_argtype(fcinfo->flinfo, index),
                      options->time_type, name);
}

ReturnSetInfo *StartResult(FunctionCallInfo fcinfo) {
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  return reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
}

/// What heap says of the hot rows, and the store's totals.
double EstimateRows(Oid relation_id) {
  Relation relation = try_relation_open(relation_id, AccessShareLock);
  if (relation == nullptr) return 0;
  double rows = 0;
  const char kind = relation->rd_rel->relkind;
  if (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW) {
    const BlockNumber blocks = RelationGetNumberOfBlocks(relation);
    BlockNumber pages = 0;
    double all_visible = 0;
    GetHeapamTableAmRoutine()->relation_estimate_size(relation, nullptr, &pages, &rows,
                                                      &all_visible);
    // A table that was never vacuumed is taken for ten pages at least.
    if (pages > blocks) rows = rows * blocks / pages;
    if (IsTsextRelation(relation))
      rows += static_cast<double>(GetStoreTotal(relation->rd_rel->reltoastrelid, nullptr).rows);
  }
  relation_close(relation, AccessShareLock);
  return rows;
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_show_chunks) {
  if (PG_ARGISNULL(0))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("relation is null")));
  Relation relation = OpenReadable(PG_GETARG_OID(0));
  const TableOptions *options = GetTableOptions(relation);
  const int64_t until = Boundary(fcinfo, 1, options, "older_than", kTimeMaximum);
  const int64_t from = Boundary(fcinfo, 2, options, "newer_than", kTimeMinimum);
  ReturnSetInfo *result = StartResult(fcinfo);
  int count;
  const Chunk *chunks = ListChunks(relation, &count);
  for (int i = 0; i < count; ++i) {
    if (chunks[i].range.start < from || chunks[i].range.end > until) continue;
    Datum name = CStringGetTextDatum(
        ChunkName(RelationGetRelid(relation), chunks[i].range.start, options->time_type));
    bool is_null = false;
    tuplestore_putvalues(result->setResult, result->setDesc, &name, &is_null);
  }
  table_close(relation, AccessShareLock);
  return static_cast<Datum>(0);
}

TSEXT_FUNCTION(tsext_chunk_list) {
  Relation relation = OpenReadable(PG_GETARG_OID(0));
  const TableOptions *options = GetTableOptions(relation);
  ReturnSetInfo *result = StartResult(fcinfo);
  int count;
  const Chunk *chunks = ListChunks(relation, &count);
  for (int i = 0; i < count; ++i) {
    const Chunk &chunk = chunks[i];
    const char *level = LevelOf(chunk);
    Datum values[] = {
        CStringGetTextDatum(
            ChunkName(RelationGetRelid(relation), chunk.range.start, options->time_type)),
        CStringGetTextDatum(TimeText(chunk.range.start, options->time_type)),
        CStringGetTextDatum(TimeText(chunk.range.end, options->time_type)),
        Int64GetDatum(chunk.range.start),
        Int64GetDatum(chunk.range.end),
        CStringGetTextDatum(TierOf(chunk)),
        level == nullptr ? 0 : CStringGetTextDatum(level),
        Int64GetDatum(chunk.hot_rows),
        Int64GetDatum(chunk.cold_rows),
        Int64GetDatum(chunk.cold_bytes),
        Int64GetDatum(chunk.segments),
    };
    bool nulls[lengthof(values)] = {};
    nulls[6] = level == nullptr;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  table_close(relation, AccessShareLock);
  return static_cast<Datum>(0);
}

TSEXT_FUNCTION(tsext_approximate_row_count) {
  double rows = 0;
  ListCell *cell;
  foreach (cell, find_all_inheritors(PG_GETARG_OID(0), AccessShareLock, nullptr))
    rows += EstimateRows(lfirst_oid(cell));
  PG_RETURN_INT64(std::llround(rows));
}
