#include "pg/exec/aggregate_function.hpp"

#include <cstring>

#include "tsext/types.hpp"

#include "pg/base/datum.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/aggregate_key.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {

namespace {

/// Built-in aggregates only: one of a user may start with another initial value.
TransitionKind BuiltInKind(Oid transition) {
  switch (transition) {
    case F_INT8INC:
      return TransitionKind::kCountRows;
    case F_INT8INC_ANY:
      return TransitionKind::kCount;
    case F_INT2_SUM:
    case F_INT4_SUM:
      return TransitionKind::kIntegerSum;
    case F_INT2_AVG_ACCUM:
    case F_INT4_AVG_ACCUM:
      return TransitionKind::kIntegerAverage;
    case F_INT8_AVG_ACCUM:
      return TransitionKind::kBigSum;
    case F_INT2_ACCUM:
    case F_INT4_ACCUM:
      return TransitionKind::kIntegerMoments;
    case F_FLOAT4PL:
    case F_FLOAT8PL:
      return TransitionKind::kRealSum;
    case F_FLOAT4_ACCUM:
    case F_FLOAT8_ACCUM:
      return TransitionKind::kRealMoments;
    case F_INT2SMALLER:
    case F_INT4SMALLER:
    case F_INT8SMALLER:
    case F_FLOAT4SMALLER:
    case F_FLOAT8SMALLER:
    case F_DATE_SMALLER:
    case F_TIMESTAMP_SMALLER:
    case F_TIMESTAMPTZ_SMALLER:
    case F_TIME_SMALLER:
    case F_CASHSMALLER:
    case F_BOOLAND_STATEFUNC:
      return TransitionKind::kLeast;
    case F_INT2LARGER:
    case F_INT4LARGER:
    case F_INT8LARGER:
    case F_FLOAT4LARGER:
    case F_FLOAT8LARGER:
    case F_DATE_LARGER:
    case F_TIMESTAMP_LARGER:
    case F_TIMESTAMPTZ_LARGER:
    case F_TIME_LARGER:
    case F_CASHLARGER:
    case F_BOOLOR_STATEFUNC:
      return TransitionKind::kGreatest;
    default:
      return TransitionKind::kGeneric;
  }
}

/// first() and last() of this extension are known by their C functions: their schema and OIDs
/// differ from database to database. Values and times must be plain columns, others go row by row.
TransitionKind ExtensionKind(const Aggref *aggregate, Oid transition) {
  if (list_length(aggregate->args) != 2) return TransitionKind::kGeneric;
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(transition));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for function %u", transition);
  bool is_null;
  const Datum source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
  TransitionKind kind = TransitionKind::kGeneric;
  if (!is_null) {
    char *symbol = TextDatumGetCString(source);
    if (strcmp(symbol, "tsext_first_transition") == 0) kind = TransitionKind::kFirst;
    if (strcmp(symbol, "tsext_last_transition") == 0) kind = TransitionKind::kLast;
    pfree(symbol);
  }
  ReleaseSysCache(tuple);
  if (kind == TransitionKind::kGeneric) return kind;
  const auto *value = reinterpret_cast<Node *>(linitial_node(TargetEntry, aggregate->args)->expr);
  const auto *time = reinterpret_cast<Node *>(lsecond_node(TargetEntry, aggregate->args)->expr);
  if (!IsA(value, Var) || !IsA(time, Var) || !IsTimeType(getBaseType(exprType(time))))
    return TransitionKind::kGeneric;
  return kind;
}

/// DISTINCT of counts is ours; to extremes it makes no difference.
bool IsDistinctSupported(const Aggref *aggregate) {
  if (aggregate->aggdistinct == NIL) return true;
  switch (GetAggregateFunction(aggregate).kind) {
    case TransitionKind::kLeast:
    case TransitionKind::kGreatest:
      return true;
    case TransitionKind::kCountDistinct:
      return list_length(aggregate->args) == 1 &&
             IsGroupable(exprType(reinterpret_cast<Node *>(
                             linitial_node(TargetEntry, aggregate->args)->expr)),
                         linitial_node(SortGroupClause, aggregate->aggdistinct)->eqop);
    default:
      return false;
  }
}

}  // namespace

AggregateFunction GetAggregateFunction(const Aggref *aggregate) {
  HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate->aggfnoid));
  if (!HeapTupleIsValid(tuple))
    elog(ERROR, "cache lookup failed for aggregate %u", aggregate->aggfnoid);
  const auto *form = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  AggregateFunction function{};
  function.transition = form->aggtransfn;
  function.final = form->aggfinalfn;
  function.combine = form->aggcombinefn;
  function.serialize = form->aggserialfn;
  function.deserialize = form->aggdeserialfn;
  function.final_extra = form->aggfinalextra;
  function.state_type = aggregate->aggtranstype;
  ReleaseSysCache(tuple);
  function.kind = aggregate->aggfnoid < FirstGenbkiObjectId
                      ? BuiltInKind(function.transition)
                      : ExtensionKind(aggregate, function.transition);
  if (aggregate->aggdistinct != NIL && function.kind == TransitionKind::kCount)
    function.kind = TransitionKind::kCountDistinct;
  return function;
}

bool IsAggregateSupported(const Aggref *aggregate) {
  if (aggregate->aggkind != AGGKIND_NORMAL || aggregate->agglevelsup != 0) return false;
  if (aggregate->aggorder != NIL || !IsDistinctSupported(aggregate)) return false;
  auto *arguments = reinterpret_cast<Node *>(aggregate->args);
  auto *filter = reinterpret_cast<Node *>(aggregate->aggfilter);
  return !contain_volatile_functions(arguments) && !contain_volatile_functions(filter) &&
         !contain_subplans(arguments) && !contain_subplans(filter);
}

void CheckAggregatePermissions(const Aggref *aggregate, const AggregateFunction &function) {
  AclResult allowed = pg_proc_aclcheck(aggregate->aggfnoid, GetUserId(), ACL_EXECUTE);
  if (allowed != ACLCHECK_OK)
    aclcheck_error(allowed, OBJECT_AGGREGATE, get_func_name(aggregate->aggfnoid));
  InvokeFunctionExecuteHook(aggregate->aggfnoid);

  // The parts are called on behalf of the aggregate's owner.
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(aggregate->aggfnoid));
  if (!HeapTupleIsValid(tuple))
    elog(ERROR, "cache lookup failed for function %u", aggregate->aggfnoid);
  const Oid owner = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->proowner;
  ReleaseSysCache(tuple);
  const Oid parts[] = {function.transition, function.final, function.serialize,
                       function.deserialize};
  for (const Oid part : parts) {
    if (!OidIsValid(part)) continue;
    allowed = pg_proc_aclcheck(part, owner, ACL_EXECUTE);
    if (allowed != ACLCHECK_OK) aclcheck_error(allowed, OBJECT_FUNCTION, get_func_name(part));
    InvokeFunctionExecuteHook(part);
  }
}

}  // namespace tsext::pg
