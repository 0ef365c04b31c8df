// COPY FROM: the steps of core's DoCopy() and CopyFrom(), with column buffers in the place of the
// heap. Reading, parsing and conversion are core's (BeginCopyFrom, NextCopyFrom).

#include "pg/table/bulk_copy.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"
#include "pg/table/bulk_writer.hpp"

extern "C" {
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "commands/progress.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
}

namespace tsext::pg {
namespace {

/// One run of COPY FROM.
struct Copy {
  CopyFromState source;
  Relation relation;
  EState *estate;
  ResultRelInfo *target;
  ExprState *filter;  // WHERE; nullptr = none
  BulkWriter *writer;
  uint64_t processed;
};

/// COPY FREEZE and options of later servers (ON_ERROR, REJECT_LIMIT) are core's business.
bool HasOnlyKnownOptions(const CopyStmt *statement) {
  static constexpr const char *kKnown[] = {"format",     "delimiter", "null",
                                           "header",     "quote",     "escape",
                                           "force_null", "encoding",  "force_not_null"};
  ListCell *cell;
  foreach (cell, statement->options) {
    const char *name = lfirst_node(DefElem, cell)->defname;
    bool known = false;
    for (const char *candidate : kKnown) known |= strcmp(candidate, name) == 0;
    if (!known) return false;
  }
  return true;
}

/// The privileges that core checks before it looks at the table.
bool MayReadSource(const CopyStmt *statement) {
  if (statement->filename == nullptr) return true;
  return has_privs_of_role(GetUserId(), statement->is_program ? ROLE_PG_EXECUTE_SERVER_PROGRAM
                                                              : ROLE_PG_READ_SERVER_FILES);
}

/// Attribute numbers that the statement fills; false when the list is wrong (core says how).
bool FilledAttributes(Relation relation, const CopyStmt *statement, List **attributes) {
  ListCell *cell;
  foreach (cell, statement->attlist) {
    const AttrNumber attribute = get_attnum(RelationGetRelid(relation), strVal(lfirst(cell)));
    if (attribute <= 0) return false;
  }
  *attributes = CopyGetAttnums(RelationGetDescr(relation), relation, statement->attlist);
  return true;
}

/// The WHERE clause as core makes it.
Node *TransformWhere(ParseState *parse_state, ParseNamespaceItem *item, Relation relation,
                     Node *clause) {
  if (clause == nullptr) return nullptr;
  addNSItemToQuery(parse_state, item, false, true, true);
  Node *where = transformExpr(parse_state, clause, EXPR_KIND_COPY_WHERE);
  where = coerce_to_boolean(parse_state, where, "WHERE");
  assign_expr_collations(parse_state, where);

  Bitmapset *used = nullptr;
  pull_varattnos(where, 1, &used);
  constexpr int kOffset = -FirstLowInvalidHeapAttributeNumber;
  if (bms_is_member(kOffset, used)) {  // the whole row
    used = bms_add_range(used, 1 + kOffset, RelationGetNumberOfAttributes(relation) + kOffset);
    used = bms_del_member(used, kOffset);
  }
  for (int i = bms_next_member(used, -1); i >= 0; i = bms_next_member(used, i)) {
    const int attribute = i - kOffset;
    if (attribute > 0 && TupleDescAttr(RelationGetDescr(relation), attribute - 1)->attgenerated)
      ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
                      errmsg("generated columns are not supported in COPY FROM WHERE conditions"),
                      errdetail("Column \"%s\" is a generated column.",
                                get_attname(RelationGetRelid(relation),
                                            static_cast<AttrNumber>(attribute), false))));
  }
  where = eval_const_expressions(nullptr, where);
  where = reinterpret_cast<Node *>(canonicalize_qual(reinterpret_cast<Expr *>(where), false));
  return reinterpret_cast<Node *>(make_ands_implicit(reinterpret_cast<Expr *>(where)));
}

/// Reads all rows. Runs below the error context that names the line.
void ReadRows(Copy *copy, TupleTableSlot *slot, MemoryContext query_context) {
  ExprContext *expressions = GetPerTupleExprContext(copy->estate);
  const TupleConstr *constraints = RelationGetDescr(copy->relation)->constr;
  const bool has_generated = constraints != nullptr && constraints->has_generated_stored;
  const bool is_partition = copy->relation->rd_rel->relispartition;
  uint64_t excluded = 0;
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    ResetPerTupleExprContext(copy->estate);
    MemoryContextSwitchTo(GetPerTupleMemoryContext(copy->estate));
    ExecClearTuple(slot);
    if (!NextCopyFrom(copy->source, expressions, slot->tts_values, slot->tts_isnull)) break;
    ExecStoreVirtualTuple(slot);
    slot->tts_tableOid = RelationGetRelid(copy->relation);
    MemoryContextSwitchTo(query_context);

    if (copy->filter != nullptr) {
      expressions->ecxt_scantuple = slot;
      if (!ExecQual(copy->filter, expressions)) {
        pgstat_progress_update_param(PROGRESS_COPY_TUPLES_EXCLUDED, static_cast<int64>(++excluded));
        continue;
      }
    }
    if (has_generated) ExecComputeStoredGenerated(copy->target, copy->estate, slot, CMD_INSERT);
    if (constraints != nullptr) ExecConstraints(copy->target, slot, copy->estate);
    if (is_partition) ExecPartitionCheck(copy->target, slot, copy->estate, true);

    MemoryContextSwitchTo(GetPerTupleMemoryContext(copy->estate));
    BulkWriterAppend(copy->writer, slot);
    MemoryContextSwitchTo(query_context);
    pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED,
                                 static_cast<int64>(++copy->processed));
  }
  MemoryContextSwitchTo(query_context);
  // What fails from here on has no line of its own.
  copy->source->line_buf_valid = false;
  BulkWriterFinish(copy->writer);
}

