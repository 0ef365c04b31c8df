#include "pg/exec/last_path.hpp"

#include <algorithm>
#include <cmath>

#include "pg/base/boundary.hpp"
#include "pg/base/datum.hpp"
#include "pg/catalog/options.hpp"
#include "pg/exec/aggregate_function.hpp"
#include "pg/exec/cost.hpp"
#include "pg/exec/last_search.hpp"

extern "C" {
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/nodeHash.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/prep.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

// As multiples of cpu_operator_cost: a value decoded, and a hot row's key looked up.
constexpr double kDecodeValue = 0.1;
constexpr double kFindSeries = 4;
/// A series in memory, its key included.
constexpr double kSeriesBytes = 160;

/// Types whose values are equal exactly when their bytes are, under a deterministic collation.
bool IsBytewiseEqual(Oid type) {
  switch (type) {
    case BOOLOID:
    case CHAROID:
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case DATEOID:
    case TIMEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case UUIDOID:
    case MACADDROID:
    case TEXTOID:
    case VARCHAROID:
      return true;
    default:
      return get_typtype(type) == TYPTYPE_ENUM;
  }
}

/// The column of `rel` that an expression of the target list is; nullptr when it is something else.
const Var *ColumnOf(const SortGroupClause *clause, List *target, Index rel) {
  Node *node = get_sortgroupclause_expr(const_cast<SortGroupClause *>(clause), target);
  while (IsA(node, RelabelType))
    node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
  if (!IsA(node, Var)) return nullptr;
  const auto *var = reinterpret_cast<const Var *>(node);
  return var->varno == static_cast<int>(rel) && var->varattno > 0 && var->varlevelsup == 0
             ? var
             : nullptr;
}

/// The attribute number of a DISTINCT ON expression, when it is a column that can tell series
/// apart.
AttrNumber KeyOf(const SortGroupClause *clause, List *target, Index rel) {
  const Var *var = ColumnOf(clause, target, rel);
  if (var == nullptr) return InvalidAttrNumber;
  const Oid type = getBaseType(var->vartype);
  if (!IsBytewiseEqual(type)) return InvalidAttrNumber;
  if (lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr != clause->eqop) return InvalidAttrNumber;
  const Oid collation =
      exprCollation(get_sortgroupclause_expr(const_cast<SortGroupClause *>(clause), target));
  if (OidIsValid(collation) && !get_collation_isdeterministic(collation)) return InvalidAttrNumber;
  return var->varattno;
}

/// Whether an ORDER BY item is the time column in its type's usual order, up or down.
bool MatchTime(const SortGroupClause *clause, List *target, Index rel, const TableOptions *options,
               LastOrder *order) {
  const Var *var = ColumnOf(clause, target, rel);
  if (var == nullptr || var->varattno != options->time_attribute) return false;
  Oid family;
  Oid input_type;
  int16 strategy;
  if (!get_ordering_op_properties(clause->sortop, &family, &input_type, &strategy)) return false;
  const Oid operator_class = GetDefaultOpClass(options->time_type, BTREE_AM_OID);
  if (input_type != options->time_type || !OidIsValid(operator_class) ||
      family != get_opclass_family(operator_class))
    return false;
  *order = strategy == BTGreaterStrategyNumber ? LastOrder::kNewest : LastOrder::kOldest;
  return true;
}

/// Whether the query is nothing but a DISTINCT ON over the rows of one table.
bool IsPlainDistinctOn(const PlannerInfo *root, const RelOptInfo *input_rel) {
  const Query *query = root->parse;
  return query->hasDistinctOn && !query->hasAggs && !query->hasWindowFuncs &&
         !query->hasTargetSRFs && query->groupClause == NIL && query->groupingSets == NIL &&
         query->havingQual == nullptr && query->rowMarks == NIL &&
         input_rel->reloptkind == RELOPT_BASEREL && input_rel->rtekind == RTE_RELATION &&
         list_length(query->sortClause) == list_length(query->distinctClause) + 1 &&
         list_length(query->distinctClause) <= kMaxSortColumns;
}

bool IsPlainTable(const RangeTblEntry *entry) {
  return !entry->inh && entry->tablesample == nullptr &&
         (entry->relkind == RELKIND_RELATION || entry->relkind == RELKIND_MATVIEW);
}

/// A virtual slot has a ctid and a tableoid, no other system columns.
bool UsesSystemColumns(Index rel, List *expressions) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(expressions), rel, &used);
  for (int member = -1; (member = bms_next_member(used, member)) >= 0;) {
    const int attribute = member + FirstLowInvalidHeapAttributeNumber;
    if (attribute < 0 && attribute != SelfItemPointerAttributeNumber &&
        attribute != TableOidAttributeNumber)
      return true;
  }
  return false;
}

