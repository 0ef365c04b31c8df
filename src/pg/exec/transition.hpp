#pragma once

// The states of aggregates, one a group, and how runs of rows advance them.

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "tsext/slice.hpp"

#include "pg/exec/aggregate_function.hpp"
#include "pg/exec/footer_source.hpp"
#include "pg/exec/row_expression.hpp"
#include "pg/exec/vector_expression.hpp"

extern "C" {
#include "nodes/execnodes.h"
}

namespace tsext::pg {

/// Rows begin .. end - 1 of the batch, which belong to one group; the first and the last of them
/// are selected.
struct GroupRun {
  uint16_t begin, end;
  uint32_t rows;  ///< selected ones
  uint32_t group;
};

/// The states of all groups: `size` bytes each, zero at first.
class GroupStates {
 public:
  GroupStates(uint32_t size, std::pmr::memory_resource *memory)
      : units_((size + sizeof(Unit) - 1) / sizeof(Unit)), states_(memory) {}
  void Resize(uint32_t groups) { states_.resize(static_cast<size_t>(groups) * units_); }
  void Clear() noexcept { states_.clear(); }
  std::byte *At(uint32_t group) noexcept {
    return reinterpret_cast<std::byte *>(states_.data() + static_cast<size_t>(group) * units_);
  }
  size_t memory_bytes() const noexcept { return states_.capacity() * sizeof(Unit); }

 private:
  struct alignas(16) Unit {
    std::byte bytes[16] = {};
  };
  uint32_t units_;
  std::pmr::vector<Unit> states_;
};

/// What a transition is made from.
struct TransitionContext {
  RowEvaluator *evaluator;
  Relation relation;      ///< the scanned table
  TupleDesc descriptor;   ///< its
  AggState *fake;         ///< makes AggCheckCallContext() true; its curaggcontext is where
                          ///< by-reference states live
  MemoryContext context;  ///< of the node's life
};

/// One transition of the plan; aggregates that have the same share it.
class Transition {
 public:
  virtual ~Transition() = default;

  virtual uint32_t state_size() const noexcept = 0;
  /// Makes zero bytes a state of no rows.
  virtual void Start(std::byte * /*state*/) {}
  /// selection: of the batch and the FILTER, nullptr when it is every row.
  virtual void Advance(const BatchInput &input, std::span<const GroupRun> runs,
                       const Selection *selection, GroupStates &states) = 0;
  /// Advances `state` by all rows of `source`, which are of its group; nullptr: only tells whether
  /// that can be done. Called without a FILTER only.
  virtual bool TakeFooter(const FooterSource & /*source*/, std::byte * /*state*/) { return false; }
  /// What it keeps beside the states, and forgetting it together with them.
  virtual size_t memory_bytes() const { return 0; }
  virtual void Clear() {}
  /// The child is scanned again, perhaps with other parameters.
  virtual void Rescan() {}
  /// The state as PostgreSQL's transition value, in the current memory context.
  virtual Datum Value(const std::byte *state, bool *is_null) = 0;
  /// The state as its serialize function gives it. For internal types.
  virtual Datum Serialized(const std::byte *state, bool *is_null);

  /// The rows of a run that count: without a selection, for which loops are faster, when they are
  /// all there. selection: as in Advance().
  Slice SliceOf(const GroupRun &run, const Selection *selection) const {
    const bool is_whole =
        filter == nullptr && run.rows == static_cast<uint32_t>(run.end - run.begin);
    return {run.begin, run.end, is_whole ? nullptr : selection};
  }

  uint32_t offset = 0;  ///< of its state in a group's
  /// Arguments to be evaluated row by row before Advance().
  RowExpression **row_arguments = nullptr;
  int row_argument_count = 0;
  RowExpression *filter = nullptr;       ///< FILTER (WHERE …)
  VectorCondition *condition = nullptr;  ///< the same, when vector filters can answer it
  FunctionCallInfo serialize = nullptr;
};

/// aggregate:    one that uses the transition.
/// with_squares: whether one of those that share it is more than an average.
///
/// Lives in context.context.
Transition *MakeTransition(const Aggref *aggregate, const AggregateFunction &function,
                           bool with_squares, const TransitionContext &context);

/// A function of an aggregate, ready to be called with `arguments` arguments.
FunctionCallInfo MakeAggregateCall(Oid function, int arguments, Oid collation, AggState *fake,
                                   MemoryContext context);

}  // namespace tsext::pg
