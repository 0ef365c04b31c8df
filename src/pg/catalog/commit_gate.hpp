#pragma once

// How writers below continuous aggregates and those who move thresholds keep out of each other's
// way: a counter of moves, and a gate through which a writer who has nothing to log commits without
// any lock. All of it is in shared memory. Who does what when, and why that is exact, is in
// src/pg/cagg/README.md.

#include <cstdint>

#include "pg/base/postgres.hpp"

extern "C" {
#include "storage/backendid.h"
}

namespace tsext::pg {

/// How many transactions have committed thresholds, in any database; at least 1. To be asked after
/// the lock and before the threshold is read: what was read then is right as long as the answer is
/// the same. 0: nobody counts.
uint64_t ThresholdMoves();
/// This transaction changes thresholds, and cannot be prepared: it will have moved one to all who
/// ask after its commit, and to itself from now on.
void NoteThresholdMove();
/// Whether this transaction has changed thresholds.
bool HasMovedThreshold();

/// For a writer before its commit: until the end of its transaction, whoever moves a threshold
/// above `base` waits for it, and none has been moved since ThresholdMoves() said `moves`. False:
/// the gate is shut, or one has, and nobody waits.
bool EnterGate(Oid base, uint64_t moves);

/// For who moves thresholds: nobody passes from now on, in any database, until the end of this
/// transaction.
void ShutGate();
/// A writer of `base` that has passed and has not ended its transaction yet, other than this one,
/// when the gate is shut; InvalidBackendId: there is none. Snapshots taken after that see the rows
/// of all who have passed.
BackendId FirstInGate(Oid base);

/// Called once from _PG_init.
void InitCommitGate();

}  // namespace tsext::pg
