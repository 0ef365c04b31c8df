#include "pg/exec/aggregator.hpp"

#include <algorithm>

#include "tsext/real_moments.hpp"
#include "tsext/slice.hpp"

#include "pg/exec/aggregate.hpp"
#include "pg/exec/scan.hpp"

extern "C" {
#include "executor/executor.h"
#include "executor/instrument.h"
#include "executor/nodeHash.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_agg.h"
#include "utils/expandeddatum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
}

namespace tsext::pg {

namespace {

// Groups that are kept whatever they take, so that each pass gets somewhere.
constexpr uint32_t kLeastGroups = 1024;
// More passes than this gain nothing.
constexpr uint32_t kMostBits = 20;

/// What AggCheckCallContext() asks for: transition functions of internal states refuse to work
/// without it, and keep their memory where it says.
AggState *MakeFakeState(EState *estate) {
  AggState *fake = makeNode(AggState);
  fake->curaggcontext = CreateExprContext(estate);
  fake->tmpcontext = CreateExprContext(estate);
  fake->aggcontexts = static_cast<ExprContext **>(palloc(sizeof(ExprContext *)));
  fake->aggcontexts[0] = fake->curaggcontext;
  return fake;
}

Aggref *AggregateAt(List *items, int index) {
  auto *expression = static_cast<TargetEntry *>(list_nth(items, index))->expr;
  return castNode(Aggref, expression);
}

/// Whether an aggregate with this transition wants more of it than sum and count.
bool WantsSquares(List *items, int first, int transition) {
  for (int i = first; i < list_length(items); i++) {
    const Aggref *aggregate = AggregateAt(items, i);
    if (aggregate->aggtransno == transition &&
        GetAggregateFunction(aggregate).final != F_FLOAT8_AVG)
      return true;
  }
  return false;
}

}  // namespace

Aggregator::Aggregator(CustomScanState *child, List *items, int key_count, int flags, int limit,
                       MemoryContext context)
    : child_(child),
      is_partial_((flags & kAggregatePartial) != 0),
      order_((flags & kAggregateNewestFirst) != 0   ? BatchOrder::kNewest
             : (flags & kAggregateOldestFirst) != 0 ? BatchOrder::kOldest
                                                    : BatchOrder::kAny),
      limit_(static_cast<uint32_t>(limit)),
      context_(context),
      batch_memory_(
          AllocSetContextCreate(context, "tsext aggregate batch", ALLOCSET_DEFAULT_SIZES)),
      memory_(context),
      key_count_(key_count),
      output_count_(list_length(items) - key_count),
      groups_(static_cast<uint32_t>(key_count == 0 ? 0 : key_count + 1), &memory_),
      growing_(&memory_),
      complete_(&memory_),
      first_starts_(&memory_),
      pending_(&memory_) {
  MemoryContext old = MemoryContextSwitchTo(context);
  TupleDesc descriptor = RelationGetDescr(child->ss.ss_currentRelation);
  evaluator_ = MakeRowEvaluator(&child->ss.ps, descriptor);
  fake_ = MakeFakeState(child->ss.ps.state);
  const TransitionContext making{evaluator_, child->ss.ss_currentRelation, descriptor, fake_,
                                 context};

  keys_ = static_cast<Key **>(palloc(sizeof(Key *) * static_cast<size_t>(key_count + 1)));
  for (int i = 0; i < key_count; i++)
    keys_[i] = MakeKey(static_cast<TargetEntry *>(list_nth(items, i))->expr, evaluator_, descriptor,
                       context);
  const size_t outputs = static_cast<size_t>(output_count_) + 1;
  outputs_ = static_cast<AggregateOutput *>(palloc0(sizeof(AggregateOutput) * outputs));
  transitions_ = static_cast<Transition **>(palloc0(sizeof(Transition *) * outputs));
  for (int i = 0; i < output_count_; i++) {
    const Aggref *aggregate = AggregateAt(items, key_count + i);
    AddAggregate(aggregate, i, WantsSquares(items, key_count, aggregate->aggtransno), making);
  }
  CollectRowExpressions();
  if (HasOrder()) ScanUseOrder(child, order_);
  states_ = New<GroupStates>(context, std::max(state_size_, 1U), &memory_);
  MemoryContextSwitchTo(old);
}

void Aggregator::AddAggregate(const Aggref *aggregate, int index, bool with_squares,
                              const TransitionContext &context) {
  AggregateOutput &output = outputs_[index];
  output.aggregate = aggregate;
  output.function = GetAggregateFunction(aggregate);
  CheckAggregatePermissions(aggregate, output.function);
  for (int i = 0; i < index; i++)
    if (outputs_[i].aggregate->aggtransno == aggregate->aggtransno)
      output.transition = outputs_[i].transition;
  if (output.transition == nullptr) {
    output.transition = MakeTransition(aggregate, output.function, with_squares, context);
    output.transition->offset = state_size_;
    state_size_ += (output.transition->state_size() + 15) / 16 * 16;
    transitions_[transition_count_++] = output.transition;
  }
  if (!is_partial_ && OidIsValid(output.function.final)) MakeFinal(&output, context);
}

void Aggregator::MakeFinal(AggregateOutput *output, const TransitionContext &context) {
  const Aggref *aggregate = output->aggregate;
  Oid types[FUNC_MAX_ARGS];
  const int count = get_aggregate_argtypes(const_cast<Aggref *>(aggregate), types);
  const int arguments = output->function.final_extra ? count + 1 : 1;
  output->final = MakeAggregateCall(output->function.final, arguments, aggregate->inputcollid,
                                    context.fake, context.context);
  Expr *expression;
  build_aggregate_finalfn_expr(types, arguments, aggregate->aggtranstype, aggregate->aggtype,
                               aggregate->inputcollid, output->function.final, &expression);
  fmgr_info_set_expr(reinterpret_cast<Node *>(expression), output->final->flinfo);
}

void Aggregator::CollectRowExpressions() {
  int count = key_count_;
  for (int i = 0; i < transition_count_; i++) count += transitions_[i]->row_argument_count + 1;
  const size_t size = sizeof(RowExpression *) * static_cast<size_t>(count + 1);
  first_expressions_ = static_cast<RowExpression **>(palloc(size));
  later_expressions_ = static_cast<RowExpression **>(palloc(size));
  for (int i = 0; i < key_count_; i++)
    if (keys_[i]->row_expression != nullptr)
      first_expressions_[first_count_++] = keys_[i]->row_expression;
  for (int i = 0; i < transition_count_; i++) {
    const Transition &transition = *transitions_[i];
    if (transition.filter != nullptr) {
      if (transition.condition == nullptr) first_expressions_[first_count_++] = transition.filter;
      continue;  // its arguments only where it is true
    }
    for (int j = 0; j < transition.row_argument_count; j++)
      later_expressions_[later_count_++] = transition.row_arguments[j];
  }
}

/// Keys and transitions forget what they know of the scan that has been reset.
void Aggregator::ForgetScan() {
  for (int i = 0; i < key_count_; i++) keys_[i]->Rescan();
  for (int i = 0; i < transition_count_; i++) {
    transitions_[i]->Rescan();
    if (transitions_[i]->condition != nullptr) RescanVectorCondition(transitions_[i]->condition);
  }
}

/// Starts the input again, for another part of the groups.
void Aggregator::RescanChild() {
  MemoryContext old = MemoryContextSwitchTo(child_->ss.ps.state->es_query_cxt);
  ExecReScan(&child_->ss.ps);
  MemoryContextSwitchTo(old);
  ForgetScan();
}

void Aggregator::Rescan() {
  ClearGroups();
  ForgetScan();
  pending_.clear();
  partition_ = {0, 0};
  is_filled_ = false;
  is_exhausted_ = false;
}

bool Aggregator::Next(TupleTableSlot *slot) {
  for (;;) {
    if (HasOrder()) {
      if (complete_.empty() && !is_exhausted_) Fill();
      if (complete_.empty()) return false;
      Store(complete_.back(), slot);
      complete_.pop_back();
      counters_.groups++;
      return true;
    }
    if (!is_filled_) Fill();
    if (next_group_ < groups_.size()) {
      Store(next_group_++, slot);
      counters_.groups++;
      return true;
    }
    if (is_exhausted_ && !StartNextPass()) return false;
    ClearGroups();
    is_filled_ = false;
  }
}

void Aggregator::ClearGroups() {
  groups_.Clear();
  states_->Clear();
  for (int i = 0; i < transition_count_; i++) transitions_[i]->Clear();
  next_group_ = 0;
  growing_.clear();
  complete_.clear();
  first_starts_.clear();
  ReScanExprContext(fake_->curaggcontext);
}

void Aggregator::UseFooters() {
  for (int i = 0; i < key_count_; i++)
    if (keys_[i]->row_expression != nullptr) return;
  for (int i = 0; i < transition_count_; i++)
    if (transitions_[i]->filter != nullptr) return;
  BatchFooterReader reader{};
  reader.self = this;
  reader.take_segment = [](void *self, BatchScan *, const SegmentHead &head) {
    return static_cast<Aggregator *>(self)->TakeFooter({head, FooterSource::kWholeSegment});
  };
  reader.take_vector = [](void *self, BatchScan *, const SegmentHead &head, uint32_t vector) {
    return static_cast<Aggregator *>(self)->TakeFooter({head, static_cast<int>(vector)});
  };
  ScanUseFooters(child_, reader);
}

/// Takes all rows of a segment or vector into account; false when footers do not tell enough.
bool Aggregator::TakeFooter(const FooterSource &source) {
  for (int i = 0; i < transition_count_; i++)
    if (!transitions_[i]->TakeFooter(source, nullptr)) return false;
  int64_t words[kMaxKeys + 1];
  for (int i = 0; i < key_count_; i++)
    if (!keys_[i]->TakeFooter(source, &words[i])) return false;
  words[key_count_] = 0;
  if (!IsOfPass(words) || IsBeyondLimit(words[0])) return true;
  const uint32_t size = groups_.size();
  const uint32_t group = groups_.Find(words);
  if (groups_.size() != size) AddGroup();
  for (int i = 0; i < transition_count_; i++)
    transitions_[i]->TakeFooter(source, states_->At(group) + transitions_[i]->offset);
  return true;
}

/// Whether a group belongs to the partition of this pass.
bool Aggregator::IsOfPass(const int64_t *words) const {
  if (partition_.bits == 0) return true;
  const uint64_t mask = (uint64_t{1} << partition_.bits) - 1;
  return (GroupTable::Hash(words, groups_.words()) & mask) == partition_.prefix;
}

/// Takes in batches to the end of the input, or until a partial aggregation should give out what it
/// has.
void Aggregator::Fill() {
  is_filled_ = true;
  counters_.passes++;
  Instrumentation *instrument = child_->ss.ps.instrument;
  MemoryContext own = CurrentMemoryContext;
  Batch batch;
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    MemoryContextSwitchTo(child_->ss.ps.state->es_query_cxt);  // as its own caller would have it
    if (instrument != nullptr) InstrStartNode(instrument);
    const bool found = ScanBatchNext(child_, &batch);
    if (instrument != nullptr)
      InstrStopNode(instrument, !found ? 0 : batch.is_whole ? batch.rows : batch.selection.Count());
    if (!found) {
      is_exhausted_ = true;
      break;
    }
    MemoryContextSwitchTo(batch_memory_);
    Consume(batch, ScanBatches(child_));
    counters_.memory_bytes =
        std::max(counters_.memory_bytes, groups_.memory_bytes() + states_->memory_bytes());
    if (HasOrder()) {
      CollectComplete(ScanBatches(child_));
      if (!complete_.empty()) break;
      continue;
    }
    if (!IsFull()) continue;
    if (is_partial_) break;
    Split();
  }
  MemoryContextSwitchTo(own);
  if (!is_exhausted_) return;
  if (HasOrder()) CollectComplete(nullptr);
  if (key_count_ == 0 && groups_.size() == 0) {
    groups_.Find(nullptr);
    AddGroup();
  }
}

