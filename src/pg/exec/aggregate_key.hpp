#pragma once

// Grouping keys of TsextAggregate: a batch is split into runs of rows with equal keys, and a key's
// value becomes one word, so that groups are found by words.

#include <cstdint>

#include "tsext/types.hpp"

#include "pg/exec/footer_source.hpp"
#include "pg/exec/row_expression.hpp"

extern "C" {
#include "nodes/primnodes.h"
}

namespace tsext::pg {

/// Keys of one grouping at most: their NULLs are bits of one word.
inline constexpr int kMaxKeys = 32;

/// Runs of equal values of one key over the rows of a batch, rows that are not selected included
/// (they belong to any run, and those before the first selected one and behind the last need not be
/// looked at).
///
/// begins[count] is the number of rows. Words of NULL are 0.
struct KeyRuns {
  uint32_t count = 0;
  uint16_t begins[kVectorSize + 1];
  int64_t words[kVectorSize];
  bool nulls[kVectorSize];

  void Start() noexcept { count = 0; }
  /// Row `row` has this value; rows come in order.
  void Add(uint32_t row, int64_t word, bool is_null) noexcept {
    if (count > 0 && words[count - 1] == word && nulls[count - 1] == is_null) return;
    begins[count] = count == 0 ? 0 : static_cast<uint16_t>(row);
    words[count] = word;
    nulls[count] = is_null;
    count++;
  }
  /// `count` begins are there that count from row `first` on.
  void Shift(uint32_t first, uint32_t rows) noexcept {
    for (uint32_t i = 1; i < count; i++) begins[i] = static_cast<uint16_t>(begins[i] + first);
    begins[count] = static_cast<uint16_t>(rows);
  }
  /// One run at least, though no row was added.
  void Finish(uint32_t rows) noexcept {
    if (count == 0) Add(0, 0, true);
    begins[count] = static_cast<uint16_t>(rows);
  }
};

class Key {
 public:
  virtual ~Key() = default;
  /// Fills `runs`.
  virtual void Split(const BatchInput &input) = 0;
  /// Whether all rows of `source`, which pass every filter, have one value of the key: then that.
  virtual bool TakeFooter(const FooterSource & /*source*/, int64_t * /*word*/) { return false; }
  /// The value that a word stands for; by-reference ones live as long as the node.
  virtual Datum Value(int64_t word) = 0;
  /// The scan starts again, perhaps with other parameters. Words stay what they are.
  virtual void Rescan() {}
  /// For buckets of one width, once a row has been seen: the start of the one that holds `time`.
  /// False when that is not known.
  virtual bool BucketOf(int64_t /*time*/, int64_t * /*start*/) { return false; }
  /// Rows of buckets that start before `bound` (order kNewest; kOldest: after it) are not wanted.
  virtual void SetBound(BatchOrder /*order*/, int64_t /*bound*/) {}
  /// How it is split, for EXPLAIN.
  virtual const char *Method() const = 0;

  KeyRuns runs;
  /// To be evaluated for the selected rows before Split(); or nullptr.
  RowExpression *row_expression = nullptr;
};

/// Whether rows can be grouped by values of this type. equality: the operator of the query.
bool IsGroupable(Oid type, Oid equality);

/// descriptor: of the scanned table. Lives in `context`.
Key *MakeKey(Expr *expression, RowEvaluator *evaluator, TupleDesc descriptor,
             MemoryContext context);

}  // namespace tsext::pg