List *ExpressionsOf(const PathTarget *target, const RelOptInfo *rel) {
  List *expressions = list_copy(target->exprs);
  ListCell *cell;
  foreach (cell, rel->baserestrictinfo)
    expressions = lappend(expressions, lfirst_node(RestrictInfo, cell)->clause);
  return expressions;
}

/// The keys and settings of the query; NIL when it is none for us.
List *MatchQuery(PlannerInfo *root, RelOptInfo *input_rel, const TableOptions *options) {
  if (options->time_attribute == InvalidAttrNumber) return NIL;
  const Query *query = root->parse;
  List *target = root->processed_tlist;
  List *keys = NIL;
  ListCell *cell;
  foreach (cell, query->distinctClause) {
    const AttrNumber key = KeyOf(lfirst_node(SortGroupClause, cell), target, input_rel->relid);
    if (key == InvalidAttrNumber || key == options->time_attribute) return NIL;
    if (!list_member_int(keys, key)) keys = lappend_int(keys, key);
  }
  const auto *last = llast_node(SortGroupClause, query->sortClause);
  LastOrder order;
  if (!MatchTime(last, target, input_rel->relid, options, &order)) return NIL;
  const LastNulls nulls = last->nulls_first ? LastNulls::kFirst : LastNulls::kLast;
  return list_make2(keys, list_make3_int(options->time_attribute, static_cast<int>(order),
                                         static_cast<int>(nulls)));
}

/// Whether the series are those the segments are sorted by.
bool AreSegmentKeys(List *keys, const TableOptions *options) {
  if (options->segment_by_count != list_length(keys) || options->order_by_count > 0) return false;
  for (int i = 0; i < options->segment_by_count; i++)
    if (!list_member_int(keys, options->segment_by[i])) return false;
  return true;
}

/// What one pass over the table costs, and giving out the rows found.
void SetCosts(PlannerInfo *root, RelOptInfo *rel, const TableOptions *options, List *keys,
              double series, Path *path) {
  const TableSize size = GetTableSize(root, rel);
  const int key_count = list_length(keys);
  ScanWork work = EstimateScanWork(root, rel, rel->baserestrictinfo, NIL, 0);
  const double rows = (size.cold_rows + size.hot_rows) * work.time_share;
  if (AreSegmentKeys(keys, options)) {
    // Of the keys, the vectors where series meet.
    work.output_columns = key_count;
    work.filter_share = std::clamp(series / std::max(rows, 1.0), 1e-9, 1.0);
  } else {
    work.filter_columns = key_count;
  }
  const ScanCost scan = EstimateScanCost(root, rel, work);
  const double fetched = std::min(series * kVectorSize, size.cold_rows);
  const double columns = list_length(rel->reltarget->exprs);
  Cost cost = scan.startup + scan.cold + scan.hot +
              size.hot_rows * kFindSeries * key_count * cpu_operator_cost;
  if (rel->baserestrictinfo != NIL) {
    // Going back from the newest row of a series to one that passes.
    QualCost quals;
    cost_qual_eval(&quals, rel->baserestrictinfo, root);
    const double passing = std::clamp(rel->rows / std::max(rows, 1.0), 1e-6, 1.0);
    const double tested = std::min(rows, series / passing + size.hot_rows);
    cost += quals.startup + tested * (cpu_tuple_cost + quals.per_tuple);
  }
  const double memory = static_cast<double>(get_hash_memory_limit());
  cost *= std::ceil(std::max(series * kSeriesBytes / memory, 1.0));
  path->startup_cost = cost + path->pathtarget->cost.startup;
  path->total_cost = path->startup_cost + fetched * columns * kDecodeValue * cpu_operator_cost +
                     series * (cpu_tuple_cost + path->pathtarget->cost.per_tuple);
}

/// target: what it gives out. matched: keys and settings, see LastPrivate.
CustomPath *MakePath(PlannerInfo *root, RelOptInfo *rel, const TableOptions *options, List *matched,
                     PathTarget *target, double series, const CustomPathMethods *methods) {
  CustomPath *path = makeNode(CustomPath);
  path->path.pathtype = T_CustomScan;
  path->path.parent = rel;
  path->path.pathtarget = target;
  path->path.parallel_safe = rel->consider_parallel;
  path->path.rows = series;
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->custom_private = matched;
  path->methods = methods;
  SetCosts(root, rel, options, static_cast<List *>(linitial(matched)), series, &path->path);
  return path;
}