/// Whether group `a` is given out before `b`.
bool Aggregator::ComesBefore(uint32_t a, uint32_t b) const {
  const int64_t start_a = *groups_.Key(a);
  const int64_t start_b = *groups_.Key(b);
  return order_ == BatchOrder::kNewest ? start_a > start_b : start_a < start_b;
}

/// Every bucket is given out, so that only the first `limit_` of those there are matter: the later
/// ones' rows are passed by.
void Aggregator::NoteBucket(int64_t start) {
  const auto is_first = [this](int64_t a, int64_t b) {
    return order_ == BatchOrder::kNewest ? a > b : a < b;
  };
  if (first_starts_.size() == limit_) first_starts_.pop_back();
  first_starts_.insert(
      std::upper_bound(first_starts_.begin(), first_starts_.end(), start, is_first), start);
  if (first_starts_.size() == limit_) keys_[0]->SetBound(order_, first_starts_.back());
}

bool Aggregator::IsBeyondLimit(int64_t start) const {
  if (limit_ == 0 || first_starts_.size() < limit_) return false;
  return order_ == BatchOrder::kNewest ? start < first_starts_.back()
                                       : start > first_starts_.back();
}

/// Moves the groups that no row to come belongs to from growing_ to complete_, sorted. scan:
/// nullptr when there are no more rows.
void Aggregator::CollectComplete(const BatchScan *scan) {
  int64_t start = 0;
  if (scan != nullptr && !keys_[0]->BucketOf(BatchScanTimeLeft(scan), &start)) return;
  const auto is_complete = [&](uint32_t group) {
    const int64_t own = *groups_.Key(group);
    return scan == nullptr || (order_ == BatchOrder::kNewest ? own > start : own < start);
  };
  size_t kept = 0;
  for (const uint32_t group : growing_) {
    if (is_complete(group))
      complete_.push_back(group);
    else
      growing_[kept++] = group;
  }
  growing_.resize(kept);
  std::sort(complete_.begin(), complete_.end(),
            [this](uint32_t a, uint32_t b) { return ComesBefore(b, a); });
}

