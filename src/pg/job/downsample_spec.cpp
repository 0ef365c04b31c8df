// What a user asks to be downsampled: checked against the table, and the query that computes the
// buckets.

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/catalog/cagg.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/job/downsample.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "parser/parse_coerce.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}

namespace tsext::pg {
namespace {

const char *const kAggregateNames[] = {"avg", "min", "max", "sum", "first", "last", "count"};

const char *NameOf(BucketAggregate aggregate) {
  return kAggregateNames[static_cast<int>(aggregate)];
}

BucketAggregate AggregateOfName(const char *column, const char *name) {
  for (size_t i = 0; i < lengthof(kAggregateNames); i++)
    if (strcmp(name, kAggregateNames[i]) == 0) return static_cast<BucketAggregate>(i);
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("unknown aggregate \"%s\" for column \"%s\"", name, column),
                  errhint("The aggregates are avg, min, max, sum, first, last and count.")));
}

[[noreturn]] void WrongForm() {
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("aggregates must be a JSON object of columns and their aggregates"),
                  errhint("For example {\"usage\": \"avg\", \"bytes\": \"sum\"}.")));
}

// ---------------------------------------------------------------------------------------------
// The table

[[noreturn]] void Refuse(Relation relation, const char *reason, const char *hint) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("cannot downsample table \"%s\"", RelationGetRelationName(relation)),
                  errdetail("%s", reason), hint == nullptr ? 0 : errhint("%s", hint)));
}

void CheckKeys(Relation relation) {
  const TriggerDesc *triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; i++) {
    if (triggers->triggers[i].tgconstraint == InvalidOid) continue;
    switch (RI_FKey_trigger_type(triggers->triggers[i].tgfoid)) {
      case RI_TRIGGER_PK:
        Refuse(relation, "A foreign key references it.", nullptr);
      case RI_TRIGGER_FK:
        Refuse(relation, "It has a foreign key, which new rows would have to be checked against.",
               "Drop the foreign key.");
      default:
        break;
    }
  }
}

bool IsKeyColumn(const IndexInfo &index, AttrNumber attribute) {
  for (int i = 0; i < index.ii_NumIndexKeyAttrs; i++)
    if (index.ii_IndexAttrNumbers[i] == attribute) return true;
  return false;
}

/// Buckets are unique by their series and time. A unique index that says less would be violated.
void CheckUniqueIndexes(Relation relation, const TableOptions *options) {
  ListCell *cell;
  foreach (cell, RelationGetIndexList(relation)) {
    Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    const Form_pg_index form = index->rd_index;
    const char *name = RelationGetRelationName(index);
    if (form->indisexclusion)
      Refuse(relation, psprintf("It has an exclusion constraint \"%s\".", name), nullptr);
    if (form->indisunique) {
      if (!form->indimmediate)
        Refuse(relation, psprintf("Its unique index \"%s\" is deferrable.", name), nullptr);
      const IndexInfo *keys = BuildIndexInfo(index);
      bool is_wider = IsKeyColumn(*keys, options->time_attribute);
      for (int i = 0; i < options->segment_by_count; i++)
        is_wider = is_wider && IsKeyColumn(*keys, options->segment_by[i]);
      if (!is_wider)
        Refuse(relation,
               psprintf("Its unique index \"%s\" does not contain the time column and all "
                        "segment-by columns: rows of buckets could violate it.",
                        name),
               nullptr);
    }
    index_close(index, NoLock);
  }
}

void CheckTable(Relation relation, const TableOptions *options) {
  const char *name = RelationGetRelationName(relation);
  if (!IsTsextRelation(relation) || relation->rd_rel->relkind != RELKIND_RELATION)
    ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("\"%s\" is not a tsext table", name)));
  if (options->time_attribute == InvalidAttrNumber)
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("table \"%s\" has no time column", name),
                    errhint("Name one with tsext.set_options(relation, time_column => …).")));
  if (IsIntegerTimeType(options->time_type))
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot downsample table \"%s\": its time column is of type %s", name,
                           format_type_be(options->time_type)),
                    errdetail("A bucket is an interval, and the unit of an integer is unknown."),
                    errhint("Use a time column of type timestamptz, timestamp or date.")));
  if (!options->segment_by_is_given && options->segment_by_count == 0)
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
         errmsg("the series of table \"%s\" are not known yet", name),
         errdetail("Rows are downsampled per combination of values of the segment-by columns."),
         errhint("Name the columns with tsext.set_options(relation, segment_by => …), '{}' when "
                 "all rows are one series.")));
  if (AggregateOfMaterialization(RelationGetRelid(relation)) != nullptr)
    Refuse(relation, "It holds the buckets of a continuous aggregate.",
           "Make another continuous aggregate with wider buckets over it.");
  CheckKeys(relation);
  CheckUniqueIndexes(relation, options);
  if (check_enable_rls(RelationGetRelid(relation), relation->rd_rel->relowner, true) == RLS_ENABLED)
    Refuse(relation, "Row security hides rows from its owner, which would be lost.",
           "Use ALTER TABLE … NO FORCE ROW LEVEL SECURITY.");
  // Segments of a table that may have none any more (it was published meanwhile): nobody downstream
  // would hear of it.
  if (const char *reason = StaysHotBecause(relation);
      reason != nullptr && HasSegments(relation->rd_rel->reltoastrelid, nullptr))
    Refuse(relation, psprintf("It has compressed chunks although %s.", reason),
           "Make its rows hot with decompress_chunk() first.");
  CheckCmdReplicaIdentity(relation, CMD_DELETE);
}

