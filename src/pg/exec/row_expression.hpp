#pragma once

// Expressions over a batch: those PostgreSQL evaluates row by row, and those that have a vector
// form.

#include <cstdint>

#include "tsext/selection.hpp"
#include "tsext/vector.hpp"

#include "pg/base/datum.hpp"
#include "pg/exec/batch_scan.hpp"

extern "C" {
#include "nodes/execnodes.h"
}

namespace tsext::pg {

/// What the parts of TsextAggregate see of the current batch, one row of which is selected at
/// least.
struct BatchInput {
  BatchInput(BatchScan *batches, const Batch &current, MemoryContext per_batch);

  BatchScan *scan;
  const Batch *batch;
  MemoryContext memory;  ///< reset before the next batch
  uint32_t begin, end;   ///< from the first selected row to the one behind the last
  bool has_gaps;         ///< rows between them are not selected

  /// The batch's selection, nullptr when every row is selected.
  const Selection *selection() const { return batch->is_whole ? nullptr : &batch->selection; }
  /// The same for the rows begin .. end - 1: a filter on time selects all rows of a stretch.
  const Selection *gaps() const { return has_gaps ? &batch->selection : nullptr; }
};

struct VectorExpression;

/// One expression and its values for the current batch: entries of rows it was evaluated for. Lives
/// in a memory context.
struct RowExpression {
  ExprState *state;
  int16_t length;
  bool by_value;
  Datum *values;  // kVectorSize entries
  bool *nulls;
  VectorExpression *vectors;  // nullptr when it has no vector form
  const Vector *result;       // of the vector form, when it served for the current batch
};

/// Evaluates expressions over the rows of a table as the child scan gives them. Plain data.
struct RowEvaluator {
  PlanState *child;
  ExprContext *context;
  TupleTableSlot *slot;
};

/// descriptor: of the scanned table. In the current memory context.
RowEvaluator *MakeRowEvaluator(PlanState *child, TupleDesc descriptor);
/// Compiles `expression`, whose columns are those of the scanned table.
RowExpression *MakeRowExpression(RowEvaluator *evaluator, Expr *expression);
/// For an expression whose values are asked for by ArgumentVector: lets it be computed in vectors
/// where that is possible.
void UseVectors(RowEvaluator *evaluator, RowExpression *expression, const Expr *source);
/// Evaluates `count` expressions for the selected rows (nullptr: all). Whether one of them had to
/// be, row by row.
bool EvaluateRows(RowEvaluator *evaluator, const BatchInput &input, const Selection *selection,
                  RowExpression *const *expressions, int count);
/// An expression without columns, or over the one column `attribute` that has `value`. By-reference
/// results hold until the next call.
Datum EvaluateOver(RowEvaluator *evaluator, ExprState *state, AttrNumber attribute, Datum value,
                   bool *is_null);

/// An argument as a vector of numbers: a column, or an expression row by row. Plain data.
struct VectorArgument {
  AttrNumber column;  // 0: the expression
  RowExpression *expression;
  DatumClass type;
  Vector *values;  // of the expression
};
/// The argument's values; those of rows that are not selected are unspecified. selection: as the
/// expression was evaluated for.
const Vector &ArgumentVector(const VectorArgument &argument, const BatchInput &input,
                             const Selection *selection);

/// An argument as Datums. Plain data.
struct DatumArgument {
  AttrNumber column;
  RowExpression *expression;
  DatumClass type;
};
/// By-reference values lie in input.memory.
Datum ArgumentDatum(const DatumArgument &argument, const BatchInput &input, uint32_t row,
                    bool *is_null);

/// Calls visit(row) for the selected rows of begin .. end - 1 in order.
template <typename Visit>
void ForEachRow(const Selection *selection, uint32_t begin, uint32_t end, const Visit &visit) {
  for (uint32_t row = begin; row < end; row++)
    if (selection == nullptr || selection->IsSelected(row)) visit(row);
}

}  // namespace tsext::pg
