#include "pg/table/bulk.hpp"

#include <cstdlib>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/base/utility.hpp"
#include "pg/catalog/options.hpp"
#include "pg/table/bulk_copy.hpp"
#include "pg/table/bulk_insert.hpp"
#include "pg/table/bulk_writer.hpp"
#include "pg/table/rewrite.hpp"
#include "pg/table/touched.hpp"

extern "C" {
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/tablecmds.h"
#include "nodes/parsenodes.h"
#include "parser/parse_node.h"
#include "storage/lmgr.h"
#include "tcop/cmdtag.h"
#include "utils/acl.h"
}

namespace tsext::pg {
namespace {

// ---------------------------------------------------------------------------------------------
// Rewrites. A utility statement that fills a new relation calls the insert callbacks of the access
// method and finish_bulk_insert at the end; nothing reads the relation or fires triggers on it in
// between, so here, and only here, the callbacks may buffer.

/// Depth of utility statements that fill new relations.
int rewrite_depth = 0;

/// A relation that is being filled. Lives in the memory of its subtransaction.
struct Filling {
  Filling *next;
  Oid relation_id;
  SubTransactionId subtransaction;
  Relation owner;      // nullptr: the relation itself
  BulkWriter *writer;  // nullptr: its rows go to the hot heap
};

Filling *fillings = nullptr;

struct RewriteScope {
  RewriteScope() { rewrite_depth++; }
  ~RewriteScope() { rewrite_depth--; }
  RewriteScope(const RewriteScope &) = delete;
  RewriteScope &operator=(const RewriteScope &) = delete;
};

/// The table that a transient relation will replace, opened; nullptr when it is not transient.
Relation OpenOwner(Relation relation) {
  static constexpr char kPrefix[] = "pg_temp_";
  const char *name = RelationGetRelationName(relation);
  if (strncmp(name, kPrefix, strlen(kPrefix)) != 0) return nullptr;
  char *end;
  const unsigned long id = strtoul(name + strlen(kPrefix), &end, 10);
  if (end == name + strlen(kPrefix) || *end != '\0' || id == 0 || id > OID_MAX) return nullptr;
  // Anyone may give a table such a name. Only who rewrites holds this lock on the original.
  Relation owner = try_relation_open(static_cast<Oid>(id), AccessShareLock);
  if (owner == nullptr) return nullptr;
  const bool is_rewritten =
      CheckRelationLockedByMe(owner, ExclusiveLock, true) &&
      RelationGetNumberOfAttributes(owner) == RelationGetNumberOfAttributes(relation);
  if (is_rewritten) return owner;
  relation_close(owner, AccessShareLock);
  return nullptr;
}

bool MayFillWithSegments(Relation relation, Relation owner) {
  const Form_pg_class form = relation->rd_rel;
  if (!enable_bulk || form->relpersistence != RELPERSISTENCE_PERMANENT || form->relhasindex ||
      relation->trigdesc != nullptr || !OidIsValid(form->reltoastrelid))
    return false;
  if (relation->rd_createSubid != GetCurrentSubTransactionId()) return false;
  return StaysHotBecause(owner != nullptr ? owner : relation) == nullptr;
}

Filling *FindFilling(Oid relation_id) {
  Filling *filling = fillings;
  while (filling != nullptr && filling->relation_id != relation_id) filling = filling->next;
  return filling;
}

Filling *StartFilling(Relation relation, CommandId cid, int options) {
  auto *filling =
      static_cast<Filling *>(MemoryContextAllocZero(CurTransactionContext, sizeof(Filling)));
  filling->relation_id = RelationGetRelid(relation);
  filling->subtransaction = GetCurrentSubTransactionId();
  filling->owner = OpenOwner(relation);
  if (MayFillWithSegments(relation, filling->owner)) {
    BulkWriterOptions writer_options;
    writer_options.cid = cid;
    // Without this mark the writer's own rows for the hot heap pass through.
    writer_options.insert_options = options & ~TABLE_INSERT_SKIP_FSM;
    writer_options.owner = filling->owner;
    filling->writer = BulkWriterCreate(relation, writer_options, CurTransactionContext);
  }
  filling->next = fillings;
  fillings = filling;
  return filling;
}

void ForgetFillings(SubTransactionId subtransaction) {
  for (Filling **at = &fillings; *at != nullptr;) {
    if ((*at)->subtransaction == subtransaction)
      *at = (*at)->next;
    else
      at = &(*at)->next;
  }
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
    fillings = nullptr;
}

void AtSubtransactionEnd(SubXactEvent event, SubTransactionId subtransaction, SubTransactionId,
                         void *) {
  if (event == SUBXACT_EVENT_ABORT_SUB) ForgetFillings(subtransaction);
}

bool MakesUniqueIndex(const List *constraints) {
  ListCell *cell;
  foreach (cell, constraints) {
    const ConstrType type = lfirst_node(Constraint, cell)->contype;
    if (type == CONSTR_PRIMARY || type == CONSTR_UNIQUE || type == CONSTR_EXCLUSION) return true;
  }
  return false;
}

/// A rewrite that also makes a key: the key's rows must be hot.
bool MakesKey(const AlterTableStmt *statement) {
  ListCell *cell;
  foreach (cell, statement->cmds) {
    const auto *command = lfirst_node(AlterTableCmd, cell);
    if (command->def == nullptr) continue;
    if (IsA(command->def, Constraint) && MakesUniqueIndex(list_make1(command->def))) return true;
    if (IsA(command->def, ColumnDef) &&
        MakesUniqueIndex(reinterpret_cast<ColumnDef *>(command->def)->constraints))
      return true;
    if (IsA(command->def, IndexStmt)) return true;
  }
  return false;
}

/// ALTER TABLE makes the index of a new key before it rewrites rows for another command of the same
/// statement, and moving rows back then would read them as what they are to become: it comes first.
void PrepareKey(const AlterTableStmt *statement) {
  if (list_length(statement->cmds) < 2 || !MakesKey(statement)) return;
  const Oid table_id = RangeVarGetRelid(statement->relation, NoLock, true);
  // Whoever does not own it gets core's message.
  if (!OidIsValid(table_id) || !IsTsextTable(table_id) ||
      !pg_class_ownercheck(table_id, GetUserId()))
    return;
  Relation table = table_open(table_id, AlterTableGetLockLevel(statement->cmds));
  MakeTableHot(table);
  table_close(table, NoLock);
}

bool FillsNewRelation(const Node *statement) {
  switch (nodeTag(statement)) {
    case T_CreateTableAsStmt:
    case T_RefreshMatViewStmt:
      return true;
    case T_AlterTableStmt:
      return !MakesKey(reinterpret_cast<const AlterTableStmt *>(statement));
    default:
      return false;
  }
}

// ---------------------------------------------------------------------------------------------

/// Runs COPY when it can be run here.
bool RunCopyStatement(const Utility &utility) {
  ParseState *parse_state = make_parsestate(nullptr);
  parse_state->p_sourcetext = utility.query;
  parse_state->p_queryEnv = utility.environment;
  // A copy: the statement may belong to a cached plan, and its WHERE clause is transformed.
  const auto *statement = static_cast<const CopyStmt *>(copyObjectImpl(utility.Parsed()));
  uint64_t processed = 0;
  const bool done = CopyIntoSegments(parse_state, statement, &processed);
  free_parsestate(parse_state);
  if (done && utility.completion != nullptr)
    SetQueryCompletion(utility.completion, CMDTAG_COPY, processed);
  return done;
}

void RunStatement(Utility utility) {
  const Node *node = utility.Parsed();
  if (IsA(node, CopyStmt) && reinterpret_cast<const CopyStmt *>(node)->is_from && enable_bulk &&
      RunCopyStatement(utility))
    return;
  if (IsA(node, AlterTableStmt)) PrepareKey(reinterpret_cast<const AlterTableStmt *>(node));
  if (!enable_bulk || !FillsNewRelation(node)) return utility.Run();
  const RewriteScope scope;
  Guard([&utility] { utility.Run(); });
}

/// Takes the row if it belongs to a rewrite whose rows become segments. False: it is for the hot
/// heap.
bool TakeRow(Relation relation, TupleTableSlot *slot, CommandId cid, int options) {
  if (rewrite_depth == 0 || (options & TABLE_INSERT_SKIP_FSM) == 0) return false;
  Filling *filling = FindFilling(RelationGetRelid(relation));
  if (filling == nullptr) filling = StartFilling(relation, cid, options);
  if (filling->writer == nullptr) return false;
  BulkWriterAppend(filling->writer, slot);
  return true;
}

void TupleInsert(Relation relation, TupleTableSlot *slot, CommandId cid, int options,
                 BulkInsertState state) {
  if (rewrite_depth != 0 && Enter([&] { return TakeRow(relation, slot, cid, options); })) return;
  GetHeapamTableAmRoutine()->tuple_insert(relation, slot, cid, options, state);
  Enter([&] { TouchRow(relation, slot, cid); });
}

void TupleInsertSpeculative(Relation relation, TupleTableSlot *slot, CommandId cid, int options,
                            BulkInsertState state, uint32 token) {
  GetHeapamTableAmRoutine()->tuple_insert_speculative(relation, slot, cid, options, state, token);
  Enter([&] { TouchRow(relation, slot, cid); });
}

void MultiInsert(Relation relation, TupleTableSlot **slots, int count, CommandId cid, int options,
                 BulkInsertState state) {
  int taken = 0;
  if (rewrite_depth != 0)
    Enter([&] {
      while (taken < count && TakeRow(relation, slots[taken], cid, options)) taken++;
    });
  if (taken == count) return;
  GetHeapamTableAmRoutine()->multi_insert(relation, slots + taken, count - taken, cid, options,
                                          state);
  Enter([&] {
    if (!IsFollowed(relation)) return;
    for (int i = taken; i < count; i++) TouchRow(relation, slots[i], cid);
  });
}

/// Writes the rows taken for this relation.
void FinishFilling(Relation relation) {
  Filling *filling = FindFilling(RelationGetRelid(relation));
  if (filling == nullptr) return;
  if (filling->writer != nullptr) {
    BulkWriterFinish(filling->writer);
    BulkWriterDestroy(filling->writer);
  }
  if (filling->owner != nullptr) relation_close(filling->owner, NoLock);
  Filling **at = &fillings;
  while (*at != filling) at = &(*at)->next;
  *at = filling->next;
  pfree(filling);
}

void FinishBulkInsert(Relation relation, int) {
  if (fillings != nullptr) Enter([relation] { FinishFilling(relation); });
}

}  // namespace

void SetBulkCallbacks(TableAmRoutine *routine) {
  routine->tuple_insert = TupleInsert;
  routine->tuple_insert_speculative = TupleInsertSpeculative;
  routine->multi_insert = MultiInsert;
  routine->finish_bulk_insert = FinishBulkInsert;
}

void InitBulk() {
  HookUtility<RunStatement>();
  RegisterXactCallback(AtTransactionEnd, nullptr);
  RegisterSubXactCallback(AtSubtransactionEnd, nullptr);
  InitBulkInsert();
}

}  // namespace tsext::pg
