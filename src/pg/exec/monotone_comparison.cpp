// Which clauses compare what rises with a column.

#include <utility>

#include "pg/exec/monotone_bounds.hpp"

extern "C" {
#include "access/nbtree.h"
#include "access/stratnum.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

/// Whether there is more to evaluate in an expression than the functions that rise: beside the
/// column may be constants and parameters. An error of other functions could not be caught.
bool CallsOthers(Node *node, void *) {
  if (node == nullptr || IsA(node, Var) || IsA(node, Const) || IsA(node, Param)) return false;
  if ((IsA(node, FuncExpr) || IsA(node, OpExpr)) && !contain_var_clause(node)) return true;
  if (!IsA(node, FuncExpr) && !IsA(node, OpExpr) && !IsA(node, RelabelType) && !IsA(node, List))
    return true;
  return expression_tree_walker(
      node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(CallsOthers)), nullptr);
}

bool IsRising(Node *node, Index rel, Monotone *monotone) {
  int varno;
  if (!bms_get_singleton_member(pull_varnos(nullptr, node), &varno) ||
      varno != static_cast<int>(rel) || CallsOthers(node, nullptr))
    return false;
  auto *expression = reinterpret_cast<Expr *>(node);
  return IsMonotone(expression, monotone) || IsMonotoneColumn(expression, monotone);
}

/// `expression <@ range`, in the usual order of the expression's type.
bool FindContainment(Oid operator_id, Node *left, Node *right, MonotoneComparison *found) {
  if (operator_id != OID_RANGE_ELEM_CONTAINED_OP && operator_id != OID_MULTIRANGE_ELEM_CONTAINED_OP)
    return false;
  found->range_type = getBaseType(exprType(right));
  const TypeCacheEntry *range = RangeTypeOf(found->range_type);
  if (range == nullptr) return false;
  found->constant_type = range->rngelemtype->type_id;
  found->order_function = range->rng_cmp_proc_finfo.fn_oid;
  const TypeCacheEntry *element = lookup_type_cache(found->constant_type, TYPECACHE_CMP_PROC);
  return found->order_function == element->cmp_proc &&
         getBaseType(exprType(left)) == found->constant_type;
}

/// What an operator of a btree family compares; `<>` is NOT of `=`.
bool FindOrder(Oid operator_id, bool is_negated, MonotoneComparison *found) {
  Oid left_type;
  op_input_types(operator_id, &left_type, &found->constant_type);
  const Oid family = lookup_type_cache(left_type, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
  if (!OidIsValid(family) || !FindComparison(operator_id, family, &found->comparison)) return false;
  if (is_negated) found->comparison = Negated(found->comparison);
  found->is_negated = found->comparison == Comparison::kNotEqual;
  if (found->is_negated) found->comparison = Comparison::kEqual;
  found->order_function = get_opfamily_proc(family, left_type, found->constant_type, BTORDER_PROC);
  found->reads_zone =
      found->constant_type == TIMESTAMPTZOID && (left_type == DATEOID || left_type == TIMESTAMPOID);
  return OidIsValid(found->order_function);
}

/// Whether an array certainly has values, NULLs among them. NOT IN of none holds of NULL, too.
bool HasElements(Node *array) {
  if (IsA(array, ArrayExpr)) {
    const auto *expression = reinterpret_cast<ArrayExpr *>(array);
    return !expression->multidims && expression->elements != NIL;
  }
  if (!IsA(array, Const)) return false;
  const auto *constant = reinterpret_cast<Const *>(array);
  if (constant->constisnull) return false;
  ArrayType *values = DatumGetArrayTypeP(constant->constvalue);
  return ArrayGetNItems(ARR_NDIM(values), ARR_DIMS(values)) > 0;
}

/// `expression = ANY (array)` and `expression <> ALL (array)`.
bool FindMembership(const ScalarArrayOpExpr *clause, Index rel, bool is_negated,
                    MonotoneComparison *found) {
  auto *left = static_cast<Node *>(linitial(clause->args));
  auto *right = static_cast<Node *>(lsecond(clause->args));
  if (!IsRising(left, rel, &found->monotone)) return false;
  found->expression = reinterpret_cast<Expr *>(left);
  found->constant = reinterpret_cast<Expr *>(right);
  found->is_array = true;
  if (!FindOrder(clause->opno, false, found) || found->comparison != Comparison::kEqual ||
      found->is_negated == clause->useOr)
    return false;
  found->is_negated = found->is_negated != is_negated;
  return !found->is_negated || HasElements(right);
}

/// Collects the Params of an expression.
bool AddParams(Node *node, void *list) {
  if (node == nullptr) return false;
  if (IsA(node, Param)) *static_cast<List **>(list) = lappend(*static_cast<List **>(list), node);
  return expression_tree_walker(
      node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(AddParams)), list);
}

}  // namespace

