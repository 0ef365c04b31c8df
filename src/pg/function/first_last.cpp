// first(value, time) and last(value, time): the value at the least and the greatest time.
//
// A state as bytes, for workers of the same server:
//
//   u32  value_type, u32 time_type    type oids
//   time, value                       as datumSerialize() writes them

#include <cstdint>
#include <cstring>

#include "pg/base/boundary.hpp"

extern "C" {
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

enum class Extreme { kLeast, kGreatest };

struct ValueType {
  Oid oid;
  int16 length;
  bool by_value;
};

/// Lives in the aggregate's context, as do the values it points to.
struct ExtremeState {
  ValueType value_type;
  ValueType time_type;
  TypeCacheEntry *time_order;  // lives as long as the backend
  bool is_integer_order;       // times compare as int64
  bool value_is_null;
  Datum value;
  Datum time;
};

MemoryContext AggregateContext(FunctionCallInfo fcinfo) {
  MemoryContext context;
  if (AggCheckCallContext(fcinfo, &context) == 0)
    elog(ERROR, "transition of first() or last() called outside an aggregate");
  return context;
}

ValueType TypeOf(Oid oid) {
  ValueType type{oid, 0, false};
  get_typlenbyval(oid, &type.length, &type.by_value);
  return type;
}

/// A state without a time yet, in the current memory context.
ExtremeState *MakeState(Oid value_type, Oid time_type) {
  TypeCacheEntry *order = lookup_type_cache(time_type, TYPECACHE_CMP_PROC_FINFO);
  if (!OidIsValid(order->cmp_proc))
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("could not identify a comparison function for type %s",
                           format_type_be(time_type)),
                    errhint("first() and last() order by the default btree operator class of the "
                            "time's type.")));
  auto *state = static_cast<ExtremeState *>(palloc0(sizeof(ExtremeState)));
  state->value_type = TypeOf(value_type);
  state->time_type = TypeOf(time_type);
  state->time_order = order;
  state->is_integer_order = order->cmp_proc == F_TIMESTAMP_CMP ||
                            order->cmp_proc == F_TIMESTAMPTZ_CMP || order->cmp_proc == F_BTINT8CMP;
  state->value_is_null = true;
  return state;
}

bool IsBetter(const ExtremeState &state, Datum time, Oid collation, Extreme extreme) {
  if (state.is_integer_order) {
    const int64 a = DatumGetInt64(time);
    const int64 b = DatumGetInt64(state.time);
    return extreme == Extreme::kLeast ? a < b : a > b;
  }
  const int32 order = DatumGetInt32(
      FunctionCall2Coll(&state.time_order->cmp_proc_finfo, collation, time, state.time));
  return extreme == Extreme::kLeast ? order < 0 : order > 0;
}

/// A flat copy that does not refer to TOAST, in the current memory context.
Datum CopyValue(Datum value, const ValueType &type) {
  if (type.length == -1) return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
  return datumCopy(value, type.by_value, type.length);
}

/// Puts a copy of `value` into `*slot`; `is_set` says whether the slot holds a value to free or to
/// overwrite.
void ReplaceValue(Datum *slot, bool is_set, Datum value, const ValueType &type) {
  if (type.by_value) {
    *slot = value;
  } else if (is_set && type.length > 0) {
    memcpy(DatumGetPointer(*slot), DatumGetPointer(value), static_cast<size_t>(type.length));
  } else {
    const Datum copy = CopyValue(value, type);
    if (is_set) pfree(DatumGetPointer(*slot));
    *slot = copy;
  }
}

void ClearValue(ExtremeState &state) {
  if (!state.value_is_null && !state.value_type.by_value) pfree(DatumGetPointer(state.value));
  state.value = 0;
  state.value_is_null = true;
}

/// The new time and value become the state's. has_time: false for the first one.
void TakeRow(ExtremeState &state, bool has_time, Datum time, Datum value, bool value_is_null) {
  ReplaceValue(&state.time, has_time, time, state.time_type);
  if (value_is_null) {
    ClearValue(state);
    return;
  }
  ReplaceValue(&state.value, !state.value_is_null, value, state.value_type);
  state.value_is_null = false;
}

