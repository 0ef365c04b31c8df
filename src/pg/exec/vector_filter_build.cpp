// From clauses to filters: what vectors can answer, and why the rest is left to the executor.
//
// Operators are known by the btree family of their left argument's type: a strategy number of that
// family, for types whose stored form has the order (or at least the equality) of the type.

#include <algorithm>
#include <utility>

#include "pg/exec/vector_filter_state.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/rel.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

constexpr const char *kReasonOther = "no comparison of a column with constants";
constexpr const char *kReasonOperator = "operator unknown to vectors";
constexpr const char *kReasonColumns = "not just one column";
constexpr const char *kReasonMutable = "functions that are not immutable";
constexpr const char *kReasonSubquery = "subquery";
constexpr const char *kReasonWholeRow = "whole row or system column";
constexpr const char *kReasonNumeric = "numeric compares by its own functions";
constexpr const char *kReasonOverflow = "a clause before it may keep it from overflow";
constexpr const char *kReasonSecurity = "a security policy comes first";

Filter *MakeFilter(FilterKind kind) {
  auto *filter = static_cast<Filter *>(palloc0(sizeof(Filter)));
  filter->kind = filter->now = kind;
  return filter;
}

Filter *MakeLeaf(FilterBuilder *builder, FilterKind kind, AttrNumber attribute) {
  Filter *filter = MakeFilter(kind);
  filter->attribute = attribute;
  filter->type = ClassOf(TupleDescAttr(builder->descriptor, attribute - 1));
  return filter;
}

Filter *MakeNode(FilterKind kind, Filter **children, int count) {
  Filter *filter = MakeFilter(kind);
  filter->children = children;
  filter->child_count = count;
  for (int i = 0; i < count; i++) filter->cost = std::max(filter->cost, children[i]->cost + 1);
  return filter;
}

Node *StripRelabel(Node *node) {
  while (node != nullptr && IsA(node, RelabelType))
    node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
  return node;
}

/// A plain column of the relation, perhaps under binary-coercible casts; 0 otherwise.
AttrNumber ColumnOf(const FilterBuilder *builder, Node *node) {
  node = StripRelabel(node);
  if (node == nullptr || !IsA(node, Var)) return 0;
  const auto *var = reinterpret_cast<const Var *>(node);
  if (var->varno != static_cast<int>(builder->rel) || var->varlevelsup != 0) return 0;
  return std::max<AttrNumber>(var->varattno, 0);
}

bool UsesRelation(const FilterBuilder *builder, Node *node) {
  return bms_is_member(static_cast<int>(builder->rel), pull_varnos(nullptr, node));
}

/// Whether a value is the same for all rows of a scan. Columns of other relations are: they arrive
/// as parameters.
bool IsConstant(const FilterBuilder *builder, Node *node) {
  return !UsesRelation(builder, node) && !contain_volatile_functions(node) &&
         !contain_subplans(node);
}

// ---- Operators ----

/// What a comparison works on.
struct Operator {
  FilterKind kind;  // kInteger, kReal or kBytes
  Comparison comparison;
  Oid right_type;
  ConstantConversion conversion;
};

/// Types whose values are stored as integers; false: not one of them. *has_order: of the same
/// order.
bool IsIntegerStored(Oid type, bool *has_order) {
  switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case BOOLOID:
    case DATEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case TIMEOID:
    case CASHOID:
      *has_order = true;
      return true;
    case OIDOID:  // unsigned
    case CHAROID:
    case ANYENUMOID:  // in the order of its labels
      *has_order = false;
      return true;
    default:
      return false;
  }
}

bool IsSmallInteger(Oid type) {
  return type == INT2OID || type == INT4OID || type == INT8OID;
}

