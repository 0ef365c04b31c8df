#include "pg/exec/vector_expression.hpp"

#include <algorithm>
#include <bit>
#include <iterator>

#include "tsext/vector_expression.hpp"

#include "pg/base/boundary.hpp"
#include "pg/exec/vector_filter_run.hpp"
#include "pg/exec/vector_filter_state.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {

namespace {

/// Longer expressions, of which each step keeps a vector, are left to PostgreSQL.
constexpr int kMaxRegisters = 24;

/// The scanned table's range table index in the expressions of its parent.
Index ScannedRelation(const RowEvaluator *evaluator) {
  return reinterpret_cast<const Scan *>(evaluator->child->plan)->scanrelid;
}

/// A built-in function. Operands of an integer result are integers of any width, float4 operands of
/// a float8 result are widened first.
struct NumberFunction {
  Oid function;
  NumberOperation operation;
  PhysicalType result;
};

#define TSEXT_ARITHMETIC(prefix, type)                                     \
  {F_##prefix##PL, NumberOperation::kAdd, PhysicalType::type},             \
      {F_##prefix##MI, NumberOperation::kSubtract, PhysicalType::type},    \
      {F_##prefix##MUL, NumberOperation::kMultiply, PhysicalType::type}, { \
    F_##prefix##DIV, NumberOperation::kDivide, PhysicalType::type          \
  }
#define TSEXT_CONVERSION(function, type) \
  { function, NumberOperation::kConvert, PhysicalType::type }
#define TSEXT_NEGATION(function, type) \
  { function, NumberOperation::kNegate, PhysicalType::type }

constexpr NumberFunction kNumberFunctions[] = {
    TSEXT_ARITHMETIC(INT2, kInt16),
    TSEXT_ARITHMETIC(INT4, kInt32),
    TSEXT_ARITHMETIC(INT24, kInt32),
    TSEXT_ARITHMETIC(INT42, kInt32),
    TSEXT_ARITHMETIC(INT8, kInt64),
    TSEXT_ARITHMETIC(INT28, kInt64),
    TSEXT_ARITHMETIC(INT82, kInt64),
    TSEXT_ARITHMETIC(INT48, kInt64),
    TSEXT_ARITHMETIC(INT84, kInt64),
    TSEXT_ARITHMETIC(FLOAT4, kFloat32),
    TSEXT_ARITHMETIC(FLOAT8, kFloat64),
    TSEXT_ARITHMETIC(FLOAT48, kFloat64),
    TSEXT_ARITHMETIC(FLOAT84, kFloat64),
    TSEXT_NEGATION(F_INT2UM, kInt16),
    TSEXT_NEGATION(F_INT4UM, kInt32),
    TSEXT_NEGATION(F_INT8UM, kInt64),
    TSEXT_NEGATION(F_FLOAT4UM, kFloat32),
    TSEXT_NEGATION(F_FLOAT8UM, kFloat64),
    TSEXT_CONVERSION(F_INT2_INT4, kInt16),
    TSEXT_CONVERSION(F_INT2_INT8, kInt16),
    TSEXT_CONVERSION(F_INT2_FLOAT4, kInt16),
    TSEXT_CONVERSION(F_INT2_FLOAT8, kInt16),
    TSEXT_CONVERSION(F_INT4_INT2, kInt32),
    TSEXT_CONVERSION(F_INT4_INT8, kInt32),
    TSEXT_CONVERSION(F_INT4_FLOAT4, kInt32),
    TSEXT_CONVERSION(F_INT4_FLOAT8, kInt32),
    TSEXT_CONVERSION(F_INT8_INT2, kInt64),
    TSEXT_CONVERSION(F_INT8_INT4, kInt64),
    TSEXT_CONVERSION(F_INT8_FLOAT4, kInt64),
    TSEXT_CONVERSION(F_INT8_FLOAT8, kInt64),
    TSEXT_CONVERSION(F_FLOAT4_INT2, kFloat32),
    TSEXT_CONVERSION(F_FLOAT4_INT4, kFloat32),
    TSEXT_CONVERSION(F_FLOAT4_INT8, kFloat32),
    TSEXT_CONVERSION(F_FLOAT4_FLOAT8, kFloat32),
    TSEXT_CONVERSION(F_FLOAT8_INT2, kFloat64),
    TSEXT_CONVERSION(F_FLOAT8_INT4, kFloat64),
    TSEXT_CONVERSION(F_FLOAT8_INT8, kFloat64),
    TSEXT_CONVERSION(F_FLOAT8_FLOAT4, kFloat64),
};

#undef TSEXT_ARITHMETIC
#undef TSEXT_CONVERSION
#undef TSEXT_NEGATION

const NumberFunction *FindFunction(Oid function) {
  const auto *found = std::find_if(std::begin(kNumberFunctions), std::end(kNumberFunctions),
                                   [&](const NumberFunction &n) { return n.function == function; });
  return found == std::end(kNumberFunctions) ? nullptr : found;
}

bool FindNumberType(Oid type, PhysicalType *found) {
  switch (getBaseType(type)) {
    case INT2OID:
      *found = PhysicalType::kInt16;
      return true;
    case INT4OID:
      *found = PhysicalType::kInt32;
      return true;
    case INT8OID:
      *found = PhysicalType::kInt64;
      return true;
    case FLOAT4OID:
      *found = PhysicalType::kFloat32;
      return true;
    case FLOAT8OID:
      *found = PhysicalType::kFloat64;
      return true;
    default:
      return false;
  }
}

}  // namespace

/// What a value of an expression comes from: a column, a constant or an operation on registers
/// before it. Plain data.
struct VectorRegister {
  AttrNumber column;  // 0: not a column
  bool is_constant;
  NumberOperation operation;  // of what is neither
  PhysicalType type;
  int left, right;
  Vector *own;           // of constants and operations
  const Vector *values;  // of this batch
};

struct VectorExpression {
  VectorRegister registers[kMaxRegisters];  // the last one is the result
  int count;
};

namespace {

int AddRegister(VectorExpression *out, const VectorRegister &added) {
  if (out->count == kMaxRegisters) return -1;
  out->registers[out->count] = added;
  return out->count++;
}

int AddOperation(VectorExpression *out, NumberOperation operation, PhysicalType type, int left,
                 int right) {
  VectorRegister added{};
  added.operation = operation;
  added.type = type;
  added.left = left;
  added.right = right;
  return AddRegister(out, added);
}

int AddColumn(VectorExpression *out, Index rel, const Var *var) {
  VectorRegister added{};
  if (var->varno != static_cast<int>(rel) || var->varlevelsup != 0 || var->varattno <= 0 ||
      !FindNumberType(var->vartype, &added.type))
    return -1;
  added.column = var->varattno;
  return AddRegister(out, added);
}

int AddConstant(VectorExpression *out, const Const *constant) {
  VectorRegister added{};
  if (constant->constisnull || !FindNumberType(constant->consttype, &added.type)) return -1;
  added.is_constant = true;
  added.own = New<Vector>(CurrentMemoryContext, std::pmr::null_memory_resource());
  added.own->type = added.type;
  const Datum value = constant->constvalue;
  if (added.type == PhysicalType::kFloat64)
    std::fill_n(added.own->doubles, kVectorSize, DatumGetFloat8(value));
  else if (added.type == PhysicalType::kFloat32)
    std::fill_n(added.own->floats, kVectorSize, DatumGetFloat4(value));
  else
    std::fill_n(added.own->integers, kVectorSize,
                added.type == PhysicalType::kInt16   ? int64_t{DatumGetInt16(value)}
                : added.type == PhysicalType::kInt32 ? int64_t{DatumGetInt32(value)}
                                                     : DatumGetInt64(value));
  return AddRegister(out, added);
}

int Compile(VectorExpression *out, Index rel, const Node *node);

int CompileOperand(VectorExpression *out, Index rel, const List *operands, int index,
                   const NumberFunction &function) {
  const int operand = Compile(out, rel, static_cast<const Node *>(list_nth(operands, index)));
  if (operand < 0 || function.operation == NumberOperation::kConvert) return operand;
  const PhysicalType type = out->registers[operand].type;
  if (type == function.result || (IsInteger(type) && IsInteger(function.result))) return operand;
  if (type != PhysicalType::kFloat32 || function.result != PhysicalType::kFloat64) return -1;
  return AddOperation(out, NumberOperation::kConvert, function.result, operand, operand);
}

int CompileCall(VectorExpression *out, Index rel, Oid function_id, const List *operands) {
  const NumberFunction *function = FindFunction(function_id);
  if (function == nullptr) return -1;
  const int left = CompileOperand(out, rel, operands, 0, *function);
  const int right = list_length(operands) == 1 || left < 0
                        ? left
                        : CompileOperand(out, rel, operands, 1, *function);
  if (right < 0) return -1;
  return AddOperation(out, function->operation, function->result, left, right);
}

/// The register of an expression, -1 when it has none.
int Compile(VectorExpression *out, Index rel, const Node *node) {
  switch (nodeTag(node)) {
    case T_Var:
      return AddColumn(out, rel, reinterpret_cast<const Var *>(node));
    case T_Const:
      return AddConstant(out, reinterpret_cast<const Const *>(node));
    case T_RelabelType: {  // of a domain
      const auto *relabel = reinterpret_cast<const RelabelType *>(node);
      PhysicalType type;
      const int inner = FindNumberType(relabel->resulttype, &type)
                            ? Compile(out, rel, reinterpret_cast<const Node *>(relabel->arg))
                            : -1;
      return inner >= 0 && out->registers[inner].type == type ? inner : -1;
    }
    case T_OpExpr: {
      const auto *call = reinterpret_cast<const OpExpr *>(node);
      return CompileCall(out, rel, call->opfuncid, call->args);
    }
    case T_FuncExpr: {
      const auto *call = reinterpret_cast<const FuncExpr *>(node);
      return CompileCall(out, rel, call->funcid, call->args);
    }
    default:
      return -1;
  }
}

/// Whether a column's values are of the type the expression has been compiled for: the same array
/// of the vector counts.
bool IsOfType(const Vector &vector, PhysicalType type) {
  return IsInteger(type) ? IsInteger(vector.type) : vector.type == type;
}

}  // namespace

VectorExpression *MakeVectorExpression(const RowEvaluator *evaluator, const Expr *expression) {
  auto *result = static_cast<VectorExpression *>(palloc0(sizeof(VectorExpression)));
  if (Compile(result, ScannedRelation(evaluator), reinterpret_cast<const Node *>(expression)) < 0)
    return nullptr;
  for (int i = 0; i < result->count; i++) {
    VectorRegister &added = result->registers[i];
    if (added.column == 0 && !added.is_constant)
      added.own = New<Vector>(CurrentMemoryContext, std::pmr::null_memory_resource());
  }
  return result;
}

const Vector *ComputeVector(VectorExpression *expression, const BatchInput &input,
                            const Selection *selection) {
  VectorRegister *registers = expression->registers;
  for (int i = 0; i < expression->count; i++) {
    VectorRegister &at = registers[i];
    if (at.column != 0) {
      at.values = BatchColumn(input.scan, at.column);
      if (!IsOfType(*at.values, at.type)) return nullptr;
      continue;
    }
    at.values = at.own;
    if (at.is_constant) {
      at.own->count = input.batch->rows;
    } else if (!ComputeNumbers(at.operation, at.type, *registers[at.left].values,
                               *registers[at.right].values, selection, *at.own)) {
      return nullptr;
    }
  }
  return registers[expression->count - 1].values;
}

struct VectorCondition {
  VectorFilters *filters;
  const SegmentRow *segment;  // of the last batch; nullptr: hot
  bool is_started;
};

namespace {

/// Whether computing the constants of a filter once, before its rows, cannot be told from computing
/// them for each row: an AND or OR might not come to one that is an error.
bool HasPlainConstants(Filter *filter) {
  int leaves = 0;
  bool all_are_plain = true;
  ForEachLeaf(filter, [&](Filter *leaf) {
    leaves++;
    all_are_plain = all_are_plain && (leaf->constant == nullptr || IsA(leaf->constant, Const));
  });
  return all_are_plain || leaves == 1;
}

}  // namespace

VectorCondition *MakeVectorCondition(const RowEvaluator *evaluator, Relation relation,
                                     Expr *condition) {
  const Index rel = ScannedRelation(evaluator);
  FilterBuilder builder = {rel, RelationGetDescr(relation), nullptr, false, false};
  Filter *filter = BuildFilter(&builder, reinterpret_cast<Node *>(condition), false);
  if (filter == nullptr || builder.uses_expression || !HasPlainConstants(filter)) return nullptr;
  auto *result = static_cast<VectorCondition *>(palloc0(sizeof(VectorCondition)));
  result->filters = MakeVectorFilters(list_make1(condition), rel, relation, evaluator->child);
  return result;
}

void RunVectorCondition(VectorCondition *condition, const BatchInput &input, Selection *selection) {
  const SegmentRow *segment = input.batch->segment;
  if (!condition->is_started) {
    int64_t from = kTimeMinimum;
    int64_t to = kTimeMaximum;
    StartFilters(condition->filters, 0, InvalidOid, &from, &to);
    condition->is_started = true;
  } else if (segment != condition->segment) {
    ForgetDictionaries(condition->filters);
  }
  condition->segment = segment;
  // Nobody has judged segments and vectors by these filters: no verdicts, as for hot rows.
  if (RunFilters(condition->filters, input.scan, false, selection) != FilterResult::kRows)
    selection->Clear();
}

void RescanVectorCondition(VectorCondition *condition) {
  condition->is_started = false;
}

}  // namespace tsext::pg