/// Whether an aggregate can be computed from the newest or oldest row of its group alone: last() or
/// first() by the time column, its greatest or least value.
bool MatchAggregate(const Aggref *aggregate, const TableOptions *options, LastOrder *order) {
  if (!IsAggregateSupported(aggregate) || aggregate->aggfilter != nullptr) return false;
  const AggregateFunction function = GetAggregateFunction(aggregate);
  int time;
  switch (function.kind) {
    case TransitionKind::kLast:
    case TransitionKind::kFirst:
      time = 1;
      break;
    case TransitionKind::kGreatest:
    case TransitionKind::kLeast:
      time = 0;
      break;
    default:
      return false;
  }
  *order = function.kind == TransitionKind::kLast || function.kind == TransitionKind::kGreatest
               ? LastOrder::kNewest
               : LastOrder::kOldest;
  const Expr *argument = static_cast<TargetEntry *>(list_nth(aggregate->args, time))->expr;
  return IsA(argument, Var) &&
         reinterpret_cast<const Var *>(argument)->varattno == options->time_attribute;
}

/// The aggregates of the grouped query, all of them of one end of the series; false when they are
/// not.
bool MatchAggregates(const RelOptInfo *grouped_rel, const GroupPathExtraData *extra,
                     const TableOptions *options, List **aggregates, LastOrder *order) {
  List *expressions =
      list_concat_copy(grouped_rel->reltarget->exprs, reinterpret_cast<List *>(extra->havingQual));
  List *found =
      pull_var_clause(reinterpret_cast<Node *>(expressions),
                      PVC_INCLUDE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_INCLUDE_PLACEHOLDERS);
  ListCell *cell;
  foreach (cell, found) {
    auto *node = static_cast<Node *>(lfirst(cell));
    if (IsA(node, PlaceHolderVar)) return false;
    if (!IsA(node, Aggref)) continue;
    LastOrder own;
    if (!MatchAggregate(reinterpret_cast<Aggref *>(node), options, &own)) return false;
    if (*aggregates != NIL && own != *order) return false;
    *order = own;
    *aggregates = lappend(*aggregates, node);
  }
  return *aggregates != NIL;
}

/// Whether the query is a GROUP BY of one table.
bool IsPlainGroupBy(const PlannerInfo *root, RelOptInfo *input_rel) {
  const Query *query = root->parse;
  return query->groupClause != NIL && query->groupingSets == NIL && !query->hasTargetSRFs &&
         query->rowMarks == NIL && input_rel->reloptkind == RELOPT_BASEREL &&
         input_rel->rtekind == RTE_RELATION && !IS_DUMMY_REL(input_rel) &&
         list_length(query->groupClause) <= kMaxSortColumns;
}

/// The rows a grouped query needs: keys and settings in `matched`, and the columns that keys and
/// aggregates use. nullptr when it is none for us.
PathTarget *MatchGroupBy(PlannerInfo *root, RelOptInfo *rel, const RelOptInfo *grouped_rel,
                         const GroupPathExtraData *extra, const TableOptions *options,
                         List **matched) {
  if (options->time_attribute == InvalidAttrNumber) return nullptr;
  PathTarget *target = create_empty_pathtarget();
  List *keys = NIL;
  ListCell *cell;
  foreach (cell, root->parse->groupClause) {
    const auto *clause = lfirst_node(SortGroupClause, cell);
    const AttrNumber key = KeyOf(clause, root->processed_tlist, rel->relid);
    if (key == InvalidAttrNumber || key == options->time_attribute) return nullptr;
    if (!list_member_int(keys, key)) keys = lappend_int(keys, key);
    add_column_to_pathtarget(target,
                             reinterpret_cast<Expr *>(get_sortgroupclause_expr(
                                 const_cast<SortGroupClause *>(clause), root->processed_tlist)),
                             clause->tleSortGroupRef);
  }
  List *aggregates = NIL;
  LastOrder order = LastOrder::kNewest;
  if (!MatchAggregates(grouped_rel, extra, options, &aggregates, &order)) return nullptr;
  List *columns = pull_var_clause(reinterpret_cast<Node *>(aggregates), PVC_RECURSE_AGGREGATES);
  add_new_columns_to_pathtarget(target, columns);
  set_pathtarget_cost_width(root, target);
  // last() passes rows without a time by, and so do max() and min().
  *matched = list_make2(keys, list_make3_int(options->time_attribute, static_cast<int>(order),
                                             static_cast<int>(LastNulls::kLast)));
  return target;
}

}  // namespace

