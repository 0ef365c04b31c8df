// ALTER, RENAME, COMMENT … of continuous aggregates. To PostgreSQL they are views; people say
// MATERIALIZED VIEW, as they did when they made them. Table and hidden view follow.

#include "pg/cagg/alter.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/cagg/define.hpp"
#include "pg/cagg/row_security.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

bool IsViewWord(ObjectType type) {
  return type == OBJECT_MATVIEW || type == OBJECT_VIEW || type == OBJECT_TABLE;
}

/// The view that a statement is about; nullptr when it is about none.
const RangeVar *NameInStatement(Node *statement) {
  switch (nodeTag(statement)) {
    case T_AlterTableStmt:
      return reinterpret_cast<AlterTableStmt *>(statement)->relation;
    case T_RenameStmt: {
      const auto *rename = reinterpret_cast<RenameStmt *>(statement);
      const ObjectType type =
          rename->renameType == OBJECT_COLUMN ? rename->relationType : rename->renameType;
      return IsViewWord(type) ? rename->relation : nullptr;
    }
    case T_AlterObjectSchemaStmt: {
      const auto *move = reinterpret_cast<AlterObjectSchemaStmt *>(statement);
      return IsViewWord(move->objectType) ? move->relation : nullptr;
    }
    case T_CommentStmt: {
      const auto *comment = reinterpret_cast<CommentStmt *>(statement);
      return comment->objtype == OBJECT_MATVIEW
                 ? makeRangeVarFromNameList(castNode(List, comment->object))
                 : nullptr;
    }
    case T_SecLabelStmt: {
      const auto *label = reinterpret_cast<SecLabelStmt *>(statement);
      return label->objtype == OBJECT_MATVIEW
                 ? makeRangeVarFromNameList(castNode(List, label->object))
                 : nullptr;
    }
    case T_ViewStmt: {
      const auto *view = reinterpret_cast<ViewStmt *>(statement);
      return view->replace ? view->view : nullptr;
    }
    case T_IndexStmt:
      return reinterpret_cast<IndexStmt *>(statement)->relation;
    case T_RefreshMatViewStmt:
      return reinterpret_cast<RefreshMatViewStmt *>(statement)->relation;
    default:
      return nullptr;
  }
}

const char *QuotedName(Oid relation) {
  return quote_qualified_identifier(
      RelationIsVisible(relation) ? nullptr : get_namespace_name(get_rel_namespace(relation)),
      get_rel_name(relation));
}

// ------------------------------------------------------------------------------------ SET

bool HasAggregateAbove(const ContinuousAggregate &aggregate) {
  int count;
  const ContinuousAggregate *others = AggregatesOfBase(aggregate.base, nullptr, &count);
  for (int i = 0; i < count; ++i)
    if (others[i].source == aggregate.view) return true;
  return false;
}

void SetMaterializedOnly(const ContinuousAggregate &aggregate, bool materialized_only) {
  const char *name = get_rel_name(aggregate.view);
  RefuseReadOnly("ALTER MATERIALIZED VIEW");
  if (!TsextOwnsRelation(aggregate.view, GetUserId()))
    aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_VIEW, name);
  LockRelationOid(aggregate.view, AccessExclusiveLock);
  ContinuousAggregate *changed = AggregateOfView(aggregate.view);
  if (changed == nullptr)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("continuous aggregate \"%s\" was dropped meanwhile", name)));
  if (materialized_only && HasAggregateAbove(*changed))
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot restrict \"%s\" to materialized buckets", name),
                    errdetail("Continuous aggregates above it read it, and would miss rows.")));
  changed->materialized_only = materialized_only;
  UpdateAggregate(*changed);
  (void)MakeAggregateView(*changed, nullptr);
}

[[noreturn]] void RefuseOption(const ContinuousAggregate &aggregate, const DefElem *option) {
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("continuous aggregate \"%s\" has no option \"%s.%s\"",
                         get_rel_name(aggregate.view), option->defnamespace, option->defname),
                  errhint("Options of tables are for the table of its buckets, %s.",
                          QuotedName(aggregate.materialization))));
}