/// Whether a constant of type `right` can be made a value of type `left` exactly.
bool FindConversion(Oid left, Oid right, ConstantConversion *conversion) {
  *conversion = ConstantConversion::kNone;
  if (left == right || (IsSmallInteger(left) && IsSmallInteger(right))) return true;
  if (left == TIMESTAMPOID && right == DATEOID) {
    *conversion = ConstantConversion::kDateToTimestamp;
  } else if (left == TIMESTAMPTZOID && right == DATEOID) {
    *conversion = ConstantConversion::kDateToTimestamptz;
  } else if (left == TIMESTAMPTZOID && right == TIMESTAMPOID) {
    *conversion = ConstantConversion::kTimestampToTimestamptz;
  } else {
    return false;
  }
  return true;
}

bool FindOperator(Oid operator_id, Oid collation, const DatumClass &type, Operator *found) {
  Oid left;
  op_input_types(operator_id, &left, &found->right_type);
  const Oid family = lookup_type_cache(left, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
  if (!OidIsValid(family) || !FindComparison(operator_id, family, &found->comparison)) return false;
  const bool is_equality =
      found->comparison == Comparison::kEqual || found->comparison == Comparison::kNotEqual;
  found->conversion = ConstantConversion::kNone;
  bool has_order = true;
  if (IsIntegerStored(left, &has_order)) {
    found->kind = FilterKind::kInteger;
    return IsInteger(type.type) && (has_order || is_equality) &&
           FindConversion(left, found->right_type, &found->conversion);
  }
  switch (left) {
    case FLOAT4OID:
    case FLOAT8OID:
      found->kind = FilterKind::kReal;
      return IsFloat(type.type) &&
             (found->right_type == FLOAT4OID || found->right_type == FLOAT8OID);
    case TEXTOID:
      found->kind = FilterKind::kBytes;
      if (!IsBytes(type.type) || type.length != -1 || found->right_type != TEXTOID) return false;
      if (!OidIsValid(collation)) return false;
      return lc_collate_is_c(collation) ||
             (is_equality && get_collation_isdeterministic(collation));
    case BYTEAOID:
    case UUIDOID:
      found->kind = FilterKind::kBytes;
      return IsBytes(type.type) && found->right_type == left &&
             type.length == (left == UUIDOID ? 16 : -1);
    default:
      return false;
  }
}

/// Integers are decoded and compared fastest, then come codes of dictionaries.
int CostOf(FilterKind kind) {
  switch (kind) {
    case FilterKind::kInteger:
    case FilterKind::kIntegersIn:
      return 1;
    case FilterKind::kBytes:
    case FilterKind::kBytesIn:
      return 2;
    default:
      return 3;
  }
}

Filter *BuildComparison(FilterBuilder *builder, const OpExpr *clause, bool is_negated) {
  if (list_length(clause->args) != 2) return nullptr;
  Node *left = static_cast<Node *>(linitial(clause->args));
  Node *right = static_cast<Node *>(lsecond(clause->args));
  Oid operator_id = clause->opno;
  if (ColumnOf(builder, left) == 0) {
    std::swap(left, right);
    operator_id = get_commutator(operator_id);
    if (!OidIsValid(operator_id)) return nullptr;
  }
  const AttrNumber attribute = ColumnOf(builder, left);
  if (attribute == 0 || !IsConstant(builder, right)) return nullptr;
  Operator found;
  Filter *filter = MakeLeaf(builder, FilterKind::kInteger, attribute);
  if (!FindOperator(operator_id, clause->inputcollid, filter->type, &found)) return nullptr;
  filter->kind = found.kind;
  filter->cost = CostOf(found.kind);
  filter->comparison = is_negated ? Negated(found.comparison) : found.comparison;
  filter->constant = reinterpret_cast<Expr *>(right);
  filter->constant_type = found.right_type;
  filter->conversion = found.conversion;
  return filter;
}

/// Comparison of an expression that rises with a column, or of a column with a constant of another
/// type or with ranges.
Filter *BuildMonotone(FilterBuilder *builder, Expr *clause, bool is_negated) {
  MonotoneComparison comparison;
  if (!FindMonotoneComparison(clause, builder->rel, is_negated, &comparison) ||
      !IsConstant(builder, reinterpret_cast<Node *>(comparison.constant)))
    return nullptr;
  Filter *filter = MakeLeaf(builder, FilterKind::kMonotone, comparison.monotone.column);
  if (!IsInteger(filter->type.type)) return nullptr;
  filter->monotone = static_cast<MonotoneComparison *>(palloc(sizeof(MonotoneComparison)));
  *filter->monotone = comparison;
  filter->expression = is_negated ? makeBoolExpr(NOT_EXPR, list_make1(clause), -1) : clause;
  filter->cost = kExpressionCost;
  builder->uses_expression = true;
  builder->may_fail = builder->may_fail || comparison.monotone.may_fail;
  return filter;
}

/// column = ANY (array) and column <> ALL (array).
Filter *BuildIn(FilterBuilder *builder, const ScalarArrayOpExpr *clause, bool is_negated) {
  Node *left = static_cast<Node *>(linitial(clause->args));
  Node *right = static_cast<Node *>(lsecond(clause->args));
  const AttrNumber attribute = ColumnOf(builder, left);
  if (attribute == 0 || !IsConstant(builder, right)) return nullptr;
  Operator found;
  Filter *filter = MakeLeaf(builder, FilterKind::kIntegersIn, attribute);
  if (!FindOperator(clause->opno, clause->inputcollid, filter->type, &found)) return nullptr;
  const bool is_in = clause->useOr && found.comparison == Comparison::kEqual;
  const bool is_not_in = !clause->useOr && found.comparison == Comparison::kNotEqual;
  if (!is_in && !is_not_in) return nullptr;
  filter->kind = found.kind == FilterKind::kInteger ? FilterKind::kIntegersIn
                 : found.kind == FilterKind::kReal  ? FilterKind::kRealsIn
                                                    : FilterKind::kBytesIn;
  filter->cost = CostOf(filter->kind);
  filter->is_negated = is_not_in != is_negated;
  filter->constant = reinterpret_cast<Expr *>(right);
  filter->constant_type = found.right_type;
  filter->conversion = found.conversion;
  return filter;
}

// ---- Logic ----

Filter *BuildList(FilterBuilder *builder, FilterKind kind, List *arguments, bool is_negated) {
  const int count = list_length(arguments);
  auto **children = static_cast<Filter **>(palloc(sizeof(Filter *) * static_cast<size_t>(count)));
  for (int i = 0; i < count; i++) {
    children[i] = BuildFilter(builder, static_cast<Node *>(list_nth(arguments, i)), is_negated);
    if (children[i] == nullptr) return nullptr;
  }
  return MakeNode(kind, children, count);
}

Filter *BuildBoolean(FilterBuilder *builder, const BoolExpr *clause, bool is_negated) {
  switch (clause->boolop) {
    case AND_EXPR:
      return BuildList(builder, is_negated ? FilterKind::kOr : FilterKind::kAnd, clause->args,
                       is_negated);
    case OR_EXPR:
      return BuildList(builder, is_negated ? FilterKind::kAnd : FilterKind::kOr, clause->args,
                       is_negated);
    default:
      return BuildFilter(builder, static_cast<Node *>(linitial(clause->args)), !is_negated);
  }
}

Filter *BuildNullTest(FilterBuilder *builder, const NullTest *clause, bool is_negated) {
  const AttrNumber attribute = ColumnOf(builder, reinterpret_cast<Node *>(clause->arg));
  if (attribute == 0 || clause->argisrow) return nullptr;
  const bool is_null = (clause->nulltesttype == IS_NULL) != is_negated;
  Filter *filter = MakeLeaf(builder, is_null ? FilterKind::kNull : FilterKind::kNotNull, attribute);
  filter->cost = CostOf(IsInteger(filter->type.type) ? FilterKind::kInteger : FilterKind::kReal);
  return filter;
}

Filter *Complement(Filter *filter) {
  auto **children = static_cast<Filter **>(palloc(sizeof(Filter *)));
  children[0] = filter;
  return MakeNode(FilterKind::kComplement, children, 1);
}

/// IS [NOT] TRUE, FALSE, UNKNOWN: never NULL themselves.
Filter *BuildBooleanTest(FilterBuilder *builder, const BooleanTest *clause, bool is_negated) {
  Node *argument = reinterpret_cast<Node *>(clause->arg);
  const auto is_true = [&] { return BuildFilter(builder, argument, false); };
  const auto is_false = [&] { return BuildFilter(builder, argument, true); };
  Filter *filter = nullptr;
  bool is_complement = is_negated;
  switch (clause->booltesttype) {
    case IS_NOT_TRUE:
      is_complement = !is_complement;
      [[fallthrough]];
    case IS_TRUE:
      filter = is_true();
      break;
    case IS_NOT_FALSE:
      is_complement = !is_complement;
      [[fallthrough]];
    case IS_FALSE:
      filter = is_false();
      break;
    case IS_UNKNOWN:
      is_complement = !is_complement;
      [[fallthrough]];
    case IS_NOT_UNKNOWN: {
      auto **children = static_cast<Filter **>(palloc(sizeof(Filter *) * 2));
      children[0] = is_true();
      children[1] = is_false();
      if (children[0] == nullptr || children[1] == nullptr) return nullptr;
      filter = MakeNode(FilterKind::kOr, children, 2);
      break;
    }
  }
  return filter == nullptr || !is_complement ? filter : Complement(filter);
}

/// A boolean column by itself.
Filter *BuildColumn(FilterBuilder *builder, AttrNumber attribute, bool is_negated) {
  Filter *filter = MakeLeaf(builder, FilterKind::kInteger, attribute);
  if (filter->type.type != PhysicalType::kBool) return nullptr;
  filter->comparison = Comparison::kEqual;
  filter->constant = reinterpret_cast<Expr *>(makeBoolConst(!is_negated, false));
  filter->constant_type = BOOLOID;
  filter->cost = CostOf(FilterKind::kInteger);
  return filter;
}

/// Any immutable expression over one column that may have a dictionary.
Filter *BuildExpression(FilterBuilder *builder, Node *clause, bool is_negated) {
  if (contain_subplans(clause)) {
    builder->reason = kReasonSubquery;
    return nullptr;
  }
  Bitmapset *used = nullptr;
  pull_varattnos(clause, builder->rel, &used);
  if (bms_membership(used) != BMS_SINGLETON) {
    builder->reason = kReasonColumns;
    return nullptr;
  }
  const int attribute = bms_singleton_member(used) + FirstLowInvalidHeapAttributeNumber;
  if (attribute <= 0) {
    builder->reason = kReasonWholeRow;
    return nullptr;
  }
  if (contain_mutable_functions(clause)) {
    builder->reason = kReasonMutable;
    return nullptr;
  }
  Filter *filter = MakeLeaf(builder, FilterKind::kExpression, static_cast<AttrNumber>(attribute));
  if (!IsBytes(filter->type.type) || filter->type.type == PhysicalType::kNumeric) {
    if (filter->type.type == PhysicalType::kNumeric) {
      builder->reason = kReasonNumeric;
    } else if (IsA(clause, OpExpr) || IsA(clause, ScalarArrayOpExpr)) {
      builder->reason = kReasonOperator;
    } else {
      builder->reason = kReasonOther;
    }
    return nullptr;
  }
  filter->expression = is_negated ? makeBoolExpr(NOT_EXPR, list_make1(clause), -1)
                                  : reinterpret_cast<Expr *>(clause);
  filter->cost = kExpressionCost;
  builder->uses_expression = true;
  return filter;
}

int LevelOf(Node *qual) {
  return IsA(qual, RestrictInfo)
             ? static_cast<int>(reinterpret_cast<RestrictInfo *>(qual)->security_level)
             : 0;
}

/// The clauses by rising security level, otherwise in their order.
List *OrderByLevel(List *quals, int greatest_level) {
  List *ordered = NIL;
  for (int level = 0; level <= greatest_level; level++) {
    ListCell *cell;
    foreach (cell, quals)
      if (LevelOf(static_cast<Node *>(lfirst(cell))) == level)
        ordered = lappend(ordered, lfirst(cell));
  }
  return ordered;
}

}  // namespace

