// Which queries can be continuous aggregates.
//
// A bucket is computed as a whole, by itself and at any time. So the query must say which bucket a
// row of the source belongs to, no bucket may depend on another one, and the result may depend on
// nothing but the rows.

#include "pg/base/boundary.hpp"
#include "pg/cagg/define.hpp"
#include "pg/cagg/row_security.hpp"
#include "pg/catalog/bucket_start.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

// PostgreSQL 15 declares walkers without arguments; void (*)() converts to anything.
using Walker = bool (*)();

[[noreturn]] void Refuse(const char *what, const char *why, const char *hint) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("%s cannot be used in a continuous aggregate", what),
                  errdetail_internal("%s", why), errhint("%s", hint)));
}

void RefuseClauses(const Query *query) {
  constexpr char kReading[] = "Use it where you read the view.";
  if (query->cteList != nullptr)
    Refuse("WITH", "What its queries read could not be followed.",
           "Join plain tables, or put the rest into a view over the continuous aggregate.");
  if (query->setOperations != nullptr)
    Refuse("UNION, INTERSECT or EXCEPT", "A continuous aggregate follows one table.",
           "Make one of each part, and a view that unites them.");
  if (query->hasSubLinks)
    Refuse("a subquery", "What it reads could not be followed.", "Join a plain table instead.");
  if (query->hasWindowFuncs)
    Refuse("a window function", "It looks at other buckets, but each bucket is computed by itself.",
           kReading);
  if (query->groupingSets != nullptr)
    Refuse("GROUPING SETS, ROLLUP or CUBE", "Each row must belong to one bucket.",
           "Group by all the columns, and sum up where you read the view.");
  if (query->distinctClause != nullptr)
    Refuse("SELECT DISTINCT", "Rows of all buckets would be compared.", kReading);
  if (query->limitOffset != nullptr || query->limitCount != nullptr)
    Refuse("LIMIT or OFFSET", "It would count the rows of all buckets.", kReading);
  if (query->sortClause != nullptr)
    Refuse("ORDER BY", "Buckets are stored, and rows of a table have no order.",
           "Give the order where you read the view. Inside an aggregate ORDER BY is fine.");
  if (query->rowMarks != nullptr)
    Refuse("FOR UPDATE or FOR SHARE", "Rows are read without locks.", "Leave the clause out.");
  if (query->hasTargetSRFs)
    Refuse("a function that returns a set", "A group must give one row.", kReading);
}

// ------------------------------------------------------------- functions that are not immutable

bool IsMutable(Oid function, void *context) {
  if (func_volatile(function) == PROVOLATILE_IMMUTABLE) return false;
  *static_cast<Oid *>(context) = function;
  return true;
}

/// CREATE AGGREGATE calls every aggregate immutable, whatever its functions are.
bool HasMutableParts(Oid aggregate, Oid *function) {
  if (aggregate < FirstNormalObjectId) return false;
  HeapTuple tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
  if (!HeapTupleIsValid(tuple)) return false;
  const auto *form = reinterpret_cast<Form_pg_aggregate>(GETSTRUCT(tuple));
  const bool found = IsMutable(form->aggtransfn, function) ||
                     (OidIsValid(form->aggfinalfn) && IsMutable(form->aggfinalfn, function));
  ReleaseSysCache(tuple);
  return found;
}

struct MutablePart {
  Oid function;      // InvalidOid: one of the words
  const char *word;  // CURRENT_DATE and its like
};

bool FindMutable(Node *node, MutablePart *part) {
  if (node == nullptr) return false;
  if (check_functions_in_node(node, IsMutable, &part->function)) return true;
  if (IsA(node, Aggref) &&
      HasMutableParts(reinterpret_cast<Aggref *>(node)->aggfnoid, &part->function))
    return true;
  if (IsA(node, SQLValueFunction)) part->word = "CURRENT_TIMESTAMP or one of its kind";
  if (IsA(node, NextValueExpr)) part->word = "nextval";
  if (part->word != nullptr) return true;
  auto *walk = reinterpret_cast<Walker>(reinterpret_cast<void (*)()>(FindMutable));
  if (IsA(node, Query))
    return query_tree_walker(reinterpret_cast<Query *>(node), walk, part, QTW_IGNORE_JOINALIASES);
  return expression_tree_walker(node, walk, part);
}