// ---------------------------------------------------------------------------------------------
// Columns

AttrNumber FindColumn(Relation relation, const char *name) {
  const AttrNumber attribute = get_attnum(RelationGetRelid(relation), name);
  if (attribute <= 0)
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("column \"%s\" of table \"%s\" does not exist", name,
                           RelationGetRelationName(relation))));
  return attribute;
}

bool IsSegmentBy(const TableOptions *options, AttrNumber attribute) {
  for (int i = 0; i < options->segment_by_count; i++)
    if (options->segment_by[i] == attribute) return true;
  return false;
}

Form_pg_attribute FormOf(Relation relation, AttrNumber attribute) {
  return TupleDescAttr(RelationGetDescr(relation), attribute - 1);
}

/// A column that gets the result of an aggregate, or the number of rows.
void CheckComputed(Relation relation, const TableOptions *options, AttrNumber attribute) {
  const char *name = NameStr(FormOf(relation, attribute)->attname);
  if (attribute == options->time_attribute)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("time column \"%s\" cannot be aggregated", name),
                    errdetail("It becomes the start of the bucket.")));
  if (IsSegmentBy(options, attribute))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("segment-by column \"%s\" cannot be aggregated", name),
                    errdetail("Its values tell the series apart.")));
  if (FormOf(relation, attribute)->attgenerated != '\0')
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("generated column \"%s\" cannot be aggregated", name),
                    errdetail("It is computed from the other columns of the row.")));
}

/// The type that an aggregate of this name in pg_catalog has for a type; InvalidOid: it has none.
Oid ResultType(const char *name, Oid type) {
  Oid function;
  Oid result;
  bool is_set;
  int variadic_count;
  Oid variadic_type;
  Oid *true_types;
  Oid argument = getBaseType(type);
  List *full_name = list_make2(makeString(pstrdup("pg_catalog")), makeString(pstrdup(name)));
  const FuncDetailCode found =
      func_get_detail(full_name, NIL, NIL, 1, &argument, false, false, false, &function, &result,
                      &is_set, &variadic_count, &variadic_type, &true_types, nullptr);
  if (found != FUNCDETAIL_AGGREGATE) return InvalidOid;
  return IsPolymorphicType(result) ? argument : result;
}

bool Fits(BucketAggregate aggregate, Oid result, Oid column_type) {
  if (aggregate == BucketAggregate::kMin || aggregate == BucketAggregate::kMax) return true;
  const Oid type = getBaseType(column_type);
  if (result == type) return true;
  if (aggregate == BucketAggregate::kSum && result == NUMERICOID && type == INT8OID) return true;
  if (aggregate == BucketAggregate::kAvg && result == FLOAT8OID && type == FLOAT4OID) return true;
  return can_coerce_type(1, &result, &type, COERCION_IMPLICIT);
}

void CheckAggregate(Relation relation, AttrNumber attribute, BucketAggregate aggregate) {
  const Form_pg_attribute form = FormOf(relation, attribute);
  Oid result = INT8OID;
  switch (aggregate) {
    case BucketAggregate::kFirst:
    case BucketAggregate::kLast:
      return;
    case BucketAggregate::kCount:
      break;
    default:
      result = ResultType(NameOf(aggregate), form->atttypid);
  }
  if (!OidIsValid(result))
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("column \"%s\" of type %s has no %s", NameStr(form->attname),
                           format_type_be(form->atttypid), NameOf(aggregate)),
                    errhint("Every type has first and last.")));
  if (!Fits(aggregate, result, form->atttypid))
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("%s of column \"%s\" is of type %s, which does not fit the column",
                           NameOf(aggregate), NameStr(form->attname), format_type_be(result)),
                    errdetail("The column is of type %s.", format_type_be(form->atttypid)),
                    errhint("Change the column's type to %s, or choose another aggregate.",
                            format_type_be(result))));
}

