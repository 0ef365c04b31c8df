// How many rows pass a comparison of what rises with a column: by the statistics of the column.

#include "pg/base/datum.hpp"
#include "pg/exec/monotone_bounds.hpp"

extern "C" {
#include "access/stratnum.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

Expr *CompareColumn(const Var *column, Oid type, int strategy, const DatumClass &type_class,
                    int64_t value) {
  const Oid family = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
  const Oid operator_id = get_opfamily_member(family, type, type, static_cast<int16>(strategy));
  int16 length;
  bool by_value;
  get_typlenbyval(type, &length, &by_value);
  return make_opclause(
      operator_id, BOOLOID, false, static_cast<Expr *>(copyObjectImpl(column)),
      reinterpret_cast<Expr *>(makeConst(type, -1, InvalidOid, length,
                                         IntegerToDatum(value, type_class), false, by_value)),
      InvalidOid, InvalidOid);
}

/// The same in comparisons of the column, for an estimate; NIL when there is none to make.
List *CompareBounds(const MonotoneComparison &comparison, const MonotoneBounds &bounds,
                    TupleDesc descriptor) {
  const auto *column = static_cast<const Var *>(
      linitial(pull_var_clause(reinterpret_cast<Node *>(comparison.expression), 0)));
  const Oid type = comparison.monotone.column_type;
  const DatumClass type_class = ClassOf(TupleDescAttr(descriptor, column->varattno - 1));
  const ColumnRange finite = FiniteValues(type);
  const int64_t from = bounds.maybe_from;
  const int64_t to = bounds.maybe_to;
  const auto compare = [&](int strategy, int64_t value) {
    return CompareColumn(column, type, strategy, type_class, value);
  };
  if (from == to) return list_make1(compare(BTEqualStrategyNumber, from));
  List *found = NIL;
  if (from >= finite.from && from <= finite.to)
    found = lappend(found, compare(BTGreaterEqualStrategyNumber, from));
  if (to >= finite.from && to <= finite.to)
    found = lappend(found, compare(BTLessEqualStrategyNumber, to));
  return found;
}

/// The selectivity of a clause; negative when nothing is known.
Selectivity Estimate(PlannerInfo *root, const RelOptInfo *rel, Node *clause, TupleDesc descriptor) {
  MonotoneComparison comparison;
  auto *folded = reinterpret_cast<Expr *>(estimate_expression_value(root, clause));
  if (!IsA(folded, OpExpr) || !FindMonotoneComparison(folded, rel->relid, false, &comparison) ||
      comparison.is_negated || OidIsValid(comparison.range_type) ||
      IsA(comparison.expression, Var) || !IsA(comparison.constant, Const))
    return -1;
  if (ParamsOf(comparison.expression) != NIL) return -1;

  EState *estate = CreateExecutorState();
  MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
  ExprContext *context = CreateExprContext(estate);
  TupleTableSlot *slot = MakeSingleTupleTableSlot(descriptor, &TTSOpsVirtual);
  ExecStoreAllNullTuple(slot);
  context->ecxt_scantuple = slot;
  MonotoneRanges ranges;
  const bool may_pass = FindMonotoneRanges(MakeMonotoneSearch(comparison, descriptor, nullptr),
                                           context, slot, &ranges);
  MemoryContextSwitchTo(old);
  List *clauses = may_pass ? CompareBounds(comparison, ranges.bounds[0], descriptor) : NIL;
  ExecDropSingleTupleTableSlot(slot);
  FreeExecutorState(estate);
  if (!may_pass) return 0;
  if (clauses == NIL) return -1;
  return clauselist_selectivity(root, clauses, static_cast<int>(rel->relid), JOIN_INNER, nullptr);
}

}  // namespace

void EstimateMonotoneClauses(PlannerInfo *root, RelOptInfo *rel, Relation relation) {
  bool any = false;
  ListCell *cell;
  foreach (cell, rel->baserestrictinfo) {
    auto *info = lfirst_node(RestrictInfo, cell);
    if (!IsA(info->clause, OpExpr) || info->pseudoconstant) continue;
    const Selectivity selectivity =
        Estimate(root, rel, reinterpret_cast<Node *>(info->clause), RelationGetDescr(relation));
    if (selectivity < 0) continue;
    // Where clause_selectivity() keeps what it found out.
    info->norm_selec = info->outer_selec = selectivity;
    any = true;
  }
  if (any) set_baserel_size_estimates(root, rel);
}

}  // namespace tsext::pg
