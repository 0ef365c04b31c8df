// Changes of tables that the continuous aggregates above them could not follow, or would break
// over.

#include "pg/base/boundary.hpp"
#include "pg/cagg/alter.hpp"
#include "pg/cagg/row_security.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {
namespace {

/// action: a phrase with a place for the table's name.
[[noreturn]] void Refuse(const char *action, Oid table, const char *view, const char *why,
                         const char *hint = "Drop the continuous aggregate first.") {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg_internal("cannot %s", psprintf(action, get_rel_name(table))),
                  errdetail("Continuous aggregate \"%s\" %s", view, why), errhint("%s", hint)));
}

void GuardBase(const AlterTableCmd *command, Oid table, const char *view) {
  switch (command->subtype) {
    case AT_SetAccessMethod:
      if (command->name == nullptr || strcmp(command->name, "tsext") != 0)
        Refuse("change the access method of table \"%s\"", table, view,
               "follows the changes of its rows.");
      break;
    case AT_SetUnLogged:
      Refuse("make table \"%s\" unlogged", table, view,
             "reads it, and would keep its buckets when a crash empties the table.");
    default:
      break;
  }
}

void GuardMaterialization(const AlterTableCmd *command, Oid table, const char *view) {
  switch (command->subtype) {
    case AT_SetAccessMethod:
      if (command->name != nullptr && strcmp(command->name, "tsext") == 0) break;
      [[fallthrough]];
    case AT_AddColumn:
    case AT_SetUnLogged:
    case AT_ForceRowSecurity:
      Refuse("make this change to table \"%s\"", table, view, "stores its finished buckets in it.");
    case AT_ChangeOwner:
      if (HasRowSecurityBelow(*AggregateOfMaterialization(table)))
        Refuse("give table \"%s\" another owner", table, view,
               "reads it with the rights of its own owner, who alone passes its row security.",
               "Give the continuous aggregate another owner.");
      break;
    case AT_DisableRowSecurity:
      if (HasRowSecurityBelow(*AggregateOfMaterialization(table)))
        Refuse("disable row security on table \"%s\"", table, view,
               "stores in it what row security of the tables below hides.");
      break;
    default:
      break;
  }
}

/// Whether anything in the statement is to be looked at.
bool HasGuarded(const AlterTableStmt *statement) {
  ListCell *cell;
  foreach (cell, statement->cmds) {
    switch (lfirst_node(AlterTableCmd, cell)->subtype) {
      case AT_AddColumn:
      case AT_ChangeOwner:
      case AT_SetAccessMethod:
      case AT_SetUnLogged:
      case AT_DisableRowSecurity:
      case AT_ForceRowSecurity:
        return true;
      default:
        break;
    }
  }
  return false;
}

/// The first option in the statement for which `is_wanted`; nullptr: none.
const DefElem *FindOption(const AlterTableStmt *statement, bool (*is_wanted)(const DefElem *)) {
  ListCell *cell;
  foreach (cell, statement->cmds) {
    const auto *command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype != AT_SetRelOptions && command->subtype != AT_ResetRelOptions) continue;
    ListCell *option_cell;
    foreach (option_cell, reinterpret_cast<const List *>(command->def)) {
      const auto *option = lfirst_node(DefElem, option_cell);
      if (is_wanted(option)) return option;
    }
  }
  return nullptr;
}

bool IsSecurityOption(const DefElem *option) {
  return option->defnamespace == nullptr && (strcmp(option->defname, "security_barrier") == 0 ||
                                             strcmp(option->defname, "security_invoker") == 0);
}

}  // namespace

void GuardOptions(const AlterTableStmt *statement) {
  const DefElem *option = FindOption(statement, IsSecurityOption);
  if (option == nullptr) return;
  const Oid view = RangeVarGetRelid(statement->relation, NoLock, true);
  if (!OidIsValid(view) || get_rel_relkind(view) != RELKIND_VIEW) return;
  const ContinuousAggregate *aggregate = AggregateOfView(view);
  if (aggregate == nullptr) aggregate = AggregateOfDirect(view);
  if (aggregate == nullptr || !HasRowSecurityBelow(*aggregate)) return;
  ereport(ERROR,
          (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
           errmsg("cannot change option \"%s\" of \"%s\"", option->defname, get_rel_name(view)),
           errdetail("Row security of tables below continuous aggregate \"%s\" depends on "
                     "it.",
                     get_rel_name(aggregate->view))));
}

void GuardTable(const AlterTableStmt *statement) {
  const Oid table = RangeVarGetRelid(statement->relation, NoLock, true);
  if (!OidIsValid(table) || !IsTsextTable(table) || !HasGuarded(statement)) return;
  // The lock that these changes take anyway: no aggregate is made between the look and the change.
  if (!TsextOwnsRelation(table, GetUserId())) return;
  LockRelationOid(table, AccessExclusiveLock);
  int count;
  const ContinuousAggregate *above = AggregatesOfBase(table, nullptr, &count);
  const ContinuousAggregate *own = AggregateOfMaterialization(table);
  if (count == 0 && own == nullptr) return;
  ListCell *cell;
  foreach (cell, statement->cmds) {
    const auto *command = lfirst_node(AlterTableCmd, cell);
    if (own != nullptr) GuardMaterialization(command, table, get_rel_name(own->view));
    if (count > 0) GuardBase(command, table, get_rel_name(above[0].view));
  }
}

bool SkipsAlter(const AlterTableStmt *statement) {
  const DefElem *option = FindOption(statement, IsAggregateOption);
  if (option == nullptr) return false;
  const char *name = statement->relation->relname;
  const Oid relation = RangeVarGetRelid(statement->relation, NoLock, statement->missing_ok);
  if (OidIsValid(relation))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not a continuous aggregate", name),
                    errdetail("Option \"%s.%s\" is one of continuous aggregates.",
                              option->defnamespace, option->defname)));
  ereport(NOTICE, (errmsg("relation \"%s\" does not exist, skipping", name)));
  return true;
}

void GuardRename(const RenameStmt *statement) {
  if (statement->renameType != OBJECT_COLUMN || statement->relation == nullptr) return;
  const Oid relation = RangeVarGetRelid(statement->relation, NoLock, true);
  if (!OidIsValid(relation)) return;
  const ContinuousAggregate *aggregate = AggregateOfMaterialization(relation);
  if (aggregate == nullptr && get_rel_relkind(relation) == RELKIND_VIEW)
    aggregate = AggregateOfDirect(relation);
  if (aggregate == nullptr) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("cannot rename a column of \"%s\", which is a part of continuous "
                         "aggregate \"%s\"",
                         get_rel_name(relation), get_rel_name(aggregate->view)),
                  errhint("Rename the column of the continuous aggregate.")));
}

}  // namespace tsext::pg