void RefuseMutable(Query *query) {
  MutablePart part = {InvalidOid, nullptr};
  if (!FindMutable(reinterpret_cast<Node *>(query), &part)) return;
  const char *what = part.word != nullptr ? part.word
                                          : psprintf("function %s, which is not immutable,",
                                                     format_procedure(part.function));
  Refuse(what,
         "A bucket must come out the same whenever it is computed; this depends on the time, on "
         "settings such as TimeZone, or on tables.",
         "Name the time zone (time AT TIME ZONE 'UTC'), or use it where you read the view. "
         "time_bucket() is immutable, date_trunc() of a timestamptz is not.");
}

// ------------------------------------------------------------------------------------ columns

/// System columns and whole rows.
bool FindOddColumn(Node *node, const Var **found) {
  if (node == nullptr) return false;
  if (IsA(node, Var) && reinterpret_cast<Var *>(node)->varattno <= 0) {
    *found = reinterpret_cast<Var *>(node);
    return true;
  }
  auto *walk = reinterpret_cast<Walker>(reinterpret_cast<void (*)()>(FindOddColumn));
  if (IsA(node, Query))
    return query_tree_walker(reinterpret_cast<Query *>(node), walk, found, QTW_IGNORE_JOINALIASES);
  return expression_tree_walker(node, walk, found);
}

void RefuseOddColumns(Query *query) {
  const Var *column = nullptr;
  if (!FindOddColumn(reinterpret_cast<Node *>(query), &column)) return;
  if (column->varattno == 0)
    Refuse("a whole row", "Its columns can change while the aggregate stands.", "Name columns.");
  Refuse("a system column", "Its values change without the row being written.",
         "Use columns of the table.");
}

// ------------------------------------------------------------------------------------ relations

void RefuseRelation(const char *name, const char *why, const char *hint) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("\"%s\" cannot be read by a continuous aggregate", name),
                  errdetail_internal("%s", why), hint != nullptr ? errhint("%s", hint) : 0));
}

void CheckRelation(const RangeTblEntry *entry, bool is_source) {
  Relation relation = table_open(entry->relid, NoLock);
  const char *name = RelationGetRelationName(relation);
  if (entry->tablesample != nullptr)
    Refuse("TABLESAMPLE", "A bucket must come out the same whenever it is computed.",
           "Leave it out.");
  if (is_source && relation->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
    RefuseRelation(name, "It is not permanent: a crash would empty it, but not the aggregate.",
                   nullptr);
  if (is_source && find_inheritance_children(entry->relid, NoLock) != nullptr)
    RefuseRelation(name, "It has tables that inherit from it, whose rows could not be followed.",
                   nullptr);
  if (!is_source && IsTsextRelation(relation))
    RefuseRelation(name, "Only one tsext table of the query is followed, that of the bucket.",
                   "Aggregate each by itself, and join the continuous aggregates in a view.");
  if (!is_source && relation->rd_rel->relkind != RELKIND_RELATION &&
      relation->rd_rel->relkind != RELKIND_MATVIEW)
    RefuseRelation(name, "Only plain tables can be joined.", nullptr);
  table_close(relation, NoLock);
}

const char *RangeTableKind(RTEKind kind) {
  switch (kind) {
    case RTE_SUBQUERY:
      return "a subquery in FROM";
    case RTE_FUNCTION:
    case RTE_TABLEFUNC:
      return "a function in FROM";
    case RTE_VALUES:
      return "VALUES";
    default:
      return "this kind of FROM";
  }
}

void CheckRelations(const AggregateQuery *aggregate) {
  const RangeTblEntry *source = rt_fetch(aggregate->source_index, aggregate->query->rtable);
  ListCell *cell;
  foreach (cell, aggregate->query->rtable) {
    const auto *entry = lfirst_node(RangeTblEntry, cell);
    if (entry->rtekind == RTE_JOIN) continue;
    if (entry->rtekind != RTE_RELATION)
      Refuse(RangeTableKind(entry->rtekind), "What it reads could not be followed.",
             "Read a tsext table, joined with plain tables where needed.");
    if (entry != source && entry->relid == source->relid)
      Refuse("a join of the table with itself", "A row would count in buckets other than its own.",
             "Use a query or an ordinary view over the continuous aggregate.");
    CheckRelation(entry, entry == source);
  }
}

// ------------------------------------------------------------------------------------ bucket

[[noreturn]] void RefuseBucket(const char *message, const char *detail) {
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_OBJECT_DEFINITION), errmsg("%s", message),
           errdetail_internal("%s", detail),
           errhint("Write SELECT time_bucket('1 hour', time) AS bucket, ... GROUP BY bucket, with "
                   "the time column of the table.")));
}

