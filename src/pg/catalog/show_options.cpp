// What the views show of a table's options.

#include "pg/base/boundary.hpp"
#include "pg/catalog/chunk.hpp"
#include "pg/catalog/label.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
}

namespace tsext::pg {
namespace {

Datum NamesOfAttributes(TupleDesc columns, const AttrNumber *attributes, int count) {
  auto *names = static_cast<Datum *>(palloc(sizeof(Datum) * Max(count, 1)));
  for (int i = 0; i < count; ++i)
    names[i] = NameGetDatum(&TupleDescAttr(columns, attributes[i] - 1)->attname);
  return PointerGetDatum(construct_array(names, count, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR));
}

/// Opens a table for a view: nullptr when it is gone or not ours, so that a view does not fail.
Relation TryOpenTsext(Oid relation_id) {
  Relation relation = try_table_open(relation_id, AccessShareLock);
  if (relation == nullptr || IsTsextRelation(relation)) return relation;
  table_close(relation, AccessShareLock);
  return nullptr;
}

Datum OptionsRow(FunctionCallInfo fcinfo, Relation relation) {
  TupleDesc row;
  if (get_call_result_type(fcinfo, nullptr, &row) != TYPEFUNC_COMPOSITE)
    elog(ERROR, "return type must be a row type");
  const TableOptions *options = GetTableOptions(relation);
  TupleDesc columns = RelationGetDescr(relation);
  const bool has_time = options->time_attribute != InvalidAttrNumber;
  const char *origin = !options->segment_by_is_given      ? "open"
                       : options->segment_by_is_automatic ? "automatic"
                                                          : "given";
  Datum values[7];
  bool nulls[lengthof(values)] = {!has_time, !has_time, !has_time, !options->segment_by_is_given,
                                  false,     false,     false};
  if (has_time) {
    values[0] = NameGetDatum(&TupleDescAttr(columns, options->time_attribute - 1)->attname);
    values[1] = ObjectIdGetDatum(options->time_type);
    values[2] = CStringGetTextDatum(options->interval_is_auto
                                        ? "auto"
                                        : WidthText(options->chunk_interval, options->time_type));
  }
  values[3] = NamesOfAttributes(columns, options->segment_by, options->segment_by_count);
  values[4] = CStringGetTextDatum(origin);
  values[5] = NamesOfAttributes(columns, options->order_by, options->order_by_count);
  values[6] = BoolGetDatum(!options->decoded_off);
  return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls));
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_table_options) {
  Relation relation = TryOpenTsext(PG_GETARG_OID(0));
  if (relation == nullptr) PG_RETURN_NULL();
  Datum row = OptionsRow(fcinfo, relation);
  table_close(relation, AccessShareLock);
  PG_RETURN_DATUM(row);
}

TSEXT_FUNCTION(tsext_stays_hot_because) {
  Relation relation = TryOpenTsext(PG_GETARG_OID(0));
  if (relation == nullptr) PG_RETURN_NULL();
  const char *reason = StaysHotBecause(relation);
  table_close(relation, AccessShareLock);
  if (reason == nullptr) PG_RETURN_NULL();
  PG_RETURN_TEXT_P(cstring_to_text(reason));
}

TSEXT_FUNCTION(tsext_time_text) {
  PG_RETURN_TEXT_P(cstring_to_text(TimeText(PG_GETARG_INT64(0), PG_GETARG_OID(1))));
}

TSEXT_FUNCTION(tsext_chunk_name) {
  Relation relation = TryOpenTsext(PG_GETARG_OID(0));
  if (relation == nullptr) PG_RETURN_NULL();
  const char *name = ChunkName(RelationGetRelid(relation), PG_GETARG_INT64(1),
                               GetTableOptions(relation)->time_type);
  table_close(relation, AccessShareLock);
  PG_RETURN_TEXT_P(cstring_to_text(name));
}
