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
#include "utils/typcache.h"
}

namespace tsext::pg {

/// `expression comparison constant`; `expression <@ constant`, a range or multirange; `expression =
/// ANY (constant)`, an array. Or NOT of it.
struct MonotoneComparison {
  Expr *expression;  ///< rises with monotone.column, or is it
  Monotone monotone;
  Expr *constant;
  Comparison comparison;  ///< never kNotEqual; with a range of no meaning, with an array kEqual
  bool is_negated;        ///< what passes is that of which it is false, and not NULL
  bool is_array;
  Oid constant_type;   ///< as the operator takes it; of a range or array that of its values
  Oid range_type;      ///< of the constant when it is a range or multirange, else invalid
  Oid order_function;  ///< (expression, constant) -> -1, 0, 1
  bool reads_zone;     ///< the comparison itself goes by the session's time zone
};

/// What a btree family says an operator compares; kNotEqual: the negator of its equality.
bool FindComparison(Oid operator_id, Oid family, Comparison *comparison);
/// The one that holds of two values where `comparison` does not.
Comparison Negated(Comparison comparison);

/// Whether the clause, or NOT of it, is one. It has columns of other relations at most in what is
/// compared with; that this is the same for all rows is for the caller to know.
bool FindMonotoneComparison(const Expr *clause, Index rel, bool is_negated,
                            MonotoneComparison *found);

/// The Params in an expression.
List *ParamsOf(Expr *expression);
/// The type cache entry of a range type, or of a multirange's; nullptr for others.
TypeCacheEntry *RangeTypeOf(Oid type);

struct ColumnRange {
  int64_t from, to;
};
/// The finite values of a column to look for bounds in. Not the least ones of those types whose
/// buckets begin before the first value; never the ends of int64.
ColumnRange FiniteValues(Oid type);

/// What such a comparison says of the column's values, as they are stored. Outside of
/// [maybe_from, maybe_to] none passes, in [pass_from, pass_to] all do; the others are to be asked.
struct MonotoneBounds {
  int64_t maybe_from, maybe_to;
  int64_t pass_from, pass_to;
};

enum class MonotoneAnswer : uint8_t { kFails, kPasses, kAsk };

/// One for each range of a multirange, value of an array, or gap between them, else one: what
/// passes any of them passes. Neither maybe_from nor maybe_to ever falls from one to the next.
struct MonotoneRanges {
  const MonotoneBounds *bounds;
  int count;

  /// The first whose `maybe` does not end before `value`; `count` when there is none.
  int Find(int64_t value) const;
  MonotoneAnswer Answer(int64_t value) const;
  /// Of values that lie in [min, max].
  Verdict Judge(int64_t min, int64_t max) const;
};

/// One comparison at work. Plain data in a memory context.
struct MonotoneSearch;
/// parent: nullptr outside of a plan. context: its scan tuple is `slot`, a virtual slot of the
/// table's row type with all columns NULL.
MonotoneSearch *MakeMonotoneSearch(const MonotoneComparison &comparison, TupleDesc descriptor,
                                   PlanState *parent);
/// Computes the constant, then the bounds, in the current memory context; false when nothing
/// passes.
bool FindMonotoneRanges(MonotoneSearch *search, ExprContext *context, TupleTableSlot *slot,
                        MonotoneRanges *ranges);

/// Gives the planner the selectivity of such clauses of a table, by the column's statistics, and
/// with it the number of rows.
void EstimateMonotoneClauses(PlannerInfo *root, RelOptInfo *rel, Relation relation);

}  // namespace tsext::pg
