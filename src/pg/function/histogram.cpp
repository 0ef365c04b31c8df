#include "tsext/histogram.hpp"

#include <cstdint>
#include <span>

#include "pg/base/boundary.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
}

namespace tsext::pg {

namespace {

/// Lives in the aggregate's context.
struct HistogramState {
  HistogramBounds bounds;
  int64_t counts[FLEXIBLE_ARRAY_MEMBER];

  std::span<int64_t> all_counts() { return {counts, HistogramEntries(bounds)}; }
};

MemoryContext AggregateContext(FunctionCallInfo fcinfo) {
  MemoryContext context;
  if (AggCheckCallContext(fcinfo, &context) == 0)
    elog(ERROR, "transition of histogram() called outside an aggregate");
  return context;
}

HistogramState *StateArgument(FunctionCallInfo fcinfo, int number) {
  if (PG_ARGISNULL(number)) return nullptr;
  return reinterpret_cast<HistogramState *>(PG_GETARG_POINTER(number));
}

HistogramState *MakeState(MemoryContext context, const HistogramBounds &bounds) {
  const Size size =
      offsetof(HistogramState, counts) + size_t{HistogramEntries(bounds)} * sizeof(int64_t);
  auto *state = static_cast<HistogramState *>(MemoryContextAllocZero(context, size));
  state->bounds = bounds;
  return state;
}

HistogramBounds BoundsArguments(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(2) || PG_ARGISNULL(3) || PG_ARGISNULL(4))
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("bounds and number of buckets of a histogram must not be null")));
  return {PG_GETARG_FLOAT8(2), PG_GETARG_FLOAT8(3), PG_GETARG_INT32(4)};
}

void CheckSameBounds(const HistogramBounds &a, const HistogramBounds &b) {
  if (!(a == b))
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("bounds and number of buckets of a histogram must be the same in all rows"),
             errdetail("Found %g to %g in %d buckets, then %g to %g in %d buckets.", a.min, a.max,
                       a.buckets, b.min, b.max, b.buckets)));
}

}  // namespace

}  // namespace tsext::pg

using namespace tsext;
using namespace tsext::pg;

TSEXT_FUNCTION(tsext_histogram_transition) {
  MemoryContext context = AggregateContext(fcinfo);
  HistogramState *state = StateArgument(fcinfo, 0);
  if (PG_ARGISNULL(1)) {
    if (state == nullptr) PG_RETURN_NULL();
    PG_RETURN_POINTER(state);
  }
  const HistogramBounds bounds = BoundsArguments(fcinfo);
  if (state == nullptr) {
    Check(CheckHistogramBounds(bounds));
    state = MakeState(context, bounds);
  } else {
    CheckSameBounds(state->bounds, bounds);
  }
  state->counts[HistogramEntry(PG_GETARG_FLOAT8(1), bounds)]++;
  PG_RETURN_POINTER(state);
}

TSEXT_FUNCTION(tsext_histogram_combine) {
  MemoryContext context = AggregateContext(fcinfo);
  HistogramState *into = StateArgument(fcinfo, 0);
  HistogramState *from = StateArgument(fcinfo, 1);
  if (from == nullptr) {
    if (into == nullptr) PG_RETURN_NULL();
    PG_RETURN_POINTER(into);
  }
  if (into == nullptr) into = MakeState(context, from->bounds);
  CheckSameBounds(into->bounds, from->bounds);
  Check(MergeHistogram(into->all_counts(), from->all_counts()));
  PG_RETURN_POINTER(into);
}

TSEXT_FUNCTION(tsext_histogram_serialize) {
  HistogramState *state = StateArgument(fcinfo, 0);
  const Size size = HistogramSize(state->bounds);
  auto *bytes = static_cast<bytea *>(palloc(VARHDRSZ + size));
  SET_VARSIZE(bytes, VARHDRSZ + size);
  WriteHistogram(state->bounds, state->all_counts(),
                 {reinterpret_cast<std::byte *>(VARDATA(bytes)), size});
  PG_RETURN_BYTEA_P(bytes);
}

TSEXT_FUNCTION(tsext_histogram_deserialize) {
  AggregateContext(fcinfo);
  bytea *argument = PG_GETARG_BYTEA_PP(0);
  const ByteSpan bytes{reinterpret_cast<const std::byte *>(VARDATA_ANY(argument)),
                       VARSIZE_ANY_EXHDR(argument)};
  HistogramBounds bounds{};
  Check(ReadHistogramBounds(bytes, bounds));
  HistogramState *state = MakeState(CurrentMemoryContext, bounds);
  Check(ReadHistogramCounts(bytes, state->all_counts()));
  PG_RETURN_POINTER(state);
}

TSEXT_FUNCTION(tsext_histogram_final) {
  HistogramState *state = StateArgument(fcinfo, 0);
  if (state == nullptr) PG_RETURN_NULL();
  const std::span<const int64_t> counts = state->all_counts();
  const int length = static_cast<int>(counts.size());
  const Size size = ARR_OVERHEAD_NONULLS(1) + counts.size() * sizeof(int32_t);
  auto *array = static_cast<ArrayType *>(palloc0(size));
  SET_VARSIZE(array, size);
  array->ndim = 1;
  array->elemtype = INT4OID;
  ARR_DIMS(array)[0] = length;
  ARR_LBOUND(array)[0] = 1;
  const Status status =
      NarrowHistogram(counts, {reinterpret_cast<int32_t *>(ARR_DATA_PTR(array)), counts.size()});
  if (!status.ok())
    ereport(ERROR,
            (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg_internal("%s", status.message())));
  PG_RETURN_ARRAYTYPE_P(array);
}
