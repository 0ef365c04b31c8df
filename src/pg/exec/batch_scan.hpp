#pragma once

// A scan of a tsext table in batches of up to kVectorSize rows, hot and cold alike: the source of
// TsextScan, TsextAggregate and TsextLast. Segments and vectors that cannot have a row are passed
// by, the filters that vectors can answer are answered, columns are decoded when they are asked
// for. What the filters could not decide is left to the caller (BatchRow fills a slot for
// ExecQual).

#include <cstdint>

#include "tsext/segment.hpp"
#include "tsext/selection.hpp"

#include "pg/base/postgres.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/exec/vector_filter.hpp"

extern "C" {
#include "access/relscan.h"
#include "nodes/bitmapset.h"
#include "port/atomics.h"
}

namespace tsext::pg {

struct BatchScan;

/// The rows of one step of the scan.
struct Batch {
  uint32_t rows;        ///< 1..kVectorSize
  Selection selection;  ///< rows that passed every filter of the scan; never empty
  bool is_whole;        ///< every row is selected
  bool is_cold;
  const SegmentRow *segment;  ///< cold: where the rows lie; rows are sorted by the head's sort_key
  uint32_t vector;            ///< cold: the vector's index in its segment
};

/// The order segments and vectors are visited in.
enum class BatchOrder : uint8_t {
  kAny,     ///< directory order, hot rows last; the only one of parallel scans
  kNewest,  ///< by falling greatest time of the vector, hot rows first (see BatchScanTimeLeft)
  kOldest   ///< by rising least time of the vector, hot rows first
};

/// What the scan has done, for EXPLAIN ANALYZE. Sums over all participants of a parallel scan are
/// the caller's work.
struct BatchCounters {
  uint64_t segments, segments_skipped_time, segments_skipped_key, segments_skipped_range;
  uint64_t segments_answered;  ///< by the footer alone
  uint64_t vectors, vectors_skipped, vectors_answered;
  uint64_t rows, rows_filtered;  ///< rows of visited vectors; those the vector filters took away
  uint64_t bytes_read, values_decoded;
  uint64_t hot_rows;
};

/// Starts a scan. Nothing is read until the first BatchScanNext.
///
/// attributes: those that BatchColumn, BatchCodes and BatchRow may be asked for, as attribute
///             numbers; BatchColumn and BatchCodes give the filters' own, too.
/// filters:    compiled by MakeVectorFilters; may be nullptr. Their constants are read when the
///             first batch is asked for, and again after BatchScanRescan.
/// parallel:   the shared part in DSM, set up by table_parallelscan_initialize(), or nullptr; then
///             `order` is kAny.
///
/// Everything lives in a child of `context`.
BatchScan *BatchScanBegin(Relation relation, Snapshot snapshot, const Bitmapset *attributes,
                          VectorFilters *filters, BatchOrder order, ParallelTableScanDesc parallel,
                          MemoryContext context);
/// Limits the scan to cold rows, for a caller that has the hot ones from elsewhere. Before the
/// first batch.
void BatchScanUseColdOnly(BatchScan *scan);
/// The next batch; false at the end. The batch and all that was given out for it hold until the
/// next call.
bool BatchScanNext(BatchScan *scan, Batch *batch);
/// Starts again; filters' constants are computed anew.
void BatchScanRescan(BatchScan *scan);
void BatchScanEnd(BatchScan *scan);

/// A column of the current batch, decoded at the first call. Never nullptr: a column added after
/// the segment was written comes as its missing value. Text and the like: payload bytes without
/// header, detoasted.
const Vector *BatchColumn(BatchScan *scan, AttrNumber attribute);
/// The same as dictionary codes, or nullptr when the batch has none for this column (hot rows,
/// other codecs).
const CodeVector *BatchCodes(BatchScan *scan, AttrNumber attribute);
/// The dictionary BatchCodes refers to; changes with the segment only.
std::span<const ByteView> BatchDictionary(BatchScan *scan, AttrNumber attribute);
/// Fills a virtual slot of the table's row type with row `row` of the batch: `attributes` of the
/// scan, the others NULL or their values, tts_tid and tts_tableOid set. By-reference values hold
/// until the next call or batch.
void BatchRow(BatchScan *scan, uint32_t row, TupleTableSlot *slot);

/// The head of the current segment (cold batches).
const SegmentHead &BatchHead(const BatchScan *scan);
/// The footer of a column in the current segment, nullptr when the segment lacks the column.
const ColumnFooter *BatchFooter(const BatchScan *scan, AttrNumber attribute);
/// Offers the caller whole segments: called with a segment whose every row passes all filters and
/// none of which is deleted, before anything of it but the head is read; returns true when it has
/// taken the segment's rows into account (they are then not given out as batches). Likewise for a
/// single vector.
struct BatchFooterReader {
  bool (*take_segment)(void *self, BatchScan *scan, const SegmentHead &head);
  bool (*take_vector)(void *self, BatchScan *scan, const SegmentHead &head, uint32_t vector);
  void *self;
};
void BatchScanUseFooters(BatchScan *scan, const BatchFooterReader &reader);

/// With kNewest: no row still to come has a time greater than this (kOldest: less). The caller ends
/// the scan by itself.
int64_t BatchScanTimeLeft(const BatchScan *scan);

const BatchCounters &BatchScanCounters(const BatchScan *scan);
/// For EXPLAIN: the times the scan is limited to, and how many segments meet them.
void BatchScanTimes(const BatchScan *scan, int64_t *from, int64_t *to);
int64_t BatchScanSegmentsInTime(const BatchScan *scan);

}  // namespace tsext::pg
