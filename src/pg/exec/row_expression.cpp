#include "pg/exec/row_expression.hpp"

#include <bit>

#include "tsext/slice.hpp"

#include "pg/exec/vector_expression.hpp"

extern "C" {
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {

BatchInput::BatchInput(BatchScan *batches, const Batch &current, MemoryContext per_batch)
    : scan(batches),
      batch(&current),
      memory(per_batch),
      begin(0),
      end(current.rows),
      has_gaps(false) {
  if (current.is_whole) return;
  const Slice all{0, current.rows, &current.selection};
  begin = static_cast<uint32_t>(FirstRow(nullptr, all));
  end = static_cast<uint32_t>(LastRow(nullptr, all)) + 1;
  has_gaps = CountRows(all) < end - begin;
}

RowEvaluator *MakeRowEvaluator(PlanState *child, TupleDesc descriptor) {
  auto *evaluator = static_cast<RowEvaluator *>(palloc0(sizeof(RowEvaluator)));
  evaluator->child = child;
  evaluator->context = CreateExprContext(child->state);
  evaluator->slot = ExecInitExtraTupleSlot(child->state, descriptor, &TTSOpsVirtual);
  ExecStoreAllNullTuple(evaluator->slot);
  evaluator->context->ecxt_scantuple = evaluator->slot;
  return evaluator;
}

RowExpression *MakeRowExpression(RowEvaluator *evaluator, Expr *expression) {
  auto *result = static_cast<RowExpression *>(palloc0(sizeof(RowExpression)));
  result->state = ExecInitExpr(expression, evaluator->child);
  get_typlenbyval(exprType(reinterpret_cast<Node *>(expression)), &result->length,
                  &result->by_value);
  result->values = static_cast<Datum *>(palloc(sizeof(Datum) * kVectorSize));
  result->nulls = static_cast<bool *>(palloc(sizeof(bool) * kVectorSize));
  return result;
}

void UseVectors(RowEvaluator *evaluator, RowExpression *expression, const Expr *source) {
  expression->vectors = MakeVectorExpression(evaluator, source);
}

bool EvaluateRows(RowEvaluator *evaluator, const BatchInput &input, const Selection *selection,
                  RowExpression *const *expressions, int count) {
  bool all_done = true;
  for (int i = 0; i < count; i++) {
    RowExpression *expression = expressions[i];
    expression->result = expression->vectors != nullptr
                             ? ComputeVector(expression->vectors, input, selection)
                             : nullptr;
    all_done = all_done && expression->result != nullptr;
  }
  if (all_done) return false;
  ForEachRow(selection, 0, input.batch->rows, [&](uint32_t row) {
    ResetExprContext(evaluator->context);
    BatchRow(input.scan, row, evaluator->slot);
    for (int i = 0; i < count; i++) {
      RowExpression *expression = expressions[i];
      if (expression->result != nullptr) continue;
      bool is_null;
      Datum value = ExecEvalExprSwitchContext(expression->state, evaluator->context, &is_null);
      if (!is_null && !expression->by_value) {
        MemoryContext old = MemoryContextSwitchTo(input.memory);
        value = datumCopy(value, false, expression->length);
        MemoryContextSwitchTo(old);
      }
      expression->values[row] = value;
      expression->nulls[row] = is_null;
    }
  });
  return true;
}

Datum EvaluateOver(RowEvaluator *evaluator, ExprState *state, AttrNumber attribute, Datum value,
                   bool *is_null) {
  ResetExprContext(evaluator->context);
  ExecStoreAllNullTuple(evaluator->slot);
  if (attribute > 0) {
    evaluator->slot->tts_values[attribute - 1] = value;
    evaluator->slot->tts_isnull[attribute - 1] = false;
  }
  return ExecEvalExprSwitchContext(state, evaluator->context, is_null);
}

const Vector &ArgumentVector(const VectorArgument &argument, const BatchInput &input,
                             const Selection *selection) {
  if (argument.column != 0) return *BatchColumn(input.scan, argument.column);
  const RowExpression &expression = *argument.expression;
  if (expression.result != nullptr) return *expression.result;
  Vector &out = *argument.values;
  out.type = argument.type.type;
  out.count = input.batch->rows;
  out.any_null = false;
  out.nulls.fill(0);
  ForEachRow(selection, 0, out.count, [&](uint32_t row) {
    if (expression.nulls[row]) {
      out.any_null = true;
      out.nulls[row / 64] |= uint64_t{1} << (row % 64);
      return;
    }
    const Datum value = expression.values[row];
    if (out.type == PhysicalType::kFloat64)
      out.doubles[row] = std::bit_cast<double>(value);
    else if (out.type == PhysicalType::kFloat32)
      out.floats[row] = std::bit_cast<float>(static_cast<int32_t>(value));
    else
      out.integers[row] = DatumToInteger(value, argument.type);
  });
  return out;
}

Datum ArgumentDatum(const DatumArgument &argument, const BatchInput &input, uint32_t row,
                    bool *is_null) {
  if (argument.column == 0) {
    *is_null = argument.expression->nulls[row];
    return argument.expression->values[row];
  }
  const Vector &vector = *BatchColumn(input.scan, argument.column);
  *is_null = vector.IsNull(row);
  if (*is_null) return 0;
  if (argument.type.by_value) return VectorDatum(vector, row, argument.type);
  MemoryContext old = MemoryContextSwitchTo(input.memory);
  const Datum value = VectorDatum(vector, row, argument.type);
  MemoryContextSwitchTo(old);
  return value;
}

}  // namespace tsext::pg