/// Takes our options out of the list and obeys them.
List *ObeyOptions(const ContinuousAggregate &aggregate, List *options, bool is_set) {
  List *others = nullptr;
  ListCell *cell;
  foreach (cell, options) {
    auto *option = lfirst_node(DefElem, cell);
    if (!CheckAggregateOption(option)) {
      if (option->defnamespace != nullptr) RefuseOption(aggregate, option);
      others = lappend(others, option);
      continue;
    }
    if (strcmp(option->defname, "materialized_only") != 0)
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("cannot change option \"%s.%s\" of continuous aggregate \"%s\"",
                             option->defnamespace, option->defname, get_rel_name(aggregate.view)),
                      errhint("Drop it and make it anew.")));
    SetMaterializedOnly(aggregate, is_set && defGetBoolean(option));
  }
  return others;
}

bool PrepareAlterTable(AlterTableStmt *alter, const ContinuousAggregate &aggregate) {
  if (alter->objtype == OBJECT_MATVIEW) alter->objtype = OBJECT_VIEW;
  List *rest = nullptr;
  ListCell *cell;
  foreach (cell, alter->cmds) {
    auto *command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype == AT_SetRelOptions || command->subtype == AT_ResetRelOptions) {
      auto *options = reinterpret_cast<List *>(command->def);
      options = ObeyOptions(aggregate, options, command->subtype == AT_SetRelOptions);
      command->def = reinterpret_cast<Node *>(options);
      if (options == nullptr) continue;
    }
    rest = lappend(rest, command);
  }
  alter->cmds = rest;
  return rest != nullptr;
}

// ----------------------------------------------------------------------- the rest follows the view

struct ViewState {
  Oid owner, namespace_id;
  int16 column_count;
};

ViewState StateOf(Oid relation) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", relation);
  const auto *form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const ViewState state = {form->relowner, form->relnamespace, form->relnatts};
  ReleaseSysCache(tuple);
  return state;
}

void MoveToSchema(Oid relation_id, Oid from, Oid to) {
  Relation relation = relation_open(relation_id, AccessExclusiveLock);
  ObjectAddresses *moved = new_object_addresses();
  AlterTableNamespaceInternal(relation, from, to, moved);
  free_object_addresses(moved);
  relation_close(relation, NoLock);
  CommandCounterIncrement();
}

/// hourly_direct becomes daily_direct, unless it was named otherwise or the name is taken.
void FollowName(Oid relation, const char *old_name, const char *new_name, const char *label) {
  const char *expected = makeObjectName(old_name, nullptr, label);
  char *wanted = makeObjectName(new_name, nullptr, label);
  if (strcmp(get_rel_name(relation), expected) != 0) return;
  if (OidIsValid(get_relname_relid(wanted, get_rel_namespace(relation)))) return;
  LockRelationOid(relation, AccessExclusiveLock);
  RenameRelationInternal(relation, wanted, true, false);
  CommandCounterIncrement();
}

void RenameColumn(Oid relation, const char *from, const char *to) {
  auto *rename = makeNode(RenameStmt);
  rename->renameType = OBJECT_COLUMN;
  rename->relationType = get_rel_relkind(relation) == RELKIND_VIEW ? OBJECT_VIEW : OBJECT_TABLE;
  rename->relation = makeRangeVar(get_namespace_name(get_rel_namespace(relation)),
                                  pstrdup(get_rel_name(relation)), -1);
  rename->subname = pstrdup(from);
  rename->newname = pstrdup(to);
  rename->behavior = DROP_RESTRICT;
  (void)renameatt(rename);
  CommandCounterIncrement();
}

void FollowColumns(Oid relation, const ContinuousAggregate &aggregate) {
  const int count = StateOf(aggregate.view).column_count;
  for (int i = 1; i <= count; ++i) {
    const char *from = get_attname(relation, static_cast<AttrNumber>(i), false);
    const char *to = get_attname(aggregate.view, static_cast<AttrNumber>(i), false);
    if (strcmp(from, to) != 0) RenameColumn(relation, from, to);
  }
}

void FollowBucketColumn(const ContinuousAggregate &aggregate) {
  const AttrNumber attribute =
      get_attnum(aggregate.materialization, NameStr(aggregate.bucket_column));
  const char *name = get_attname(aggregate.view, attribute, false);
  if (strcmp(name, NameStr(aggregate.bucket_column)) == 0) return;
  ContinuousAggregate *changed = AggregateOfView(aggregate.view);
  namestrcpy(&changed->bucket_column, name);
  UpdateAggregate(*changed);
}