bool FindComparison(Oid operator_id, Oid family, Comparison *comparison) {
  switch (get_op_opfamily_strategy(operator_id, family)) {
    case BTLessStrategyNumber:
      *comparison = Comparison::kLess;
      return true;
    case BTLessEqualStrategyNumber:
      *comparison = Comparison::kLessEqual;
      return true;
    case BTEqualStrategyNumber:
      *comparison = Comparison::kEqual;
      return true;
    case BTGreaterEqualStrategyNumber:
      *comparison = Comparison::kGreaterEqual;
      return true;
    case BTGreaterStrategyNumber:
      *comparison = Comparison::kGreater;
      return true;
    default:
      break;
  }
  const Oid negator = get_negator(operator_id);
  if (!OidIsValid(negator) || get_op_opfamily_strategy(negator, family) != BTEqualStrategyNumber)
    return false;
  *comparison = Comparison::kNotEqual;
  return true;
}

Comparison Negated(Comparison comparison) {
  switch (comparison) {
    case Comparison::kEqual:
      return Comparison::kNotEqual;
    case Comparison::kNotEqual:
      return Comparison::kEqual;
    case Comparison::kLess:
      return Comparison::kGreaterEqual;
    case Comparison::kLessEqual:
      return Comparison::kGreater;
    case Comparison::kGreater:
      return Comparison::kLessEqual;
    case Comparison::kGreaterEqual:
      return Comparison::kLess;
  }
  return comparison;
}

List *ParamsOf(Expr *expression) {
  List *found = NIL;
  (void)AddParams(reinterpret_cast<Node *>(expression), &found);
  return found;
}

TypeCacheEntry *RangeTypeOf(Oid type) {
  TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_RANGE_INFO | TYPECACHE_MULTIRANGE_INFO);
  if (entry->rngtype != nullptr) return entry->rngtype;
  return entry->rngelemtype != nullptr ? entry : nullptr;
}

bool FindMonotoneComparison(const Expr *clause, Index rel, bool is_negated,
                            MonotoneComparison *found) {
  *found = {};
  if (IsA(clause, ScalarArrayOpExpr))
    return FindMembership(reinterpret_cast<const ScalarArrayOpExpr *>(clause), rel, is_negated,
                          found);
  if (!IsA(clause, OpExpr)) return false;
  const auto *call = reinterpret_cast<const OpExpr *>(clause);
  if (list_length(call->args) != 2) return false;
  auto *left = static_cast<Node *>(linitial(call->args));
  auto *right = static_cast<Node *>(lsecond(call->args));
  Oid operator_id = call->opno;
  if (!IsRising(left, rel, &found->monotone)) {
    std::swap(left, right);
    operator_id = get_commutator(operator_id);
    if (!OidIsValid(operator_id) || !IsRising(left, rel, &found->monotone)) return false;
  }
  found->expression = reinterpret_cast<Expr *>(left);
  found->constant = reinterpret_cast<Expr *>(right);
  if (FindContainment(operator_id, left, right, found)) {
    found->is_negated = is_negated;
    return true;
  }
  found->range_type = InvalidOid;
  return FindOrder(operator_id, is_negated, found);
}

}  // namespace tsext::pg