Filter *BuildFilter(FilterBuilder *builder, Node *clause, bool is_negated) {
  Filter *filter = nullptr;
  switch (nodeTag(clause)) {
    case T_OpExpr:
      filter = BuildComparison(builder, reinterpret_cast<OpExpr *>(clause), is_negated);
      if (filter == nullptr)
        filter = BuildMonotone(builder, reinterpret_cast<Expr *>(clause), is_negated);
      break;
    case T_DistinctExpr:
      filter = BuildComparison(builder, reinterpret_cast<DistinctExpr *>(clause), false);
      if (filter != nullptr) {
        filter->is_null_safe = true;
        if (!is_negated) filter = Complement(filter);
      }
      break;
    case T_ScalarArrayOpExpr:
      filter = BuildIn(builder, reinterpret_cast<ScalarArrayOpExpr *>(clause), is_negated);
      if (filter == nullptr)
        filter = BuildMonotone(builder, reinterpret_cast<Expr *>(clause), is_negated);
      break;
    case T_BoolExpr: {
      const bool used_expression = builder->uses_expression;
      filter = BuildBoolean(builder, reinterpret_cast<BoolExpr *>(clause), is_negated);
      if (filter != nullptr) return filter;
      builder->uses_expression = used_expression;
      break;
    }
    case T_NullTest:
      filter = BuildNullTest(builder, reinterpret_cast<NullTest *>(clause), is_negated);
      break;
    case T_BooleanTest: {
      const bool used_expression = builder->uses_expression;
      filter = BuildBooleanTest(builder, reinterpret_cast<BooleanTest *>(clause), is_negated);
      if (filter == nullptr) builder->uses_expression = used_expression;
      break;
    }
    case T_Var:
      if (const AttrNumber attribute = ColumnOf(builder, clause))
        filter = BuildColumn(builder, attribute, is_negated);
      break;
    default:
      break;
  }
  if (filter != nullptr) return filter;
  return BuildExpression(builder, clause, is_negated);
}

