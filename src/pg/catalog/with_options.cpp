#include "pg/catalog/with_options.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/utility.hpp"
#include "pg/catalog/set_options.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"
}

namespace tsext::pg {
namespace {

constexpr char kNamespace[] = "tsext";

/// The options of the innermost CREATE statement that has any.
struct PendingOptions {
  PendingOptions *outer;
  const char *name;
  Oid namespace_id;
  const Label *label;
  Oid relation_id;  // of the relation made; InvalidOid until then
};
PendingOptions *pending = nullptr;

bool IsOurs(const DefElem *definition) {
  return definition->defnamespace != nullptr && strcmp(definition->defnamespace, kNamespace) == 0;
}

bool HasOurs(const List *definitions) {
  ListCell *cell;
  foreach (cell, definitions)
    if (IsOurs(lfirst_node(DefElem, cell))) return true;
  return false;
}

/// Moves our definitions out of the list.
List *TakeOurs(List **definitions) {
  List *ours = nullptr;
  List *others = nullptr;
  ListCell *cell;
  foreach (cell, *definitions) {
    auto *definition = lfirst_node(DefElem, cell);
    if (IsOurs(definition))
      ours = lappend(ours, definition);
    else
      others = lappend(others, definition);
  }
  *definitions = others;
  return ours;
}

/// The text of a definition's value. Bare words that are type names (time, timestamp) come as the
/// type's qualified name: the last part is what the user wrote.
char *TextOf(DefElem *definition) {
  if (definition->arg != nullptr && IsA(definition->arg, TypeName)) {
    auto *type = reinterpret_cast<TypeName *>(definition->arg);
    if (type->names != nullptr) return pstrdup(strVal(llast(type->names)));
  }
  return pstrdup(defGetString(definition));
}

/// 'a, "B c"' as a list of names.
List *NamesOf(DefElem *definition) {
  char *text = TextOf(definition);
  List *names = nullptr;
  if (strspn(text, " ") == strlen(text)) return nullptr;
  if (!SplitIdentifierString(text, ',', &names))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("value of option \"%s.%s\" is not a list of columns: \"%s\"", kNamespace,
                           definition->defname, TextOf(definition)),
                    errhint("Separate the names with commas, such as 'host, region'.")));
  return names;
}

void TakeValue(DefElem *definition, Change *change, OptionChanges *changes) {
  if (change == &changes->time_column) changes->time_column_name = TextOf(definition);
  if (change == &changes->chunk_interval)
    changes->chunk_interval_text =
        ChunkIntervalText(CStringGetDatum(TextOf(definition)), UNKNOWNOID);
  if (change == &changes->segment_by) changes->segment_by_names = NamesOf(definition);
  if (change == &changes->order_by) changes->order_by_names = NamesOf(definition);
  if (change == &changes->decoded) changes->decoded_on = defGetBoolean(definition);
}

Change *FindOption(const char *name, OptionChanges *changes) {
  if (strcmp(name, "time_column") == 0) return &changes->time_column;
  if (strcmp(name, "chunk_interval") == 0) return &changes->chunk_interval;
  if (strcmp(name, "segment_by") == 0) return &changes->segment_by;
  if (strcmp(name, "order_by") == 0) return &changes->order_by;
  if (strcmp(name, "decoded") == 0) return &changes->decoded;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("unrecognized option \"%s.%s\"", kNamespace, name),
                  errhint("Options are time_column, chunk_interval, segment_by, order_by and "
                          "decoded.")));
}

/// Adds definitions to the changes; how: kSet or kReset.
void AddDefinitions(const List *definitions, Change how, OptionChanges *changes) {
  ListCell *cell;
  foreach (cell, definitions) {
    auto *definition = lfirst_node(DefElem, cell);
    Change *change = FindOption(definition->defname, changes);
    if (*change != Change::kKeep)
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                      errmsg("option \"%s.%s\" is given twice", kNamespace, definition->defname)));
    if (how == Change::kReset && definition->arg != nullptr)
      ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                      errmsg("RESET must not include values for parameters")));
    *change = how;
    if (how == Change::kSet) TakeValue(definition, change, changes);
  }
}

/// The list of a CREATE statement that our options may stand in, with the relation it makes.
List **CreateOptions(Node *statement, RangeVar **relation) {
  if (IsA(statement, CreateStmt)) {
    auto *create = reinterpret_cast<CreateStmt *>(statement);
    *relation = create->relation;
    return &create->options;
  }
  if (IsA(statement, CreateTableAsStmt)) {
    auto *create = reinterpret_cast<CreateTableAsStmt *>(statement);
    *relation = create->into->rel;
    return &create->into->options;
  }
  return nullptr;
}

