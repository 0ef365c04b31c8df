#pragma once

// The cold half of TsextLast's search: series, conditions, and the walk over segments.

#include <cstdint>

#include "tsext/series_table.hpp"

#include "pg/catalog/segment.hpp"
#include "pg/exec/last_search.hpp"
#include "pg/table/segment_reader.hpp"

namespace tsext::pg {

/// How the values of a key column are numbered within the current segment.
enum class KeyCoding : uint8_t {
  kConstant,    ///< one value, or NULL, in every row
  kDictionary,  ///< the dictionary's codes
  kRange,       ///< integers close together, less the least one
  kPlain        ///< no codes: values are looked at
};

/// A key column in the current segment.
struct KeyColumn {
  AttrNumber attribute;
  DatumClass type;
  KeyCoding coding;
  uint32_t code_count;  // 0 for kPlain
  bool has_nulls;       // kDictionary, kRange: the last code stands for NULL
  bool is_null;         // kConstant
  int64_t integer;      // kConstant: the value; kRange: the least one
  ByteView bytes;       // kConstant
  // Of the loaded vector: codes for kDictionary, values for kRange and kPlain.
  const CodeVector *codes;
  const Vector *values;
};

/// A stretch of rows of one series in the current segment.
struct SeriesRun {
  uint32_t begin, end;  // rows
  uint32_t number;      // of the series, kUnknown until looked up
};

/// A segment and what the best row in it can be.
struct Candidate {
  const SegmentRow *segment;
  int64_t rank;
};

/// Plain data in the search's memory context.
struct SegmentSearch {
  const LastQuery *query;
  Snapshot snapshot;
  size_t memory_bytes;
  MemoryContext memory;
  SeriesTable *series;
  SeriesKey *key;  // under construction
  SegmentReader *reader;
  Candidate *candidates;  // best first
  int candidate_count;
  int64_t from, to;      // times a row can have
  ExprContext *context;  // of the conditions
  TupleTableSlot *slot;
  LastCounters counters;

  // The current segment.
  int32_t current;
  int time_column;         // index in its head; -1: times are not known
  KeyColumn *columns;      // one a key
  uint32_t loaded_vector;  // the one that the columns' codes and values are of
  // Where at most one key column is not constant and that one has codes, a code stands for a
  // series: their numbers, kUnknown until looked up. Else code_count is 0.
  KeyColumn *coded;  // nullptr when all are constant
  uint32_t code_count, code_capacity;
  uint32_t *number_of_code;
  uint32_t generation;  // changes when series get new numbers
  // Where the varying keys are stored as runs: the stretches of one series, in order. Else 0.
  SeriesRun *runs;
  uint32_t run_count, run_capacity;
  bool times_rise;       // within what has equal keys and lies together
  uint32_t vector_read;  // the one that was counted last
};

constexpr int64_t RankOf(LastOrder order, int64_t time) {
  // The complement turns the order round without overflow.
  return order == LastOrder::kNewest ? time : ~time;
}

inline bool IsBetter(const BestRow &row, const BestRow &best) {
  return row.kind > best.kind ||
         (row.kind == BestRow::Kind::kTimed && row.kind == best.kind && row.rank > best.rank);
}

/// In the current memory context.
void SetUpSegmentSearch(SegmentSearch *search, const LastQuery *query, Snapshot snapshot,
                        size_t memory_bytes, MemoryContext context);
void CloseSegmentSearch(SegmentSearch *search);
/// Computes the conditions' constants; false when no row can pass.
bool StartConditions(SegmentSearch *search);
/// Loads the list of segments, in the current memory context.
void LoadNewestFirst(SegmentSearch *search);
/// Looks for better rows in all segments.
void SearchSegments(SegmentSearch *search);

/// The number of the series whose key was put together, or kOtherPass. Keeps within the memory.
uint32_t FindSeries(SegmentSearch *search);
/// Whether the row in `slot`, of a series of the pass, passes all conditions. A series that fails
/// those on its key is marked as unwanted.
bool PassesQuals(SegmentSearch *search, uint32_t number, ExprContext *context,
                 TupleTableSlot *slot);
/// Remembers a row as the best of a series.
void KeepRow(SegmentSearch *search, uint32_t number, BestRow row);
/// Opens a candidate's segment for reading.
SegmentReader *OpenForFetch(SegmentSearch *search, int32_t candidate);
/// Makes an empty virtual slot whose arrays are filled the row of a candidate's segment.
void StoreColdRow(const SegmentSearch *search, int32_t candidate, uint32_t row,
                  TupleTableSlot *slot);
/// Fills an empty virtual slot with `attributes` of a cold row, the others NULL; values in the
/// current memory context.
void FillColdRow(SegmentSearch *search, int32_t candidate, uint32_t row,
                 const Bitmapset *attributes, TupleTableSlot *slot);

}  // namespace tsext::pg
