#include "pg/exec/last.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/exec/last_path.hpp"
#include "pg/exec/last_search.hpp"

extern "C" {
#include "commands/explain.h"
#include "executor/executor.h"
#include "executor/nodeHash.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "optimizer/restrictinfo.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {

namespace {

create_upper_paths_hook_type previous_create_upper_paths = nullptr;

// ---- The plan ----

Node *CreateLastState(CustomScan *plan);

const CustomScanMethods kScanMethods = {"TsextLast", CreateLastState};

/// Whether a condition is about the keys alone, so that one test a series will do. It is then
/// tested before the others: only when that lets no function see what another should have hidden.
bool IsOnKeys(PlannerInfo *root, RestrictInfo *info, Index rel, List *keys, Index least_level) {
  auto *clause = reinterpret_cast<Node *>(info->clause);
  if (contain_subplans(clause)) return false;
  if (info->security_level > least_level && !info->leakproof) return false;
  Bitmapset *used = nullptr;
  pull_varattnos(clause, rel, &used);
  ListCell *cell;
  foreach (cell, keys)
    used = bms_del_member(used, lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber);
  return bms_is_empty(used);
}

Index LeastSecurityLevel(List *clauses) {
  Index least = UINT_MAX;
  ListCell *cell;
  foreach (cell, clauses) least = Min(least, lfirst_node(RestrictInfo, cell)->security_level);
  return least;
}

Plan *PlanLast(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *target, List *clauses,
               List *) {
  List *keys = static_cast<List *>(list_nth(path->custom_private, kLastKeys));
  const Index least_level = LeastSecurityLevel(clauses);
  List *quals = NIL;
  List *on_keys = NIL;
  ListCell *cell;
  foreach (cell, clauses) {
    auto *info = lfirst_node(RestrictInfo, cell);
    if (info->pseudoconstant) continue;
    quals = lappend(quals, info->clause);
    on_keys = lappend_int(on_keys, IsOnKeys(root, info, rel->relid, keys, least_level) ? 1 : 0);
  }
  List *on_vectors;
  List *left;
  List *reasons;
  Enter([&] { SplitQuals(root, rel->relid, clauses, &on_vectors, &left, &reasons); });

  CustomScan *plan = makeNode(CustomScan);
  plan->scan.plan.targetlist = target;
  plan->scan.plan.qual = quals;
  plan->scan.scanrelid = rel->relid;
  plan->flags = path->flags;
  plan->custom_exprs = on_vectors;
  plan->custom_private = list_make3(keys, list_nth(path->custom_private, kLastSettings), on_keys);
  plan->methods = &kScanMethods;
  return &plan->scan.plan;
}

const CustomPathMethods kPathMethods = {"TsextLast", PlanLast, nullptr};

void CreateUpperPaths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input_rel,
                      RelOptInfo *output_rel, void *extra) {
  if (previous_create_upper_paths != nullptr)
    previous_create_upper_paths(root, stage, input_rel, output_rel, extra);
  if (stage == UPPERREL_DISTINCT && enable_last)
    Enter([&] { AddLastPath(root, input_rel, output_rel, &kPathMethods); });
  if (stage == UPPERREL_GROUP_AGG && enable_last && extra != nullptr)
    Enter([&] {
      AddLastGroupPath(root, input_rel, output_rel, static_cast<GroupPathExtraData *>(extra),
                       &kPathMethods);
    });
}

// ---- The node at work ----

/// Plain data in the query's memory context.
struct LastState {
  CustomScanState custom;
  LastQuery query;
  LastSearch *search;  // nullptr until the first row
  uint64_t filtered;
};

List *PrivateList(const CustomScan *plan, LastPrivate index) {
  return static_cast<List *>(list_nth(plan->custom_private, index));
}

void SetUpQuals(LastState *node, const CustomScan *plan) {
  List *on_keys = NIL;
  List *on_rows = NIL;
  ListCell *qual;
  ListCell *is_on_keys;
  forboth(qual, plan->scan.plan.qual, is_on_keys, PrivateList(plan, kLastOnKeys)) {
    if (lfirst_int(is_on_keys) != 0)
      on_keys = lappend(on_keys, lfirst(qual));
    else
      on_rows = lappend(on_rows, lfirst(qual));
  }
  PlanState *parent = &node->custom.ss.ps;
  LastQuery *query = &node->query;
  query->key_quals = ExecInitQual(on_keys, parent);
  query->row_quals = on_keys == NIL ? parent->qual : ExecInitQual(on_rows, parent);
  TupleDesc descriptor = RelationGetDescr(query->relation);
  const Index rel = plan->scan.scanrelid;
  query->quals_read = ReadAttributes(rel, on_rows, descriptor, &query->reads_tids);
  query->all_quals_read = ReadAttributes(rel, plan->scan.plan.qual, descriptor, nullptr);
}

void BeginLast(CustomScanState *state, EState *, int) {
  Enter([&] {
    auto *node = reinterpret_cast<LastState *>(state);
    const auto *plan = reinterpret_cast<const CustomScan *>(state->ss.ps.plan);
    LastQuery *query = &node->query;
    query->relation = state->ss.ss_currentRelation;
    ListCell *cell;
    foreach (cell, PrivateList(plan, kLastKeys))
      query->keys[query->key_count++] = static_cast<AttrNumber>(lfirst_int(cell));
    const List *settings = PrivateList(plan, kLastSettings);
    query->time_attribute = static_cast<AttrNumber>(linitial_int(settings));
    query->order = static_cast<LastOrder>(lsecond_int(settings));
    query->nulls = static_cast<LastNulls>(lthird_int(settings));
    query->time_type = getBaseType(
        TupleDescAttr(RelationGetDescr(query->relation), query->time_attribute - 1)->atttypid);
    SetUpQuals(node, plan);
    query->output = ReadAttributes(plan->scan.scanrelid, plan->scan.plan.targetlist,
                                   RelationGetDescr(query->relation), nullptr);
    if (plan->custom_exprs != NIL)
      query->filters = MakeVectorFilters(plan->custom_exprs, plan->scan.scanrelid, query->relation,
                                         &state->ss.ps);
  });
}

bool NextLast(LastState *node) {
  EState *estate = node->custom.ss.ps.state;
  ExprContext *context = node->custom.ss.ps.ps_ExprContext;
  if (node->search == nullptr)
    node->search = LastSearchBegin(&node->query, estate->es_snapshot, get_hash_memory_limit(),
                                   estate->es_query_cxt);
  const bool found = LastSearchNext(node->search, context, node->custom.ss.ss_ScanTupleSlot);
  const uint64_t filtered = LastSearchCount(node->search).rows_filtered;
  InstrCountFiltered1(&node->custom.ss, filtered - node->filtered);
  node->filtered = filtered;
  return found;
}

TupleTableSlot *ExecuteLast(CustomScanState *state) {
  auto *node = reinterpret_cast<LastState *>(state);
  ExprContext *context = state->ss.ps.ps_ExprContext;
  ResetExprContext(context);
  ProjectionInfo *projection = state->ss.ps.ps_ProjInfo;
  if (!Enter([&] { return NextLast(node); }))
    return ExecClearTuple(projection != nullptr ? projection->pi_state.resultslot
                                                : state->ss.ss_ScanTupleSlot);
  context->ecxt_scantuple = state->ss.ss_ScanTupleSlot;
  return projection != nullptr ? ExecProject(projection) : state->ss.ss_ScanTupleSlot;
}

void EndLast(CustomScanState *state) {
  auto *node = reinterpret_cast<LastState *>(state);
  if (node->search != nullptr) LastSearchEnd(node->search);
  node->search = nullptr;
}

void RescanLast(CustomScanState *state) {
  auto *node = reinterpret_cast<LastState *>(state);
  ExecClearTuple(state->ss.ss_ScanTupleSlot);
  if (node->search != nullptr) LastSearchRescan(node->search, state->ss.ps.chgParam == nullptr);
}

void ExplainCounters(const LastCounters &counters, ExplainState *explain) {
  const auto show = [&](const char *name, uint64_t value) {
    ExplainPropertyUInteger(name, nullptr, value, explain);
  };
  show("Series", counters.series);
  show("Segments", counters.segments);
  show("Segments Skipped", counters.segments_skipped);
  show("Vectors", counters.vectors);
  show("Vectors Skipped", counters.vectors - counters.vectors_read);
  show("Hot Rows", counters.hot_rows);
  if (counters.passes > 1) show("Passes", counters.passes);
}

void ExplainLast(CustomScanState *state, List *, ExplainState *explain) {
  const auto *node = reinterpret_cast<const LastState *>(state);
  TupleDesc descriptor = RelationGetDescr(node->query.relation);
  const auto name = [&](AttrNumber attribute) {
    return NameStr(TupleDescAttr(descriptor, attribute - 1)->attname);
  };
  List *names = NIL;
  for (int i = 0; i < node->query.key_count; i++) names = lappend(names, name(node->query.keys[i]));
  ExplainPropertyList("Series Key", names, explain);
  const char *row = node->query.order == LastOrder::kNewest ? "newest" : "oldest";
  ExplainPropertyText("Row", psprintf("%s by %s", row, name(node->query.time_attribute)), explain);
  if (explain->analyze && node->search != nullptr)
    ExplainCounters(LastSearchCount(node->search), explain);
}

const CustomExecMethods kExecMethods = {
    "TsextLast",  // CustomName
    BeginLast,   ExecuteLast, EndLast, RescanLast,
    nullptr,  // MarkPosCustomScan
    nullptr,  // RestrPosCustomScan
    nullptr,  // EstimateDSMCustomScan
    nullptr,  // InitializeDSMCustomScan
    nullptr,  // ReInitializeDSMCustomScan
    nullptr,  // InitializeWorkerCustomScan
    nullptr,  // ShutdownCustomScan
    ExplainLast,
};

Node *CreateLastState(CustomScan *) {
  auto *node = static_cast<LastState *>(palloc0(sizeof(LastState)));
  NodeSetTag(node, T_CustomScanState);
  node->custom.methods = &kExecMethods;
  return reinterpret_cast<Node *>(node);
}

}  // namespace

void InitLast() {
  RegisterCustomScanMethods(&kScanMethods);
  previous_create_upper_paths = create_upper_paths_hook;
  create_upper_paths_hook = CreateUpperPaths;
}

}  // namespace tsext::pg