bool Aggregator::IsFull() const {
  if (groups_.size() <= kLeastGroups) return false;
  size_t bytes = groups_.memory_bytes() + states_->memory_bytes() +
                 MemoryContextMemAllocated(fake_->curaggcontext->ecxt_per_tuple_memory, true);
  for (int i = 0; i < transition_count_; i++) bytes += transitions_[i]->memory_bytes();
  return bytes > get_hash_memory_limit() && (is_partial_ || partition_.bits < kMostBits);
}

/// The groups do not fit: starts the pass again for a quarter of them and leaves the others to
/// later passes.
void Aggregator::Split() {
  for (uint64_t i = 1; i < 4; i++)
    pending_.push_back({partition_.bits + 2, partition_.prefix | i << partition_.bits});
  partition_.bits += 2;
  ClearGroups();
  counters_.passes++;
  RescanChild();
}

bool Aggregator::StartNextPass() {
  if (pending_.empty()) return false;
  partition_ = pending_.back();
  pending_.pop_back();
  is_exhausted_ = false;
  RescanChild();
  return true;
}

void Aggregator::Consume(const Batch &batch, BatchScan *scan) {
  MemoryContextReset(batch_memory_);
  const BatchInput input(scan, batch, batch_memory_);
  const Selection *selection = input.selection();
  bool row_by_row = EvaluateRows(evaluator_, input, selection, first_expressions_, first_count_);
  const uint32_t run_count = FindGroups(input);
  if (run_count > 0) {
    counters_.runs += run_count;
    row_by_row |= EvaluateRows(evaluator_, input, selection, later_expressions_, later_count_);
    row_by_row |= Advance(input, run_count);
  }
  if (row_by_row) counters_.row_by_row += selection == nullptr ? batch.rows : selection->Count();
}

