// Which queries TsextAggregate answers, and what that costs.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/aggregate.hpp"
#include "pg/exec/aggregate_function.hpp"
#include "pg/exec/aggregate_key.hpp"
#include "pg/exec/cost.hpp"
#include "pg/exec/monotone.hpp"

extern "C" {
#include "access/table.h"
#include "executor/nodeHash.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/selfuncs.h"
#include "utils/typcache.h"
}

namespace tsext::pg {

namespace {

create_upper_paths_hook_type previous_create_upper_paths = nullptr;

// Of one value that an aggregate takes in, and of a run of rows whose group is looked up: about
// 0.3 ns and 50 ns on the scale of cost.hpp.
constexpr double kValueShare = 1.0 / 40;
constexpr double kRunShare = 4;
// Of a segment whose footer is enough, once it is in the session's cache: 1 µs.
constexpr double kFooterShare = 80;
// How much dearer it is to visit vectors by their times.
constexpr double kOrderedShare = 1.5;
// Limits up to this let rows be passed by that belong to later buckets.
constexpr int64_t kMostLimited = 1000;
// Bytes of a group besides its key and states.
constexpr double kGroupOverhead = 32;
constexpr double kStateBytes = 48;

/// What the node computes: grouping expressions and the aggregates above them.
struct Grouping {
  List *keys;        // Expr
  List *aggregates;  // Aggref, distinct
  List *clauses;     // SortGroupClause of the keys
};

/// Whether everything in `node` can be computed from keys and aggregates alone.
bool IsComputable(Node *node, List *keys) {
  struct Context {
    List *keys;
  } context{keys};
  struct Walker {
    static bool HasOther(Node *inner, void *argument) {
      if (inner == nullptr) return false;
      auto *keys = static_cast<Context *>(argument)->keys;
      if (IsA(inner, Aggref) || list_member(keys, inner)) return false;
      if (IsA(inner, Var) || IsA(inner, PlaceHolderVar) || IsA(inner, GroupingFunc) ||
          IsA(inner, WindowFunc))
        return true;
      return expression_tree_walker(
          inner, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(HasOther)), argument);
    }
  };
  return !Walker::HasOther(node, &context);
}

/// Collects the aggregates of `node`. False when one of them is not ours.
bool CollectAggregates(Node *node, List **aggregates) {
  List *found = pull_var_clause(
      node, PVC_INCLUDE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS | PVC_INCLUDE_PLACEHOLDERS);
  ListCell *cell;
  foreach (cell, found) {
    auto *item = static_cast<Node *>(lfirst(cell));
    if (!IsA(item, Aggref)) continue;
    if (!IsAggregateSupported(reinterpret_cast<Aggref *>(item))) return false;
    *aggregates = list_append_unique(*aggregates, item);
  }
  return true;
}

/// The keys named by `clauses`, all of which must be groupable.
bool CollectKeys(List *clauses, List *targets, Grouping *grouping) {
  if (list_length(clauses) > kMaxKeys) return false;
  ListCell *cell;
  foreach (cell, clauses) {
    auto *clause = lfirst_node(SortGroupClause, cell);
    Node *key = get_sortgroupclause_expr(clause, targets);
    if (!IsGroupable(exprType(key), clause->eqop)) return false;
    if (contain_volatile_functions(key) || contain_subplans(key)) return false;
    if (contain_agg_clause(key)) return false;
    grouping->keys = lappend(grouping->keys, key);
    grouping->clauses = lappend(grouping->clauses, clause);
  }
  return true;
}

/// A TsextScan among `paths`, below the projections that the planner has put over it.
CustomPath *FindScanPath(List *paths) {
  CustomPath *found = nullptr;
  ListCell *cell;
  foreach (cell, paths) {
    auto *path = static_cast<Path *>(lfirst(cell));
    while (IsA(path, ProjectionPath)) path = reinterpret_cast<ProjectionPath *>(path)->subpath;
    if (!IsA(path, CustomPath) || path->param_info != nullptr) continue;
    auto *custom = reinterpret_cast<CustomPath *>(path);
    if (strcmp(custom->methods->CustomName, "TsextScan") != 0) continue;
    if (found == nullptr || path->pathkeys == NIL) found = custom;
  }
  return found;
}

/// Whether clauses can be left to the child, and be asked again should it be scanned again.
bool AreClausesPlain(const RelOptInfo *rel) {
  ListCell *cell;
  foreach (cell, rel->baserestrictinfo) {
    auto *clause = lfirst_node(RestrictInfo, cell);
    if (clause->pseudoconstant) return false;  // a Result node would come between
    if (contain_volatile_functions(reinterpret_cast<Node *>(clause->clause))) return false;
  }
  return true;
}

/// The columns that keys and aggregates use; false when there is one the scan does not give.
bool CollectColumns(const Grouping &grouping, List **columns) {
  List *found = list_concat(
      pull_var_clause(reinterpret_cast<Node *>(grouping.keys), PVC_INCLUDE_PLACEHOLDERS),
      pull_var_clause(reinterpret_cast<Node *>(grouping.aggregates),
                      PVC_RECURSE_AGGREGATES | PVC_INCLUDE_PLACEHOLDERS));
  ListCell *cell;
  foreach (cell, found) {
    auto *node = static_cast<Node *>(lfirst(cell));
    if (!IsA(node, Var) || reinterpret_cast<Var *>(node)->varattno <= 0) return false;
    *columns = list_append_unique(*columns, node);
  }
  return true;
}

/// The scan below us gives the columns as they are.
CustomPath *MakeChild(const CustomPath *scan, List *columns) {
  CustomPath *child = makeNode(CustomPath);
  *child = *scan;
  child->path.pathtarget = create_empty_pathtarget();
  add_new_columns_to_pathtarget(child->path.pathtarget, columns);
  child->path.pathkeys = NIL;
  return child;
}

struct AggregateCost {
  Cost startup, run;  // `run`: of the rows, without giving out groups
};

/// Whether footers of whole segments can answer it.
bool IsInFooters(const Aggref *aggregate) {
  if (aggregate->aggfilter != nullptr) return false;
  ListCell *cell;
  foreach (cell, aggregate->args)
    if (!IsA(lfirst_node(TargetEntry, cell)->expr, Var)) return false;
  const AggregateFunction function = GetAggregateFunction(aggregate);
  switch (function.kind) {
    case TransitionKind::kGeneric:
    case TransitionKind::kCountDistinct:
    case TransitionKind::kIntegerMoments:
      return false;
    case TransitionKind::kRealMoments:
      return function.final == F_FLOAT8_AVG;
    default:
      return true;
  }
}

/// Whether only the footers of segments will be read, beside the hot rows.
bool IsAnsweredByFooters(const RelOptInfo *rel, const Grouping &grouping) {
  if (grouping.keys != NIL || rel->baserestrictinfo != NIL) return false;
  ListCell *cell;
  foreach (cell, grouping.aggregates)
    if (!IsInFooters(lfirst_node(Aggref, cell))) return false;
  return true;
}

/// Groups, where keys are buckets of the table's time: by the range of time that there is, since
/// the planner knows the number of different times only.
double EstimateGroups(PlannerInfo *root, RelOptInfo *rel, const Grouping &grouping) {
  if (grouping.keys == NIL) return 1;
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  const AttrNumber time_attribute = GetTableOptions(relation)->time_attribute;
  const StoreTotal total = CachedStoreTotal(relation->rd_rel->reltoastrelid);
  table_close(relation, NoLock);
  List *others = NIL;
  double buckets = 1;
  ListCell *cell;
  foreach (cell, grouping.keys) {
    auto *key = static_cast<Expr *>(lfirst(cell));
    Monotone monotone;
    if (total.rows > 0 && IsMonotone(key, &monotone) && monotone.column == time_attribute &&
        monotone.typical_width > 0) {
      const ScanWork work =
          EstimateScanWork(root, rel, rel->baserestrictinfo, rel->baserestrictinfo, 1);
      const double range = static_cast<double>(total.tmax) - static_cast<double>(total.tmin);
      buckets *= std::max(range, 0.0) * work.time_share / monotone.typical_width + 1;
    } else {
      others = lappend(others, key);
    }
  }
  const double groups =
      others == NIL ? 1 : estimate_num_groups(root, others, rel->rows, nullptr, nullptr);
  return clamp_row_est(std::min(groups * buckets, rel->rows));
}

/// serial_scan: the child's path without workers, which gives its rows one by one: batches of them
/// are not dearer.
AggregateCost EstimateCost(PlannerInfo *root, RelOptInfo *rel, const Path &serial_scan,
                           const Grouping &grouping, List *columns, double groups) {
  const ScanWork work = EstimateScanWork(root, rel, rel->baserestrictinfo, rel->baserestrictinfo,
                                         list_length(columns));
  const ScanCost scan = EstimateScanCost(root, rel, work);
  const double values = scan.rows * (list_length(grouping.aggregates) + list_length(grouping.keys));
  const double runs =
      grouping.keys == NIL ? 0 : std::min(scan.rows, std::max(groups, scan.rows / 100));
  AggregateCost cost{};
  cost.startup = scan.startup + cpu_operator_cost * 10;
  if (IsAnsweredByFooters(rel, grouping)) {
    cost.run = scan.hot + scan.segments_met * cpu_operator_cost * kFooterShare;
    return cost;
  }
  cost.run = std::min(scan.cold + scan.hot, serial_scan.total_cost - serial_scan.startup_cost) +
             cpu_operator_cost * (values * kValueShare + runs * kRunShare);
  return cost;
}

bool FitsMemory(const Grouping &grouping, double groups) {
  double width = kGroupOverhead + kStateBytes * list_length(grouping.aggregates);
  ListCell *cell;
  foreach (cell, grouping.keys) {
    auto *key = static_cast<Node *>(lfirst(cell));
    width += 8 + get_typavgwidth(exprType(key), exprTypmod(key));
  }
  return groups * width <= static_cast<double>(get_hash_memory_limit());
}

List *MakeScanTargets(List *items) {
  List *targets = NIL;
  ListCell *cell;
  foreach (cell, items) {
    auto *item = static_cast<Expr *>(copyObjectImpl(lfirst(cell)));
    targets = lappend(
        targets,
        makeTargetEntry(item, static_cast<AttrNumber>(list_length(targets) + 1), nullptr, false));
  }
  return targets;
}

Plan *PlanAggregate(PlannerInfo *, RelOptInfo *, CustomPath *path, List *targets, List *,
                    List *children) {
  CustomScan *plan = makeNode(CustomScan);
  plan->scan.plan.targetlist = targets;
  plan->scan.plan.qual = static_cast<List *>(lfourth(path->custom_private));
  plan->scan.scanrelid = 0;
  plan->flags = path->flags;
  plan->custom_plans = children;
  plan->custom_scan_tlist = MakeScanTargets(static_cast<List *>(lthird(path->custom_private)));
  plan->custom_private = list_make3(linitial(path->custom_private), lsecond(path->custom_private),
                                    list_nth(path->custom_private, 4));
  plan->methods = &kAggregateScanMethods;
  return &plan->scan.plan;
}

const CustomPathMethods kPathMethods = {"TsextAggregate", PlanAggregate, nullptr};

/// custom_private of the path: flags, number of keys, the items of custom_scan_tlist, HAVING, the
/// number of groups asked for.
CustomPath *MakePath(RelOptInfo *parent, PathTarget *target, CustomPath *child, int flags,
                     List *keys, List *items, List *having, double groups) {
  CustomPath *path = makeNode(CustomPath);
  path->path.pathtype = T_CustomScan;
  path->path.parent = parent;
  path->path.pathtarget = target;
  path->path.parallel_safe = child->path.parallel_safe;
  path->path.rows = groups;
  path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
  path->custom_paths = list_make1(child);
  path->custom_private =
      list_make5(makeInteger(flags), makeInteger(list_length(keys)), items, having, makeInteger(0));
  path->methods = &kPathMethods;
  return path;
}

/// Of giving out the groups: the target's expressions and HAVING.
Cost OutputCost(PlannerInfo *root, const PathTarget *target, List *having, double groups) {
  QualCost qual;
  cost_qual_eval(&qual, having, root);
  return (cpu_tuple_cost + target->cost.per_tuple + qual.per_tuple) * groups;
}

void AddSerialPath(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output, PathTarget *target,
                   const Grouping &grouping, List *columns, List *having, double groups) {
  const CustomPath *scan = FindScanPath(input->pathlist);
  if (scan == nullptr) return;
  const AggregateCost cost = EstimateCost(root, input, scan->path, grouping, columns, groups);
  CustomPath *path = MakePath(output, target, MakeChild(scan, columns), 0, grouping.keys,
                              list_concat_copy(grouping.keys, grouping.aggregates), having, groups);
  path->path.startup_cost = cost.startup + cost.run;
  path->path.total_cost = path->path.startup_cost + OutputCost(root, target, having, groups);
  add_path(output, &path->path);
}

/// Which way of time the query wants its buckets in, when they are its only key and their order is
/// all it asks for; 0: something else.
int FindBucketOrder(PlannerInfo *root, const RelOptInfo *rel, const Grouping &grouping) {
  const Query *query = root->parse;
  if (list_length(grouping.keys) != 1 || list_length(query->sortClause) != 1 ||
      list_length(root->sort_pathkeys) != 1)
    return 0;
  const auto *sort = linitial_node(SortGroupClause, query->sortClause);
  if (sort->tleSortGroupRef != linitial_node(SortGroupClause, grouping.clauses)->tleSortGroupRef)
    return 0;
  Monotone monotone;
  if (!IsMonotone(static_cast<Expr *>(linitial(grouping.keys)), &monotone) || monotone.width == 0)
    return 0;
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  const AttrNumber time_attribute = GetTableOptions(relation)->time_attribute;
  const bool is_not_null =
      time_attribute != InvalidAttrNumber &&
      TupleDescAttr(RelationGetDescr(relation), time_attribute - 1)->attnotnull;
  table_close(relation, NoLock);
  if (monotone.column != time_attribute || !is_not_null) return 0;
  const TypeCacheEntry *type = lookup_type_cache(
      exprType(static_cast<Node *>(linitial(grouping.keys))), TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);
  if (sort->sortop == type->gt_opr) return kAggregateNewestFirst;
  return sort->sortop == type->lt_opr ? kAggregateOldestFirst : 0;
}

/// How many groups LIMIT and OFFSET let pass; 0 when that is not known, or too many.
int FindLimit(const Query *query) {
  if (query->distinctClause != NIL || query->hasWindowFuncs ||
      query->limitOption != LIMIT_OPTION_COUNT)
    return 0;
  int64_t sum = 0;
  for (const Node *node : {query->limitCount, query->limitOffset}) {
    if (node == nullptr) continue;
    if (!IsA(node, Const)) return 0;
    const auto *constant = reinterpret_cast<const Const *>(node);
    if (constant->constisnull) return 0;
    const int64_t value = DatumGetInt64(constant->constvalue);
    if (value < 0 || value > kMostLimited) return 0;
    sum += value;
  }
  return sum > kMostLimited ? 0 : static_cast<int>(sum);
}

/// Buckets in the order of time, each given out as soon as it is complete: a LIMIT above ends it
/// early.
void AddOrderedPath(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output,
                    const Grouping &grouping, List *columns, List *having, double groups) {
  if (root->parse->limitCount == nullptr) return;
  const int order = FindBucketOrder(root, input, grouping);
  const CustomPath *scan = FindScanPath(input->pathlist);
  if (order == 0 || scan == nullptr) return;
  const AggregateCost cost = EstimateCost(root, input, scan->path, grouping, columns, groups);
  CustomPath *path =
      MakePath(output, output->reltarget, MakeChild(scan, columns), order, grouping.keys,
               list_concat_copy(grouping.keys, grouping.aggregates), having, groups);
  path->path.pathkeys = root->sort_pathkeys;
  llast(path->custom_private) = makeInteger(having == NIL ? FindLimit(root->parse) : 0);
  path->path.startup_cost = cost.startup;
  path->path.total_cost =
      cost.startup + cost.run * kOrderedShare + OutputCost(root, output->reltarget, having, groups);
  add_path(output, &path->path);
}

/// Workers aggregate their share, a final Agg of PostgreSQL combines.
void AddParallelPath(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output,
                     const Grouping &grouping, List *columns, GroupPathExtraData *extra,
                     double groups) {
  if (!output->consider_parallel || (extra->flags & GROUPING_CAN_PARTIAL_AGG) == 0) return;
  const CustomPath *scan = FindScanPath(input->partial_pathlist);
  const CustomPath *serial = FindScanPath(input->pathlist);
  if (scan == nullptr || serial == nullptr || scan->path.parallel_workers == 0) return;
  RelOptInfo *partial = fetch_upper_rel(root, UPPERREL_PARTIAL_GROUP_AGG, nullptr);
  if (partial->reltarget->exprs == NIL || !partial->consider_parallel) return;

  Grouping part = grouping;
  part.aggregates = NIL;
  if (!CollectAggregates(reinterpret_cast<Node *>(partial->reltarget->exprs), &part.aggregates) ||
      !IsComputable(reinterpret_cast<Node *>(partial->reltarget->exprs), grouping.keys))
    return;
  const AggregateCost cost = EstimateCost(root, input, serial->path, grouping, columns, groups);
  const int workers = scan->path.parallel_workers;
  CustomPath *path =
      MakePath(partial, partial->reltarget, MakeChild(scan, columns), kAggregatePartial, part.keys,
               list_concat_copy(part.keys, part.aggregates), NIL, groups);
  path->path.parallel_safe = true;
  path->path.parallel_workers = workers;
  path->path.startup_cost = cost.startup + cost.run / ParallelDivisor(workers);
  path->path.total_cost =
      path->path.startup_cost + OutputCost(root, partial->reltarget, NIL, groups);

  double rows = groups * workers;
  auto *gather = reinterpret_cast<Path *>(
      create_gather_path(root, partial, &path->path, partial->reltarget, nullptr, &rows));
  const AggStrategy strategy = grouping.keys == NIL ? AGG_PLAIN : AGG_HASHED;
  if (strategy == AGG_HASHED && (extra->flags & GROUPING_CAN_USE_HASH) == 0) return;
  add_path(output, reinterpret_cast<Path *>(create_agg_path(
                       root, output, gather, output->reltarget, strategy, AGGSPLIT_FINAL_DESERIAL,
                       root->parse->groupClause, reinterpret_cast<List *>(extra->havingQual),
                       &extra->agg_final_costs, groups)));
}

/// Whether the input is one plain table whose rows TsextScan gives.
bool IsPlainInput(PlannerInfo *root, RelOptInfo *input) {
  return input->reloptkind == RELOPT_BASEREL && input->rtekind == RTE_RELATION &&
         !root->parse->hasTargetSRFs && root->parse->rowMarks == NIL && !IS_DUMMY_REL(input) &&
         FindScanPath(input->pathlist) != nullptr && AreClausesPlain(input);
}

void AddGroupPaths(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output,
                   GroupPathExtraData *extra) {
  const Query *query = root->parse;
  if (query->groupingSets != NIL || !IsPlainInput(root, input)) return;
  Grouping grouping{};
  auto *having = reinterpret_cast<List *>(extra->havingQual);
  auto *targets = reinterpret_cast<Node *>(output->reltarget->exprs);
  List *columns = NIL;
  if (!CollectKeys(query->groupClause, root->processed_tlist, &grouping) ||
      !IsComputable(targets, grouping.keys) ||
      !IsComputable(reinterpret_cast<Node *>(having), grouping.keys) ||
      !CollectAggregates(targets, &grouping.aggregates) ||
      !CollectAggregates(reinterpret_cast<Node *>(having), &grouping.aggregates) ||
      !CollectColumns(grouping, &columns))
    return;
  const double groups = EstimateGroups(root, input, grouping);
  AddOrderedPath(root, input, output, grouping, columns, having, groups);
  if (!FitsMemory(grouping, groups)) return;
  AddSerialPath(root, input, output, output->reltarget, grouping, columns, having, groups);
  AddParallelPath(root, input, output, grouping, columns, extra, groups);
}

void AddDistinctPaths(PlannerInfo *root, RelOptInfo *input, RelOptInfo *output) {
  const Query *query = root->parse;
  if (query->hasDistinctOn || !IsPlainInput(root, input)) return;
  PathTarget *target = input->cheapest_total_path->pathtarget;
  Grouping grouping{};
  List *columns = NIL;
  if (!CollectKeys(query->distinctClause, root->processed_tlist, &grouping) ||
      grouping.keys == NIL ||
      !IsComputable(reinterpret_cast<Node *>(target->exprs), grouping.keys) ||
      !CollectColumns(grouping, &columns))
    return;
  const double groups = EstimateGroups(root, input, grouping);
  if (!FitsMemory(grouping, groups)) return;
  AddSerialPath(root, input, output, target, grouping, columns, NIL, groups);
}

void CreateUpperPaths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input,
                      RelOptInfo *output, void *extra) {
  if (previous_create_upper_paths != nullptr)
    previous_create_upper_paths(root, stage, input, output, extra);
  if (!enable_aggregate) return;
  if (stage == UPPERREL_GROUP_AGG && extra != nullptr)
    Enter([&] { AddGroupPaths(root, input, output, static_cast<GroupPathExtraData *>(extra)); });
  if (stage == UPPERREL_DISTINCT) Enter([&] { AddDistinctPaths(root, input, output); });
}

}  // namespace

void InitAggregate() {
  RegisterCustomScanMethods(&kAggregateScanMethods);
  previous_create_upper_paths = create_upper_paths_hook;
  create_upper_paths_hook = CreateUpperPaths;
}

}  // namespace tsext::pg
