#include "pg/exec/aggregate.hpp"

#include "pg/base/boundary.hpp"
#include "pg/exec/aggregator.hpp"

extern "C" {
#include "commands/explain.h"
#include "executor/executor.h"
#include "utils/ruleutils.h"
}

namespace tsext::pg {

namespace {

Node *CreateAggregateState(CustomScan *plan);

/// Plain data in the query's memory context.
struct AggregateState {
  CustomScanState custom;
  CustomScanState *child;
  MemoryContext context;
  Aggregator *aggregator;
};

AggregateState *StateOf(CustomScanState *state) {
  return reinterpret_cast<AggregateState *>(state);
}

void BeginAggregate(CustomScanState *state, EState *estate, int flags) {
  AggregateState *node = StateOf(state);
  auto *plan = castNode(CustomScan, state->ss.ps.plan);
  // Passes over the child in pieces need it to be rescanned.
  PlanState *child = ExecInitNode(static_cast<Plan *>(linitial(plan->custom_plans)), estate,
                                  flags & ~(EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK));
  state->custom_ps = list_make1(child);
  node->child = castNode(CustomScanState, child);
  node->context =
      AllocSetContextCreate(estate->es_query_cxt, "TsextAggregate", ALLOCSET_DEFAULT_SIZES);
  const int mode = intVal(linitial(plan->custom_private));
  const int keys = intVal(lsecond(plan->custom_private));
  const int limit = intVal(lthird(plan->custom_private));
  Enter([&] {
    node->aggregator = New<Aggregator>(node->context, node->child, plan->custom_scan_tlist, keys,
                                       mode, limit, node->context);
    node->aggregator->UseFooters();
  });
}

TupleTableSlot *ExecuteAggregate(CustomScanState *state) {
  AggregateState *node = StateOf(state);
  ExprContext *context = state->ss.ps.ps_ExprContext;
  TupleTableSlot *slot = state->ss.ss_ScanTupleSlot;
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    ResetExprContext(context);
    MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
    const bool found = Enter([&] { return node->aggregator->Next(slot); });
    MemoryContextSwitchTo(old);
    if (!found) return nullptr;
    context->ecxt_scantuple = slot;
    if (!ExecQual(state->ss.ps.qual, context)) {
      InstrCountFiltered1(&state->ss.ps, 1);
      continue;
    }
    return state->ss.ps.ps_ProjInfo != nullptr ? ExecProject(state->ss.ps.ps_ProjInfo) : slot;
  }
}

void EndAggregate(CustomScanState *state) {
  AggregateState *node = StateOf(state);
  if (node->context != nullptr) MemoryContextDelete(node->context);
  ExecEndNode(&node->child->ss.ps);
}

void RescanAggregate(CustomScanState *state) {
  AggregateState *node = StateOf(state);
  PlanState *child = &node->child->ss.ps;
  if (state->ss.ps.chgParam != nullptr) UpdateChangedParamSet(child, state->ss.ps.chgParam);
  // The child is asked for batches, not through ExecProcNode(), which would do it late.
  ExecReScan(child);
  Enter([&] { node->aggregator->Rescan(); });
}

List *Deparse(List *items, int begin, int end, CustomScanState *state, List *ancestors,
              ExplainState *explain) {
  List *context = set_deparse_context_plan(explain->deparse_cxt, state->ss.ps.plan, ancestors);
  const bool with_prefix = list_length(explain->rtable) > 1 || explain->verbose;
  List *texts = NIL;
  for (int i = begin; i < end; i++) {
    auto *item = static_cast<TargetEntry *>(list_nth(items, i));
    texts = lappend(texts, deparse_expression(reinterpret_cast<Node *>(item->expr), context,
                                              with_prefix, false));
  }
  return texts;
}

void ExplainAggregate(CustomScanState *state, List *ancestors, ExplainState *explain) {
  AggregateState *node = StateOf(state);
  auto *plan = castNode(CustomScan, state->ss.ps.plan);
  const int keys = intVal(lsecond(plan->custom_private));
  List *items = plan->custom_scan_tlist;
  if (keys > 0) {
    ExplainPropertyList("Group Key", Deparse(items, 0, keys, state, ancestors, explain), explain);
    List *methods = NIL;
    for (int i = 0; i < keys; i++)
      methods = lappend(methods, const_cast<char *>(node->aggregator->key(i).Method()));
    ExplainPropertyList("Grouping", methods, explain);
  }
  const int mode = intVal(linitial(plan->custom_private));
  if ((mode & kAggregateNewestFirst) != 0) ExplainPropertyText("Order", "newest first", explain);
  if ((mode & kAggregateOldestFirst) != 0) ExplainPropertyText("Order", "oldest first", explain);
  if (list_length(items) > keys)
    ExplainPropertyList(
        "Aggregates", Deparse(items, keys, list_length(items), state, ancestors, explain), explain);
  if (!explain->analyze) return;
  const AggregateCounters &counters = node->aggregator->counters();
  if (keys > 0) {
    ExplainPropertyUInteger("Groups", nullptr, counters.groups, explain);
    ExplainPropertyUInteger("Runs", nullptr, counters.runs, explain);
    ExplainPropertyUInteger("Memory Usage", "kB", counters.memory_bytes / 1024, explain);
  }
  if (counters.row_by_row > 0)
    ExplainPropertyUInteger("Rows Evaluated Singly", nullptr, counters.row_by_row, explain);
  if (counters.passes > 1) ExplainPropertyUInteger("Passes", nullptr, counters.passes, explain);
}

const CustomExecMethods kExecMethods = {
    "TsextAggregate", BeginAggregate, ExecuteAggregate, EndAggregate, RescanAggregate,
    nullptr,  // MarkPosCustomScan
    nullptr,  // RestrPosCustomScan
    nullptr,  // EstimateDSMCustomScan: the child shares what is shared
    nullptr,  // InitializeDSMCustomScan
    nullptr,  // ReInitializeDSMCustomScan
    nullptr,  // InitializeWorkerCustomScan
    nullptr,  // ShutdownCustomScan
    ExplainAggregate,
};

Node *CreateAggregateState(CustomScan *) {
  auto *node = static_cast<AggregateState *>(palloc0(sizeof(AggregateState)));
  NodeSetTag(node, T_CustomScanState);
  node->custom.methods = &kExecMethods;
  return reinterpret_cast<Node *>(node);
}

}  // namespace

const CustomScanMethods kAggregateScanMethods = {"TsextAggregate", CreateAggregateState};

}  // namespace tsext::pg
