// INSERT … SELECT through segments: the node TsextInsert stands above the ModifyTable node of a
// finished plan. When the table may be written in bulk it takes the rows from below ModifyTable and
// does what ModifyTable would do with them; otherwise it runs ModifyTable. The choice is made at
// execution, so cached plans stay right.

#include "pg/table/bulk_insert.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"
#include "pg/table/bulk_writer.hpp"

extern "C" {
#include "commands/explain.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "nodes/extensible.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
}

namespace tsext::pg {
namespace {

// A source that is expected to give fewer rows goes the usual way. When the estimate is wrong the
// rows still end in the right place: few in the hot heap, many in the hot heap until compaction.
constexpr double kLeastPlanRows = 1000;

planner_hook_type next_planner = nullptr;

struct InsertState {
  CustomScanState custom;  // first: the executor casts
  ModifyTableState *modify;
  bool is_bulk;
  bool is_done;
};

// ---------------------------------------------------------------------------------------------
// Execution

/// Whether the source's columns are the table's, one for one.
bool OutputFits(Relation relation, const Plan *source) {
  const TupleDesc descriptor = RelationGetDescr(relation);
  int count = 0;
  ListCell *cell;
  foreach (cell, source->targetlist) {
    const TargetEntry *entry = lfirst_node(TargetEntry, cell);
    if (entry->resjunk) break;
    if (count == descriptor->natts) return false;
    const Form_pg_attribute attribute = TupleDescAttr(descriptor, count++);
    if (!attribute->attisdropped &&
        exprType(reinterpret_cast<Node *>(entry->expr)) != attribute->atttypid)
      return false;
  }
  return count == descriptor->natts;
}

Node *CreateState(CustomScan *plan);

void Begin(CustomScanState *node, EState *estate, int flags) {
  auto *state = reinterpret_cast<InsertState *>(node);
  const auto *plan = castNode(CustomScan, node->ss.ps.plan);
  auto *modify_plan = static_cast<Plan *>(linitial(plan->custom_plans));
  state->modify = castNode(ModifyTableState, ExecInitNode(modify_plan, estate, flags));
  Relation relation = state->modify->resultRelInfo->ri_RelationDesc;
  state->is_bulk = MayWriteBulk(relation) && !RowExpressionsMayReadOwnRows(relation) &&
                   OutputFits(relation, outerPlan(modify_plan));
  PlanState *child = state->is_bulk ? outerPlanState(&state->modify->ps) : &state->modify->ps;
  node->custom_ps = list_make1(child);
}

/// Points `row`, of the table's row type, to the values of a row of the source.
void TakeValues(TupleTableSlot *row, TupleTableSlot *source) {
  slot_getallattrs(source);
  ExecClearTuple(row);
  const int count = row->tts_tupleDescriptor->natts;
  for (int i = 0; i < count; i++) {
    row->tts_values[i] = source->tts_values[i];
    row->tts_isnull[i] = source->tts_isnull[i];
  }
  ExecStoreVirtualTuple(row);
}

void InsertRows(InsertState *state) {
  EState *estate = state->custom.ss.ps.state;
  ResultRelInfo *target = state->modify->resultRelInfo;
  Relation relation = target->ri_RelationDesc;
  const TupleConstr *constraints = RelationGetDescr(relation)->constr;
  const bool has_generated = constraints != nullptr && constraints->has_generated_stored;
  if (relation->rd_rel->relhasindex && target->ri_IndexRelationDescs == nullptr)
    ExecOpenIndices(target, false);
  ExecBSInsertTriggers(estate, target);

  BulkWriterOptions options;
  options.cid = estate->es_output_cid;
  options.result_relation = target;
  options.executor_state = estate;
  BulkWriter *writer = BulkWriterCreate(relation, options, estate->es_query_cxt);
  TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
  PlanState *source = outerPlanState(&state->modify->ps);
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    ResetPerTupleExprContext(estate);
    TupleTableSlot *slot = ExecProcNode(source);
    if (TupIsNull(slot)) break;
    TakeValues(row, slot);
    row->tts_tableOid = RelationGetRelid(relation);
    if (has_generated) ExecComputeStoredGenerated(target, estate, row, CMD_INSERT);
    if (constraints != nullptr) ExecConstraints(target, row, estate);
    if (relation->rd_rel->relispartition) ExecPartitionCheck(target, row, estate, true);
    BulkWriterAppend(writer, row);
    if (state->modify->canSetTag) estate->es_processed++;
  }
  BulkWriterFinish(writer);
  ExecDropSingleTupleTableSlot(row);
  BulkWriterDestroy(writer);
  ExecASInsertTriggers(estate, target, nullptr);
}

TupleTableSlot *Execute(CustomScanState *node) {
  auto *state = reinterpret_cast<InsertState *>(node);
  if (!state->is_bulk) return ExecProcNode(&state->modify->ps);
  if (!state->is_done) {
    state->is_done = true;
    Enter([state] { InsertRows(state); });
  }
  return nullptr;
}

void End(CustomScanState *node) {
  ExecEndNode(&reinterpret_cast<InsertState *>(node)->modify->ps);
}

void Rescan(CustomScanState *) {
  elog(ERROR, "an insert cannot be scanned again");
}

void Explain(CustomScanState *node, List *, ExplainState *explain) {
  const auto *state = reinterpret_cast<InsertState *>(node);
  if (!state->is_bulk) return;
  const Relation relation = state->modify->resultRelInfo->ri_RelationDesc;
  ExplainPropertyText("Insert on", RelationGetRelationName(relation), explain);
}

const CustomScanMethods kScanMethods = {"TsextInsert", CreateState};

const CustomExecMethods kExecMethods = {
    "TsextInsert", Begin,   Execute, End,     Rescan,  nullptr, nullptr,
    nullptr,       nullptr, nullptr, nullptr, nullptr, Explain,
};

Node *CreateState(CustomScan *) {
  auto *state = static_cast<InsertState *>(palloc0(sizeof(InsertState)));
  state->custom.ss.ps.type = T_CustomScanState;
  state->custom.methods = &kExecMethods;
  return reinterpret_cast<Node *>(state);
}

// ---------------------------------------------------------------------------------------------
// Planning

/// What can be said before planning, which changes the query tree.
bool MayBeBulk(Query *query) {
  if (query->commandType != CMD_INSERT || !enable_bulk) return false;
  if (query->onConflict != nullptr || query->returningList != NIL || query->hasModifyingCTE)
    return false;
  if (query->jointree == nullptr || query->jointree->fromlist == NIL) return false;
  const RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
  if (target->rtekind != RTE_RELATION || target->relkind != RELKIND_RELATION) return false;
  return IsTsextTable(target->relid) && !MayReadOwnRows(reinterpret_cast<Node *>(query));
}

bool IsBulkPlan(const PlannedStmt *statement) {
  if (!IsA(statement->planTree, ModifyTable)) return false;
  const auto *modify = reinterpret_cast<const ModifyTable *>(statement->planTree);
  const Plan *source = outerPlan(modify);
  return modify->operation == CMD_INSERT && list_length(modify->resultRelations) == 1 &&
         modify->withCheckOptionLists == NIL && modify->returningLists == NIL &&
         modify->rowMarks == NIL && !IsA(source, ValuesScan) && !IsA(source, Result) &&
         source->plan_rows >= kLeastPlanRows;
}

void PutNodeOnTop(PlannedStmt *statement) {
  Plan *modify = statement->planTree;
  CustomScan *scan = makeNode(CustomScan);
  Plan *plan = &scan->scan.plan;
  plan->startup_cost = modify->startup_cost;
  plan->total_cost = modify->total_cost;
  plan->plan_rows = modify->plan_rows;
  plan->plan_width = modify->plan_width;
  plan->plan_node_id = modify->plan_node_id;
  plan->initPlan = modify->initPlan;
  plan->extParam = bms_copy(modify->extParam);
  plan->allParam = bms_copy(modify->allParam);
  modify->initPlan = NIL;
  scan->custom_plans = list_make1(modify);
  scan->methods = &kScanMethods;
  statement->planTree = plan;
}

PlannedStmt *PlanStatement(Query *query, const char *text, int cursor_options,
                           ParamListInfo parameters) {
  const bool may_be_bulk = Enter([query] { return MayBeBulk(query); });
  PlannedStmt *statement = (next_planner != nullptr ? next_planner : standard_planner)(
      query, text, cursor_options, parameters);
  if (may_be_bulk && IsBulkPlan(statement)) PutNodeOnTop(statement);
  return statement;
}

}  // namespace

void InitBulkInsert() {
  RegisterCustomScanMethods(&kScanMethods);
  next_planner = planner_hook;
  planner_hook = PlanStatement;
}

}  // namespace tsext::pg