/// The aggregate of every attribute, `last` where none was named.
BucketAggregate *AggregatesOf(Relation relation, const TableOptions *options,
                              const DownsampleSpec &spec, AttrNumber weight) {
  const auto natts = static_cast<size_t>(RelationGetNumberOfAttributes(relation));
  auto *aggregates = static_cast<BucketAggregate *>(palloc(natts * sizeof(BucketAggregate)));
  for (size_t i = 0; i < natts; i++) aggregates[i] = BucketAggregate::kLast;
  ListCell *name;
  ListCell *wanted;
  forboth(name, spec.columns, wanted, spec.aggregates) {
    const AttrNumber attribute = FindColumn(relation, static_cast<char *>(lfirst(name)));
    const auto aggregate = static_cast<BucketAggregate>(lfirst_int(wanted));
    CheckComputed(relation, options, attribute);
    CheckAggregate(relation, attribute, aggregate);
    if (attribute == weight && aggregate != BucketAggregate::kCount &&
        aggregate != BucketAggregate::kSum)
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("weight column \"%s\" cannot be aggregated by %s",
                             NameStr(FormOf(relation, attribute)->attname), NameOf(aggregate)),
                      errdetail("It becomes the number of raw rows.")));
    aggregates[attribute - 1] = aggregate;
  }
  if (weight != InvalidAttrNumber) aggregates[weight - 1] = BucketAggregate::kCount;
  return aggregates;
}

AttrNumber WeightColumn(Relation relation, const TableOptions *options, const char *name) {
  if (name == nullptr) return InvalidAttrNumber;
  const AttrNumber attribute = FindColumn(relation, name);
  CheckComputed(relation, options, attribute);
  const Oid type = FormOf(relation, attribute)->atttypid;
  if (getBaseType(type) != INT8OID)
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("weight column \"%s\" must be of type bigint", name),
                    errdetail("It is of type %s.", format_type_be(type))));
  return attribute;
}

// ---------------------------------------------------------------------------------------------
// The query

struct QueryParts {
  const char *schema;  // of the extension
  const char *time;    // the column, quoted
  const char *weight;  // the same; nullptr: none
};

/// avg of a column. An average of one value is that value, to the bit and to the scale, so that a
/// second pass over finished buckets changes nothing. With weights a row counts as often as it
/// stands for raw rows; rows without a value do not count.
char *AverageOf(const QueryParts &parts, const char *column, Oid type) {
  const bool is_numeric = type == NUMERICOID;
  const char *number = is_numeric ? "pg_catalog.numeric" : "pg_catalog.float8";
  if (parts.weight == nullptr)
    return psprintf(is_numeric ? "CASE WHEN pg_catalog.count(%1$s) = 1 THEN pg_catalog.max(%1$s) "
                                 "ELSE pg_catalog.avg(%1$s) END"
                               : "pg_catalog.avg(%1$s)",
                    column);
  const char *value =
      type == FLOAT4OID ? psprintf("%s::pg_catalog.float8", column) : pstrdup(column);
  return psprintf(
      "CASE WHEN pg_catalog.count(%1$s) = 1 THEN pg_catalog.max(%1$s) "
      "WHEN pg_catalog.max(coalesce(%2$s, 1)) FILTER (WHERE %1$s IS NOT NULL) "
      "= pg_catalog.min(coalesce(%2$s, 1)) FILTER (WHERE %1$s IS NOT NULL) "
      "THEN pg_catalog.avg(%1$s) "
      "ELSE pg_catalog.sum(%3$s OPERATOR(pg_catalog.*) coalesce(%2$s, 1)::%4$s) "
      "OPERATOR(pg_catalog./) nullif(pg_catalog.sum(coalesce(%2$s, 1)) "
      "FILTER (WHERE %1$s IS NOT NULL), 0)::%4$s END",
      column, parts.weight, value, number);
}

char *ExpressionOf(const QueryParts &parts, const char *column, BucketAggregate aggregate,
                   Oid type) {
  switch (aggregate) {
    case BucketAggregate::kAvg:
      return AverageOf(parts, column, getBaseType(type));
    case BucketAggregate::kFirst:
    case BucketAggregate::kLast:
      return psprintf("%s.%s(%s, %s)", parts.schema, NameOf(aggregate), column, parts.time);
    case BucketAggregate::kCount:
      // Without weights the column itself says how many rows a row stands for.
      return psprintf("pg_catalog.sum(coalesce(%s, 1))",
                      parts.weight != nullptr ? parts.weight : column);
    default:
      return psprintf("pg_catalog.%s(%s)", NameOf(aggregate), column);
  }
}

