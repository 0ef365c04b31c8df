// ANALYZE samples blocks chosen from RelationGetNumberOfBlocks() and reads them through the scan.
// While it collects its sample, and only then, the relation therefore seems to have more blocks
// than its file: blocks of cold rows stand behind the last page. Its statistics and its row count
// come out for all rows; pg_class.reltuples is set back to the hot rows when the transaction
// commits, because autovacuum compares it with the dead rows of the heap.

#include "pg/table/analyze.hpp"

#include <algorithm>
#include <cmath>

#include "pg/base/boundary.hpp"
#include "pg/table/cold_blocks.hpp"
#include "pg/table/delegation.hpp"
#include "pg/table/scan.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/multixact.h"
#include "access/relation.h"
#include "access/xact.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "common/pg_prng.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/backend_status.h"
}

namespace tsext::pg {

namespace {

/// The hot rows of a table that is being compacted. Heap takes rows to be as dense on all pages as
/// VACUUM last found them. Compaction leaves pages of dead rows, and when those are vacuumed,
/// pages that VACUUM found empty and new rows fill. The statistics of changes know both.
///
/// heap_rows: what heap estimates for `pages`.
double EstimateHotRows(Relation relation, double heap_rows, BlockNumber pages) {
  const PgStat_StatTabEntry *changes = pgstat_fetch_stat_tabentry(RelationGetRelid(relation));
  if (changes == nullptr) return heap_rows;
#if PG_VERSION_NUM < 160000
  const auto dead = static_cast<double>(changes->n_dead_tuples);
  const auto inserted = static_cast<double>(changes->inserts_since_vacuum);
  const auto changed = static_cast<double>(changes->changes_since_analyze);
#else
  const auto dead = static_cast<double>(changes->dead_tuples);
  const auto inserted = static_cast<double>(changes->ins_since_vacuum);
  const auto changed = static_cast<double>(changes->mod_since_analyze);
#endif
  // Rows that were written into segments at once count as inserted, too, but take no page.
  const double come =
      std::min({inserted - dead, changed, static_cast<double>(pages) * MaxHeapTuplesPerPage});
  return std::max({heap_rows - dead, come, 0.0});
}

void EstimateSize(Relation relation, int32 *attribute_widths, BlockNumber *pages, double *tuples,
                  double *all_visible_fraction) {
  Heap()->relation_estimate_size(relation, attribute_widths, pages, tuples, all_visible_fraction);
  const Oid store = relation->rd_rel->reltoastrelid;
  if (!OidIsValid(store) || !RelationIsPermanent(relation)) return;
  Enter([&] {
    const StoreTotal total = CachedStoreTotal(store);
    if (total.rows <= 0) return;
    *tuples = EstimateHotRows(relation, *tuples, *pages);
    const double cold_pages = std::floor(static_cast<double>(total.bytes) / BLCKSZ) + 1;
    *pages = static_cast<BlockNumber>(
        std::min<double>(*pages + cold_pages, static_cast<double>(MaxBlockNumber)));
    *tuples += static_cast<double>(total.rows);
  });
}

#if TSEXT_ANALYZE_READS_BLOCKS

/// How the table that ANALYZE samples now seems to be laid out.
struct Layout {
  Oid relation;
  BlockNumber hot_blocks;   // of the heap; blocks of cold rows follow
  BlockNumber cold_blocks;  // that the relation seems to have
  // Blocks of cold rows that each of these stands for: one of them is read. Then only one in so
  // many hot rows goes into the sample, so that hot and cold rows weigh the same.
  uint32 stride;
};
Layout layout;

constexpr uint32 kMaxStride = 256;

/// ANALYZE's progress says whether it collects its sample. No code of users runs meanwhile.
bool IsCollectingSample() {
  if (MyBEEntry == nullptr || MyBEEntry->st_progress_command != PROGRESS_COMMAND_ANALYZE)
    return false;
  const int64 phase = MyBEEntry->st_progress_param[PROGRESS_ANALYZE_PHASE];
  return phase == PROGRESS_ANALYZE_PHASE_ACQUIRE_SAMPLE_ROWS ||
         phase == PROGRESS_ANALYZE_PHASE_ACQUIRE_SAMPLE_ROWS_INH;
}

/// Blocks that ANALYZE may believe in behind the last page: it prefetches them, which works up to
/// the end of the file the last page is in.
BlockNumber MaxColdBlocks(BlockNumber hot_blocks) {
  if (hot_blocks > 0 && hot_blocks % RELSEG_SIZE == 0) return 0;
  return RELSEG_SIZE - hot_blocks % RELSEG_SIZE - 1;
}

void LayOut(Relation relation, BlockNumber hot_blocks) {
  layout = {RelationGetRelid(relation), hot_blocks, 0, 1};
  if (!RelationIsPermanent(relation)) return;
  const BlockNumber wanted = ColdBlocksEstimate(relation->rd_rel->reltoastrelid);
  const BlockNumber available = MaxColdBlocks(hot_blocks);
  if (wanted == 0 || available == 0) return;
  layout.stride = std::min((wanted - 1) / available + 1, kMaxStride);
  layout.cold_blocks = std::min((wanted - 1) / layout.stride + 1, available);
}

// Heap code extends the file by what this returns, so it is the true size at all other times.
uint64 RelationSize(Relation relation, ForkNumber fork) {
  const uint64 size = Heap()->relation_size(relation, fork);
  if (fork != MAIN_FORKNUM || !IsCollectingSample() || IsDelegated(relation)) return size;
  Enter([&] { LayOut(relation, static_cast<BlockNumber>(size / BLCKSZ)); });
  return size + static_cast<uint64>(layout.cold_blocks) * BLCKSZ;
}

/// The hot rows of tables analyzed in this transaction.
struct HotCount {
  HotCount *next;
  Oid relation;
  double rows;
};
HotCount *hot_counts = nullptr;  // in TopTransactionContext

/// Sets pg_class.reltuples as VACUUM would.
void WriteHotCount(const HotCount *count) {
  Relation relation = try_relation_open(count->relation, AccessShareLock);
  if (relation == nullptr) return;
  vac_update_relstats(relation, static_cast<BlockNumber>(relation->rd_rel->relpages), count->rows,
                      static_cast<BlockNumber>(relation->rd_rel->relallvisible),
                      relation->rd_rel->relhasindex, InvalidTransactionId, InvalidMultiXactId,
                      nullptr, nullptr, true);
  relation_close(relation, AccessShareLock);
}

void AtTransactionEnd(XactEvent event, void *) {
  if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) {
    if (hot_counts == nullptr) return;
    HotCount *counts = hot_counts;
    hot_counts = nullptr;
    CommandCounterIncrement();  // to see what ANALYZE wrote
    for (HotCount *count = counts; count != nullptr; count = count->next) WriteHotCount(count);
  } else if (event == XACT_EVENT_ABORT) {
    hot_counts = nullptr;
  }
}

/// Opens the cold side at the first block.
void BeginSample(TsextScan *scan) {
  Relation relation = scan->base.rs_rd;
  scan->cold_is_known = true;
  scan->hot_blocks = reinterpret_cast<HeapScanDesc>(scan->heap)->rs_nblocks;
  if (layout.relation != RelationGetRelid(relation) || layout.cold_blocks == 0) return;
  scan->hot_blocks = layout.hot_blocks;
  scan->own_snapshot = RegisterFreshSnapshot();
  scan->cold_blocks = ColdBlocksOpen(relation, scan->own_snapshot, scan->context);
}

bool SelectColdBlock(TsextScan *scan, BlockNumber block) {
  const BlockNumber count = scan->cold_blocks != nullptr ? ColdBlocksCount(scan->cold_blocks) : 0;
  uint64 cold_block = static_cast<uint64>(block) * layout.stride;
  if (layout.stride > 1)
    cold_block += pg_prng_uint64_range(&pg_global_prng_state, 0, layout.stride - 1);
  if (cold_block >= count) return false;  // segments went since the size was asked for
  scan->cold_block = static_cast<BlockNumber>(cold_block);
  scan->cold_block_rows = ColdBlocksSelect(scan->cold_blocks, scan->cold_block);
  scan->cold_block_row = 0;
  return true;
}

bool AnalyzeNextBlock(TableScanDesc base, BlockNumber block, BufferAccessStrategy strategy) {
  TsextScan *scan = AsTsextScan(base);
  if (!scan->cold_is_known) Enter([&] { BeginSample(scan); });
  if (block >= scan->hot_blocks)
    return Enter([&] { return SelectColdBlock(scan, block - scan->hot_blocks); });
  scan->cold_block = InvalidBlockNumber;
  scan->sampled_hot_blocks++;
  return Heap()->scan_analyze_next_block(scan->heap, block, strategy);
}

bool AnalyzeNextTuple(TableScanDesc base, TransactionId oldest_xmin, double *live_rows,
                      double *dead_rows, TupleTableSlot *slot) {
  TsextScan *scan = AsTsextScan(base);
  if (scan->cold_block != InvalidBlockNumber) {
    if (scan->cold_block_row >= scan->cold_block_rows) {
      ExecClearTuple(slot);
      return false;
    }
    Enter([&] { ColdBlocksGetRow(scan->cold_blocks, scan->cold_block_row++, slot); });
    *live_rows += layout.stride;
    return true;
  }
  for (;;) {
    const double before = *live_rows;
    const bool found =
        Heap()->scan_analyze_next_tuple(scan->heap, oldest_xmin, live_rows, dead_rows, slot);
    scan->sampled_hot_rows += *live_rows - before;
    if (!found) return false;
    if (scan->cold_blocks == nullptr || layout.stride == 1 ||
        pg_prng_uint64_range(&pg_global_prng_state, 0, layout.stride - 1) == 0)
      return true;
  }
}

#endif

}  // namespace

