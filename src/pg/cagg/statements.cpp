// Statements about continuous aggregates, on their way to PostgreSQL.

#include "pg/base/boundary.hpp"
#include "pg/base/utility.hpp"
#include "pg/cagg/alter.hpp"
#include "pg/cagg/cagg.hpp"
#include "pg/cagg/define.hpp"
#include "pg/cagg/row_security.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/objectaddress.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "nodes/parsenodes.h"
}

namespace tsext::pg {
namespace {

// ------------------------------------------------------------------------------------ CREATE

bool IsOf(const char *name_space, const DefElem *option) {
  return option->defnamespace != nullptr && strcmp(option->defnamespace, name_space) == 0;
}

struct CreateOptions {
  bool is_continuous;
  bool is_given;  // one of the options is there
  bool names_continuous;
  bool materialized_only;
  List *others;
};

CreateOptions ReadOptions(const List *options) {
  CreateOptions result = {};
  ListCell *cell;
  foreach (cell, options) {
    auto *option = lfirst_node(DefElem, cell);
    if (!CheckAggregateOption(option)) {
      result.others = lappend(result.others, option);
      continue;
    }
    result.is_given = true;
    if (strcmp(option->defname, "continuous") == 0) {
      result.names_continuous = true;
      result.is_continuous = defGetBoolean(option);
    } else {
      result.materialized_only = defGetBoolean(option);
    }
  }
  return result;
}

/// Makes the aggregate, with what event triggers see of a statement that PostgreSQL runs.
Oid RunWithEvents(const Utility &utility, const CreateRequest &request) {
  const bool is_complete =
      utility.context <= PROCESS_UTILITY_QUERY && EventTriggerBeginCompleteQuery();
  if (!is_complete) return CreateAggregate(request);
  struct End {
    ~End() { EventTriggerEndCompleteQuery(); }
  };
  const End end;
  return Guard([&] {
    auto *statement = reinterpret_cast<Node *>(request.statement);
    EventTriggerDDLCommandStart(statement);
    const Oid view = CreateAggregate(request);
    if (OidIsValid(view)) {
      const ObjectAddress address = {RelationRelationId, view, 0};
      EventTriggerCollectSimpleCommand(address, InvalidObjectAddress, statement);
    }
    EventTriggerDDLCommandEnd(statement);
    return view;
  });
}

/// Whether the statement was one of ours.
bool RunCreate(Utility *utility) {
  auto *create = reinterpret_cast<CreateTableAsStmt *>(utility->statement->utilityStmt);
  if (create->objtype != OBJECT_MATVIEW) return false;
  // Without the extension, options of timescaledb may be for somebody else.
  if (!OidIsValid(TsextAccessMethod())) return false;
  const CreateOptions options = ReadOptions(create->into->options);
  if (!options.is_given) return false;
  if (!options.names_continuous)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("option \"materialized_only\" is for continuous aggregates"),
                    errhint("Add tsext.continuous.")));
  if (!options.is_continuous) {
    create = reinterpret_cast<CreateTableAsStmt *>(utility->Edit());
    create->into->options = ReadOptions(create->into->options).others;
    return false;
  }
  if (options.others != nullptr) {
    const auto *other = linitial_node(DefElem, options.others);
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("option \"%s%s%s\" cannot be given to a continuous aggregate",
                    other->defnamespace != nullptr ? other->defnamespace : "",
                    other->defnamespace != nullptr ? "." : "", other->defname),
             errhint("Give it to the table of its buckets afterwards: ALTER TABLE %s_materialized "
                     "SET (...).",
                     create->into->rel->relname)));
  }
  const Oid view = RunWithEvents(*utility, {create, options.materialized_only});
  if (OidIsValid(view) && !create->into->skipData)
    FillNewAggregate(view, utility->context == PROCESS_UTILITY_TOPLEVEL);
  return true;
}

// ------------------------------------------------------------------------------------ DROP, ALTER

DropBehavior BehaviorOf(const Node *statement) {
  if (IsA(statement, DropStmt)) return reinterpret_cast<const DropStmt *>(statement)->behavior;
  if (IsA(statement, DropOwnedStmt))
    return reinterpret_cast<const DropOwnedStmt *>(statement)->behavior;
  if (!IsA(statement, AlterTableStmt)) return DROP_RESTRICT;
  // DROP COLUMN, say.
  ListCell *cell;
  foreach (cell, reinterpret_cast<const AlterTableStmt *>(statement)->cmds)
    if (lfirst_node(AlterTableCmd, cell)->behavior == DROP_CASCADE) return DROP_CASCADE;
  return DROP_RESTRICT;
}

void RunDrop(Utility utility) {
  if (!DropsAggregates(reinterpret_cast<DropStmt *>(utility.statement->utilityStmt))) {
    utility.Run();
    return;
  }
  auto *drop = reinterpret_cast<DropStmt *>(utility.Edit());
  DropStmt *rest = SplitDrop(drop);
  utility.Run();
  if (rest == nullptr) return;
  CommandCounterIncrement();
  utility.statement->utilityStmt = reinterpret_cast<Node *>(rest);
  utility.Run();
}

/// Whether the statement was about an aggregate.
bool RunAlter(Utility utility) {
  const ContinuousAggregate *aggregate = AggregateOfStatement(utility.Parsed());
  if (aggregate == nullptr) return false;
  const ViewBefore before = LookAtView(*aggregate);
  Node *statement = utility.Edit();
  if (PrepareAlter(statement, *aggregate)) utility.Run();
  FinishAlter(*aggregate, before);
  return true;
}

void RunStatement(Utility utility) {
  Node *statement = utility.Parsed();
  const DropBehavior behavior = BehaviorOf(statement);
  if (IsA(statement, AlterTableStmt)) GuardOptions(reinterpret_cast<AlterTableStmt *>(statement));
  PrepareRowSecurity(statement);
  if (IsA(statement, CreateTableAsStmt)) {
    if (RunCreate(&utility)) return;
    utility.Run();
  } else if (IsA(statement, DropStmt)) {
    RunDrop(utility);
  } else if (!RunAlter(utility)) {
    if (IsA(statement, AlterTableStmt)) {
      const auto *alter = reinterpret_cast<AlterTableStmt *>(statement);
      if (SkipsAlter(alter)) return;
      GuardTable(alter);
    }
    if (IsA(statement, RenameStmt)) GuardRename(reinterpret_cast<RenameStmt *>(statement));
    utility.Run();
  }
  if (HasDrops()) FinishDrops(behavior);
  FinishRowSecurity();
}

}  // namespace

bool IsAggregateOption(const DefElem *option) {
  return (IsOf("tsext", option) || IsOf("timescaledb", option)) &&
         (strcmp(option->defname, "continuous") == 0 ||
          strcmp(option->defname, "materialized_only") == 0);
}

bool CheckAggregateOption(const DefElem *option) {
  if (IsAggregateOption(option)) return true;
  if (IsOf("timescaledb", option))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("unrecognized option \"timescaledb.%s\"", option->defname),
                    errhint("Options of a continuous aggregate are continuous and "
                            "materialized_only.")));
  return false;
}

void InitAggregateStatements() {
  HookUtility<RunStatement>();
  InitAggregateDrops();
  InitRowSecurity();
}

}  // namespace tsext::pg