void AddLastPath(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *distinct_rel,
                 const CustomPathMethods *methods) {
  if (!IsPlainDistinctOn(root, input_rel) || IS_DUMMY_REL(input_rel) ||
      input_rel->cheapest_total_path == nullptr || distinct_rel->pathlist == NIL)
    return;
  const RangeTblEntry *entry = planner_rt_fetch(input_rel->relid, root);
  if (!IsPlainTable(entry) || !IsTsextTable(entry->relid)) return;
  // An expression may be evaluated for fewer rows than DISTINCT would see, but not one whose
  // evaluations can be counted.
  List *expressions = ExpressionsOf(input_rel->cheapest_total_path->pathtarget, input_rel);
  if (contain_volatile_functions(reinterpret_cast<Node *>(expressions)) ||
      UsesSystemColumns(input_rel->relid, expressions))
    return;

  const double series = std::max(1.0, static_cast<Path *>(linitial(distinct_rel->pathlist))->rows);
  Relation relation = table_open(entry->relid, NoLock);
  const TableOptions *options = GetTableOptions(relation);
  List *matched = MatchQuery(root, input_rel, options);
  CustomPath *last = nullptr;
  if (matched != NIL)
    last = MakePath(root, input_rel, options, matched, input_rel->cheapest_total_path->pathtarget,
                    series, methods);
  table_close(relation, NoLock);
  if (last == nullptr) return;
  Path *path = &last->path;
  List *order = list_length(root->distinct_pathkeys) < list_length(root->sort_pathkeys)
                    ? root->sort_pathkeys
                    : root->distinct_pathkeys;
  if (order != NIL)
    path = reinterpret_cast<Path *>(create_sort_path(root, distinct_rel, path, order, -1.0));
  add_path(distinct_rel, path);
}

void AddLastGroupPath(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *grouped_rel,
                      const GroupPathExtraData *extra, const CustomPathMethods *methods) {
  if (!root->parse->hasAggs || !IsPlainGroupBy(root, input_rel)) return;
  if ((extra->flags & GROUPING_CAN_USE_HASH) == 0) return;
  const RangeTblEntry *entry = planner_rt_fetch(input_rel->relid, root);
  if (!IsPlainTable(entry) || !IsTsextTable(entry->relid)) return;
  Relation relation = table_open(entry->relid, NoLock);
  const TableOptions *options = GetTableOptions(relation);
  List *matched;
  PathTarget *target = MatchGroupBy(root, input_rel, grouped_rel, extra, options, &matched);
  CustomPath *last = nullptr;
  double series = 0;
  if (target != nullptr) {
    List *expressions = ExpressionsOf(target, input_rel);
    if (!contain_volatile_functions(reinterpret_cast<Node *>(expressions)) &&
        !UsesSystemColumns(input_rel->relid, expressions)) {
      List *keys = get_sortgrouplist_exprs(root->parse->groupClause, root->processed_tlist);
      series = estimate_num_groups(root, keys, input_rel->rows, nullptr, nullptr);
      last = MakePath(root, input_rel, options, matched, target, series, methods);
    }
  }
  table_close(relation, NoLock);
  if (last == nullptr) return;
  AggClauseCosts costs = {};
  get_agg_clause_costs(root, AGGSPLIT_SIMPLE, &costs);
  add_path(grouped_rel, reinterpret_cast<Path *>(create_agg_path(
                            root, grouped_rel, &last->path, grouped_rel->reltarget, AGG_HASHED,
                            AGGSPLIT_SIMPLE, root->parse->groupClause,
                            reinterpret_cast<List *>(extra->havingQual), &costs, series)));
}

Bitmapset *ReadAttributes(Index rel, List *expressions, TupleDesc descriptor, bool *uses_tid) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(expressions), rel, &used);
  const auto uses = [&](int attribute) {
    return bms_is_member(attribute - FirstLowInvalidHeapAttributeNumber, used);
  };
  if (uses_tid != nullptr) *uses_tid = uses(SelfItemPointerAttributeNumber);
  Bitmapset *attributes = nullptr;
  for (int attribute = 1; attribute <= descriptor->natts; attribute++) {
    if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) continue;
    if (uses(0) || uses(attribute)) attributes = bms_add_member(attributes, attribute);
  }
  return attributes;
}

}  // namespace tsext::pg
