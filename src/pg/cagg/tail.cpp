// tsext.tail(): the closed buckets of a continuous aggregate after a time, for whoever follows it.

#include <algorithm>

#include "pg/base/boundary.hpp"
#include "pg/cagg/bucket.hpp"
#include "pg/cagg/compute.hpp"
#include "pg/cagg/refresh.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

namespace tsext::pg {
namespace {

/// Raises 42804 when the caller's column definitions are not the view's columns.
void CheckColumns(TupleDesc given, TupleDesc columns) {
  if (given->natts != columns->natts)
    ereport(ERROR,
            (errcode(ERRCODE_DATATYPE_MISMATCH),
             errmsg("the column definition list does not fit the continuous aggregate"),
             errdetail("It has %d columns, the view has %d.", given->natts, columns->natts)));
  for (int i = 0; i < columns->natts; i++) {
    const Form_pg_attribute wanted = TupleDescAttr(given, i);
    const Form_pg_attribute column = TupleDescAttr(columns, i);
    if (wanted->atttypid == column->atttypid) continue;
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("the column definition list does not fit the continuous aggregate"),
                    errdetail("Column %d is of type %s, in the view \"%s\" is of type %s.", i + 1,
                              format_type_be(wanted->atttypid), NameStr(column->attname),
                              format_type_be(column->atttypid))));
  }
}

/// Puts the rows of the buckets in (after, until) into the function's result, in order of buckets.
/// The query runs with the rights of the caller.
void ReadBuckets(FunctionCallInfo fcinfo, const ContinuousAggregate &aggregate, int64_t after,
                 int64_t until) {
  InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC | MAT_SRF_BLESS);
  auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
  const char *bucket = quote_identifier(NameStr(aggregate.bucket_column));
  Oid types[2] = {aggregate.time_type, aggregate.time_type};
  Datum bounds[2] = {BoundDatum(after, aggregate.time_type),
                     BoundDatum(until, aggregate.time_type)};
  SPI_connect();
  SPIPlanPtr plan = SPI_prepare(
      psprintf("SELECT * FROM %s WHERE %s %s $1 AND %s < $2 ORDER BY %s", NameOf(aggregate.view),
               bucket, after == kTimeMinimum ? ">=" : ">", bucket, bucket),
      2, types);
  if (plan == nullptr) elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
  Portal portal = SPI_cursor_open(nullptr, plan, bounds, nullptr, /*read_only=*/true);
  CheckColumns(result->setDesc, portal->tupDesc);
  constexpr int kFetchRows = 1000;
  for (;;) {
    SPI_cursor_fetch(portal, true, kFetchRows);
    if (SPI_processed == 0) break;
    for (uint64 i = 0; i < SPI_processed; i++)
      tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
    SPI_freetuptable(SPI_tuptable);
  }
  SPI_cursor_close(portal);
  SPI_finish();
}

}  // namespace
}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_tail) {
  if (PG_ARGISNULL(0))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("view must not be NULL")));
  const ContinuousAggregate &aggregate = *RequireAggregate(PG_GETARG_OID(0));
  int64_t after = kTimeMinimum;
  if (!PG_ARGISNULL(1))
    after = TimeArgument(PG_GETARG_DATUM(1), get_fn_expr_argtype(fcinfo->flinfo, 1),
                         aggregate.time_type, "after");
  // What was never computed is not closed, nor is what the clock has not left.
  const int64_t threshold = ReadThreshold(aggregate.materialization, GetActiveSnapshot());
  ReadBuckets(fcinfo, aggregate, after, std::min(threshold, BucketOfNow(aggregate, threshold)));
  return static_cast<Datum>(0);
}
