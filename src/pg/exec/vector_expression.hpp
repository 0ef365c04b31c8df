#pragma once

// Arithmetic of aggregates' arguments on vectors, and conditions of FILTER by vector filters.

#include "tsext/selection.hpp"
#include "tsext/vector.hpp"

#include "pg/exec/row_expression.hpp"

namespace tsext::pg {

struct VectorExpression;

/// Compiles columns of the scanned table, constants, + - * / and casts between numbers; nullptr for
/// what has something else in it. In the current memory context.
VectorExpression *MakeVectorExpression(const RowEvaluator *evaluator, const Expr *expression);
/// The values, which hold until the next batch; those of rows that are not selected (nullptr: all
/// are) are unspecified. nullptr when a selected row is an error, which PostgreSQL will say best.
const Vector *ComputeVector(VectorExpression *expression, const BatchInput &input,
                            const Selection *selection);

struct VectorCondition;

/// Compiles a condition that vector filters answer without calling functions; nullptr for others.
/// In the current memory context.
VectorCondition *MakeVectorCondition(const RowEvaluator *evaluator, Relation relation,
                                     Expr *condition);
/// Narrows `selection`, rows of the batch, to those the condition is true for.
void RunVectorCondition(VectorCondition *condition, const BatchInput &input, Selection *selection);
/// The scan starts again, perhaps with other parameters.
void RescanVectorCondition(VectorCondition *condition);

}  // namespace tsext::pg
