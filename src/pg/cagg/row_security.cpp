// What the view of a continuous aggregate asks about row security when it runs, and what keeps
// people from reading around it.

#include "pg/cagg/row_security.hpp"

#include "pg/base/boundary.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_type_d.h"
#include "commands/event_trigger.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

Oid OwnerOfRelation(Oid relation) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", relation);
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

const char *NameOfAggregate(Oid materialization) {
  const ContinuousAggregate *aggregate = AggregateOfMaterialization(materialization);
  return get_rel_name(aggregate == nullptr ? materialization : aggregate->view);
}

/// Calls `visit(catalog, tuple)` for the policies of a table, in the order of their names.
template <typename Visit>
void ForEachPolicy(Oid table, Visit &&visit) {
  Relation catalog = table_open(PolicyRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(table));
  SysScanDesc scan =
      systable_beginscan(catalog, PolicyPolrelidPolnameIndexId, true, nullptr, 1, &key);
  HeapTuple tuple;
  while ((tuple = systable_getnext(scan)) != nullptr) visit(catalog, tuple);
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
}

const char *PolicyName(HeapTuple tuple) {
  return NameStr(reinterpret_cast<Form_pg_policy>(GETSTRUCT(tuple))->polname);
}

bool FiltersReads(Relation catalog, HeapTuple tuple) {
  return IsReadingPolicy(reinterpret_cast<Form_pg_policy>(GETSTRUCT(tuple))->polcmd,
                         !heap_attisnull(tuple, Anum_pg_policy_polqual, RelationGetDescr(catalog)));
}

bool IsAmong(const char *name, const Datum *names, int count) {
  for (int i = 0; i < count; ++i)
    if (strcmp(NameStr(*DatumGetName(names[i])), name) == 0) return true;
  return false;
}

/// Raises 55000 when the policies of the table are others than those in the view. It is made anew
/// with them, but not by a session without this library, nor when catalogs are written to by hand.
void RequireSamePolicies(Oid table, Oid materialization, ArrayType *known) {
  Datum *names;
  int count;
  deconstruct_array(known, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, nullptr, &count);
  int seen = 0;
  bool is_known = true;
  ForEachPolicy(table, [&](Relation catalog, HeapTuple tuple) {
    if (!FiltersReads(catalog, tuple)) return;
    ++seen;
    is_known = is_known && IsAmong(PolicyName(tuple), names, count);
  });
  if (is_known && seen == count) return;
  ereport(
      ERROR,
      (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
       errmsg("policies of table \"%s\" are not those that continuous aggregate \"%s\" applies",
              get_rel_name(table), NameOfAggregate(materialization)),
       errdetail("They were changed without the library of tsext."),
       errhint("Preload the library, and change a policy of the table: ALTER POLICY ... RENAME, "
               "say.")));
}

bool HasRole(const ArrayType *roles) {
  const auto *role = reinterpret_cast<const Oid *>(ARR_DATA_PTR(roles));
  for (int i = 0; i < ARR_DIMS(roles)[0]; ++i)
    if (role[i] == ACL_ID_PUBLIC || has_privs_of_role(GetUserId(), role[i])) return true;
  return false;
}

bool PolicyApplies(Oid table, const char *name) {
  bool is_there = false;
  bool applies = false;
  ForEachPolicy(table, [&](Relation catalog, HeapTuple tuple) {
    if (strcmp(PolicyName(tuple), name) != 0) return;
    is_there = true;
    bool is_null;
    const Datum roles =
        heap_getattr(tuple, Anum_pg_policy_polroles, RelationGetDescr(catalog), &is_null);
    applies = !is_null && HasRole(DatumGetArrayTypeP(roles));
  });
  if (!is_there)
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT),
             errmsg("policy \"%s\" for table \"%s\" does not exist", name, get_rel_name(table))));
  return applies;
}

// ------------------------------------------------------------------------------------ parts

void AlterPart(Oid relation, AlterTableType type, const char *option) {
  auto *command = makeNode(AlterTableCmd);
  command->subtype = type;
  if (option != nullptr) {
    Node *value =
        type == AT_SetRelOptions ? reinterpret_cast<Node *>(makeString(pstrdup("true"))) : nullptr;
    command->def = reinterpret_cast<Node *>(list_make1(makeDefElem(pstrdup(option), value, -1)));
  }
  // Event triggers see the user's statement, not its parts.
  EventTriggerInhibitCommandCollection();
  AlterTableInternal(relation, list_make1(command), false);
  EventTriggerUndoInhibitCommandCollection();
  CommandCounterIncrement();
}

template <typename Property>
bool Has(Oid relation_id, Property &&property) {
  Relation relation = relation_open(relation_id, AccessShareLock);
  const bool has = property(relation);
  relation_close(relation, NoLock);
  return has;
}

void SetOption(Oid view, const char *option, bool is_set, bool wanted) {
  if (is_set != wanted) AlterPart(view, wanted ? AT_SetRelOptions : AT_ResetRelOptions, option);
}

}  // namespace

void RequireRowsOfOwner(Oid table, Oid materialization, const char *name) {
  const Oid owner = OwnerOfRelation(materialization);
  if (check_enable_rls(table, owner, true) != RLS_ENABLED) return;
  if (name == nullptr) name = NameOfAggregate(materialization);
  ereport(ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
           errmsg("row security of table \"%s\" hides rows from \"%s\", the owner of continuous "
                  "aggregate \"%s\"",
                  get_rel_name(table), GetUserNameFromId(owner, false), name),
           errdetail("Buckets are computed from all rows, with the rights of that role."),
           errhint("Let a role own it that the row security does not apply to: the owner of the "
                   "table, unless it is forced, or one with BYPASSRLS.")));
}

Oid OwnerOf(const ContinuousAggregate &aggregate) {
  return OwnerOfRelation(aggregate.materialization);
}

void ProtectParts(const ContinuousAggregate &aggregate, bool is_secured) {
  const bool was_secured =
      Has(aggregate.materialization, [](Relation r) { return r->rd_rel->relrowsecurity; });
  if (!is_secured && !was_secured) return;
  const bool is_barrier = Has(aggregate.view, [](Relation r) { return RelationIsSecurityView(r); });
  const bool is_invoker =
      Has(aggregate.direct, [](Relation r) { return RelationHasSecurityInvoker(r); });
  SetOption(aggregate.view, "security_barrier", is_barrier, is_secured);
  SetOption(aggregate.direct, "security_invoker", is_invoker, is_secured);
  if (is_secured != was_secured)
    AlterPart(aggregate.materialization, is_secured ? AT_EnableRowSecurity : AT_DisableRowSecurity,
              nullptr);
}

}  // namespace tsext::pg

using namespace tsext::pg;  // NOLINT(google-build-using-namespace): the C functions below

TSEXT_FUNCTION(tsext_row_security) {
  const Oid materialization = PG_GETARG_OID(0);
  const Oid table = PG_GETARG_OID(1);
  RequireRowsOfOwner(table, materialization, nullptr);
  // Raises an error where SET row_security = off asks for one.
  const bool is_active = check_enable_rls(table, InvalidOid, false) == RLS_ENABLED;
  if (is_active) RequireSamePolicies(table, materialization, PG_GETARG_ARRAYTYPE_P(2));
  PG_RETURN_BOOL(is_active);
}

TSEXT_FUNCTION(tsext_policy_applies) {
  PG_RETURN_BOOL(PolicyApplies(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1))));
}
