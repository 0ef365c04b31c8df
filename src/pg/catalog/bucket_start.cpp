// The call of time_bucket() is stored as text: what a dump writes, and what people can read. Here
// it is taken apart by hand. The parser would look for the function by the name of the extension's
// schema, which may have been renamed since, or be closed to who reads the view.

#include "pg/catalog/bucket_start.hpp"

#include "tsext/time_bucket.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/oid_table.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "catalog/dependency.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

constexpr int kMostArguments = 5;  // of any time_bucket()

/// A call of time_bucket(), kept for the session.
struct BucketCall {
  Oid materialization;  // the key
  char *text;           // bucket_call; nullptr: there is nothing yet
  MemoryContext context;
  FmgrInfo function;
  NullableDatum arguments[kMostArguments];
  int count;
  int time;  // the argument that is the time
};

HTAB *bucket_calls = nullptr;

/// The FuncCall of 'public.time_bucket(''1 mon''::interval, $1)'.
const FuncCall *Parse(const char *text) {
  const List *statements = raw_parser(psprintf("SELECT %s", text), RAW_PARSE_DEFAULT);
  const auto *select = castNode(SelectStmt, linitial_node(RawStmt, statements)->stmt);
  return castNode(FuncCall, linitial_node(ResTarget, select->targetList)->val);
}

/// The time_bucket() of these arguments.
Oid FindFunction(const Oid *types, int count) {
  CatCList *candidates = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum("time_bucket"));
  Oid found = InvalidOid;
  for (int i = 0; i < candidates->n_members && !OidIsValid(found); i++) {
    const auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(&candidates->members[i]->tuple));
    if (form->pronargs == count &&
        memcmp(form->proargtypes.values, types, sizeof(Oid) * static_cast<Size>(count)) == 0 &&
        IsTimeBucketFunction(form->oid))
      found = form->oid;
  }
  ReleaseSysCacheList(candidates);
  return found;
}

/// Takes the text apart; what stays is made in call->context.
void ReadCall(const char *text, Oid time_type, BucketCall *call) {
  const FuncCall *parsed = Parse(text);
  Oid types[kMostArguments];
  call->count = list_length(parsed->args);
  if (call->count > kMostArguments) elog(ERROR, "too many arguments in \"%s\"", text);
  for (int i = 0; i < call->count; i++) {
    auto *argument = static_cast<Node *>(list_nth(parsed->args, i));
    if (IsA(argument, ParamRef)) {
      call->time = i;
      types[i] = time_type;
      continue;
    }
    const auto *cast = castNode(TypeCast, argument);
    const auto *constant = castNode(A_Const, cast->arg);
    types[i] = typenameTypeId(nullptr, cast->typeName);
    NullableDatum *value = &call->arguments[i];
    value->isnull = constant->isnull;
    if (value->isnull) continue;
    Oid input;
    Oid parameter;
    getTypeInputInfo(types[i], &input, &parameter);
    const MemoryContext caller = MemoryContextSwitchTo(call->context);
    value->value = OidInputFunctionCall(input, constant->val.sval.sval, parameter, -1);
    MemoryContextSwitchTo(caller);
  }
  const Oid function = FindFunction(types, call->count);
  if (!OidIsValid(function)) elog(ERROR, "there is no function for \"%s\"", text);
  fmgr_info_cxt(function, &call->function, call->context);
}

const BucketCall *FindCall(const ContinuousAggregate &aggregate) {
  if (bucket_calls == nullptr) bucket_calls = NewOidTable<BucketCall>("tsext bucket calls");
  bool found;
  auto *call = static_cast<BucketCall *>(
      hash_search(bucket_calls, &aggregate.materialization, HASH_ENTER, &found));
  if (!found) call->text = nullptr;
  if (call->text != nullptr && strcmp(call->text, aggregate.bucket_call) == 0) return call;
  if (call->text != nullptr) {  // an oid that was used before
    call->text = nullptr;
    MemoryContextDelete(call->context);
  }
  // A child of the caller's until it is complete.
  call->context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext bucket call", ALLOCSET_SMALL_SIZES);
  ReadCall(aggregate.bucket_call, aggregate.time_type, call);
  char *text = MemoryContextStrdup(call->context, aggregate.bucket_call);
  MemoryContextSetParent(call->context, TopMemoryContext);
  call->text = text;
  return call;
}

int64_t CallBucket(const ContinuousAggregate &aggregate, int64_t time) {
  const BucketCall *call = FindCall(aggregate);
  LOCAL_FCINFO(info, kMostArguments);
  InitFunctionCallInfoData(*info, const_cast<FmgrInfo *>(&call->function),
                           static_cast<int16>(call->count), DEFAULT_COLLATION_OID, nullptr,
                           nullptr);
  memcpy(info->args, call->arguments, sizeof(NullableDatum) * static_cast<Size>(call->count));
  info->args[call->time] = {DatumOfTime(time, aggregate.time_type), false};
  const Datum start = FunctionCallInvoke(info);
  if (info->isnull) elog(ERROR, "a bucket has no start: %s", aggregate.bucket_call);
  return TimeOfDatum(start, aggregate.time_type);
}

}  // namespace

int64_t BucketStart(const ContinuousAggregate &aggregate, int64_t time) {
  if (time == kTimeMaximum) return time;
  int64_t least;
  int64_t greatest;
  TimeTypeRange(aggregate.time_type, &least, &greatest);
  if (time > greatest) return kTimeMaximum;
  if (aggregate.is_fixed) {
    const int64_t phase = BucketPhase(aggregate.cell_width, aggregate.cell_origin, 0);
    const auto start = FixedBucket(time, aggregate.cell_width, phase);
    return start.has_value() && *start >= least ? *start : kTimeMinimum;
  }
  // time_bucket() raises an error for the first bucket of all, which begins before its type does.
  int64_t safe;
  if (__builtin_add_overflow(least, aggregate.reach, &safe) || time < safe) return kTimeMinimum;
  return CallBucket(aggregate, time);
}

bool IsTimeBucketFunction(Oid function) {
  if (function < FirstNormalObjectId) return false;
  const char *name = get_func_name(function);
  if (name == nullptr || strcmp(name, "time_bucket") != 0) return false;
  const Oid extension = get_extension_oid("tsext", true);
  return OidIsValid(extension) && getExtensionOfObject(ProcedureRelationId, function) == extension;
}

}  // namespace tsext::pg
