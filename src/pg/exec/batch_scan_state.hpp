#pragma once

// The inside of a BatchScan, for batch_scan.cpp and batch_columns.cpp.

#include <cstdint>

#include "tsext/filter.hpp"

#include "pg/base/boundary.hpp"
#include "pg/exec/batch_scan.hpp"
#include "pg/exec/hot_batch.hpp"
#include "pg/table/scan.hpp"
#include "pg/table/segment_reader.hpp"

namespace tsext::pg {

/// How BatchRow finds a column's value in the current batch.
enum class RowSource : uint8_t {
  kConstant,  ///< one value for all rows: the segment lacks the column
  kInteger,   ///< `vector`, 8 bytes
  kNarrow,    ///< `vector`, an integer class of fewer bytes
  kDouble,
  kFloat,
  kInPlace,  ///< `vector`, bytes that are a Datum where they lie
  kBytes,    ///< `vector`, bytes to be made a Datum
  kCode      ///< `codes`, Datums are made once a dictionary value
};

struct ScanColumn {
  AttrNumber attribute;
  DatumClass type;
  bool is_filtered;      // a filter looks at it
  bool is_wanted;        // rows have it
  bool is_char_aligned;  // Datums of it may lie anywhere
  // Of the current batch; nullptr: not asked for.
  const Vector *vector;
  const CodeVector *codes;
  bool codes_are_known;
  bool is_row_ready;
  RowSource source;
  bool constant_is_null;
  Datum constant;
  // Of the current segment: Datums of dictionary values, 0 where not made yet; or nullptr.
  Datum *datums;
  Vector *own;              // hot values and missing ones; made on first use
  uint32_t missing_filled;  // rows of `own` that hold the missing value
};

/// A reader of a scan by time.
struct ReaderSlot {
  SegmentReader *reader;
  int segment;
  uint64_t last_use;
};

/// A vector of a scan by time. key: its time, mirrored for kOldest.
struct VectorVisit {
  int64_t key;
  uint32_t vector;
};

/// A segment of a scan by time. least_span: of the times of a vector of one series, as far as is
/// known: of the vector with the fewest.
struct SegmentVisit {
  int64_t key;           // of the best vector left, or a bound of it while unopened
  int segment;           // -1: none
  VectorVisit *vectors;  // nullptr: not opened yet
  uint32_t count, next;
  uint64_t least_span;
};

struct BatchScan {
  Relation relation;
  TupleDesc descriptor;
  Snapshot snapshot;
  MemoryContext context;          // everything
  MemoryContext segment_context;  // Datums of the current segment's dictionaries; made on first use
  MemoryContext row_context;      // values of the row BatchRow gave last; made on first use
  ContextResource *resource;
  VectorFilters *filters;
  BatchOrder order;
  ParallelTableScanDesc parallel;
  SharedColdScan *shared;
  AttrNumber time_attribute;
  Oid time_type;
  BatchFooterReader footers;
  BatchCounters *counters;
  SegmentReaderCounters closed_readers;

  ScanColumn *columns;  // ascending by attribute
  int column_count;
  int16_t *index_of;  // by attribute number - 1: index into columns, or -1
  AttrNumber last_wanted;

  bool is_cold_only;
  bool is_started;
  bool is_empty;  // the filters let nothing pass
  int stage;      // 0, 1: hot and cold in the order's turn; 2: at the end
  TableScanDesc heap;
  HotBatch *hot;

  MemoryContext list_context;
  int64_t from, to;
  SegmentRow *segments;
  int segment_count;
  int skipped_by_key;  // segments in time that are not in the list
  bool uses_ring;
  ReaderSlot *readers;
  int reader_count;
  uint64_t use_counter;
  SegmentReader *reader;  // of the current segment
  int segment;            // the current one, -1: none
  Verdict segment_verdict;
  // In any order.
  bool is_in_segment;
  uint32_t next_segment;
  uint32_t next_vector, end_vector;
  // By time: a heap, greatest key first, without the current one.
  MemoryContext visit_context;
  SegmentVisit *visits;
  int visit_count;
  SegmentVisit current;
  int64_t visit_floor;  // the current segment gives way at a key below this

  // The current batch.
  bool is_cold;
  uint32_t rows;
  uint32_t vector;
  Selection selection;
};

/// Makes the columns of a scan: attributes asked for and those of the filters.
void MakeColumns(BatchScan *scan, const Bitmapset *attributes, const Bitmapset *filtered);
/// Starts a batch: every row selected, nothing decoded.
void StartBatch(BatchScan *scan, uint32_t rows, bool is_cold);
/// Drops the deselected rows of a batch of hot ones. These have no place of their own, and whoever
/// looks at the batch then need not ask which rows count.
void KeepSelectedRows(BatchScan *scan);
/// Tells the caller of it.
void FinishBatch(BatchScan *scan, Batch *batch);
/// Forgets what was made for the last segment.
void ForgetSegmentColumns(BatchScan *scan);

}  // namespace tsext::pg