/// Fills runs_ with the runs that have a selected row of this pass's partition; returns how many.
uint32_t Aggregator::FindGroups(const BatchInput &input) {
  const uint32_t rows = input.batch->rows;
  const Selection *gaps = input.gaps();
  uint16_t *begins = begins_;
  uint16_t *merged = merged_;
  uint32_t count = 1;
  begins[0] = 0;
  begins[1] = static_cast<uint16_t>(rows);
  for (int i = 0; i < key_count_; i++) {
    keys_[i]->Split(input);
    const KeyRuns &runs = keys_[i]->runs;
    count = MergeRuns(begins, count, runs.begins, runs.count, merged);
    std::swap(begins, merged);
  }
  uint32_t at[kMaxKeys] = {};  // the run of each key
  int64_t words[kMaxKeys + 1];
  const int keys = key_count_;
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) {
    // From the first selected row to the last.
    uint32_t begin = std::max<uint32_t>(begins[i], input.begin);
    uint32_t end = std::min<uint32_t>(begins[i + 1], input.end);
    if (begin >= end) continue;
    uint32_t selected = end - begin;
    if (gaps != nullptr) {
      const int first = FirstRow(nullptr, {begin, end, gaps});
      if (first < 0) continue;
      begin = static_cast<uint32_t>(first);
      end = static_cast<uint32_t>(LastRow(nullptr, {begin, end, gaps})) + 1;
      selected = CountRows({begin, end, gaps});
    }
    int64_t null_bits = 0;
    for (int key = 0; key < keys; key++) {
      const KeyRuns &runs = keys_[key]->runs;
      while (runs.begins[at[key] + 1] <= begin) at[key]++;
      words[key] = runs.words[at[key]];
      null_bits |= static_cast<int64_t>(runs.nulls[at[key]]) << key;
    }
    words[keys] = null_bits;
    if (!IsOfPass(words) || IsBeyondLimit(words[0])) continue;
    const uint32_t size = groups_.size();
    const uint32_t group = groups_.Find(words);
    if (groups_.size() != size) AddGroup();
    runs_[found++] = {static_cast<uint16_t>(begin), static_cast<uint16_t>(end), selected, group};
  }
  return found;
}