/// The one time_bucket() in GROUP BY.
void FindBucket(AggregateQuery *aggregate) {
  const Query *query = aggregate->query;
  int count = 0;
  ListCell *cell;
  foreach (cell, query->groupClause) {
    TargetEntry *entry =
        get_sortgroupclause_tle(lfirst_node(SortGroupClause, cell), query->targetList);
    Node *call =
        flatten_join_alias_vars(aggregate->query, static_cast<Node *>(copyObjectImpl(entry->expr)));
    if (!IsA(call, FuncExpr)) continue;
    if (!IsTimeBucketFunction(reinterpret_cast<FuncExpr *>(call)->funcid)) continue;
    if (++count > 1) break;
    aggregate->bucket_entry = entry;
    // Arguments by name come into their places, defaults are filled in.
    call = eval_const_expressions(nullptr, call);
    if (!IsA(call, FuncExpr))
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("arguments of time_bucket() are NULL")));
    aggregate->bucket = reinterpret_cast<FuncExpr *>(call);
  }
  if (count == 0)
    RefuseBucket("a continuous aggregate needs time_bucket() in GROUP BY",
                 "It tells which rows must be computed again when some have changed.");
  if (count > 1)
    RefuseBucket("a continuous aggregate can have one time_bucket() in GROUP BY only",
                 "Buckets of one width are computed and stored.");
  if (aggregate->bucket_entry->resjunk)
    RefuseBucket("time_bucket() is not selected",
                 "The bucket is what the stored rows are found by.");
}

/// The column that the bucket is of; its position in the table.
AttrNumber FindSourceColumn(AggregateQuery *aggregate) {
  Node *time = static_cast<Node *>(lsecond(aggregate->bucket->args));
  while (IsA(time, RelabelType))
    time = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(time)->arg);
  if (!IsA(time, Var) || reinterpret_cast<Var *>(time)->varattno <= 0)
    RefuseBucket("time_bucket() must be of the time column itself",
                 "Of an expression it is not known which times a bucket holds.");
  const auto *column = reinterpret_cast<Var *>(time);
  aggregate->source_index = column->varno;
  return column->varattno;
}

/// Following a table adds to the work of everybody who writes to it, as a trigger does.
void CheckPrivilege(Oid base) {
  if (pg_class_aclcheck(base, GetUserId(), ACL_TRIGGER) == ACLCHECK_OK) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("permission denied for table %s", get_rel_name(base)),
                  errdetail("A continuous aggregate needs the privilege TRIGGER on the table it "
                            "follows: it adds to the work of those who write there."),
                  errhint("Ask the owner for GRANT TRIGGER.")));
}

/// Waits for the table's writers, who have not noted what they touched, and for who is changing its
/// time column.
void LockBase(Oid base) {
  CheckPrivilege(base);
  LockRelationOid(base, ShareRowExclusiveLock);
}

/// The table below, which must be one that can be followed.
void CheckTable(AggregateQuery *aggregate, Oid table, AttrNumber column) {
  const char *name = get_rel_name(table);
  if (!IsTsextTable(table))
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is neither a tsext table nor a continuous aggregate", name),
                    errdetail("Changes of other tables cannot be followed."),
                    get_rel_relkind(table) == RELKIND_RELATION
                        ? errhint("Make it one with create_hypertable(), or with ALTER TABLE ... "
                                  "SET ACCESS METHOD tsext.")
                        : 0));
  if (get_rel_relkind(table) != RELKIND_RELATION)
    RefuseRelation(name, "It is a materialized view.", "Aggregate what it reads.");
  const ContinuousAggregate *above = AggregateOfMaterialization(table);
  if (above != nullptr)
    RefuseRelation(name, "It holds the finished buckets of a continuous aggregate, no others.",
                   psprintf("Read the view \"%s\".", get_rel_name(above->view)));
  LockBase(table);
  Relation relation = table_open(table, NoLock);
  const TableOptions *options = GetTableOptions(relation);
  if (options->time_attribute != column)
    RefuseBucket(psprintf("column \"%s\" is not the time column of table \"%s\"",
                          get_attname(table, column, false), name),
                 options->time_attribute == InvalidAttrNumber
                     ? "It has none: name one with tsext.set_options()."
                     : psprintf("Its time column is \"%s\".",
                                get_attname(table, options->time_attribute, false)));
  if (!TupleDescAttr(RelationGetDescr(relation), column - 1)->attnotnull)
    ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                    errmsg("time column \"%s\" of table \"%s\" can be NULL",
                           get_attname(table, column, false), name),
                    errdetail("Rows without a time belong to no bucket."),
                    errhint("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL;", quote_identifier(name),
                            quote_identifier(get_attname(table, column, false)))));
  aggregate->defined.base = table;
  aggregate->defined.level = 1;
  aggregate->defined.time_type = options->time_type;
  table_close(relation, NoLock);
}

