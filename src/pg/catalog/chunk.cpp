#include "pg/catalog/chunk.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"
}

namespace tsext::pg {
namespace {

/// 2000-01-03, a Monday: weeks start where people expect them.
int64_t GridOrigin(Oid time_type) {
  switch (time_type) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID:
      return 2 * DayOfType(time_type);
    case DATEOID:
      return 2;
    default:
      return 0;
  }
}

/// The grid cell of a time, open where it reaches past int64.
ChunkRange GridCell(int64_t origin, int64_t width, int64_t time) {
  int64_t from_origin;
  if (pg_sub_s64_overflow(time, origin, &from_origin)) from_origin = PG_INT64_MIN;
  int64_t into_cell = from_origin % width;
  if (into_cell < 0) into_cell += width;
  ChunkRange range;
  if (pg_sub_s64_overflow(from_origin, into_cell, &range.start) ||
      pg_add_s64_overflow(range.start, origin, &range.start))
    range.start = kTimeMinimum;
  if (pg_add_s64_overflow(from_origin, width - into_cell, &range.end) ||
      pg_add_s64_overflow(range.end, origin, &range.end))
    range.end = kTimeMaximum;
  return range;
}

}  // namespace

ChunkRange ChunkForTime(const TableOptions *options, int64_t width, int64_t time,
                        const ChunkRange *existing, int count) {
  if (options->time_attribute == InvalidAttrNumber) return {kTimeMinimum, kTimeMaximum};
  // First existing chunk that ends after `time`.
  int low = 0;
  int high = count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (existing[middle].end > time || existing[middle].end == kTimeMaximum)
      high = middle;
    else
      low = middle + 1;
  }
  if (low < count && existing[low].start <= time) return existing[low];
  ChunkRange range = GridCell(GridOrigin(options->time_type), width, time);
  int64_t minimum;
  int64_t maximum;
  TimeTypeRange(options->time_type, &minimum, &maximum);
  if (range.start < minimum) range.start = kTimeMinimum;
  if (range.end > maximum) range.end = kTimeMaximum;
  if (low > 0 && existing[low - 1].end > range.start) range.start = existing[low - 1].end;
  if (low < count && existing[low].start < range.end) range.end = existing[low].start;
  return range;
}

char *ChunkName(Oid relation_id, int64_t start, Oid time_type) {
  const char *schema = get_namespace_name(get_rel_namespace(relation_id));
  return psprintf("%s@%s", quote_qualified_identifier(schema, get_rel_name(relation_id)),
                  TimeText(start, time_type));
}

ParsedChunkName ParseChunkName(const char *name) {
  bool quoted = false;
  const char *at = name;
  for (; *at != '\0' && (quoted || *at != '@'); ++at)
    if (*at == '"') quoted = !quoted;
  if (*at != '@' || at == name)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" is not the name of a chunk", name),
                    errhint("show_chunks() lists the names, such as 'public.cpu@2024-01-15 "
                            "00:00:00+00'.")));
  char *table = pnstrdup(name, at - name);
  RangeVar *range = makeRangeVarFromNameList(stringToQualifiedNameList(table));
  ParsedChunkName parsed;
  parsed.relation_id = RangeVarGetRelid(range, NoLock, false);
  if (!IsTsextTable(parsed.relation_id))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" is not a tsext table", table)));
  Relation relation = table_open(parsed.relation_id, AccessShareLock);
  parsed.start = TimeOfText(at + 1, GetTableOptions(relation)->time_type);
  table_close(relation, AccessShareLock);
  return parsed;
}

}  // namespace tsext::pg
