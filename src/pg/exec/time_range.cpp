#include "pg/exec/time_range.hpp"

#include <algorithm>

#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/stratnum.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {

namespace {

/// A bound on the time column: `column operator value`, the value constant during the scan.
struct TimeBound {
  int strategy;
  Expr *value;
};

bool MatchTimeBound(Expr *clause, Index rel, AttrNumber time_attribute, Oid time_type,
                    Oid operator_family, TimeBound *bound) {
  if (!IsA(clause, OpExpr) || list_length(reinterpret_cast<OpExpr *>(clause)->args) != 2)
    return false;
  auto *operation = reinterpret_cast<OpExpr *>(clause);
  Node *left = static_cast<Node *>(linitial(operation->args));
  Node *right = static_cast<Node *>(lsecond(operation->args));
  const auto is_time = [&](Node *node) {
    return IsA(node, Var) && reinterpret_cast<Var *>(node)->varno == static_cast<int>(rel) &&
           reinterpret_cast<Var *>(node)->varattno == time_attribute &&
           reinterpret_cast<Var *>(node)->varlevelsup == 0;
  };
  Oid opno = operation->opno;
  if (is_time(right)) {
    std::swap(left, right);
    opno = get_commutator(opno);
  }
  if (!is_time(left) || !OidIsValid(opno) || getBaseType(exprType(right)) != time_type)
    return false;
  if (contain_volatile_functions(right) || bms_is_member(rel, pull_varnos(nullptr, right)))
    return false;
  bound->strategy = get_op_opfamily_strategy(opno, operator_family);
  bound->value = reinterpret_cast<Expr *>(right);
  return bound->strategy != 0;
}

}  // namespace

void FindTimeBounds(List *clauses, Index rel, const TableOptions *options, List **strategies,
                    List **values) {
  if (options->time_attribute == InvalidAttrNumber) return;
  const Oid operator_class = GetDefaultOpClass(options->time_type, BTREE_AM_OID);
  if (!OidIsValid(operator_class)) return;
  const Oid operator_family = get_opclass_family(operator_class);
  ListCell *cell;
  foreach (cell, clauses) {
    TimeBound bound;
    if (!MatchTimeBound(static_cast<Expr *>(lfirst(cell)), rel, options->time_attribute,
                        options->time_type, operator_family, &bound)) {
      continue;
    }
    *strategies = lappend_int(*strategies, bound.strategy);
    *values = lappend(*values, bound.value);
  }
}

TimeRange ComputeTimeRange(const List *strategies, const List *values, ExprContext *context,
                           Oid time_type) {
  TimeRange range = {kTimeMinimum, kTimeMaximum, false};
  const ListCell *strategy;
  const ListCell *value;
  forboth(strategy, strategies, value, values) {
    bool is_null;
    const Datum datum =
        ExecEvalExprSwitchContext(static_cast<ExprState *>(lfirst(value)), context, &is_null);
    if (is_null) {
      range.nothing = true;
      return range;
    }
    const int64_t time = TimeOfDatum(datum, time_type);
    // Strict bounds are taken as inclusive: the qual is tested on every row anyway.
    switch (lfirst_int(strategy)) {
      case BTLessStrategyNumber:
      case BTLessEqualStrategyNumber:
        range.to = std::min(range.to, time);
        break;
      case BTGreaterStrategyNumber:
      case BTGreaterEqualStrategyNumber:
        range.from = std::max(range.from, time);
        break;
      case BTEqualStrategyNumber:
        range.to = std::min(range.to, time);
        range.from = std::max(range.from, time);
        break;
      default:
        break;
    }
  }
  range.nothing = range.from > range.to;
  return range;
}

}  // namespace tsext::pg
