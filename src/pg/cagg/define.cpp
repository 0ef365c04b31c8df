// CREATE MATERIALIZED VIEW … WITH (tsext.continuous): a view of the query, a table of finished
// buckets, the view people read, and a row that tells what belongs together.

#include "pg/cagg/define.hpp"

#include "pg/base/boundary.hpp"
#include "pg/base/read_only.hpp"
#include "pg/cagg/refresh.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/catalog/set_options.hpp"

extern "C" {
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "catalog/toasting.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {
namespace {

constexpr char kCommand[] = "CREATE MATERIALIZED VIEW";
constexpr int64_t kBucketsPerChunk = 1000;  // of integer buckets, whose unit is not known

/// The statement's own column names, over those of the query.
void NameColumns(const List *names, Query *query) {
  const ListCell *next = list_head(names);
  ListCell *cell;
  foreach (cell, query->targetList) {
    auto *entry = lfirst_node(TargetEntry, cell);
    if (entry->resjunk || next == nullptr) continue;
    entry->resname = pstrdup(strVal(lfirst(next)));
    next = lnext(names, next);
  }
  if (next != nullptr)
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("too many column names were specified")));
}

/// The namespace of the view; InvalidOid when there is a relation of its name and that is fine.
Oid CreationNamespace(CreateTableAsStmt *statement) {
  RangeVar *name = statement->into->rel;
  Oid existing;
  const Oid namespace_id = RangeVarGetAndCheckCreationNamespace(name, NoLock, &existing);
  if (OidIsValid(existing)) {
    ereport(
        statement->if_not_exists ? NOTICE : ERROR,
        (errcode(ERRCODE_DUPLICATE_TABLE), errmsg("relation \"%s\" already exists%s", name->relname,
                                                  statement->if_not_exists ? ", skipping" : "")));
    return InvalidOid;
  }
  if (name->relpersistence == RELPERSISTENCE_TEMP)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("continuous aggregate \"%s\" cannot be temporary", name->relname)));
  return namespace_id;
}

RangeVar *NameOf(Oid namespace_id, const char *name) {
  return makeRangeVar(get_namespace_name(namespace_id), pstrdup(name), -1);
}

// ------------------------------------------------------------------------- the table of buckets

/// Whether values of a grouped column tell series apart: what names things, as opposed to measures.
bool IsSegmentBy(const AggregateQuery &aggregate, const TargetEntry *entry) {
  const auto *expression = reinterpret_cast<const Node *>(entry->expr);
  const Oid type = getBaseType(exprType(expression));
  if (get_typtype(type) == TYPTYPE_ENUM) return true;
  switch (type) {
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case NAMEOID:
    case UUIDOID:
    case BOOLOID:
    case INETOID:
      return true;
    default:
      break;
  }
  // Others as the source's own segment-by columns.
  if (!IsA(expression, Var)) return false;
  const auto *column = reinterpret_cast<const Var *>(expression);
  if (column->varno != static_cast<int>(aggregate.source_index)) return false;
  const char *name = get_attname(aggregate.defined.source, column->varattno, false);
  const Oid table = aggregate.defined.source;
  if (!IsTsextTable(table)) return false;
  ListCell *cell;
  foreach (cell, ReadLabel(table)->segment_by)
    if (strcmp(static_cast<char *>(lfirst(cell)), name) == 0) return true;
  return false;
}

List *SegmentByNames(const AggregateQuery &aggregate) {
  const Query *query = aggregate.query;
  List *names = nullptr;
  ListCell *cell;
  foreach (cell, query->groupClause) {
    const TargetEntry *entry =
        get_sortgroupclause_tle(lfirst_node(SortGroupClause, cell), query->targetList);
    if (entry->resjunk || entry == aggregate.bucket_entry) continue;
    if (list_length(names) < kMaxSortColumns && IsSegmentBy(aggregate, entry))
      names = lappend(names, entry->resname);
  }
  return names;
}