void SplitQuals(PlannerInfo *root, Index rel, List *quals, List **vectors, List **left,
                List **reasons) {
  *vectors = *left = *reasons = NIL;
  if (quals == NIL) return;
  if (root->qual_security_level > 0)
    quals = OrderByLevel(quals, static_cast<int>(root->qual_security_level));
  Relation relation = table_open(planner_rt_fetch(rel, root)->relid, NoLock);
  FilterBuilder builder = {rel, RelationGetDescr(relation), nullptr, false, false};
  int least_left_level = INT_MAX;
  ListCell *cell;
  foreach (cell, quals) {
    Node *clause = static_cast<Node *>(lfirst(cell));
    const int level = LevelOf(clause);
    bool is_leakproof = true;
    if (IsA(clause, RestrictInfo)) {
      const auto *info = reinterpret_cast<const RestrictInfo *>(clause);
      if (info->pseudoconstant) continue;  // a gating Result tests it
      is_leakproof = root->qual_security_level == 0 || info->leakproof;
      clause = reinterpret_cast<Node *>(info->clause);
    }
    builder.uses_expression = builder.may_fail = false;
    builder.reason = kReasonOther;
    const Filter *filter = BuildFilter(&builder, clause, false);
    // Vectors come before what is left: a function must not see rows that a policy of a lower
    // level, left behind, would hide. Comparisons by vectors themselves tell nobody.
    if (filter != nullptr && builder.uses_expression && !is_leakproof && least_left_level < level) {
      filter = nullptr;
      builder.reason = kReasonSecurity;
    }
    // abs(x) < 1000000 AND x * 1000 > 5: nothing overflows in that order.
    if (filter != nullptr && builder.may_fail && *left != NIL) {
      filter = nullptr;
      builder.reason = kReasonOverflow;
    }
    if (filter != nullptr) {
      *vectors = lappend(*vectors, clause);
    } else {
      least_left_level = Min(least_left_level, level);
      *left = lappend(*left, clause);
      *reasons = lappend(*reasons, makeString(pstrdup(builder.reason)));
    }
  }
  table_close(relation, NoLock);
}

}  // namespace tsext::pg