/// The continuous aggregate below.
void CheckSourceAggregate(AggregateQuery *aggregate, const ContinuousAggregate *source,
                          AttrNumber column) {
  const char *name = get_rel_name(source->view);
  const char *column_name = get_attname(source->view, column, false);
  if (strcmp(column_name, NameStr(source->bucket_column)) != 0)
    RefuseBucket(psprintf("column \"%s\" is not the bucket of continuous aggregate \"%s\"",
                          column_name, name),
                 psprintf("Its bucket is \"%s\".", NameStr(source->bucket_column)));
  if (source->materialized_only)
    RefuseRelation(name, "It shows materialized buckets only, so what is above it would miss rows.",
                   psprintf("ALTER MATERIALIZED VIEW %s SET (tsext.materialized_only = false);",
                            quote_identifier(name)));
  LockBase(source->base);
  aggregate->defined.base = source->base;
  aggregate->defined.level = static_cast<int16_t>(source->level + 1);
  aggregate->defined.time_type = source->time_type;
}

}  // namespace

Side FindInJoins(const Node *node, Index index) {
  if (IsA(node, RangeTblRef))
    return reinterpret_cast<const RangeTblRef *>(node)->rtindex == static_cast<int>(index)
               ? Side::kKept
               : Side::kAbsent;
  if (IsA(node, FromExpr)) {
    ListCell *cell;
    foreach (cell, reinterpret_cast<const FromExpr *>(node)->fromlist) {
      const Side side = FindInJoins(static_cast<Node *>(lfirst(cell)), index);
      if (side != Side::kAbsent) return side;
    }
    return Side::kAbsent;
  }
  const auto *join = reinterpret_cast<const JoinExpr *>(node);
  const Side left = FindInJoins(join->larg, index);
  if (left != Side::kAbsent)
    return join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL ? Side::kNulled : left;
  const Side right = FindInJoins(join->rarg, index);
  if (right == Side::kAbsent) return right;
  return join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL ? Side::kNulled : right;
}

void CheckAggregateQuery(AggregateQuery *aggregate) {
  Query *query = aggregate->query;
  RefuseClauses(query);
  FindBucket(aggregate);
  const AttrNumber column = FindSourceColumn(aggregate);
  RangeTblEntry *entry = rt_fetch(aggregate->source_index, query->rtable);
  if (entry->rtekind != RTE_RELATION)
    Refuse(RangeTableKind(entry->rtekind), "What it reads could not be followed.",
           "Read a tsext table, joined with plain tables where needed.");
  if (FindInJoins(reinterpret_cast<Node *>(query->jointree), aggregate->source_index) ==
      Side::kNulled)
    Refuse("an outer join that adds rows to those of the table",
           "Such rows have no time and belong to no bucket.",
           "Put the table on the side whose rows are all kept.");
  RefuseOddColumns(query);
  RefuseMutable(query);
  if (query->constraintDeps != nullptr)
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("a continuous aggregate cannot select columns that depend on grouped "
                           "ones by a primary key"),
                    errdetail("The definition would depend on the key."),
                    errhint("Name these columns in GROUP BY as well.")));
  const ContinuousAggregate *source =
      entry->relkind == RELKIND_VIEW ? AggregateOfView(entry->relid) : nullptr;
  if (source != nullptr)
    CheckSourceAggregate(aggregate, source, column);
  else
    CheckTable(aggregate, entry->relid, column);
  aggregate->defined.source = entry->relid;
  CheckRelations(aggregate);
  // A table that inherits from it one day would not be followed.
  entry->inh = entry->inh && entry->relkind != RELKIND_RELATION;
  DescribeBucket(aggregate, source);
}

}  // namespace tsext::pg
