// A histogram of the time column that reaches to where the data does.
//
// Time series grow at one end, and the questions are about that end. ANALYZE's histogram stops at
// its own day, so `time > now() - '1 hour'` would be thought to find nothing. The totals of the
// store know the greatest cold time; hot rows are taken to be what came since, at the pace of the
// rest. The part of the histogram that is new is drawn as evenly filled as the part that ANALYZE
// saw. A table never analyzed gets an even histogram from its least to its greatest time.

#include "pg/exec/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
}

namespace tsext::pg {
namespace {

get_relation_stats_hook_type previous_get_relation_stats = nullptr;

/// Bounds of the histogram of a table without statistics: no range is thought smaller than a
/// hundredth of a bin.
constexpr int kEvenBounds = 101;
/// What part of the rows have a time of their own there. A guess, but an equality, and with it each
/// inclusive bound, is not taken to find one row in 200, the server's.
constexpr float kDistinctShare = 0.05F;

/// The time column of a table that has cold rows.
struct TimeColumn {
  Oid type;         // the base type, which knows the unit
  Oid column_type;  // as declared, perhaps a domain
  StoreTotal cold;
  double hot_rows;
};

/// The relation of a range table entry. Callers of the hook do not always know.
const RelOptInfo *RelationOf(const PlannerInfo *root, const RangeTblEntry *entry) {
  for (int i = 1; i < root->simple_rel_array_size; i++)
    if (root->simple_rte_array[i] == entry) return root->simple_rel_array[i];
  return nullptr;
}

/// False when the attribute is not the time column of a table with cold rows.
bool FindTimeColumn(const PlannerInfo *root, const RangeTblEntry *entry, AttrNumber attribute,
                    TimeColumn *column) {
  if (!IsTsextTable(entry->relid)) return false;
  const RelOptInfo *rel = RelationOf(root, entry);
  if (rel == nullptr) return false;
  Relation relation = table_open(entry->relid, NoLock);
  const TableOptions *options = GetTableOptions(relation);
  const Oid store = relation->rd_rel->reltoastrelid;
  bool found = false;
  if (options->time_attribute == attribute && OidIsValid(store)) {
    column->type = options->time_type;
    column->column_type = TupleDescAttr(RelationGetDescr(relation), attribute - 1)->atttypid;
    column->cold = CachedStoreTotal(store);
    column->hot_rows = std::max(0.0, rel->tuples - static_cast<double>(column->cold.rows));
    // Open ends (all times infinite) are no range.
    found = column->cold.rows > 0 && column->cold.tmin > kTimeMinimum &&
            column->cold.tmax < kTimeMaximum && column->cold.tmin < column->cold.tmax;
  }
  table_close(relation, NoLock);
  return found;
}

/// The present in time units, or kTimeMinimum for a type that does not tell.
int64_t Now(Oid time_type) {
  if (time_type != TIMESTAMPTZOID && time_type != TIMESTAMPOID) return kTimeMinimum;
  return GetCurrentTransactionStartTimestamp();  // a time zone's hours do not matter here
}

/// Where the data ends, when all before `end` is known: now, if the hot rows suffice to fill the
/// time since at half the pace of the cold ones.
double LatestTime(const TimeColumn &column, double end) {
  const auto now = static_cast<double>(Now(column.type));
  const double span = static_cast<double>(column.cold.tmax) - static_cast<double>(column.cold.tmin);
  const double hot_span = span * column.hot_rows / static_cast<double>(column.cold.rows);
  return now > end && now - end <= 2 * hot_span ? now : end;
}

/// Stretches equally filled bins, bounds[0..count), to reach from bounds[0] to `end`, where the new
/// part is as densely filled as the old.
void Stretch(double *bounds, int count, double end) {
  const double start = bounds[0];
  const double old_end = bounds[count - 1];
  const double old_share = (old_end - start) / (end - start);
  auto *old = static_cast<double *>(palloc(sizeof(double) * static_cast<size_t>(count)));
  memcpy(old, bounds, sizeof(double) * static_cast<size_t>(count));
  for (int i = 0; i < count; i++) {
    const double share = static_cast<double>(i) / (count - 1);
    if (share >= old_share) {
      bounds[i] = old_end + (share - old_share) / (1 - old_share) * (end - old_end);
      continue;
    }
    const double at = share / old_share * (count - 1);
    const int below = std::min(static_cast<int>(at), count - 2);
    bounds[i] = old[below] + (at - below) * (old[below + 1] - old[below]);
  }
  bounds[count - 1] = end;
  pfree(old);
}

Datum ArrayOfTimes(const TimeColumn &column, const double *bounds, int count) {
  auto *values = static_cast<Datum *>(palloc(sizeof(Datum) * static_cast<size_t>(count)));
  for (int i = 0; i < count; i++)
    values[i] = DatumOfTime(static_cast<int64_t>(std::llround(bounds[i])), column.type);
  int16 length;
  bool by_value;
  char alignment;
  get_typlenbyvalalign(column.type, &length, &by_value, &alignment);
  return PointerGetDatum(construct_array(values, count, column.type, length, by_value, alignment));
}

/// The histogram of `statistics` as numbers; nullptr when there is none or it is not of finite
/// times. slot: which of the five it is.
double *HistogramOf(HeapTuple statistics, const TimeColumn &column, int *slot, int *count) {
  const auto *form = reinterpret_cast<Form_pg_statistic>(GETSTRUCT(statistics));
  const int16 *kinds = &form->stakind1;
  *slot = 0;
  while (*slot < STATISTIC_NUM_SLOTS && kinds[*slot] != STATISTIC_KIND_HISTOGRAM) ++*slot;
  AttStatsSlot values;
  if (*slot == STATISTIC_NUM_SLOTS ||
      !get_attstatsslot(&values, statistics, STATISTIC_KIND_HISTOGRAM, InvalidOid,
                        ATTSTATSSLOT_VALUES))
    return nullptr;
  double *bounds = nullptr;
  if (values.nvalues >= 2 && getBaseType(values.valuetype) == column.type) {
    const int64_t first = TimeOfDatum(values.values[0], column.type);
    const int64_t last = TimeOfDatum(values.values[values.nvalues - 1], column.type);
    if (first > kTimeMinimum && last < kTimeMaximum && first < last) {
      bounds = static_cast<double *>(palloc(sizeof(double) * static_cast<size_t>(values.nvalues)));
      for (int i = 0; i < values.nvalues; i++)
        bounds[i] = static_cast<double>(TimeOfDatum(values.values[i], column.type));
      *count = values.nvalues;
    }
  }
  free_attstatsslot(&values);
  return bounds;
}

/// A copy of `statistics` whose histogram reaches to the end of the data; nullptr when it does.
HeapTuple StretchStatistics(HeapTuple statistics, const TimeColumn &column) {
  int slot;
  int count;
  double *bounds = HistogramOf(statistics, column, &slot, &count);
  if (bounds == nullptr) return nullptr;
  const double known_end = std::max(bounds[count - 1], static_cast<double>(column.cold.tmax));
  const double end = LatestTime(column, known_end);
  if (end <= bounds[count - 1]) return nullptr;
  Stretch(bounds, count, end);

  Relation catalog = table_open(StatisticRelationId, AccessShareLock);
  Datum values[Natts_pg_statistic] = {};
  bool nulls[Natts_pg_statistic] = {};
  bool replace[Natts_pg_statistic] = {};
  const int at = Anum_pg_statistic_stavalues1 - 1 + slot;
  values[at] = ArrayOfTimes(column, bounds, count);
  replace[at] = true;
  HeapTuple stretched =
      heap_modify_tuple(statistics, RelationGetDescr(catalog), values, nulls, replace);
  table_close(catalog, AccessShareLock);
  return stretched;
}

/// Statistics of a column that ANALYZE has not seen: evenly filled.
HeapTuple EvenStatistics(Oid relation_id, AttrNumber attribute, const TimeColumn &column) {
  const TypeCacheEntry *type = lookup_type_cache(column.type, TYPECACHE_LT_OPR);
  if (!OidIsValid(type->lt_opr)) return nullptr;
  const auto start = static_cast<double>(column.cold.tmin);
  const double end = LatestTime(column, static_cast<double>(column.cold.tmax));
  double bounds[kEvenBounds];
  for (int i = 0; i < kEvenBounds; i++) bounds[i] = start + (end - start) * i / (kEvenBounds - 1);

  Datum values[Natts_pg_statistic] = {};
  bool nulls[Natts_pg_statistic] = {};
  values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(relation_id);
  values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(attribute);
  values[Anum_pg_statistic_stainherit - 1] = BoolGetDatum(false);
  values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(0);
  values[Anum_pg_statistic_stawidth - 1] = Int32GetDatum(type->typlen);
  values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(-kDistinctShare);
  for (int i = 0; i < STATISTIC_NUM_SLOTS; i++) {
    nulls[Anum_pg_statistic_stanumbers1 - 1 + i] = true;
    nulls[Anum_pg_statistic_stavalues1 - 1 + i] = i > 0;
  }
  values[Anum_pg_statistic_stakind1 - 1] = Int16GetDatum(STATISTIC_KIND_HISTOGRAM);
  values[Anum_pg_statistic_staop1 - 1] = ObjectIdGetDatum(type->lt_opr);
  values[Anum_pg_statistic_stavalues1 - 1] = ArrayOfTimes(column, bounds, kEvenBounds);

  Relation catalog = table_open(StatisticRelationId, AccessShareLock);
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
  table_close(catalog, AccessShareLock);
  return tuple;
}

/// Whether the query's user may read the column: else only leakproof operators see the histogram.
bool MayRead(const RangeTblEntry *entry, AttrNumber attribute) {
  if (entry->securityQuals != NIL) return false;
#if PG_VERSION_NUM < 160000
  const Oid user = OidIsValid(entry->checkAsUser) ? entry->checkAsUser : GetUserId();
#else
  const Oid user = GetUserId();
#endif
  return pg_class_aclcheck(entry->relid, user, ACL_SELECT) == ACLCHECK_OK ||
         pg_attribute_aclcheck(entry->relid, attribute, user, ACL_SELECT) == ACLCHECK_OK;
}

bool FindStatistics(const PlannerInfo *root, const RangeTblEntry *entry, AttrNumber attribute,
                    VariableStatData *variable) {
  TimeColumn column;
  if (!FindTimeColumn(root, entry, attribute, &column)) return false;
  HeapTuple statistics = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(entry->relid),
                                         Int16GetDatum(attribute), BoolGetDatum(false));
  HeapTuple better;
  if (HeapTupleIsValid(statistics)) {
    better = StretchStatistics(statistics, column);
    ReleaseSysCache(statistics);
  } else {
    better = EvenStatistics(entry->relid, attribute, column);
  }
  if (better == nullptr) return false;
  variable->statsTuple = better;
  variable->freefunc = heap_freetuple;
  variable->acl_ok = MayRead(entry, attribute);
  return true;
}

bool GetRelationStats(PlannerInfo *root, RangeTblEntry *entry, AttrNumber attribute,
                      VariableStatData *variable) {
  if (previous_get_relation_stats != nullptr &&
      previous_get_relation_stats(root, entry, attribute, variable))
    return true;
  if (entry->rtekind != RTE_RELATION || entry->inh || attribute <= 0) return false;
  return Enter([&] { return FindStatistics(root, entry, attribute, variable); });
}

}  // namespace

void InitStatistics() {
  previous_get_relation_stats = get_relation_stats_hook;
  get_relation_stats_hook = GetRelationStats;
}

}  // namespace tsext::pg