void EndSample(TsextScan *scan) {
#if TSEXT_ANALYZE_READS_BLOCKS
  if (scan->cold_blocks == nullptr) return;
  double rows =
      scan->base.rs_rd->rd_rel->reltuples;  // as before, when no page came into the sample
  if (scan->hot_blocks == 0)
    rows = 0;
  else if (scan->sampled_hot_blocks > 0)
    rows = scan->sampled_hot_rows / scan->sampled_hot_blocks * scan->hot_blocks;
  auto *count =
      static_cast<HotCount *>(MemoryContextAlloc(TopTransactionContext, sizeof(HotCount)));
  *count = {hot_counts, RelationGetRelid(scan->base.rs_rd), std::max(0.0, std::floor(rows + 0.5))};
  hot_counts = count;
#endif
}

void SetAnalyzeCallbacks(TableAmRoutine *routine) {
  routine->relation_estimate_size = EstimateSize;
#if TSEXT_ANALYZE_READS_BLOCKS
  routine->relation_size = RelationSize;
  routine->scan_analyze_next_block = AnalyzeNextBlock;
  routine->scan_analyze_next_tuple = AnalyzeNextTuple;
#endif
}

void InitAnalyze() {
#if TSEXT_ANALYZE_READS_BLOCKS
  RegisterXactCallback(AtTransactionEnd, nullptr);
#endif
}

}  // namespace tsext::pg