Datum Advance(FunctionCallInfo fcinfo, Extreme extreme) {
  MemoryContext context = AggregateContext(fcinfo);
  auto *state = PG_ARGISNULL(0) ? nullptr : reinterpret_cast<ExtremeState *>(PG_GETARG_POINTER(0));
  if (PG_ARGISNULL(2)) {
    if (state == nullptr) PG_RETURN_NULL();
    PG_RETURN_POINTER(state);
  }
  const Datum time = PG_GETARG_DATUM(2);
  const bool has_time = state != nullptr;
  if (has_time && !IsBetter(*state, time, PG_GET_COLLATION(), extreme)) PG_RETURN_POINTER(state);
  MemoryContext old = MemoryContextSwitchTo(context);
  if (!has_time)
    state =
        MakeState(get_fn_expr_argtype(fcinfo->flinfo, 1), get_fn_expr_argtype(fcinfo->flinfo, 2));
  TakeRow(*state, has_time, time, PG_ARGISNULL(1) ? 0 : PG_GETARG_DATUM(1), PG_ARGISNULL(1));
  MemoryContextSwitchTo(old);
  PG_RETURN_POINTER(state);
}

Datum Combine(FunctionCallInfo fcinfo, Extreme extreme) {
  MemoryContext context = AggregateContext(fcinfo);
  auto *into = PG_ARGISNULL(0) ? nullptr : reinterpret_cast<ExtremeState *>(PG_GETARG_POINTER(0));
  if (PG_ARGISNULL(1)) {
    if (into == nullptr) PG_RETURN_NULL();
    PG_RETURN_POINTER(into);
  }
  const auto &from = *reinterpret_cast<ExtremeState *>(PG_GETARG_POINTER(1));
  const bool has_time = into != nullptr;
  if (has_time && !IsBetter(*into, from.time, PG_GET_COLLATION(), extreme)) PG_RETURN_POINTER(into);
  MemoryContext old = MemoryContextSwitchTo(context);
  if (!has_time) into = MakeState(from.value_type.oid, from.time_type.oid);
  TakeRow(*into, has_time, from.time, from.value, from.value_is_null);
  MemoryContextSwitchTo(old);
  PG_RETURN_POINTER(into);
}

}  // namespace

}  // namespace tsext::pg

using namespace tsext::pg;

TSEXT_FUNCTION(tsext_first_transition) {
  return Advance(fcinfo, Extreme::kLeast);
}

TSEXT_FUNCTION(tsext_last_transition) {
  return Advance(fcinfo, Extreme::kGreatest);
}

TSEXT_FUNCTION(tsext_first_combine) {
  return Combine(fcinfo, Extreme::kLeast);
}

TSEXT_FUNCTION(tsext_last_combine) {
  return Combine(fcinfo, Extreme::kGreatest);
}

TSEXT_FUNCTION(tsext_first_last_serialize) {
  const auto &state = *reinterpret_cast<ExtremeState *>(PG_GETARG_POINTER(0));
  const ValueType &time = state.time_type;
  const ValueType &value = state.value_type;
  const Size size =
      VARHDRSZ + 2 * sizeof(Oid) +
      datumEstimateSpace(state.time, false, time.by_value, time.length) +
      datumEstimateSpace(state.value, state.value_is_null, value.by_value, value.length);
  auto *bytes = static_cast<bytea *>(palloc(size));
  SET_VARSIZE(bytes, size);
  char *at = VARDATA(bytes);
  memcpy(at, &value.oid, sizeof(Oid));
  memcpy(at + sizeof(Oid), &time.oid, sizeof(Oid));
  at += 2 * sizeof(Oid);
  datumSerialize(state.time, false, time.by_value, time.length, &at);
  datumSerialize(state.value, state.value_is_null, value.by_value, value.length, &at);
  PG_RETURN_BYTEA_P(bytes);
}

TSEXT_FUNCTION(tsext_first_last_deserialize) {
  AggregateContext(fcinfo);  // only the executor makes these bytes
  bytea *bytes = PG_GETARG_BYTEA_PP(0);
  char *at = VARDATA_ANY(bytes);
  Oid value_type;
  Oid time_type;
  memcpy(&value_type, at, sizeof(Oid));
  memcpy(&time_type, at + sizeof(Oid), sizeof(Oid));
  at += 2 * sizeof(Oid);
  ExtremeState *state = MakeState(value_type, time_type);
  bool time_is_null;
  state->time = datumRestore(&at, &time_is_null);
  state->value = datumRestore(&at, &state->value_is_null);
  PG_RETURN_POINTER(state);
}

TSEXT_FUNCTION(tsext_first_last_final) {
  if (PG_ARGISNULL(0)) PG_RETURN_NULL();
  const auto &state = *reinterpret_cast<ExtremeState *>(PG_GETARG_POINTER(0));
  if (state.value_is_null) PG_RETURN_NULL();
  PG_RETURN_DATUM(state.value);
}
