#include "pg/exec/cost.hpp"

#include <algorithm>
#include <cmath>

#include "tsext/types.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/monotone.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "access/sysattr.h"
#include "access/table.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
#include "utils/spccache.h"
}

namespace tsext::pg {
namespace {

// Measured on one core in shared buffers, as multiples of cpu_operator_cost (about 12 ns).
constexpr double kDecodeValue = 0.04;
constexpr double kFilterValue = 0.02;
// Of cpu_tuple_cost: a hot row taken into a batch, a row handed out. Together just less than what a
// sequential scan of the heap reckons.
constexpr double kHotRow = 0.49;
constexpr double kRowOut = 0.5;
// Of a page of a column: copied and its checksum tested, where a heap page is pinned and its rows
// looked at one by one.
constexpr double kPageShare = 0.5;
// The directory's snapshot, index descent and the set-up of readers, as multiples of
// cpu_tuple_cost (about 50 ns).
constexpr double kScanSetup = 400;
constexpr double kSegmentSetup = 100;
constexpr double kSegmentColumnSetup = 40;
/// Under 'auto' a chunk is made wide enough for that many rows.
constexpr double kAutoChunkRows = 500'000;
/// Least cost that is worth a worker of its own: about 5 ms.
constexpr double kCostPerWorker = 1000;

/// Whether the clause compares column `attribute`, or what rises with it, with something else.
bool Compares(const RestrictInfo *info, Index rel, AttrNumber attribute) {
  const auto is_column = [&](Node *node) { return RisesWith(node, rel, attribute); };
  auto *clause = reinterpret_cast<Node *>(info->clause);
  if (IsA(clause, OpExpr)) {
    List *args = reinterpret_cast<OpExpr *>(clause)->args;
    return list_length(args) == 2 && (is_column(static_cast<Node *>(linitial(args))) ||
                                      is_column(static_cast<Node *>(lsecond(args))));
  }
  if (IsA(clause, ScalarArrayOpExpr)) {
    const auto *in = reinterpret_cast<ScalarArrayOpExpr *>(clause);
    return in->useOr && is_column(static_cast<Node *>(linitial(in->args)));
  }
  return false;
}

double SelectivityOf(PlannerInfo *root, RelOptInfo *rel, List *clauses) {
  if (clauses == NIL) return 1;
  return clauselist_selectivity(root, clauses, static_cast<int>(rel->relid), JOIN_INNER, nullptr);
}

List *ClausesOn(const RelOptInfo *rel, List *clauses, AttrNumber attribute) {
  List *found = NIL;
  if (attribute == InvalidAttrNumber) return found;
  ListCell *cell;
  foreach (cell, clauses)
    if (Compares(lfirst_node(RestrictInfo, cell), rel->relid, attribute))
      found = lappend(found, lfirst(cell));
  return found;
}

double EstimateChunks(const StoreTotal &total, const TableOptions *options) {
  const auto segments = static_cast<double>(std::max<int64_t>(total.segments, 1));
  if (options->time_attribute == InvalidAttrNumber || total.tmin > total.tmax) return 1;
  const double width = static_cast<double>(total.tmax) - static_cast<double>(total.tmin);
  double chunks = std::floor(width / static_cast<double>(options->chunk_interval)) + 1;
  if (options->interval_is_auto)
    chunks = std::min(chunks, static_cast<double>(total.rows) / kAutoChunkRows);
  return std::clamp(chunks, 1.0, segments);
}

}  // namespace

TableSize GetTableSize(PlannerInfo *root, const RelOptInfo *rel) {
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  TableSize size = {};
  const Oid store = relation->rd_rel->reltoastrelid;
  if (OidIsValid(store) && RelationIsPermanent(relation)) {
    const StoreTotal total = CachedStoreTotal(store);
    if (total.rows > 0) {
      size.cold_rows = static_cast<double>(total.rows);
      size.cold_bytes = static_cast<double>(std::max<int64_t>(total.bytes, 0));
      size.segments = static_cast<double>(std::max<int64_t>(total.segments, 1));
      size.chunks = EstimateChunks(total, GetTableOptions(relation));
    }
  }
  table_close(relation, NoLock);
  size.hot_rows = std::max(0.0, rel->tuples - size.cold_rows);
  const double cold_pages = size.cold_rows > 0 ? std::floor(size.cold_bytes / BLCKSZ) + 1 : 0;
  size.hot_pages = std::max(0.0, static_cast<double>(rel->pages) - cold_pages);
  return size;
}

void SplitClauses(PlannerInfo *root, const RelOptInfo *rel, List *clauses, List **filters,
                  List **row_filters) {
  List *vectors;
  List *left;
  List *reasons;
  Enter([&] { SplitQuals(root, rel->relid, clauses, &vectors, &left, &reasons); });
  *filters = *row_filters = NIL;
  ListCell *cell;
  foreach (cell, clauses) {
    auto *info = lfirst_node(RestrictInfo, cell);
    if (list_member_ptr(vectors, info->clause))
      *filters = lappend(*filters, info);
    else if (list_member_ptr(left, info->clause))
      *row_filters = lappend(*row_filters, info);
  }
}

int CountColumns(const RelOptInfo *rel, List *clauses) {
  Bitmapset *used = nullptr;
  pull_varattnos(reinterpret_cast<Node *>(rel->reltarget->exprs), rel->relid, &used);
  ListCell *cell;
  foreach (cell, clauses)
    pull_varattnos(reinterpret_cast<Node *>(lfirst_node(RestrictInfo, cell)->clause), rel->relid,
                   &used);
  const bool whole_row = bms_is_member(-FirstLowInvalidHeapAttributeNumber, used);
  const int count = whole_row ? rel->max_attr : bms_num_members(used);
  bms_free(used);
  return count;
}

ScanWork EstimateScanWork(PlannerInfo *root, RelOptInfo *rel, List *clauses, List *filters,
                          int output_columns) {
  ScanWork work = {1, 1, 1, 0, output_columns};
  Relation relation = table_open(planner_rt_fetch(rel->relid, root)->relid, NoLock);
  const TableOptions *options = Enter([&] { return GetTableOptions(relation); });
  table_close(relation, NoLock);
  work.time_share = SelectivityOf(root, rel, ClausesOn(rel, clauses, options->time_attribute));
  if (options->segment_by_count > 0)
    work.key_share = SelectivityOf(root, rel, ClausesOn(rel, clauses, options->segment_by[0]));
  if (filters == NIL) return work;

  // Of the rows that pruning leaves, which the filters see once more.
  const double all = SelectivityOf(root, rel, filters);
  work.filter_share = std::clamp(all / std::max(work.time_share * work.key_share, 1e-9), 0.0, 1.0);
  Bitmapset *columns = nullptr;
  ListCell *cell;
  foreach (cell, filters)
    pull_varattnos(reinterpret_cast<Node *>(lfirst_node(RestrictInfo, cell)->clause), rel->relid,
                   &columns);
  work.filter_columns = bms_num_members(columns);
  bms_free(columns);
  return work;
}

ScanCost EstimateScanCost(PlannerInfo *root, RelOptInfo *rel, const ScanWork &work) {
  const TableSize size = GetTableSize(root, rel);
  double random_page_cost;
  double page_cost;
  get_tablespace_page_costs(rel->reltablespace, &random_page_cost, &page_cost);

  ScanCost cost = {};
  cost.startup = kScanSetup * cpu_tuple_cost;
  cost.rows = size.hot_rows * work.time_share * work.key_share * work.filter_share;
  cost.hot = size.hot_pages * page_cost + size.hot_rows * kHotRow * cpu_tuple_cost;
  if (size.cold_rows <= 0) return cost;

  // A segment reaches over its whole chunk but only over some series: bounds on time choose chunks,
  // an equality of the key one in so many segments of each.
  const double chunks = std::min(size.chunks, size.chunks * work.time_share + 1);
  const double segments_of_chunk = size.segments / size.chunks;
  cost.segments_met =
      chunks * std::clamp(segments_of_chunk * work.key_share + (work.key_share < 1 ? 1 : 0), 1.0,
                          std::max(1.0, segments_of_chunk));
  cost.segments_met = std::min(cost.segments_met, size.segments);
  const double rows_of_segment = size.cold_rows / size.segments;
  // In each segment met, half a vector at both ends of the wanted stretch is read in vain.
  const double pruned = size.cold_rows * work.time_share * work.key_share;
  cost.cold_rows = std::min({pruned + cost.segments_met * kVectorSize,
                             cost.segments_met * rows_of_segment, size.cold_rows});
  const double passing = pruned * work.filter_share;
  cost.rows += passing;

  // Vectors with no passing row are not decoded further.
  const double output_rows = std::min(cost.cold_rows, passing * kVectorSize);
  const double columns = std::max(1.0, static_cast<double>(rel->max_attr));
  const double read_columns = work.filter_columns + work.output_columns;
  const double pages = size.cold_bytes / BLCKSZ * (cost.segments_met / size.segments) *
                       std::min(1.0, read_columns / columns);
  cost.cold =
      cost.segments_met * (kSegmentSetup + kSegmentColumnSetup * read_columns) * cpu_tuple_cost +
      pages * page_cost * kPageShare +
      cost.cold_rows * work.filter_columns * (kDecodeValue + kFilterValue) * cpu_operator_cost +
      output_rows * work.output_columns * kDecodeValue * cpu_operator_cost;
  return cost;
}

Cost CostOfRows(PlannerInfo *root, RelOptInfo *rel, double rows, List *row_filters) {
  QualCost filter;
  cost_qual_eval(&filter, row_filters, root);
  const PathTarget *target = rel->reltarget;
  return filter.startup + target->cost.startup +
         rows * (kRowOut * cpu_tuple_cost + filter.per_tuple + target->cost.per_tuple);
}

int ScanWorkers(const RelOptInfo *rel, Cost serial, double segments_met) {
  if (!rel->consider_parallel) return 0;
  if (rel->rel_parallel_workers >= 0)
    return std::min(rel->rel_parallel_workers, max_parallel_workers_per_gather);
  if (min_parallel_table_scan_size == 0) return max_parallel_workers_per_gather;  // as tests ask
  const double worth = std::min(serial / kCostPerWorker, std::max(segments_met, 1.0));
  return static_cast<int>(
      std::min(std::floor(worth), static_cast<double>(max_parallel_workers_per_gather)));
}

double ParallelDivisor(int workers) {
  double divisor = workers;
  if (parallel_leader_participation) divisor += std::max(0.0, 1.0 - 0.3 * workers);
  return divisor;
}

}  // namespace tsext::pg