/// One row per series and bucket: the columns of the table that are not generated, the number of
/// rows read, and whether the bucket is as it should be already.
char *MakeQuery(Downsampling *what, const BucketAggregate *aggregates, AttrNumber weight) {
  Relation relation = what->relation;
  const TableOptions *options = what->options;
  const TupleDesc descriptor = RelationGetDescr(relation);
  const auto quoted = [&](AttrNumber attribute) {
    return quote_identifier(NameStr(FormOf(relation, attribute)->attname));
  };
  QueryParts parts;
  parts.schema = ExtensionSchema();
  parts.time = quoted(options->time_attribute);
  parts.weight = weight == InvalidAttrNumber ? nullptr : quoted(weight);

  StringInfoData list;
  StringInfoData groups;
  StringInfoData is_done;
  initStringInfo(&list);
  initStringInfo(&groups);
  initStringInfo(&is_done);
  const char *bucket = psprintf("%s.time_bucket($3, %s)", parts.schema, parts.time);
  what->columns = static_cast<AttrNumber *>(palloc(sizeof(AttrNumber) * Max(descriptor->natts, 1)));
  for (int i = 0; i < descriptor->natts; i++) {
    const Form_pg_attribute form = TupleDescAttr(descriptor, i);
    if (form->attisdropped || form->attgenerated != '\0') continue;
    const auto attribute = static_cast<AttrNumber>(i + 1);
    what->columns[what->column_count++] = attribute;
    const bool is_time = attribute == options->time_attribute;
    const char *expression;
    if (is_time || IsSegmentBy(options, attribute)) {
      expression = is_time ? bucket : quoted(attribute);
      appendStringInfo(&groups, "%s%s", groups.len == 0 ? "" : ", ", expression);
    } else {
      expression = ExpressionOf(parts, quoted(attribute), aggregates[i], form->atttypid);
      if (aggregates[i] == BucketAggregate::kCount)
        appendStringInfo(&is_done, " AND pg_catalog.count(%s) = 1", quoted(attribute));
    }
    appendStringInfo(&list, "(%s)::%s, ", expression,
                     format_type_extended(form->atttypid, form->atttypmod,
                                          FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
  }
  const char *table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(relation)),
                                                 RelationGetRelationName(relation));
  return psprintf(
      "SELECT %spg_catalog.count(*), pg_catalog.count(*) = 1 AND pg_catalog.min(%s) = %s%s "
      "FROM ONLY %s WHERE %s >= $1 AND %s < $2 GROUP BY %s",
      list.data, parts.time, bucket, is_done.data, table, parts.time, parts.time, groups.data);
}

}  // namespace

void RequirePositive(const Interval *interval, const char *name) {
  const bool is_negative = interval->month < 0 || interval->day < 0 || interval->time < 0;
  const bool is_zero = interval->month == 0 && interval->day == 0 && interval->time == 0;
  if (is_negative || is_zero)
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" must be greater than zero", name)));
}

DownsampleSpec *MakeDownsampleSpec(const Interval *bucket, Jsonb *aggregates, char *weight_column) {
  RequirePositive(bucket, "bucket");
  if (bucket->month != 0 && (bucket->day != 0 || bucket->time != 0))
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("a bucket of months cannot have days or shorter units as well")));
  auto *spec = static_cast<DownsampleSpec *>(palloc0(sizeof(DownsampleSpec)));
  spec->bucket = *bucket;
  spec->weight_column = weight_column;
  if (!JB_ROOT_IS_OBJECT(aggregates)) WrongForm();
  JsonbIterator *iterator = JsonbIteratorInit(&aggregates->root);
  JsonbValue value;
  JsonbIteratorToken token;
  char *column = nullptr;
  while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE) {
    if (token == WJB_KEY) {
      column = pnstrdup(value.val.string.val, value.val.string.len);
    } else if (token == WJB_VALUE) {
      if (value.type != jbvString) WrongForm();
      const char *name = pnstrdup(value.val.string.val, value.val.string.len);
      spec->columns = lappend(spec->columns, column);
      spec->aggregates =
          lappend_int(spec->aggregates, static_cast<int>(AggregateOfName(column, name)));
    }
  }
  return spec;
}

Downsampling *PrepareDownsampling(Relation relation, const DownsampleSpec &spec) {
  auto *what = static_cast<Downsampling *>(palloc0(sizeof(Downsampling)));
  what->relation = relation;
  what->options = GetTableOptions(relation);
  what->bucket = spec.bucket;
  what->store = relation->rd_rel->reltoastrelid;
  CheckTable(relation, what->options);
  for (int i = 0; i < what->options->segment_by_count; i++)
    if (FormOf(relation, what->options->segment_by[i])->attgenerated != '\0')
      Refuse(relation, "A segment-by column is generated.", nullptr);
  // Also the check that the width suits the type.
  (void)StartOfBucket(*what, 0);
  const AttrNumber weight = WeightColumn(relation, what->options, spec.weight_column);
  const BucketAggregate *aggregates = AggregatesOf(relation, what->options, spec, weight);
  what->query = MakeQuery(what, aggregates, weight);
  return what;
}

}  // namespace tsext::pg