OptionChanges OptionsOf(const AggregateQuery &aggregate) {
  OptionChanges changes;
  changes.time_column = Change::kSet;
  changes.time_column_name = pstrdup(NameStr(aggregate.defined.bucket_column));
  changes.segment_by_names = SegmentByNames(aggregate);
  const bool is_single_series = list_length(aggregate.query->groupClause) == 1;
  // Otherwise left open: chosen from the rows.
  if (changes.segment_by_names != nullptr || is_single_series) changes.segment_by = Change::kSet;
  if (IsIntegerTimeType(aggregate.defined.time_type)) {
    int64_t minimum;
    int64_t maximum;
    TimeTypeRange(aggregate.defined.time_type, &minimum, &maximum);
    const int64_t width = aggregate.defined.cell_width > maximum / kBucketsPerChunk
                              ? maximum
                              : aggregate.defined.cell_width * kBucketsPerChunk;
    changes.chunk_interval = Change::kSet;
    changes.chunk_interval_text = psprintf(INT64_FORMAT, width);
  }
  return changes;
}

Oid MakeMaterialization(const AggregateQuery &aggregate, RangeVar *name, char *tablespace) {
  auto *create = makeNode(CreateStmt);
  create->relation = name;
  create->tableElts = ColumnsOfQuery(aggregate.query);
  create->oncommit = ONCOMMIT_NOOP;
  create->tablespacename = tablespace;
  create->accessMethod = pstrdup("tsext");
  ListCell *cell;
  foreach (cell, create->tableElts) {
    auto *column = lfirst_node(ColumnDef, cell);
    if (strcmp(column->colname, NameStr(aggregate.defined.bucket_column)) == 0)
      column->is_not_null = true;
  }
  const Oid table = DefineRelation(create, RELKIND_RELATION, InvalidOid, nullptr, nullptr).objectId;
  CommandCounterIncrement();
  NewRelationCreateToastTable(table, Datum{0});
  Relation relation = table_open(table, NoLock);
  const OptionChanges changes = OptionsOf(aggregate);
  ChangeOptions(relation, &changes);
  table_close(relation, NoLock);
  return table;
}

Oid MakeObjects(const CreateRequest &request, Oid namespace_id, const AggregateQuery &query) {
  const IntoClause *into = request.statement->into;
  const char *name = into->rel->relname;
  ContinuousAggregate aggregate = query.defined;
  aggregate.materialized_only = request.materialized_only;
  const auto choose = [&](const char *label) {
    return NameOf(namespace_id, ChooseRelationName(name, nullptr, label, namespace_id, false));
  };
  aggregate.materialization =
      MakeMaterialization(query, choose("materialized"), into->tableSpaceName);
  // Storing a view's query scribbles on it.
  aggregate.direct = MakeView(choose("direct"), static_cast<Query *>(copyObjectImpl(query.query)));
  aggregate.view = MakeAggregateView(aggregate, NameOf(namespace_id, name));
  InsertAggregate(aggregate);
  return aggregate.view;
}

void RefuseUnsuitable(const CreateRequest &request) {
  const IntoClause *into = request.statement->into;
  if (into->accessMethod != nullptr && strcmp(into->accessMethod, "tsext") != 0)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("continuous aggregates are stored by the access method tsext"),
                    errhint("Leave USING out.")));
}

}  // namespace

Oid CreateAggregate(const CreateRequest &request) {
  RefuseReadOnly(kCommand);
  PreventCommandIfParallelMode(kCommand);
  RefuseUnsuitable(request);
  CreateTableAsStmt *statement = request.statement;
  const Oid namespace_id = CreationNamespace(statement);
  if (!OidIsValid(namespace_id)) return InvalidOid;
  AggregateQuery query = {};
  query.query = static_cast<Query *>(copyObjectImpl(statement->query));
  NameColumns(statement->into->colNames, query.query);
  CheckAggregateQuery(&query);
  return MakeObjects(request, namespace_id, query);
}

void FillNewAggregate(Oid view, bool is_top_level) {
  if (IsInTransactionBlock(is_top_level)) {
    (void)FillAggregate(view);
    return;
  }
  PreventInTransactionBlock(is_top_level, kCommand);
  (void)RefreshAggregate(view, kTimeMinimum, kTimeMaximum, RefreshKind::kChanged);
}

}  // namespace tsext::pg
