// tsext.compact(), compress_chunk(), decompress_chunk(), drop_chunks().

#include "pg/table/compact.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/catalog/chunk.hpp"
#include "pg/catalog/options.hpp"
#include "pg/table/drop_chunks.hpp"
#include "pg/table/hot_rows.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {

namespace {

CompactLevel ParseLevel(const char *level) {
  if (strcmp(level, "hot") == 0) return CompactLevel::kHot;
  if (strcmp(level, "cold") == 0) return CompactLevel::kCold;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("invalid compaction level \"%s\"", level),
                  errhint("The levels are 'hot' and 'cold'; NULL follows tsext.cold_after.")));
}

/// Argument `index` of type "any" as a boundary in time units, or `fallback` when it is NULL.
int64_t BoundaryArgument(FunctionCallInfo fcinfo, int index, const TableOptions *options,
                         const char *name, int64_t fallback) {
  if (PG_ARGISNULL(index)) return fallback;
  return TimeArgument(PG_GETARG_DATUM(index), get_fn_expr_argtype(fcinfo->flinfo, index),
                      options->time_type, name);
}

/// The range of a chunk by its name: of the directory, or of the grid when it has only hot rows.
struct OpenedChunk {
  Relation relation;
  const TableOptions *options;
  ChunkRange range;
  bool has_cold, has_hot;
};

OpenedChunk OpenChunk(const char *name, const char *operation) {
  const ParsedChunkName parsed = ParseChunkName(name);
  OpenedChunk chunk{};
  chunk.relation = OpenForCompaction(parsed.relation_id, operation);
  chunk.options = GetTableOptions(chunk.relation);

  int count;
  const SegmentRow *rows = LoadSegments(chunk.relation->rd_rel->reltoastrelid, kTimeMinimum,
                                        kTimeMaximum, nullptr, &count);
  ChunkMap map = MakeChunkMap(chunk.options, rows, count);
  for (int i = 0; i < map.count && !chunk.has_cold; i++) {
    if (map.existing[i].start != parsed.start) continue;
    chunk.range = map.existing[i];
    chunk.has_cold = true;
  }
  int hot_count;
  const HotChunk *hot = CountHotRows(chunk.relation, &map, &hot_count);
  for (int i = 0; i < hot_count && !chunk.has_hot; i++) {
    if (hot[i].range.start != parsed.start) continue;
    chunk.range = hot[i].range;
    chunk.has_hot = true;
  }
  if (!chunk.has_cold && !chunk.has_hot) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("chunk \"%s\" does not exist", name),
                    errhint("show_chunks() lists the chunks of a table.")));
  }
  return chunk;
}

struct DroppedState {
  ReturnSetInfo *result;
  Relation relation;
  Oid time_type;
  bool verbose;
};

void ReportDropped(int64_t start, int64_t, void *state) {
  auto *dropped = static_cast<DroppedState *>(state);
  char *name = ChunkName(RelationGetRelid(dropped->relation), start, dropped->time_type);
  if (dropped->verbose) ereport(INFO, (errmsg("dropping chunk %s", name)));
  Datum value = CStringGetTextDatum(name);
  bool is_null = false;
  tuplestore_putvalues(dropped->result->setResult, dropped->result->setDesc, &value, &is_null);
}

}  // namespace

}  // namespace tsext::pg

TSEXT_FUNCTION(tsext_compact) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): a wrapper of this very
                              // namespace
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("relation must not be NULL")));
  }
  Relation relation = OpenForCompaction(PG_GETARG_OID(0), "tsext.compact()");
  const TableOptions *options = GetTableOptions(relation);
  CompactRequest request;
  request.until = BoundaryArgument(fcinfo, 1, options, "older_than", kTimeMaximum);
  if (!PG_ARGISNULL(2)) request.level = ParseLevel(text_to_cstring(PG_GETARG_TEXT_PP(2)));

  CompactResult result;
  if (const char *reason = StaysHotBecause(relation); reason != nullptr) {
    ereport(NOTICE,
            (errmsg("table \"%s\" stays hot: %s", RelationGetRelationName(relation), reason)));
  } else {
    result = CompactRelation(relation, request);
  }
  table_close(relation, NoLock);

  TupleDesc descriptor;
  if (get_call_result_type(fcinfo, nullptr, &descriptor) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  Datum values[5] = {Int64GetDatum(result.rows_moved), Int32GetDatum(result.segments_written),
                     Int32GetDatum(result.segments_merged), Int64GetDatum(result.bytes_before),
                     Int64GetDatum(result.bytes_after)};
  bool nulls[5] = {false, false, false, false, false};
  PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}

TSEXT_FUNCTION(tsext_compress_chunk) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
  const OpenedChunk chunk = OpenChunk(name, "compress_chunk()");
  if (const char *reason = StaysHotBecause(chunk.relation); reason != nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot compress chunk \"%s\"", name),
                    errdetail("The table stays hot: %s.", reason)));
  }
  if (!chunk.has_hot) {
    ereport(
        PG_GETARG_BOOL(1) ? NOTICE : ERROR,
        (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("chunk \"%s\" is already compressed", name)));
  }
  CompactRequest request;
  request.from = chunk.range.start;
  request.until = chunk.range.end;
  CompactRelation(chunk.relation, request);
  table_close(chunk.relation, NoLock);
  PG_RETURN_TEXT_P(cstring_to_text(name));
}

TSEXT_FUNCTION(tsext_decompress_chunk) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
  const OpenedChunk chunk = OpenChunk(name, "decompress_chunk()");
  if (!chunk.has_cold) {
    ereport(PG_GETARG_BOOL(1) ? NOTICE : ERROR,
            (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("chunk \"%s\" is not compressed", name)));
  } else {
    DecompressChunk(chunk.relation, chunk.range.start, chunk.range.end);
  }
  table_close(chunk.relation, NoLock);
  PG_RETURN_TEXT_P(cstring_to_text(name));
}

TSEXT_FUNCTION(tsext_drop_chunks) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace)
  if (PG_ARGISNULL(0)) {
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("relation must not be NULL")));
  }
  if (PG_ARGISNULL(1) && PG_ARGISNULL(2)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("older_than or newer_than must be given"),
                    errhint("To remove all rows of the table use TRUNCATE.")));
  }
  const DropTarget target = OpenForDrop(PG_GETARG_OID(0), "drop_chunks()");
  const TableOptions *options = GetTableOptions(target.relation);
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
  DroppedState state{reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo), target.relation,
                     options->time_type, !PG_ARGISNULL(3) && PG_GETARG_BOOL(3)};
  DropChunks(target, BoundaryArgument(fcinfo, 2, options, "newer_than", kTimeMinimum),
             BoundaryArgument(fcinfo, 1, options, "older_than", kTimeMaximum), ReportDropped,
             &state);
  table_close(target.relation, NoLock);
  return static_cast<Datum>(0);
}
