#pragma once

// Comparisons of an expression that rises with a column: which values of the column pass them.
// time_bucket('1 hour', time) >= $1 is time >= the start of a bucket.
//
// A range of the column's values is found in which the expression is certainly not an error, and in
// it, by search, where the comparison begins or ceases to hold. Of values outside of that range,
// infinities among them, only what follows from rising is claimed; the others are left to be asked
// one by one, and an error is raised then. So nothing is raised that no row would raise.

#include <cstdint>

#include "tsext/filter.hpp"

#include "pg/exec/monotone.hpp"

extern "C" {
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
}

namespace tsext::pg {

/// `expression comparison constant`.
struct MonotoneComparison {
  Expr *expression;  ///< rises with monotone.column, or is it
  Monotone monotone;
  Expr *constant;
  Comparison comparison;  ///< never kNotEqual
  Oid constant_type;      ///< as the operator takes it
  Oid order_function;     ///< (expression, constant) -> -1, 0, 1
  bool reads_zone;        ///< the comparison itself goes by the session's time zone
};

/// Whether the clause, or NOT of it, is one. It has columns of other relations at most in what is
/// compared with; that this is the same for all rows is for the caller to know.
bool FindMonotoneComparison(const OpExpr *clause, Index rel, bool is_negated,
                            MonotoneComparison *found);

/// What such a comparison says of the column's values, as they are stored. Outside of
/// [maybe_from, maybe_to] none passes, in [pass_from, pass_to] all do; the others are to be asked.
struct MonotoneBounds {
  int64_t maybe_from, maybe_to;
  int64_t pass_from, pass_to;
};

/// One comparison at work. Plain data in a memory context.
struct MonotoneSearch;
/// parent: nullptr outside of a plan. context: its scan tuple is `slot`, a virtual slot of the
/// table's row type with all columns NULL.
MonotoneSearch *MakeMonotoneSearch(const MonotoneComparison &comparison, TupleDesc descriptor,
                                   PlanState *parent);
/// Computes the constant, then the bounds; false when nothing passes, because one of them is NULL.
/// By-reference values are left in the current memory context.
bool FindMonotoneBounds(MonotoneSearch *search, ExprContext *context, TupleTableSlot *slot,
                        MonotoneBounds *bounds);

/// Gives the planner the selectivity of such clauses of a table, by the column's statistics, and
/// with it the number of rows.
void EstimateMonotoneClauses(PlannerInfo *root, RelOptInfo *rel, Relation relation);

}  // namespace tsext::pg
