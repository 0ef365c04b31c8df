#pragma once

// Which segments of a table are worth rewriting together, and the rewriting: a streaming merge of
// sorted runs.

#include <cstdint>

#include "tsext/types.hpp"

#include "pg/catalog/options.hpp"
#include "pg/catalog/segment.hpp"
#include "pg/table/compact.hpp"

namespace tsext::pg {

/// Segments to be replaced by new ones that cover [start, end).
struct MergeGroup {
  int64_t start, end;
  Level level;
  int count;
  const SegmentRow **segments;  // in sort order
};

/// Whether a chunk ended at least `seconds` ago. False for integer times, which have no clock, and
/// for open ends.
bool EndedAgo(const TableOptions *options, int64_t chunk_end, int64_t seconds);

/// Groups worth merging among `rows` (as LoadSegments orders them), in the current memory context.
///
/// A chunk is rewritten when several runs of its segments overlap in the sort key or when they are
/// much smaller than they could be, or when its codecs are lighter than `request` and the settings
/// want. In the background an open chunk waits longer, so that a row is rewritten a few times and
/// not once a compaction. Neighbouring chunks of an 'auto' table that hold few rows are joined into
/// one, aligned to a power of two of its smallest width.
MergeGroup *PlanMerges(const TableOptions *options, const SegmentRow *rows, int count,
                       const CompactRequest &request, int *group_count);

/// Replaces one group: reads, merges, writes new segments, deletes the old ones, in the current
/// transaction. Does nothing when the group joins chunks to which a bulk writer may be adding.
/// `between`, when given, is called every few rows and may raise an error.
void MergeSegments(Relation relation, const TableOptions *options, const MergeGroup &group,
                   CompactResult *result, void (*between)());

}  // namespace tsext::pg
