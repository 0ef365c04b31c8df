#include "pg/catalog/integer_now.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/owner_rights.hpp"
#include "pg/base/read_only.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/catalog/set_options.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_proc.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

enum : AttrNumber { kRelation = 1, kFunction, kAttributes = kFunction };

/// The row of a table in tsext.integer_now, in the current memory context, or nullptr.
HeapTuple FindRow(Relation catalog, Oid relation_id) {
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  ScanKeyData key;
  ScanKeyInit(&key, kRelation, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation_id));
  SysScanDesc scan =
      systable_beginscan(catalog, CatalogRelation("integer_now_pkey"), true, snapshot, 1, &key);
  HeapTuple row = systable_getnext(scan);
  if (HeapTupleIsValid(row)) row = heap_copytuple(row);
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  return row;
}

/// Errors unless the function can tell the time of this table.
void CheckFunction(Relation relation, Oid function) {
  const TableOptions *options = GetTableOptions(relation);
  if (!IsIntegerTimeType(options->time_type)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("table \"%s\" has no time column of an integer type",
                           RelationGetRelationName(relation)),
                    errhint("Other times are counted from now() and need no function.")));
  }
  HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("function with OID %u does not exist", function)));
  }
  const auto *form = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  const bool suits = form->prokind == PROKIND_FUNCTION && !form->proretset && form->pronargs == 0 &&
                     getBaseType(form->prorettype) == options->time_type;
  const bool is_volatile = form->provolatile == PROVOLATILE_VOLATILE;
  ReleaseSysCache(tuple);
  if (!suits) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("function %s cannot tell the time of table \"%s\"",
                           format_procedure(function), RelationGetRelationName(relation)),
                    errdetail("A function without arguments that returns %s is needed.",
                              format_type_be(options->time_type))));
  }
  if (is_volatile) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("function %s is volatile", format_procedure(function)),
                    errhint("Declare it STABLE: it returns one time all through a statement.")));
  }
}

void RequireExecute(Relation relation, Oid function) {
  if (TsextMayExecute(function, relation->rd_rel->relowner)) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("permission denied for function %s", format_procedure(function)),
                  errdetail("It is executed with the rights of \"%s\", who owns table \"%s\".",
                            GetUserNameFromId(relation->rd_rel->relowner, false),
                            RelationGetRelationName(relation))));
}

}  // namespace

Oid IntegerNowFunction(Oid relation_id) {
  Relation catalog = table_open(CatalogRelation("integer_now"), AccessShareLock);
  HeapTuple row = FindRow(catalog, relation_id);
  Oid function = InvalidOid;
  if (HeapTupleIsValid(row)) {
    bool is_null;
    function = DatumGetObjectId(heap_getattr(row, kFunction, RelationGetDescr(catalog), &is_null));
  }
  table_close(catalog, AccessShareLock);
  return function;
}

int64_t IntegerNow(Relation relation) {
  const Oid function = IntegerNowFunction(RelationGetRelid(relation));
  if (!OidIsValid(function)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("nothing tells the current time of table \"%s\", whose times are "
                           "integers",
                           RelationGetRelationName(relation)),
                    errhint("Name a function with set_integer_now_func().")));
  }
  if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function))) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
                    errmsg("the function that told the current time of table \"%s\" does not exist "
                           "any more",
                           RelationGetRelationName(relation)),
                    errhint("Name another one with set_integer_now_func(…, replace_if_exists => "
                            "true).")));
  }
  // It may have been replaced since, and the table's time column altered.
  CheckFunction(relation, function);
  RequireExecute(relation, function);
  const OwnerRights caller = TakeOwnerRights(relation);
  FmgrInfo info;
  fmgr_info(function, &info);
  LOCAL_FCINFO(call, 0);
  InitFunctionCallInfoData(*call, &info, 0, InvalidOid, nullptr, nullptr);
  const Datum now = FunctionCallInvoke(call);
  GiveBackRights(caller);
  if (call->isnull) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("function %s returned NULL as the current time of table \"%s\"",
                           format_procedure(function), RelationGetRelationName(relation))));
  }
  return TimeOfDatum(now, GetTableOptions(relation)->time_type);
}

void SetIntegerNow(Relation relation, Oid function) {
  CheckFunction(relation, function);
  RequireExecute(relation, function);
  // One writer at a time; readers go on.
  Relation catalog = table_open(CatalogRelation("integer_now"), ShareRowExclusiveLock);
  // Rows of tables that were dropped go when the next one is named.
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, snapshot, 0, nullptr);
  while (HeapTuple row = systable_getnext(scan)) {
    bool is_null;
    const Oid relation_id =
        DatumGetObjectId(heap_getattr(row, kRelation, RelationGetDescr(catalog), &is_null));
    if (relation_id == RelationGetRelid(relation) ||
        !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation_id)))
      CatalogTupleDelete(catalog, &row->t_self);
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  Datum values[kAttributes] = {ObjectIdGetDatum(RelationGetRelid(relation)),
                               ObjectIdGetDatum(function)};
  bool nulls[kAttributes] = {false, false};
  HeapTuple row = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
  CatalogTupleInsert(catalog, row);
  heap_freetuple(row);
  table_close(catalog, NoLock);
  CommandCounterIncrement();
}

}  // namespace tsext::pg

TSEXT_FUNCTION(tsext_set_integer_now_func) {
  using namespace tsext::pg;  // NOLINT(google-build-using-namespace): a wrapper of this very
                              // namespace
  if (PG_ARGISNULL(0))
    ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("hypertable must not be NULL")));
  if (PG_ARGISNULL(1) || !OidIsValid(PG_GETARG_OID(1)))
    ereport(ERROR,
            (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("integer_now_func must not be NULL")));
  RefuseReadOnly("set_integer_now_func()");
  Relation relation = OpenOwnedTable(PG_GETARG_OID(0), AccessShareLock);
  if (const ContinuousAggregate *aggregate = AggregateOfView(RelationGetRelid(relation));
      aggregate != nullptr) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is a continuous aggregate", RelationGetRelationName(relation)),
                    errhint("Its time is that of table \"%s\": name the function for that.",
                            get_rel_name(aggregate->base))));
  }
  RequireTsext(relation);
  const Oid existing = IntegerNowFunction(RelationGetRelid(relation));
  const bool replace = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
  if (OidIsValid(existing) && !replace) {
    ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                    errmsg("table \"%s\" has a function that tells its current time already",
                           RelationGetRelationName(relation)),
                    errhint("Replace it with replace_if_exists => true.")));
  }
  SetIntegerNow(relation, PG_GETARG_OID(1));
  table_close(relation, NoLock);
  PG_RETURN_VOID();
}