uint64_t RunCopy(CopyFromState source, Relation relation) {
  const MemoryContext query_context = CurrentMemoryContext;
  Copy copy = {};
  copy.source = source;
  copy.relation = relation;
  copy.estate = CreateExecutorState();
  const CommandId cid = GetCurrentCommandId(true);

  ExecInitRangeTable(copy.estate, source->range_table);
  copy.target = makeNode(ResultRelInfo);
  ExecInitResultRelation(copy.estate, copy.target, 1);
  CheckValidResultRel(copy.target, CMD_INSERT);
  ExecOpenIndices(copy.target, false);
  AfterTriggerBeginQuery();
  if (source->whereClause != nullptr)
    copy.filter = ExecInitQual(castNode(List, source->whereClause), nullptr);

  BulkWriterOptions options;
  options.cid = cid;
  options.result_relation = copy.target;
  options.executor_state = copy.estate;
  if (relation->rd_createSubid != InvalidSubTransactionId ||
      relation->rd_firstRelfilenodeSubid != InvalidSubTransactionId)
    options.insert_options = TABLE_INSERT_SKIP_FSM;
  copy.writer = BulkWriterCreate(relation, options, query_context);
  TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);

  ExecBSInsertTriggers(copy.estate, copy.target);

  ErrorContextCallback error_context;
  error_context.callback = CopyFromErrorCallback;
  error_context.arg = source;
  error_context.previous = error_context_stack;
  error_context_stack = &error_context;
  // A C++ exception must end here: above, the callback on this frame would be gone.
  Enter([&] { ReadRows(&copy, slot, query_context); });
  error_context_stack = error_context.previous;

  ExecASInsertTriggers(copy.estate, copy.target, nullptr);
  AfterTriggerEndQuery(copy.estate);

  ExecDropSingleTupleTableSlot(slot);
  BulkWriterDestroy(copy.writer);
  table_finish_bulk_insert(relation, options.insert_options);
  ExecResetTupleTable(copy.estate->es_tupleTable, false);
  ExecCloseResultRelations(copy.estate);
  ExecCloseRangeTableRelations(copy.estate);
  FreeExecutorState(copy.estate);
  return copy.processed;
}

}  // namespace

bool CopyIntoSegments(ParseState *parse_state, const CopyStmt *statement, uint64_t *processed) {
  if (!statement->is_from || statement->relation == nullptr || !enable_bulk) return false;
  if (!HasOnlyKnownOptions(statement) || !MayReadSource(statement)) return false;
  Relation relation = relation_openrv_extended(statement->relation, RowExclusiveLock, true);
  if (relation == nullptr) return false;
  List *attributes = NIL;
  if (!MayWriteBulk(relation) || !FilledAttributes(relation, statement, &attributes) ||
      DefaultsMayReadOwnRows(relation, attributes) || RowExpressionsMayReadOwnRows(relation)) {
    relation_close(relation, NoLock);
    return false;
  }

  ParseNamespaceItem *item =
      addRangeTableEntryForRelation(parse_state, relation, RowExclusiveLock, nullptr, false, false);
  RangeTblEntry *entry = item->p_rte;
  entry->requiredPerms = ACL_INSERT;
  Node *where = TransformWhere(parse_state, item, relation, statement->whereClause);
  ListCell *cell;
  foreach (cell, attributes)
    entry->insertedCols =
        bms_add_member(entry->insertedCols, lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber);
  ExecCheckRTPerms(parse_state->p_rtable, true);
  if (XactReadOnly && !relation->rd_islocaltemp) PreventCommandIfReadOnly("COPY FROM");

  CopyFromState source =
      BeginCopyFrom(parse_state, relation, where, statement->filename, statement->is_program,
                    nullptr, statement->attlist, statement->options);
  // A WHERE clause that reads the table must see the rows before.
  *processed = MayReadOwnRows(where) ? CopyFrom(source) : RunCopy(source, relation);
  EndCopyFrom(source);
  table_close(relation, NoLock);
  return true;
}

}  // namespace tsext::pg
