#include "pg/exec/join_scan.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/monotone.hpp"

extern "C" {
#include "access/table.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
}

namespace tsext::pg {
namespace {

/// A column whose conditions, or those on what rises with it, prune.
struct PruningColumn {
  Index rel;
  AttrNumber attribute;
};

bool IsColumn(Node *node, const PruningColumn &column) {
  return RisesWith(node, column.rel, column.attribute);
}

bool IsMemberColumn(PlannerInfo *, RelOptInfo *, EquivalenceClass *, EquivalenceMember *member,
                    void *column) {
  return IsColumn(reinterpret_cast<Node *>(member->em_expr),
                  *static_cast<const PruningColumn *>(column));
}

/// Whether a join clause compares the column.
bool Compares(const RestrictInfo *info, const PruningColumn &column) {
  if (!IsA(info->clause, OpExpr)) return false;
  List *args = reinterpret_cast<OpExpr *>(info->clause)->args;
  return list_length(args) == 2 && (IsColumn(static_cast<Node *>(linitial(args)), column) ||
                                    IsColumn(static_cast<Node *>(lsecond(args)), column));
}

List *AddParameters(PlannerInfo *root, RelOptInfo *rel, RestrictInfo *clause, List *found) {
  if (!join_clause_is_movable_to(clause, rel)) return found;
  Relids outer = bms_del_member(bms_copy(clause->clause_relids), static_cast<int>(rel->relid));
  if (bms_is_empty(outer)) return found;
  // The same for the same relations.
  return list_append_unique_ptr(found, get_baserel_parampathinfo(root, rel, outer));
}

List *FindJoins(PlannerInfo *root, RelOptInfo *rel, AttrNumber attribute, List *found) {
  PruningColumn column = {rel->relid, attribute};
  ListCell *cell;
  foreach (cell, rel->joininfo) {
    auto *info = lfirst_node(RestrictInfo, cell);
    if (Compares(info, column)) found = AddParameters(root, rel, info, found);
  }
  if (!rel->has_eclass_joins) return found;
  List *equalities = generate_implied_equalities_for_column(root, rel, IsMemberColumn, &column,
                                                            rel->lateral_referencers);
  foreach (cell, equalities)
    found = AddParameters(root, rel, lfirst_node(RestrictInfo, cell), found);
  return found;
}

}  // namespace

List *FindPruningJoins(PlannerInfo *root, RelOptInfo *rel) {
  if (rel->joininfo == NIL && !rel->has_eclass_joins) return NIL;
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  const TableOptions *options = Enter([&] { return GetTableOptions(relation); });
  table_close(relation, NoLock);
  List *found = NIL;
  if (options->segment_by_count > 0) found = FindJoins(root, rel, options->segment_by[0], found);
  if (options->time_attribute != InvalidAttrNumber)
    found = FindJoins(root, rel, options->time_attribute, found);
  return found;
}

}  // namespace tsext::pg