/// Makes the states of the group that was numbered last.
void Aggregator::AddGroup() {
  states_->Resize(groups_.size());
  std::byte *state = states_->At(groups_.size() - 1);
  for (int i = 0; i < transition_count_; i++)
    transitions_[i]->Start(state + transitions_[i]->offset);
  if (!HasOrder()) return;
  growing_.push_back(groups_.size() - 1);
  if (limit_ > 0) NoteBucket(*groups_.Key(groups_.size() - 1));
}

/// The rows of the batch for which the FILTER of a transition is true.
Selection Aggregator::FilteredRows(const Transition &transition, const BatchInput &input) const {
  Selection passed = input.batch->selection;
  if (transition.condition != nullptr) {
    RunVectorCondition(transition.condition, input, &passed);
    return passed;
  }
  passed.Clear();
  const RowExpression &filter = *transition.filter;
  ForEachRow(input.selection(), 0, input.batch->rows, [&](uint32_t row) {
    if (!filter.nulls[row] && DatumGetBool(filter.values[row])) passed.Select(row);
  });
  return passed;
}

/// Whether an argument had to be evaluated row by row.
bool Aggregator::Advance(const BatchInput &input, uint32_t run_count) {
  const std::span<const GroupRun> runs(runs_, run_count);
  bool row_by_row = false;
  for (int i = 0; i < transition_count_; i++) {
    Transition &transition = *transitions_[i];
    if (transition.filter == nullptr) {
      transition.Advance(input, runs, input.selection(), *states_);
      continue;
    }
    const Selection passed = FilteredRows(transition, input);
    if (passed.IsEmpty()) continue;
    row_by_row |= EvaluateRows(evaluator_, input, &passed, transition.row_arguments,
                               transition.row_argument_count);
    transition.Advance(input, runs, &passed, *states_);
  }
  return row_by_row;
}

Datum Aggregator::Result(const AggregateOutput &output, const std::byte *state,
                         bool *is_null) const {
  const Aggref *aggregate = output.aggregate;
  if (is_partial_) {
    return OidIsValid(output.function.serialize) ? output.transition->Serialized(state, is_null)
                                                 : output.transition->Value(state, is_null);
  }
  if (output.function.kind == TransitionKind::kRealMoments &&
      output.function.final == F_FLOAT8_AVG) {
    const auto &moments = *reinterpret_cast<const RealMoments *>(state);
    *is_null = moments.count == 0;
    if (*is_null) return 0;
    if (moments.HasOverflown(false)) float_overflow_error();
    return Float8GetDatum(moments.SumFromZero() / static_cast<double>(moments.count));
  }
  // Our own states have the value itself.
  if (output.function.kind == TransitionKind::kFirst ||
      output.function.kind == TransitionKind::kLast)
    return output.transition->Value(state, is_null);
  Datum value = output.transition->Value(state, is_null);
  value = MakeExpandedObjectReadOnly(value, *is_null, get_typlen(aggregate->aggtranstype));
  if (output.final == nullptr) return value;
  if (*is_null && output.final->flinfo->fn_strict) return 0;
  output.final->args[0] = {value, *is_null};
  for (int i = 1; i < output.final->nargs; i++) {
    output.final->args[i] = {0, true};
    if (!output.final->flinfo->fn_strict) continue;
    *is_null = true;
    return 0;
  }
  output.final->isnull = false;
  value = FunctionCallInvoke(output.final);
  *is_null = output.final->isnull;
  return value;
}

void Aggregator::Store(uint32_t group, TupleTableSlot *slot) {
  ExecClearTuple(slot);
  const int64_t *words = groups_.Key(group);
  for (int i = 0; i < key_count_; i++) {
    slot->tts_isnull[i] = ((words[key_count_] >> i) & 1) != 0;
    slot->tts_values[i] = slot->tts_isnull[i] ? 0 : keys_[i]->Value(words[i]);
  }
  const std::byte *states = states_->At(group);
  for (int i = 0; i < output_count_; i++) {
    const int column = key_count_ + i;
    slot->tts_values[column] =
        Result(outputs_[i], states + outputs_[i].transition->offset, &slot->tts_isnull[column]);
  }
  ExecStoreVirtualTuple(slot);
}

}  // namespace tsext::pg