[[noreturn]] void RefuseIndex(const ContinuousAggregate &aggregate) {
  ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                  errmsg("cannot create index on continuous aggregate \"%s\"",
                         get_rel_name(aggregate.view)),
                  errdetail("It is a view."),
                  errhint("Create the index on the table of its buckets, %s.",
                          QuotedName(aggregate.materialization))));
}

[[noreturn]] void RefuseRefresh(const ContinuousAggregate &aggregate) {
  ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                  errmsg("\"%s\" is a continuous aggregate", get_rel_name(aggregate.view)),
                  errhint("CALL refresh_continuous_aggregate('%s', NULL, NULL);",
                          QuotedName(aggregate.view))));
}

[[noreturn]] void RefuseReplace(const ContinuousAggregate &aggregate) {
  ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                  errmsg("cannot replace the query of continuous aggregate \"%s\"",
                         get_rel_name(aggregate.view)),
                  errhint("Drop it and make it anew.")));
}

}  // namespace

ContinuousAggregate *AggregateOfName(const RangeVar *name) {
  if (name == nullptr) return nullptr;
  const Oid relation = RangeVarGetRelid(name, NoLock, true);
  if (!OidIsValid(relation) || get_rel_relkind(relation) != RELKIND_VIEW) return nullptr;
  return AggregateOfView(relation);
}

ContinuousAggregate *AggregateOfStatement(Node *statement) {
  const RangeVar *name = NameInStatement(statement);
  ContinuousAggregate *aggregate = AggregateOfName(name);
  if (aggregate != nullptr || name == nullptr || !IsA(statement, ViewStmt)) return aggregate;
  // CREATE OR REPLACE VIEW of the query as written.
  const Oid relation = RangeVarGetRelid(name, NoLock, true);
  return OidIsValid(relation) ? AggregateOfDirect(relation) : nullptr;
}

bool PrepareAlter(Node *statement, const ContinuousAggregate &aggregate) {
  switch (nodeTag(statement)) {
    case T_AlterTableStmt:
      return PrepareAlterTable(reinterpret_cast<AlterTableStmt *>(statement), aggregate);
    case T_RenameStmt: {
      auto *rename = reinterpret_cast<RenameStmt *>(statement);
      if (rename->renameType == OBJECT_MATVIEW) rename->renameType = OBJECT_VIEW;
      if (rename->relationType == OBJECT_MATVIEW) rename->relationType = OBJECT_VIEW;
      return true;
    }
    case T_AlterObjectSchemaStmt:
      reinterpret_cast<AlterObjectSchemaStmt *>(statement)->objectType = OBJECT_VIEW;
      return true;
    case T_CommentStmt:
      reinterpret_cast<CommentStmt *>(statement)->objtype = OBJECT_VIEW;
      return true;
    case T_SecLabelStmt:
      reinterpret_cast<SecLabelStmt *>(statement)->objtype = OBJECT_VIEW;
      return true;
    case T_IndexStmt:
      RefuseIndex(aggregate);
    case T_RefreshMatViewStmt:
      RefuseRefresh(aggregate);
    case T_ViewStmt:
      RefuseReplace(aggregate);
    default:
      return true;
  }
}

ViewBefore LookAtView(const ContinuousAggregate &aggregate) {
  return {get_rel_name(aggregate.view), StateOf(aggregate.view).owner};
}

void FinishAlter(const ContinuousAggregate &aggregate, const ViewBefore &before) {
  CommandCounterIncrement();
  const ViewState view = StateOf(aggregate.view);
  for (const Oid part : {aggregate.direct, aggregate.materialization}) {
    const ViewState state = StateOf(part);
    if (state.owner != view.owner) {
      ATExecChangeOwner(part, view.owner, true, AccessExclusiveLock);
      CommandCounterIncrement();
    }
    if (state.namespace_id != view.namespace_id)
      MoveToSchema(part, state.namespace_id, view.namespace_id);
  }
  const char *name = get_rel_name(aggregate.view);
  if (strcmp(name, before.name) != 0) {
    FollowName(aggregate.direct, before.name, name, "direct");
    FollowName(aggregate.materialization, before.name, name, "materialized");
  }
  if (view.owner != before.owner) RequireAllRows(aggregate, name);
  FollowBucketColumn(aggregate);
  FollowColumns(aggregate.direct, aggregate);
  FollowColumns(aggregate.materialization, aggregate);
}

}  // namespace tsext::pg
