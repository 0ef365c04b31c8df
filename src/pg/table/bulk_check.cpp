// When a statement may write segments at all.

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/table/bulk_writer.hpp"

extern "C" {
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
}

namespace tsext::pg {
namespace {

/// The server's own volatile functions that run a query given to them.
bool RunsQueries(Oid function) {
  switch (function) {
    case F_QUERY_TO_XML:
    case F_QUERY_TO_XMLSCHEMA:
    case F_QUERY_TO_XML_AND_XMLSCHEMA:
    case F_CURSOR_TO_XML:
    case F_CURSOR_TO_XMLSCHEMA:
    case F_TS_REWRITE_TSQUERY_TEXT:
    case F_TS_STAT_TEXT:
    case F_TS_STAT_TEXT_TEXT:
      return true;
    default:
      return false;
  }
}

bool FunctionMayReadOwnRows(Oid function, void *) {
  // Functions that are not volatile read with the statement's snapshot.
  return func_volatile(function) == PROVOLATILE_VOLATILE &&
         (function >= FirstGenbkiObjectId || RunsQueries(function));
}

bool MayReadOwnRowsWalker(Node *node, void *context) {
  if (node == nullptr) return false;
  if (check_functions_in_node(node, FunctionMayReadOwnRows, nullptr)) return true;
  // PostgreSQL 15 declares walkers without arguments; void (*)() converts to anything.
  auto *const walker =
      reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(MayReadOwnRowsWalker));
  if (IsA(node, Query))
    return query_tree_walker(reinterpret_cast<Query *>(node), walker, context, 0);
  return expression_tree_walker(node, walker, context);
}

}  // namespace

bool MayWriteBulk(Relation relation) {
  if (!enable_bulk || !IsTsextRelation(relation)) return false;
  const Form_pg_class form = relation->rd_rel;
  if (form->relkind != RELKIND_RELATION || form->relpersistence != RELPERSISTENCE_PERMANENT)
    return false;
  const TriggerDesc *triggers = relation->trigdesc;
  if (triggers != nullptr && (triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
                              triggers->trig_insert_instead_row || triggers->trig_insert_new_table))
    return false;
  if (check_enable_rls(RelationGetRelid(relation), InvalidOid, true) == RLS_ENABLED) return false;
  return StaysHotBecause(relation) == nullptr;
}

bool MayReadOwnRows(Node *node) {
  return MayReadOwnRowsWalker(node, nullptr);
}

bool RowExpressionsMayReadOwnRows(Relation relation) {
  const TupleConstr *constraints = RelationGetDescr(relation)->constr;
  for (int i = 0; constraints != nullptr && i < constraints->num_check; i++)
    if (MayReadOwnRows(static_cast<Node *>(stringToNode(constraints->check[i].ccbin)))) return true;
  return false;
}

bool DefaultsMayReadOwnRows(Relation relation, const List *given) {
  const TupleDesc descriptor = RelationGetDescr(relation);
  for (int attribute = 1; attribute <= descriptor->natts; attribute++) {
    const Form_pg_attribute form = TupleDescAttr(descriptor, attribute - 1);
    if (form->attisdropped || form->attgenerated || list_member_int(given, attribute)) continue;
    if (MayReadOwnRows(build_column_default(relation, attribute))) return true;
  }
  return false;
}

}  // namespace tsext::pg