/// Checks the options of a relation that the statement has made and pins its time column.
void FinishCreate(Oid relation_id) {
  CommandCounterIncrement();
  Relation relation = table_open(relation_id, NoLock);
  if (!IsTsextRelation(relation)) {
    const bool is_partitioned = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not a tsext table, but options of tsext are given",
                           RelationGetRelationName(relation)),
                    is_partitioned ? errhint("Give options to its partitions, each a tsext table.")
                                   : errhint("Add USING tsext.")));
  }
  const OptionChanges nothing;
  ChangeOptions(relation, &nothing);
  table_close(relation, NoLock);
}

void RunCreate(Utility utility) {
  RangeVar *relation = nullptr;
  List **definitions = CreateOptions(utility.Edit(), &relation);
  if (definitions == nullptr || relation == nullptr) elog(ERROR, "statement creates no relation");
  OptionChanges changes;
  AddDefinitions(TakeOurs(definitions), Change::kSet, &changes);
  Label label;
  ApplyChanges(&changes, &label);
  Oid existing;
  const Oid namespace_id = RangeVarGetAndCheckCreationNamespace(relation, NoLock, &existing);
  PendingOptions mine{pending, pstrdup(relation->relname), namespace_id, &label, InvalidOid};
  struct Restore {
    PendingOptions *outer;
    ~Restore() { pending = outer; }
  };
  {
    Restore restore{pending};
    pending = &mine;
    Guard([&] { utility.Run(); });
  }
  // None is made by IF NOT EXISTS when there is one: its options stay.
  if (OidIsValid(mine.relation_id)) FinishCreate(mine.relation_id);
}

bool HasOurs(const AlterTableStmt *alter) {
  ListCell *cell;
  foreach (cell, alter->cmds) {
    auto *command = lfirst_node(AlterTableCmd, cell);
    const bool has_list =
        command->subtype == AT_SetRelOptions || command->subtype == AT_ResetRelOptions;
    if (has_list && HasOurs(reinterpret_cast<List *>(command->def))) return true;
  }
  return false;
}

/// Moves our options out of the statement. A command that held nothing else goes too.
void TakeChanges(AlterTableStmt *alter, OptionChanges *changes) {
  List *rest = nullptr;
  ListCell *cell;
  foreach (cell, alter->cmds) {
    auto *command = lfirst_node(AlterTableCmd, cell);
    const bool is_set = command->subtype == AT_SetRelOptions;
    if (is_set || command->subtype == AT_ResetRelOptions) {
      auto *definitions = reinterpret_cast<List *>(command->def);
      AddDefinitions(TakeOurs(&definitions), is_set ? Change::kSet : Change::kReset, changes);
      command->def = reinterpret_cast<Node *>(definitions);
      if (definitions == nullptr) continue;
    }
    rest = lappend(rest, command);
  }
  alter->cmds = rest;
}

bool SetsAccessMethod(const AlterTableStmt *alter) {
  ListCell *cell;
  foreach (cell, alter->cmds)
    if (lfirst_node(AlterTableCmd, cell)->subtype == AT_SetAccessMethod) return true;
  return false;
}

void RunAlter(Utility utility) {
  auto *alter = reinterpret_cast<AlterTableStmt *>(utility.Edit());
  OptionChanges changes;
  TakeChanges(alter, &changes);
  // A rewrite into segments must find the options already: they go first, under its lock.
  const bool rewrites = SetsAccessMethod(alter);
  const LOCKMODE lock = rewrites ? AccessExclusiveLock : ShareUpdateExclusiveLock;
  if (!rewrites) utility.Run();
  const Oid relation_id = RangeVarGetRelid(alter->relation, NoLock, alter->missing_ok);
  if (OidIsValid(relation_id)) {
    Relation relation = OpenOwnedTable(relation_id, lock);
    if (!rewrites) RequireTsext(relation);
    ChangeOptions(relation, &changes);
    table_close(relation, NoLock);
  }
  if (!rewrites) return;
  utility.Run();
  if (!OidIsValid(relation_id)) return;
  CommandCounterIncrement();
  Relation relation = table_open(relation_id, NoLock);
  RequireTsext(relation);
  table_close(relation, NoLock);
}

void RunStatement(Utility utility) {
  Node *node = utility.Parsed();
  RangeVar *relation = nullptr;
  List **definitions = CreateOptions(node, &relation);
  if (definitions != nullptr && HasOurs(*definitions))
    RunCreate(utility);
  else if (IsA(node, AlterTableStmt) && HasOurs(reinterpret_cast<AlterTableStmt *>(node)))
    RunAlter(utility);
  else
    utility.Run();
}

}  // namespace

void InitWithOptions() {
  HookUtility<RunStatement>();
}

bool HasPendingOptions() {
  return pending != nullptr;
}

void ApplyPendingOptions(Form_pg_class created) {
  if (OidIsValid(pending->relation_id)) return;
  if (created->relnamespace != pending->namespace_id) return;
  if (strcmp(NameStr(created->relname), pending->name) != 0) return;
  pending->relation_id = created->oid;
  WriteLabel(created->oid, pending->label);
}

}  // namespace tsext::pg
