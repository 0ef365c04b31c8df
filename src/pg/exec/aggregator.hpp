#pragma once

// TsextAggregate at work: batches in, groups out.

#include <cstdint>

#include "tsext/group_table.hpp"

#include "pg/base/boundary.hpp"
#include "pg/exec/aggregate_key.hpp"
#include "pg/exec/transition.hpp"

extern "C" {
#include "nodes/execnodes.h"
}

namespace tsext::pg {

/// What has been done, for EXPLAIN ANALYZE.
struct AggregateCounters {
  uint64_t groups;      ///< given out
  uint64_t runs;        ///< of rows with equal keys
  uint64_t row_by_row;  ///< rows that an expression was evaluated for one by one
  uint64_t passes;      ///< over the input
  size_t memory_bytes;  ///< of groups, at most
};

/// One aggregate of the output.
struct AggregateOutput {
  const Aggref *aggregate;
  AggregateFunction function;
  Transition *transition;
  FunctionCallInfo final;  // nullptr: the transition value is the result
};

/// Groups the rows of a child TsextScan. Lives in a memory context; its frames call PostgreSQL, so
/// they own nothing.
class Aggregator {
 public:
  /// items: keys, then Aggrefs, as TargetEntries. flags: AggregatePlanFlags. limit: groups that
  /// will be asked for at most, 0: not known.
  Aggregator(CustomScanState *child, List *items, int key_count, int flags, int limit,
             MemoryContext context);

  /// Stores the next group in `slot`, whose columns are the items; false at the end. By-reference
  /// values live in the current memory context, or until the group after.
  bool Next(TupleTableSlot *slot);
  /// Takes what it can from the footers of the child's segments. Before the first batch.
  void UseFooters();
  /// The child has been reset: starts again.
  void Rescan();

  const AggregateCounters &counters() const noexcept { return counters_; }
  int key_count() const noexcept { return key_count_; }
  const Key &key(int index) const noexcept { return *keys_[index]; }

 private:
  /// Groups whose hash ends with `prefix`, `bits` bits of it: what one pass over the input keeps.
  struct Partition {
    uint32_t bits;
    uint64_t prefix;
  };

  void AddAggregate(const Aggref *aggregate, int index, bool with_squares,
                    const TransitionContext &context);
  void MakeFinal(AggregateOutput *output, const TransitionContext &context);
  void CollectRowExpressions();

  void Fill();
  void Consume(const Batch &batch, BatchScan *scan);
  uint32_t FindGroups(const BatchInput &input);
  void AddGroup();
  bool TakeFooter(const FooterSource &source);
  bool IsOfPass(const int64_t *words) const;
  Selection FilteredRows(const Transition &transition, const BatchInput &input) const;
  bool Advance(const BatchInput &input, uint32_t run_count);
  bool IsFull() const;
  bool HasOrder() const { return order_ != BatchOrder::kAny; }
  bool ComesBefore(uint32_t a, uint32_t b) const;
  void CollectComplete(const BatchScan *scan);
  void NoteBucket(int64_t start);
  bool IsBeyondLimit(int64_t start) const;
  void ClearGroups();
  void Split();
  bool StartNextPass();
  void ForgetScan();
  void RescanChild();
  void Store(uint32_t group, TupleTableSlot *slot);
  Datum Result(const AggregateOutput &output, const std::byte *state, bool *is_null) const;

  CustomScanState *child_;
  bool is_partial_;
  BatchOrder order_;  // buckets of time come out in it, unless it is kAny
  uint32_t limit_;    // of them, or 0
  MemoryContext context_;
  MemoryContext batch_memory_;
  ContextResource memory_;
  RowEvaluator *evaluator_;
  AggState *fake_;

  int key_count_;
  Key **keys_;
  int output_count_;
  AggregateOutput *outputs_;
  int transition_count_ = 0;
  Transition **transitions_;
  uint32_t state_size_ = 0;
  // Evaluated for the selected rows: before rows are grouped (keys, filters), and after.
  RowExpression **first_expressions_;
  int first_count_ = 0;
  RowExpression **later_expressions_;
  int later_count_ = 0;

  GroupTable groups_;
  GroupStates *states_;
  GroupRun runs_[kVectorSize];
  uint16_t begins_[kVectorSize + 1];
  uint16_t merged_[kVectorSize + 1];

  bool is_filled_ = false;
  bool is_exhausted_ = false;
  uint32_t next_group_ = 0;
  // In an order of time: groups that may still grow, and those to be given out, first ones last.
  std::pmr::vector<uint32_t> growing_;
  std::pmr::vector<uint32_t> complete_;
  // With a limit: the starts of the first so many buckets, the first one first.
  std::pmr::vector<int64_t> first_starts_;
  Partition partition_{0, 0};
  std::pmr::vector<Partition> pending_;
  AggregateCounters counters_{};
};

}  // namespace tsext::pg
